"""The numbers of a step in the arrays' dtype, and steps whose numbers float32 cannot hold."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from fastlstm.checks import Array
from fastlstm_kernels.optimize import BLOCK

PIECE = 8 * BLOCK
"""Elements that are in float64 at a time: few enough to stay in the cache."""

SMALLEST = {numpy.dtype(kind): float(numpy.finfo(kind).tiny) for kind in (numpy.float32, numpy.float64)}
"""Smallest normal number of each dtype; a kernel takes those below for zero."""

EPSILON = {numpy.dtype(kind): float(numpy.finfo(kind).eps) for kind in (numpy.float32, numpy.float64)}
"""From 1 to the next number of each dtype."""

_LEAST, _MOST = SMALLEST[numpy.dtype(numpy.float32)], float(numpy.finfo(numpy.float32).max)


def rates(dtype: numpy.dtype[Any], *numbers: float) -> Array:
    """Numbers for a kernel; one too large for float32 becomes infinite, as a limit that is none."""
    with numpy.errstate(over="ignore"):
        return numpy.array(numbers, dtype)


def holds(numbers: Sequence[float]) -> bool:
    """Whether float32 holds each number, as zero or as a normal number."""
    for number in numbers:  # noqa: SIM110 (a generator costs 1 µs more in each step)
        if number and not _LEAST <= abs(number) <= _MOST:
            return False
    return True


def in_float64(
    run: Callable[[Array, Array, dict[str, Array]], None], parameters: Array, gradients: Array, arrays: dict[str, Array]
) -> None:
    """Run a step on copies in float64, and round what it changes.

    Parameters
    ----------
    run : callable
        ``run(parameters, gradients, arrays)``.
    parameters, gradients : (n,) float32 arrays
        The parameters are changed.
    arrays : dict of str to (n,) float32 array
        Changed.
    """
    for begin in range(0, parameters.size, PIECE):
        part = slice(begin, begin + PIECE)
        moved = parameters[part].astype(numpy.float64)
        wide = {name: array[part].astype(numpy.float64) for name, array in arrays.items()}
        run(moved, gradients[part].astype(numpy.float64), wide)
        with numpy.errstate(over="ignore"):
            parameters[part] = moved
            for name, array in wide.items():
                arrays[name][part] = array
