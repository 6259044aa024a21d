"""What a trainer calls in between."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy

from fastlstm import checks
from fastlstm.checks import Array

if TYPE_CHECKING:
    from fastlstm.train.trainer import Trainer


class Callback:
    """Base of callbacks: methods that do nothing.

    Each may look at the trainer, and change it: `model.parameters.flat`, `optimizer.learning_rate`. Ctrl-C is held back
    meanwhile. What must outlive the process goes through `state` and `load_state`. One that calls `trainer.save` lets
    the others have their turn first, so that the file holds the state after all of them.
    """

    def on_begin(self, trainer: Trainer) -> None:
        """When a `fit` begins, with what `state` gave before if the training goes on from a checkpoint."""

    def on_update(self, trainer: Trainer) -> bool | None:
        """After an update; True stops the training."""

    def on_epoch(self, trainer: Trainer) -> bool | None:
        """After an epoch and its validation; True stops the training."""

    def on_end(self, trainer: Trainer) -> None:
        """When a `fit` has come to its end; not after Ctrl-C, which leaves everything as it is for the next one."""

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a checkpoint is to hold: what JSON can hold, and arrays."""
        return {}, {}

    def load_state(self, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Go on from what `state` gave."""


class EarlyStopping(Callback):
    """Stop when the validation loss no longer falls, and take the parameters that had the smallest.

    They are taken when `fit` ends, whatever ends it but Ctrl-C. A training that this has not stopped goes on, in the
    next `fit`, from the parameters that it had come to, unless others have been put in place of the best. One object is
    for one training.

    Parameters
    ----------
    patience : int
        Epochs, at least 1, without a smaller loss after which to stop.
    min_delta : float
        At least 0; a loss is smaller if it is so by more than this.

    Attributes
    ----------
    best : float
        Smallest validation loss; infinite before there is one.
    waited : int
        Epochs since.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        self.patience = checks.integer("patience", patience, 1)
        self.min_delta = checks.real("min_delta", min_delta)
        if self.min_delta < 0:
            raise ValueError(f"min_delta must be at least 0, got {min_delta!r}")
        self.best, self.waited = math.inf, 0
        self._parameters: Array | None = None
        self._newest: Array | None = None  # what the training had come to, while the model has the best

    def on_begin(self, trainer: Trainer) -> None:
        """Let the training go on from the parameters that it had come to."""
        flat = trainer.model.parameters.flat
        best, newest = self._parameters, self._newest
        if best is not None and newest is not None and numpy.array_equal(flat, best, equal_nan=True):
            flat[:] = newest
        self._newest = None

    def on_epoch(self, trainer: Trainer) -> bool:
        """Compare the epoch's validation loss, which `fit` makes sure there is."""
        if trainer.validation_loss < self.best - self.min_delta:
            self.best, self.waited = trainer.validation_loss, 0
            self._parameters = trainer.model.parameters.flat.copy()
        else:
            self.waited += 1
        return self.waited >= self.patience

    def on_end(self, trainer: Trainer) -> None:
        """Restore the best parameters."""
        if self._parameters is not None:
            self._newest = None if self.waited >= self.patience else trainer.model.parameters.flat.copy()
            trainer.model.parameters.flat[:] = self._parameters

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The best loss, its parameters, the epochs since, and what the training had come to."""
        arrays = {"parameters": self._parameters, "newest": self._newest}
        kept = {name: array for name, array in arrays.items() if array is not None}
        return {"best": self.best, "waited": self.waited}, kept

    def load_state(self, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Go on from what `state` gave."""
        self.best, self.waited = values["best"], values["waited"]
        self._parameters, self._newest = arrays.get("parameters"), arrays.get("newest")
