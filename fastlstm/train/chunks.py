"""Long arrays cut in chunks, as a trainer takes them one after the other."""

import mmap
from collections.abc import Iterator
from typing import Any

import numpy

from fastlstm import checks
from fastlstm.train.chunk import Chunk, check_shapes
from fastlstm.train.stored import Mapped, reference, releasable, sliceable

RESIDENT = 1 << 21
"""Bytes of mapped files, about, that stay in the process's memory behind the chunks that are done."""


class Chunks:
    """Long arrays cut in chunks of consecutive time steps, any number of times.

    Each array may be a `numpy.memmap` larger than the memory: chunks are views, and what has been read is let go of
    again. Or an object that reads itself slice by slice, with ``shape``, ``dtype``, ``len()`` and ``[begin:end]``, as
    h5py's and zarr's do: chunks are what it gives for their steps.

    Parameters
    ----------
    x : (T, batch, input) or (T, input) array
        Inputs.
    y : (T, batch, ...) or (T, ...) array
        Targets.
    length : int
        Steps of a chunk, at least 1; the last may have fewer.
    mask : (T, batch) or (T,) bool array, optional
        True where there is a target.
    lengths : (batch,) integers, optional
        Steps of each sequence, from 0 to T; what stands behind them does not count.
    sample_weight : (T, batch) or (T,) array, optional
        Weights of the targets, as the loss takes them.

    Raises
    ------
    TypeError, ValueError
        The arrays do not fit each other, or length is none.

    Examples
    --------
    >>> [len(x) for x, y in fastlstm.train.Chunks(numpy.ones((10, 2, 3)), numpy.ones((10, 2, 1)), 4)]
    [4, 4, 2]
    """

    def __init__(
        self, x: Any, y: Any, length: int, *, mask: Any = None, lengths: Any = None, sample_weight: Any = None
    ) -> None:
        self._whole = Chunk(
            sliceable("x", x), sliceable("y", y), None,
            None if mask is None else sliceable("mask", mask),
            None if lengths is None else checks.real_array("lengths", lengths).copy(),
            None if sample_weight is None else sliceable("sample_weight", sample_weight),
        )
        if mask is not None and self._whole.mask.dtype != bool:
            raise TypeError(f"mask must be of bool, got dtype {self._whole.mask.dtype}")
        check_shapes(self._whole)
        self.length = checks.integer("length", length, 1)
        self._look()

    def _look(self) -> None:
        """Find the mapped files."""
        whole = self._whole
        given = [part for part in (whole.x, whole.y, whole.mask, whole.sample_weight) if part is not None]
        self._maps = list(filter(None, map(releasable, given)))
        chunk = sum(abs(part.strides[0]) for part in given if isinstance(part, numpy.ndarray)) * self.length
        self._between = max(1, RESIDENT // max(1, chunk))  # chunks from release to release

    def __len__(self) -> int:
        return -(-len(self._whole.x) // self.length)

    def __iter__(self) -> Iterator[Any]:
        return self.from_chunk(0)

    def from_chunk(self, n: int) -> Iterator[Any]:
        """The chunks from number `n` on, counted from 0.

        Parameters
        ----------
        n : int

        Returns
        -------
        iterator of tuples
            (x, y) and as many of reset (None), mask, lengths and sample_weight as were given.

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
        piece = self._whole.piece(n * self.length, min((n + 1) * self.length, len(self._whole.x)))
        parts = piece.x, piece.y, None, piece.mask, piece.lengths, piece.sample_weight
        given = [k for k, part in enumerate(parts) if part is not None]
        return parts[: given[-1] + 1]

    def __getstate__(self) -> tuple[int, list[Any]]:
        # A mapping belongs to its process; an array in a file of any size is found again by where it lies.
        whole = self._whole
        parts = [whole.x, whole.y, None, whole.mask, whole.lengths, whole.sample_weight]
        return self.length, [reference(part) if isinstance(part, numpy.ndarray) else part for part in parts]

    def __setstate__(self, state: tuple[int, list[Any]]) -> None:
        self.length, parts = state
        self._whole = Chunk(*(part.open() if isinstance(part, Mapped) else part for part in parts))
        self._look()
