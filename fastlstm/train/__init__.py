"""Training of `fastlstm.nn` layers; not imported with `fastlstm`."""

from fastlstm.train.losses import CrossEntropy, Huber, SquaredError

__all__ = ["CrossEntropy", "Huber", "SquaredError"]
