"""A progress bar; it needs rich."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Display

from fastlstm.train.callbacks import Callback

if TYPE_CHECKING:
    from fastlstm.train.trainer import Trainer

PERIOD = 0.1
"""Seconds between two looks at the trainer: one costs as much as an update."""


class Progress(Callback):
    """How much is done, with loss and speed, on the standard error; for a ``with`` statement.

    Parameters
    ----------
    trainer : Trainer
    total : int or None
        What `done` is at the end, if that is known.
    done : callable
        How much is done.
    """

    def __init__(self, trainer: Trainer, total: int | None, done: Callable[[], int]) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
        # A thread of its own to refresh it would leave layers one core where Numba's threading layer is workqueue.
        self._display = Display(*columns, console=Console(stderr=True), auto_refresh=False)
        self._task = self._display.add_task("", total=total)
        self._done, self._steps = done, trainer.steps
        self._began, self._due = time.perf_counter(), 0.0

    def __enter__(self) -> Progress:
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()

    def on_update(self, trainer: Trainer) -> None:
        """Show it, unless that was a moment ago."""
        if time.perf_counter() >= self._due:
            self.on_end(trainer)
            self._due = time.perf_counter() + PERIOD

    def on_end(self, trainer: Trainer) -> None:
        """Show it."""
        speed = (trainer.steps - self._steps) / (time.perf_counter() - self._began)
        epoch = trainer.epoch + bool(trainer.chunk or trainer.step)
        text = f"epoch {epoch}  loss {trainer.last_loss:.4g}  {speed:,.0f} steps/s"
        self._display.update(self._task, description=text, completed=self._done(), refresh=True)
