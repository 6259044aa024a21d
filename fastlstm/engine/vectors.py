"""Rows of units as the kernels have them, by vectors of units, and back."""

import numpy

from fastlstm.checks import Array


def into_vectors(rows: Array, width: int) -> Array:
    """Rows (n, features) as groups of columns (features / width rounded up, n, width), zeros behind."""
    n, features = rows.shape
    count = -(-features // width)
    whole = numpy.zeros((n, count * width), rows.dtype)
    whole[:, :features] = rows
    return numpy.ascontiguousarray(whole.reshape(n, count, width).transpose(1, 0, 2))


def from_vectors(groups: Array, size: int) -> Array:
    """The first `size` columns of groups (count, n, width), as rows of their own."""
    count, n, width = groups.shape
    return numpy.ascontiguousarray(groups.transpose(1, 0, 2).reshape(n, count * width)[:, :size])


def by_row(gates: Array, size: int) -> Array:
    """Vectors of gates (blocks, N, 4 lanes) as rows (N, 4 size)."""
    count, rows, width = gates.shape
    whole = gates.reshape(count, rows, 4, width // 4).transpose(1, 2, 0, 3).reshape(rows, 4, count * width // 4)
    return whole[:, :, :size].reshape(rows, 4 * size)
