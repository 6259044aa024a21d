"""Chunks: consecutive time steps, as a trainer takes them one after the other."""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy

from fastlstm import checks
from fastlstm.checks import Array

RESIDENT = 1 << 21
"""Bytes of mapped files, about, that stay in the process's memory behind the chunks that are done."""


@dataclass(slots=True)
class Chunk:
    """A chunk whose parts fit each other.

    Attributes
    ----------
    x : (t, batch, input) or (t, input) array
    y : (t, batch, ...) or (t, ...) array
    reset : (batch,) or (1,) bool array, or None
    mask : array like y, without its last axes, or None
    """

    x: Array
    y: Array
    reset: Array | None
    mask: Array | None

    def targets(self) -> int:
        """Rows, a step of a sequence each, that have a target."""
        rows = self.x.shape[:-1]
        if self.mask is None:
            return math.prod(rows)
        have: Array = self.mask
        while have.ndim > len(rows):
            have = numpy.asarray(have.any(axis=-1))
        return int(have.sum())


def as_chunk(given: Any) -> Chunk:
    """What a data source gave, as a chunk; arrays are not copied.

    Raises
    ------
    TypeError, ValueError
        It is none.
    """
    if not isinstance(given, tuple | list) or not 2 <= len(given) <= 4:
        came = f"{len(given)} items" if isinstance(given, tuple | list) else type(given).__name__
        raise TypeError(f"a chunk must be a tuple (x, y), (x, y, reset) or (x, y, reset, mask), got {came}")
    x, y = checks.real_array("x", given[0]), checks.real_array("y", given[1])
    reset, mask = (*given[2:], None, None)[:2]
    if x.ndim not in (2, 3):
        raise ValueError(f"x must have shape (t, batch, input) or (t, input), got {x.shape}")
    rows = x.shape[:-1]
    if y.shape[: len(rows)] != rows:
        raise ValueError(f"y must have shape ({', '.join(map(str, rows))}, ...) as x has {x.shape}, got {y.shape}")
    if mask is not None:
        mask = checks.boolean_array("mask", mask)
        if mask.shape[: len(rows)] != rows:
            raise ValueError(f"mask must have shape {rows} as x has {x.shape}, got {mask.shape}")
    if reset is not None:
        reset = checks.boolean_array("reset", reset)
        if reset.shape != (rows[1:] or (1,)):
            raise ValueError(f"reset must have shape {rows[1:] or (1,)} as x has {x.shape}, got {reset.shape}")
    return Chunk(x, y, reset, mask)


class Chunks:
    """Long arrays cut in chunks of consecutive time steps, any number of times.

    Parameters
    ----------
    x : (T, batch, input) or (T, input) array
        May be a `numpy.memmap` larger than the memory: chunks are views, and what has been read is let go of again.
    y : (T, batch, ...) or (T, ...) array
        Targets.
    length : int
        Steps of a chunk, at least 1; the last may have fewer.
    mask : (T, batch) or (T,) bool array, optional
        True where there is a target.

    Raises
    ------
    TypeError, ValueError
        The arrays do not fit each other, or length is none.

    Examples
    --------
    >>> [len(x) for x, y in fastlstm.train.Chunks(numpy.ones((10, 2, 3)), numpy.ones((10, 2, 1)), 4)]
    [4, 4, 2]
    """

    def __init__(self, x: Any, y: Any, length: int, *, mask: Any = None) -> None:
        whole = as_chunk((x, y, None, mask))
        self._x, self._y, self._mask = whole.x, whole.y, whole.mask
        self.length = checks.integer("length", length, 1)
        given = [array for array in (self._x, self._y, self._mask) if array is not None]
        self._maps = list(filter(None, map(_mapping, given)))
        chunk = sum(abs(array.strides[0]) for array in given) * self.length
        self._between = max(1, RESIDENT // max(1, chunk))  # chunks from release to release

    def __len__(self) -> int:
        return -(-len(self._x) // self.length)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.from_chunk(0)

    def from_chunk(self, n: int) -> Iterator[tuple[Any, ...]]:
        """The chunks from number `n` on, counted from 0.

        Raises
        ------
        TypeError, ValueError
            n is no number of a chunk, nor the number of chunks.
        """
        n = checks.integer("n", n, 0)
        if n > len(self):
            raise ValueError(f"n must be at most {len(self)}, the number of chunks, got {n}")
        return map(self._chunk, range(n, len(self)))

    def _chunk(self, n: int) -> tuple[Any, ...]:
        if n % self._between == 0:
            for file in self._maps:
                file.madvise(mmap.MADV_DONTNEED)
        steps = slice(n * self.length, (n + 1) * self.length)
        if self._mask is None:
            return self._x[steps], self._y[steps]
        return self._x[steps], self._y[steps], None, self._mask[steps]


def _mapping(array: Any) -> Any:
    """The mapped file that holds an array, if the process can give back its pages without losing what they hold."""
    while array is not None and not isinstance(array, numpy.memmap):
        array = getattr(array, "base", None)
    file: Any = array  # a memmap has attributes that its stub does not name
    kept = file is None or file.mode == "c"  # such changes are nowhere else
    return None if kept or not hasattr(mmap, "MADV_DONTNEED") else file._mmap
