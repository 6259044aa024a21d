"""What one call of `Trainer.fit` is to do."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fastlstm import atomic, checks
from fastlstm.train import saving
from fastlstm.train.callbacks import Callback, EarlyStopping
from fastlstm.train.source import check_data, is_one_shot

if TYPE_CHECKING:
    from fastlstm.train.progress import Progress
    from fastlstm.train.trainer import Trainer


class Plan:
    """The arguments of `Trainer.fit`, checked.

    Attributes
    ----------
    epochs, updates : float
        Where to stop, in the trainer's own counts.
    watchers : list of Callback
        The callbacks, and the progress bar.
    on_update : list
        Methods of theirs that do anything.
    """

    def __init__(
        self, trainer: Trainer, data: Any, epochs: int, updates: int | None, validation: Iterable[Any] | None,
        callbacks: Sequence[Callback], checkpoint: str | os.PathLike[str] | None, every: int | None,
    ) -> None:
        epochs = checks.integer("epochs", epochs, 0)
        updates = checks.optional_integer("updates", updates, 0)
        check_data(data, epochs, updates)
        if validation is not None and (not hasattr(validation, "__iter__") or is_one_shot(validation)):
            raise TypeError("validation must be an iterable of chunks that can be gone through after each epoch, "
                            f"got {type(validation).__name__}")
        if validation is None and getattr(trainer.optimizer, "needs_losses", False):
            raise ValueError("the optimizer's schedule follows the validation loss, got no validation")
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be objects of subclasses of Callback, got {callback!r}")
            if isinstance(callback, EarlyStopping) and validation is None:
                raise ValueError("EarlyStopping needs a validation loss, got no validation")
        every = checks.optional_integer("checkpoint_every", every, 1)
        if every is not None and checkpoint is None:
            raise ValueError(f"checkpoint_every needs a checkpoint, got {every} and no path")
        if checkpoint is not None:
            saving.check(trainer)
            atomic.check(checkpoint)
        self.data, self.validation, self.checkpoint, self.every = data, validation, checkpoint, every
        self.epochs = trainer.epoch + epochs
        self.updates = math.inf if updates is None else trainer.updates + updates
        self.callbacks = tuple(callbacks)
        self._watch([*callbacks])

    def _watch(self, watchers: list[Callback]) -> None:
        self.watchers = watchers
        self.on_update = [each.on_update for each in watchers if type(each).on_update is not Callback.on_update]

    def display(self, trainer: Trainer) -> Progress:
        """A progress bar, which watches from now on."""
        from fastlstm.train.progress import Progress

        first_update, first_epoch = trainer.updates, trainer.epoch
        bounded = self.updates < math.inf
        if not bounded and hasattr(self.data, "__len__"):
            chunks = len(self.data)
            shown = Progress(trainer, chunks * (self.epochs - first_epoch),
                             lambda: chunks * (trainer.epoch - first_epoch) + trainer.chunk)
        else:
            total = int(self.updates) - first_update if bounded else None
            shown = Progress(trainer, total, lambda: trainer.updates - first_update)
        self._watch([*self.watchers, shown])
        return shown
