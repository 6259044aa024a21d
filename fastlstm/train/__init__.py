"""Training: optimisers."""

from fastlstm.train.optimisers import SGD, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adam", "AdamW", "RMSprop"]
