"""Huber's loss of rows of outputs and its gradient, in one pass; it mirrors `fastlstm.oracle.losses.huber`.

What is summed in vectors, up to `PIECE` elements, is added up in float64, in an order that the shapes and the mask
decide and the workers do not. Where float32 has no room for such a sum, it is made once more in float64, element by
element; weighted sums are always made so.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.jit import jit
from fastlstm_kernels.rows import fold_row, store_at
from fastlstm_kernels.simd import Count, Machine, Place, operation
from fastlstm_kernels.threads import share, span

PIECE = 256
"""Elements of an elementwise loss that are summed in vectors before the sum goes into one of float64."""

SCRATCH = 16
"""Numbers that a worker has for itself; a cache line, so that no two write into one."""

NORMAL = 2.0**-126
"""The smallest number of float32 with all digits."""

LEAST = 2.0**24 * PIECE * NORMAL
"""From here on a sum of float32 has all digits, even if `PIECE` numbers below `NORMAL` were taken for zero."""

SUM, DELTA, SCALE = range(3)
"""What stands there of a piece: its sum; where it bends, what its gradient is multiplied by."""


def huber_sums(entries: int, group: int) -> int:
    """How many sums `huber_loss` writes for a mask of `entries`, each of which stands for `group` elements."""
    return -(-entries // max(1, PIECE // group))


def across(v: Machine, x: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """All lanes of a vector combined; in every lane."""
    half = v.lanes // 2
    while half:
        x = combine(x, v.shuffle(x, x, [lane ^ half for lane in range(v.lanes)]))
        half //= 2
    return x


def lane_sum(v: Machine, x: Any) -> Any:
    """The sum of all lanes of a vector; in every lane."""
    return across(v, x, lambda a, b: a + b)


@operation
def _huber(v: Machine, n: Count, outputs: Place, targets: Place, gradient: Place, found: Place) -> None:
    """Leaves SUM; takes DELTA and SCALE."""
    delta, scale = v.broadcast(found + DELTA), v.broadcast(found + SCALE)
    least = 0.0 - delta

    def step(carried: Any, offset: Any, mask: Any, output: Any, target: Any) -> Any:
        error = output - target
        size = v.select(error < 0.0, 0.0 - error, error)
        slope = scale * v.select(error > delta, delta, v.select(error < least, least, error))
        store_at(v, gradient + offset, slope, mask)
        return carried + v.select(size > delta, delta * (size - 0.5 * delta), 0.5 * error * error)

    v.store_part(found + SUM, lane_sum(v, fold_row(v, n, v.fill(0.0), [outputs, targets], step)), v.first(1))


@jit(device=True, inline=True)
def _bent(error: float, delta: float) -> tuple[float, float]:
    """Huber's loss of an error, and its slope there."""
    # Both are formed and one is taken: a branch that is mispredicted takes longer than all of it.
    size, square, most = abs(error), 0.5 * error * error, np.copysign(delta, error)
    line = delta * (size - 0.5 * delta)
    return line if size > delta else square, most if size > delta else error


@jit(device=True)
def _again(
    first: int, last: int, outputs: Array, targets: Array, delta: float, scale: float, gradient: Array
) -> float:
    """The sum of a piece, and its gradient, in float64."""
    total = 0.0
    for k in range(first, last):
        loss, slope = _bent(np.float64(outputs[k]) - np.float64(targets[k]), delta)
        gradient[k] = scale * slope
        total += loss
    return total


@jit(device=True)
def _huber_worker(
    worker: int, workers: int, outputs: Array, targets: Array, mask: Array, group: int, delta: float, scale: float,
    scratch: Array, sums: Array, gradient: Array,
) -> None:
    entries, block, found = mask.shape[0], max(1, PIECE // group), intp(worker * SCRATCH)
    least = 0.0
    if outputs.itemsize == 4:
        least = LEAST if delta >= NORMAL else np.inf
    scratch[worker, DELTA], scratch[worker, SCALE] = delta, scale
    first, last = span(worker, workers, sums.shape[0])
    for b in range(first, last):
        total = 0.0
        begin, end = b * block, min(entries, (b + 1) * block)
        while begin < end:
            stop = begin  # of a run of entries that have a target
            while stop < end and mask[stop]:
                stop += 1
            for at in range(begin * group, stop * group, PIECE):
                n = min(PIECE, stop * group - at)
                _huber(n, outputs, at, targets, at, gradient, at, scratch, found)
                piece: float = np.float64(scratch[worker, SUM])
                if not least <= piece < np.inf:
                    piece = _again(at, at + n, outputs, targets, delta, scale, gradient)
                total += piece
            begin = stop
            while begin < end and not mask[begin]:
                gradient[begin * group : (begin + 1) * group] = 0
                begin += 1
        sums[b] = total


@jit()
def huber_loss(
    outputs: Array, targets: Array, mask: Array, group: int, delta: float, scale: float, scratch: Array, sums: Array,
    gradient: Array, workers: int,
) -> None:
    """Huber's loss and its gradient; mirrors `oracle.losses.huber`, and `squared_error` where delta is infinite.

    Parameters
    ----------
    outputs, targets : (M,) arrays
        Rows behind each other.
    mask : (M / group,) bool array
        Which elements have a target.
    group : int
        How many elements next to each other an entry of the mask stands for.
    delta, scale : float
        delta, and what the gradient is multiplied by.
    scratch : (workers, SCRATCH) array
        Overwritten.
    sums : (`huber_sums`,) float64 array
        Written: what the loss is the sum of.
    gradient : (M,) array
        Written; zero where there is no target.
    workers : int
        Shares of the work.
    """
    share(_huber_worker, (outputs, targets, mask, group, delta, scale, scratch, sums, gradient), workers)


@jit(device=True)
def _weighted_worker(
    worker: int, workers: int, outputs: Array, targets: Array, weights: Array, features: Array, delta: float,
    sums: Array, gradient: Array,
) -> None:
    by_element = intp(weights.shape[1] > 1)
    first, last = span(worker, workers, outputs.shape[0])
    for n in range(first, last):
        total = 0.0
        for k in range(outputs.shape[1]):
            gradient[n, k] = 0
            weight = weights[n, k * by_element] * features[k]
            if weight > 0:
                loss, slope = _bent(np.float64(outputs[n, k]) - np.float64(targets[n, k]), delta)
                gradient[n, k] = weight * slope
                total += weight * loss
        sums[n] = total


@jit()
def weighted_huber_loss(
    outputs: Array, targets: Array, weights: Array, features: Array, delta: float, sums: Array, gradient: Array,
    workers: int,
) -> None:
    """Huber's loss, each element's times its weight, and its gradient; mirrors `oracle.losses.huber`.

    Parameters
    ----------
    outputs, targets : (N, n) arrays
    weights : (N, n) or (N, 1) float64 array
        Of each element, or of the rows.
    features : (n,) float64 array
        What they are multiplied by; where a product is zero, NaN for output or target does not count.
    delta : float
    sums : (N,) float64 array
        Written: the loss of each row.
    gradient : (N, n) array
        Written.
    workers : int
        Shares of the work, by rows.
    """
    share(_weighted_worker, (outputs, targets, weights, features, delta, sums, gradient), workers)
