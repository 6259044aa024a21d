"""Working arrays that are kept from call to call: fresh ones cost as much as the work (a page fault every 4 KiB).

Huge pages for them gained nothing; to keep the tape too, 2 % of a training step at 512 units and nothing below.
"""

import math
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy

from fastlstm.checks import Array
from fastlstm_kernels.simd import lanes

Take: TypeAlias = Callable[[str, tuple[int, ...], numpy.dtype[Any]], Array]
LIMIT = 1 << 26
"""Bytes; a larger array is not kept."""

SMALL = 4096
"""Elements below which to align an array takes longer (3 µs) than it saves."""

ALIGNMENT = 64
"""Bytes; a cache line, so that no vector of an array straddles two."""

ROOM = 1 << 22
"""Bytes of pre-activations, or of their gradients, that are worked on at once: they stay in a third-level cache."""

DEPTH = 256
"""Rows at least that go into one product for the weight gradients."""

_kept = threading.local()


def _bytes(size: int) -> Array:
    room = numpy.empty(size + ALIGNMENT, numpy.uint8)
    skip = -room.__array_interface__["data"][0] % ALIGNMENT
    return room[skip : skip + size]


def fresh(name: str, shape: tuple[int, ...], dtype: numpy.dtype[Any]) -> Array:
    """A new array, not initialised, for results that a user keeps; aligned unless it is small."""
    if math.prod(shape) < SMALL:
        return numpy.empty(shape, dtype)
    return _bytes(math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)


class Block:
    """Room for new arrays that live and die together, not initialised; it is a `Take`.

    One large piece of memory, where several go back to the system and come anew at every call as soon as they are more
    than it keeps: a training step of 50 steps, 32 sequences, 64 units then took 1.4 times as long.

    Parameters
    ----------
    sizes : int
        Bytes of each array.
    """

    def __init__(self, *sizes: int) -> None:
        self._room, self._end = _bytes(sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)), 0

    def __call__(self, name: str, shape: tuple[int, ...], dtype: numpy.dtype[Any]) -> Array:
        """The next array."""
        begin, size = self._end, math.prod(shape) * dtype.itemsize
        self._end += -(-size // ALIGNMENT) * ALIGNMENT
        return self._room[begin : begin + size].view(dtype).reshape(shape)


def kept(name: str, shape: tuple[int, ...], dtype: numpy.dtype[Any]) -> Array:
    """The array of that name of this Python thread, not initialised, for use until the current call ends."""
    held: tuple[Array | None, Array | None] = getattr(_kept, name, (None, None))
    room, last = held
    if last is not None and last.shape == shape and last.dtype == dtype:
        return last  # a view takes 1.5 µs
    size = math.prod(shape) * dtype.itemsize
    if size > LIMIT:
        return fresh(name, shape, dtype)
    if room is None or room.nbytes < size:
        room = _bytes(size)
    array: Array = room[:size].view(dtype).reshape(shape)
    setattr(_kept, name, (room, array))
    return array


def room(batch: int, rows: int, count: int, dtype: numpy.dtype[Any]) -> int:
    """Rows of `count` vectors of gates that are worked on at once."""
    size = count * 4 * lanes(dtype) * dtype.itemsize
    return max(batch, min(rows, max(DEPTH, ROOM // size)))
