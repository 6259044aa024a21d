"""Slow, readable NumPy versions of everything the kernels compute: what tests and benchmarks compare with."""

from fastlstm.oracle.gradcheck import complex_step, finite_difference, windowed_loss
from fastlstm.oracle.lstm import LSTM
from fastlstm.oracle.network import NeuralNetwork
from fastlstm.oracle.stack import stacked_lstm

__all__ = ["LSTM", "NeuralNetwork", "complex_step", "finite_difference", "stacked_lstm", "windowed_loss"]
