"""Training of `fastlstm.nn` layers: losses and optimisers; not imported with `fastlstm`."""

from fastlstm.train.losses import CrossEntropy, Huber, SquaredError
from fastlstm.train.optimisers import SGD, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adam", "AdamW", "CrossEntropy", "Huber", "RMSprop", "SquaredError"]
