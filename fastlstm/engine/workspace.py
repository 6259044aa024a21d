"""Memory: new arrays for results, and working arrays that a Python thread uses again from call to call.

Fresh working arrays cost as much as the work (a page fault every 4 KiB). Huge pages for them gained nothing; to use the
tape's again too, 2 % of a training step at 512 units and nothing below.
"""

import functools
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from fastlstm.checks import Array
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.tile import WIDTH

LIMIT = 1 << 26
"""Bytes; a larger array is not used again."""

SMALL = 4096
"""Elements below which to align an array takes longer (3 µs) than it saves."""

ALIGNMENT = 64
"""Bytes; a cache line, so that no vector of an array straddles two."""

BYTES_AT_ONCE = 1 << 22
"""Bytes of pre-activations, or of their gradients, that are worked on at once: they stay in a third-level cache.

A training step of 256 units takes 1 % longer with a quarter of it, 2 with four times as much (Zen 3).
"""

DEPTH = 256
"""Rows at least that go into one product for the weight gradients."""

Shape = tuple[int, ...]

NOTHING = (numpy.empty(0, numpy.uint8),) * 2
"""What a name has before anything is asked of it."""


def _bytes(size: int) -> Array:
    room = numpy.empty(size + ALIGNMENT, numpy.uint8)
    skip = -room.__array_interface__["data"][0] % ALIGNMENT
    return room[skip : skip + size]


def empty(shape: Shape, dtype: numpy.dtype[Any]) -> Array:
    """A new array, not initialized, for results that a user keeps; aligned unless it is small."""
    if math.prod(shape) < SMALL:
        return numpy.empty(shape, dtype)
    return _bytes(math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)


def maker(shape: Shape, dtype: numpy.dtype[Any]) -> Callable[[], Array]:
    """What makes such arrays as `empty` does, in half the time where they are small."""
    return functools.partial(numpy.empty if math.prod(shape) < SMALL else empty, shape, dtype)


class Together:
    """Makes arrays that live and die together, not initialized, in one piece of memory.

    Several pieces go back to the system and come anew at every call as soon as they are more than it keeps: a training
    step of 50 steps, 32 sequences, 64 units then took 1.4 times as long.

    Parameters
    ----------
    shapes : sequence of tuples of int
    dtype : numpy.dtype
    """

    def __init__(self, shapes: Sequence[Shape], dtype: numpy.dtype[Any]) -> None:
        self._shapes, self._dtype = list(shapes), dtype
        step = ALIGNMENT // dtype.itemsize
        sizes = [math.prod(shape) for shape in shapes]
        *starts, self._size = itertools.accumulate((-(-size // step) * step for size in sizes), initial=0)
        self._places = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        self._is_small = sum(sizes) < SMALL

    def new(self) -> list[Array]:
        """The arrays, of the shapes in their order."""
        if self._is_small:
            return [numpy.empty(shape, self._dtype) for shape in self._shapes]
        room = empty((self._size,), self._dtype)
        return [room[place].reshape(shape) for place, shape in zip(self._places, self._shapes, strict=True)]


class Workspace(threading.local):
    """Working arrays, each under a name; every Python thread has its own."""

    def __init__(self) -> None:
        self._rooms: dict[str, tuple[Array, Array]] = {}  # each with what was asked of it last

    def array(self, name: str, shape: Shape, dtype: numpy.dtype[Any]) -> Array:
        """The array of that name, not initialized, for use until the current call ends."""
        room, last = self._rooms.get(name, NOTHING)
        if last.shape == shape and last.dtype == dtype:
            return last
        size = math.prod(shape) * dtype.itemsize
        if size > LIMIT:
            return empty(shape, dtype)
        if room.nbytes < size:
            room = _bytes(size)
        last = room[:size].view(dtype).reshape(shape)
        self._rooms[name] = room, last
        return last


workspace = Workspace()


def rows_at_once(batch: int, rows: int, count: int, dtype: numpy.dtype[Any]) -> int:
    """Rows of `count` vectors of gates that are worked on at once."""
    size = count * WIDTH * lanes(dtype) * dtype.itemsize
    return max(batch, min(rows, max(DEPTH, BYTES_AT_ONCE // size)))
