"""The norm of a gradient, by which it is shortened; right too where squares leave the range of the dtype."""

import math
from typing import Any

import numpy

from fastlstm.checks import Array
from fastlstm.train.precision import EPSILON, PIECE, SMALLEST, rates
from fastlstm_kernels import gradient_squares
from fastlstm_kernels.optimize import BLOCK
from fastlstm_kernels.simd import lanes


def norm(gradients: Array, limit: float, workers: int) -> float:
    """Euclidean norm of a gradient.

    Parameters
    ----------
    gradients : (n,) float32 or float64 array
    limit : float
        Elements are cut off at ± this before; infinity where they are not.
    workers : int
        Shares of the work; the norm is the same for any number.

    Returns
    -------
    float
        NaN where an element is.
    """
    dtype = gradients.dtype
    sums = numpy.empty((-(-gradients.size // BLOCK), lanes(dtype)), dtype)
    held = rates(dtype, limit)
    gradient_squares(held, gradients, sums, workers)
    with numpy.errstate(over="ignore"):
        total = float(sums.sum(dtype=numpy.float64))
    # Each square that is lost was at most the smallest normal number, so that these are no more than rounding.
    if total * EPSILON[dtype] >= gradients.size * SMALLEST[dtype] and total < math.inf:
        return math.sqrt(total)
    return total if math.isnan(total) else _scaled_norm(gradients, float(held[0]))


def factor(norm: float, clip_norm: float) -> float:
    """What shortens a gradient to `clip_norm`, at most 1; NaN where the norm is."""
    found = clip_norm / (norm + 1e-6)
    return 1.0 if found > 1 else found


def vanishes(factor: float, dtype: numpy.dtype[Any]) -> bool:
    """Whether a kernel would take the factor for zero."""
    return 0 < factor < SMALLEST[dtype]


def shortened(gradients: Array, limit: float, norm: float, clip_norm: float) -> Array:
    """A copy of a gradient, cut off at ± limit and shortened from its norm to `clip_norm`, by whatever factor."""
    cut = numpy.clip(gradients.astype(numpy.float64), -limit, limit)
    return (cut / (norm + 1e-6) * clip_norm).astype(gradients.dtype)


def _scaled_norm(gradients: Array, limit: float) -> float:
    """The norm, of elements divided by the largest of them; without NaN."""
    largest = min(max(float(gradients.max(initial=0)), -float(gradients.min(initial=0))), limit)
    if largest in (0, math.inf):
        return largest
    total = 0.0
    for begin in range(0, gradients.size, PIECE):
        cut = numpy.clip(gradients[begin : begin + PIECE].astype(numpy.float64), -limit, limit)
        total += float(numpy.square(cut / largest).sum())
    return largest * math.sqrt(total)
