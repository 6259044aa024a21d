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
