"""How the sequences of a batch, of equal lengths or not, lie as the rows that kernels take."""

from functools import cached_property

import numpy

from fastlstm.checks import Array


def running_rows(lengths: Array, steps: int) -> Array:
    """First row of each step, and their number: at a step, the sequences that have not ended lie one after the other.

    Parameters
    ----------
    lengths : (batch,) integer array
    steps : int
        At least the largest of them.

    Returns
    -------
    (steps + 1,) intp array
    """
    running = len(lengths) - numpy.searchsorted(numpy.sort(lengths), numpy.arange(steps), side="right")
    return numpy.concatenate(([0], numpy.cumsum(running))).astype(numpy.intp)


class Rows:
    """The (time step, sequence) pairs of a batch as rows, step by step, longer sequences first.

    Parameters
    ----------
    duration, batch : int
        Steps, and sequences.
    batch_first : bool
        Whether the user's arrays are (batch, T, features) rather than (T, batch, features).
    lengths : (batch,) intp array, optional
        Steps of each sequence; `duration` by default.

    Attributes
    ----------
    offsets : (T + 1,) intp array
        First row of each step, and N.
    """

    def __init__(self, duration: int, batch: int, batch_first: bool, lengths: Array | None = None) -> None:
        self.duration, self.batch, self.batch_first = duration, batch, batch_first
        self._order: Array | None = None
        if lengths is None:
            self._lengths = None
            self.offsets = numpy.arange(duration + 1, dtype=numpy.intp) * batch
            return
        self._order = numpy.argsort(-lengths, kind="stable")
        self._lengths = lengths[self._order]
        self.offsets = running_rows(lengths, duration)
        places = numpy.arange(self.offsets[-1])
        self._step = numpy.searchsorted(self.offsets, places, side="right") - 1
        self._rank = places - self.offsets[self._step]
        sequence = self._order[self._rank]
        self._place = sequence * duration + self._step if batch_first else self._step * batch + sequence

    def take(self, array: Array) -> Array:
        """Rows (N, features) of an array in the user's form, which they may be part of."""
        if self._lengths is not None:
            return array.reshape(-1, array.shape[2])[self._place]
        if self.batch_first:
            array = numpy.ascontiguousarray(array.transpose(1, 0, 2))
        return array.reshape(-1, array.shape[2])

    def give(self, rows: Array) -> Array:
        """An array in the user's form, zero past the end of each sequence; it may be the rows themselves."""
        if self._lengths is not None:
            shape = (self.batch, self.duration) if self.batch_first else (self.duration, self.batch)
            whole = numpy.zeros((self.duration * self.batch, rows.shape[1]), rows.dtype)
            whole[self._place] = rows
            return whole.reshape(*shape, rows.shape[1])
        steps = rows.reshape(self.duration, self.batch, rows.shape[1])
        return numpy.ascontiguousarray(steps.transpose(1, 0, 2)) if self.batch_first else steps

    def sorted(self, states: Array) -> Array:
        """States (…, batch, size) in the user's order, in the order of the rows."""
        return states if self._order is None else states[..., self._order, :]

    def unsorted(self, states: Array) -> Array:
        """The reverse of `sorted`."""
        if self._order is None:
            return states
        given = numpy.empty_like(states)
        given[..., self._order, :] = states
        return given

    def there(self, step: int) -> int:
        """How many sequences have not ended before a step, which may lie behind the last."""
        return int(self.offsets[step + 1] - self.offsets[step]) if step < self.duration else 0

    def reversed(self, rows: Array) -> Array:
        """The rows of each sequence from its last step to its first, as a new array; twice is as before."""
        return numpy.take(rows, self._mirror, axis=0)

    def last(self, states: Array, axis: int = 0) -> Array:
        """The states after each sequence's last step, of `batch` initial ones and those after each row."""
        if self._lengths is None:
            n = int(self.offsets[-1])
            return states[n:] if axis == 0 else states[:, n:]
        return numpy.take(states, self._ends, axis=axis)

    def add_last(self, states: Array, values: Array) -> None:
        """Add to what `last` gives."""
        if self._lengths is None:
            states[int(self.offsets[-1]) :] += values
        else:
            states[self._ends] += values

    @cached_property
    def _mirror(self) -> Array:
        if self._lengths is None:
            n = int(self.offsets[-1])
            return numpy.ascontiguousarray(numpy.arange(n).reshape(self.duration, self.batch)[::-1]).ravel()
        return self.offsets[self._lengths[self._rank] - 1 - self._step] + self._rank

    @cached_property
    def _ends(self) -> Array:
        ends = numpy.arange(self.batch)
        some = self._lengths > 0
        ends[some] += self.batch + self.offsets[self._lengths[some] - 1]
        return ends
