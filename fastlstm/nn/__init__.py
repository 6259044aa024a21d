"""Layers with the signatures of `torch.nn`, on NumPy arrays."""

from fastlstm.nn.config import from_config
from fastlstm.nn.dense import Dense
from fastlstm.nn.layer import Layer
from fastlstm.nn.lstm import LSTM, Tape
from fastlstm.nn.sequential import Sequential
from fastlstm.nn.stepper import Stepper

__all__ = ["LSTM", "Dense", "Layer", "Sequential", "Stepper", "Tape", "from_config"]
