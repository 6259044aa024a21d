"""LSTMs on the CPU as Numba-compiled kernels, with thin classes over them."""

from fastlstm import activations, compat, nn
from fastlstm.activations import PerformanceWarning
from fastlstm.model.lstm import LSTM
from fastlstm.version import __version__
from fastlstm.warmup import warmup

__all__ = ["LSTM", "PerformanceWarning", "__version__", "activations", "compat", "nn", "warmup"]
