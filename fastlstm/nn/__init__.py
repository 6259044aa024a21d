"""Layers with the signatures of `torch.nn`, on NumPy arrays."""

from fastlstm.nn.lstm import LSTM, Tape
from fastlstm.nn.stepper import Stepper

__all__ = ["LSTM", "Stepper", "Tape"]
