"""How the sequences of a batch, of equal lengths or not, lie as the rows of `fastlstm_kernels.batch`."""

from collections.abc import Callable
from typing import Any

import numpy

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.engine.cores import useful
from fastlstm.engine.workspace import empty

MOVE_FLOPS = 16
"""Flops that take as long as to move a number."""


class lazy:
    """An array computed when it is first read, and then kept in its place.

    `functools.cached_property` before Python 3.12 holds one lock for all instances meanwhile, which in a child that was
    forked at that moment stays locked.
    """

    def __init__(self, compute: Callable[[Any], Array]) -> None:
        self._compute, self._name = compute, compute.__name__

    def __get__(self, instance: Any, owner: type) -> Array:
        value = instance.__dict__[self._name] = self._compute(instance)
        return value


class Batch:
    """The (time step, sequence) pairs of a batch as rows, step by step; here all sequences have the same length.

    Parameters
    ----------
    duration, batch : int
        Steps, and sequences.
    batch_first : bool
        Whether the user's arrays are (batch, T, features) rather than (T, batch, features).
    n_threads : int or None
        At most so many threads move rows.

    Attributes
    ----------
    rows : int
        How many there are, N.
    offsets : (T + 1,) intp array
        First row of each step, and N.
    ends : (batch,) intp array
        Which row of arrays (batch + N, ...), initial states first, holds each sequence's last state.
    places : (batch,) intp array
        Which of the user's sequences each is.
    """

    def __init__(self, duration: int, batch: int, batch_first: bool, n_threads: int | None = None) -> None:
        self.duration, self.batch, self.batch_first, self.n_threads = duration, batch, batch_first, n_threads
        self._lay()
        self.rows = int(self.offsets[-1])

    def _lay(self) -> None:
        self.offsets = numpy.arange(self.duration + 1, dtype=numpy.intp) * self.batch
        self.places = numpy.arange(self.batch, dtype=numpy.intp)
        self.ends = self.duration * self.batch + self.places

    def first_rows(self) -> int:
        """How many sequences have a first step: so many rows it has."""
        return int(self.offsets[1]) if self.duration else 0

    def take(self, array: Array) -> Array:
        """Rows (N, features) of an array in the user's form, which they may be part of."""
        if self.batch_first:
            array = numpy.ascontiguousarray(array.transpose(1, 0, 2))
        return array.reshape(-1, array.shape[2])

    def give(self, rows: Array) -> Array:
        """An array in the user's form, zero past the end of each sequence; it may be the rows themselves."""
        steps = rows.reshape(self.duration, self.batch, rows.shape[1])
        return numpy.ascontiguousarray(steps.transpose(1, 0, 2)) if self.batch_first else steps

    def reversed(self, rows: Array) -> Array:
        """The rows of each sequence from its last step to its first, as a new array; twice is as before."""
        return self._gathered(rows, self._mirror)

    def joined(self, forwards: Array, backwards: Array) -> Array:
        """The outputs of both directions side by side, where the reverse one's rows are `reversed`."""
        size = forwards.shape[1]
        both = empty((len(forwards), 2 * size), forwards.dtype)
        self._gather(forwards, 0, numpy.arange(len(forwards), dtype=numpy.intp), both, 0, size)
        self._gather(backwards, 0, self._mirror, both, size, size)
        return both

    def split(self, both: Array) -> list[Array]:
        """The reverse of `joined`, each contiguous."""
        size = both.shape[1] // 2
        parts = [empty((len(both), size), both.dtype) for _ in range(2)]
        self._gather(both, 0, numpy.arange(len(both), dtype=numpy.intp), parts[0], 0, size)
        self._gather(both, size, self._mirror, parts[1], 0, size)
        return parts

    def _gathered(self, rows: Array, places: Array) -> Array:
        out = empty((len(places), rows.shape[1]), rows.dtype)
        self._gather(rows, 0, places, out, 0, rows.shape[1])
        return out

    def _gather(self, source: Array, first: int, places: Array, out: Array, column: int, columns: int) -> None:
        workers = useful(self.n_threads, MOVE_FLOPS * len(places) * columns)
        kernels.gather_rows(source, first, places, out, column, columns, workers)

    @lazy
    def _mirror(self) -> Array:
        rows = numpy.arange(self.duration * self.batch, dtype=numpy.intp).reshape(self.duration, self.batch)
        return numpy.ascontiguousarray(rows[::-1].reshape(-1))  # of one sequence it is a view: a second compilation


class RaggedBatch(Batch):
    """Rows of sequences of several lengths: at a step, those that have not ended, the longer ones first.

    Parameters
    ----------
    duration, batch, batch_first, n_threads
        As for `Batch`.
    lengths : (batch,) intp array
        Steps of each sequence, at most `duration`.
    """

    def __init__(
        self, duration: int, batch: int, batch_first: bool, lengths: Array, n_threads: int | None = None
    ) -> None:
        self._given = lengths
        super().__init__(duration, batch, batch_first, n_threads)
        rows = numpy.arange(self.rows, dtype=numpy.intp)
        self._step = numpy.searchsorted(self.offsets, rows, side="right") - 1
        self._rank = rows - self.offsets[self._step]
        sequence = self.places[self._rank]
        self._place = sequence * duration + self._step if batch_first else self._step * batch + sequence

    def _lay(self) -> None:
        self.places = numpy.argsort(-self._given, kind="stable")
        self._lengths = self._given[self.places]
        self.offsets = running_rows(self._lengths, self.duration)
        self.ends = numpy.arange(self.batch)
        some = self._lengths > 0
        self.ends[some] += self.batch + self.offsets[self._lengths[some] - 1]

    def take(self, array: Array) -> Array:
        """As `Batch.take`; always new."""
        return self._gathered(array.reshape(-1, array.shape[2]), self._place)

    def give(self, rows: Array) -> Array:
        """As `Batch.give`; always new."""
        shape = (self.batch, self.duration) if self.batch_first else (self.duration, self.batch)
        return self._gathered(rows, self._home).reshape(*shape, rows.shape[1])

    @lazy
    def _home(self) -> Array:
        """Where the rows of the user's array are; -1 past the end of a sequence."""
        home = numpy.full(self.duration * self.batch, -1, numpy.intp)
        home[self._place] = numpy.arange(len(self._place))
        return home

    @lazy
    def _mirror(self) -> Array:
        mirror: Array = self.offsets[self._lengths[self._rank] - 1 - self._step] + self._rank
        return mirror


def running_rows(lengths: Array, steps: int) -> Array:
    """First row of each step, and the number of all, where a step has a row for each sequence that has not ended.

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
