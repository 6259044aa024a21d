"""Training of `fastlstm.nn` layers: trainer, losses, optimizers and schedules; not imported with `fastlstm`."""

from fastlstm.train import schedules
from fastlstm.train.callbacks import Callback, EarlyStopping
from fastlstm.train.chunk import Chunk
from fastlstm.train.chunks import Chunks
from fastlstm.train.history import History
from fastlstm.train.loss import Loss
from fastlstm.train.losses import CrossEntropy, Huber, SquaredError
from fastlstm.train.optimizer import Optimizer
from fastlstm.train.optimizers import SGD, Adam, AdamW, RMSprop
from fastlstm.train.trainer import Trainer

__all__ = [
    "SGD", "Adam", "AdamW", "Callback", "Chunk", "Chunks", "CrossEntropy", "EarlyStopping", "History", "Huber",
    "Loss", "Optimizer", "RMSprop", "SquaredError", "Trainer", "schedules",
]
