"""What a training was like: losses and times, in bounded memory."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy

from fastlstm.checks import Array

LIMIT = 4096
"""Records at most; even."""


class Series:
    """Means of values over equal numbers of additions, with numbers of the last addition; at most `LIMIT` records.

    Attributes
    ----------
    interval : int
        Additions a record; it doubles when there is no room.
    """

    def __init__(self, marks: int) -> None:
        self.interval = self._filled = 1  # additions in the last record
        self._marks = marks
        self._rows: list[tuple[float, ...]] = []

    def add(self, value: float, weight: int, *marks: float) -> None:
        """Add a value; its weight is 1, or 0 for none."""
        if self._filled < self.interval:
            total, weights = self._rows[-1][:2]
            self._rows[-1] = total + value, weights + weight, *marks
            self._filled += 1
            return
        if len(self._rows) == LIMIT:
            pairs = zip(self._rows[::2], self._rows[1::2], strict=True)
            self._rows = [(one[0] + two[0], one[1] + two[1], *two[2:]) for one, two in pairs]
            self.interval *= 2
        self._rows.append((value, weight, *marks))
        self._filled = 1

    def columns(self) -> Array:
        """(1 + marks, records): the means, NaN where there was no value, and the marks."""
        rows = self.rows()
        with numpy.errstate(invalid="ignore"):
            rows[:, 1] = rows[:, 0] / rows[:, 1]
        return numpy.ascontiguousarray(rows[:, 1:].T)

    def rows(self) -> Array:
        """(records, 2 + marks): sums, weights and marks."""
        return numpy.array(self._rows, float).reshape(-1, 2 + self._marks)

    def state(self) -> list[int]:
        """What `load` needs beside the rows."""
        return [self.interval, self._filled]

    def load(self, state: list[int], rows: Array) -> None:
        """Take the place of another series."""
        self.interval, self._filled = state
        self._rows = [tuple(row) for row in rows.tolist()]


class History(Mapping[str, Array]):
    """Losses of a training, as arrays under names: at most 4096 numbers each.

    A record is about one update, until there is no room for another: then pairs become one, and later records are
    about twice as many updates.

    "loss"
        Mean, over the updates of the record, of the losses before them; NaN where there was no target.
    "updates", "steps", "seconds"
        All done until the end of the record: updates, time steps of all sequences, and seconds in `fit`.
    "validation"
        Mean of the validation losses of the record, which is about one epoch until there is no room.
    "epochs"
        All done until the end of that record.

    Examples
    --------
    >>> history = trainer.fit(chunks)
    >>> plot(history["updates"], history["loss"])
    """

    def __init__(self) -> None:
        self._training, self._validation = Series(3), Series(1)

    def add(self, loss: float | None, updates: int, steps: int, seconds: float) -> None:
        """Record an update; its loss is None if it had no target."""
        if loss is None:
            self._training.add(0.0, 0, updates, steps, seconds)
        else:
            self._training.add(loss, 1, updates, steps, seconds)

    def add_validation(self, loss: float, epochs: int) -> None:
        """Record an epoch."""
        self._validation.add(loss, 1, epochs)

    def __getitem__(self, name: str) -> Array:
        series, row = COLUMNS[name]
        column: Array = getattr(self, series).columns()[row]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """All of it, as what JSON can hold and arrays."""
        series = {"training": self._training, "validation": self._validation}
        return {k: s.state() for k, s in series.items()}, {k: s.rows() for k, s in series.items()}

    def load_state(self, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Go on from what `state` gave."""
        self._training.load(values["training"], arrays["training"])
        self._validation.load(values["validation"], arrays["validation"])

    def __repr__(self) -> str:
        return f"History({len(self._training.rows())} records, {len(self._validation.rows())} validations)"


COLUMNS = {
    "loss": ("_training", 0), "updates": ("_training", 1), "steps": ("_training", 2), "seconds": ("_training", 3),
    "validation": ("_validation", 0), "epochs": ("_validation", 1),
}
