"""What elementwise losses share: the walk over the elements that have a target, and sums that float32 has room for.

A loss is two formulas of an error, one in vectors and one in float64, each of which gives the loss and its slope; see
`huber`. What is summed in vectors, up to `PIECE` elements, is added up in float64, in an order that the shapes and the
mask decide and the workers do not. Where float32 has no room for such a sum, it is made once more in float64, element
by element; weighted sums are always made so.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.jit import jit
from fastlstm_kernels.rows import fold_row, store_at
from fastlstm_kernels.simd import Backend
from fastlstm_kernels.threads import span

PIECE = 256
"""Elements of an elementwise loss that are summed in vectors before the sum goes into one of float64."""

SCRATCH = 16
"""Numbers that a worker has for itself; a cache line, so that no two write into one."""

NORMAL = 2.0**-126
"""The smallest number of float32 with all digits."""

LEAST = 2.0**24 * PIECE * NORMAL
"""From here on a sum of float32 has all digits, even if `PIECE` numbers below `NORMAL` were taken for zero."""

SUM, SETTING, SCALE = range(3)
"""What stands there of a piece: its sum; what its formula takes, and what its gradient is multiplied by."""


class Elements(NamedTuple):
    """What a loss is computed of, and its gradient, flat; `group` elements for each entry of the mask."""

    outputs: Array
    targets: Array
    mask: Array
    group: int
    gradient: Array


class Numbers(NamedTuple):
    """What a formula takes besides an error, at least 0, and what the gradient is multiplied by."""

    setting: float
    scale: float


def piece_sums(entries: int, group: int) -> int:
    """How many sums `each_piece` writes for a mask of `entries`, each of which stands for `group` elements."""
    return -(-entries // max(1, PIECE // group))


def across(v: Backend, x: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """All lanes of a vector combined; in every lane."""
    half = v.lanes // 2
    while half:
        x = combine(x, v.shuffle(x, x, [lane ^ half for lane in range(v.lanes)]))
        half //= 2
    return x


def lane_sum(v: Backend, x: Any) -> Any:
    """The sum of all lanes of a vector; in every lane."""
    return across(v, x, lambda a, b: a + b)


def sum_errors(
    v: Backend, n: Any, outputs: Any, targets: Any, gradient: Any, found: Any, formula: Callable[..., tuple[Any, Any]]
) -> None:
    """Sum ``loss, slope = formula(v, error, setting)`` along n elements; an error of zero must be no loss.

    Leaves SUM and the gradient; takes SETTING and SCALE.
    """
    setting, scale = v.broadcast(found + SETTING), v.broadcast(found + SCALE)

    def step(carried: Any, offset: Any, mask: Any, output: Any, target: Any) -> Any:
        loss, slope = formula(v, output - target, setting)
        store_at(v, gradient + offset, scale * slope, mask)
        return carried + loss

    v.store_part(found + SUM, lane_sum(v, fold_row(v, n, v.fill(0.0), [outputs, targets], step)), v.first(1))


@jit(device=True, inline=True)
def each_piece(
    worker: int, workers: int, vectors: Any, exact: Any, elements: Elements, numbers: Numbers, scratch: Array,
    sums: Array,
) -> None:
    """A worker's share of a loss without weights.

    Parameters
    ----------
    worker, workers : int
    vectors : operation
        ``vectors(n, outputs, targets, gradient, found)``: `sum_errors` with a formula.
    exact : device function
        ``loss, slope = exact(error, setting)``, in float64.
    elements : Elements
    numbers : Numbers
    scratch : (workers, SCRATCH) array
        Overwritten.
    sums : (`piece_sums`,) float64 array
        Written: what the loss is the sum of.
    """
    outputs, targets, mask, group, gradient = elements
    setting, scale = numbers
    entries, block, found = mask.shape[0], max(1, PIECE // group), intp(worker * SCRATCH)
    least = 0.0
    if outputs.itemsize == 4:
        least = np.inf if 0 < setting < NORMAL else LEAST
    scratch[worker, SETTING], scratch[worker, SCALE] = setting, scale
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
                vectors(n, outputs, at, targets, at, gradient, at, scratch, found)
                piece: float = np.float64(scratch[worker, SUM])
                if not least <= piece < np.inf:
                    piece = 0.0
                    for k in range(at, at + n):
                        loss, slope = exact(np.float64(outputs[k]) - np.float64(targets[k]), setting)
                        gradient[k] = scale * slope
                        piece += loss
                total += piece
            begin = stop
            while begin < end and not mask[begin]:
                gradient[begin * group : (begin + 1) * group] = 0
                begin += 1
        sums[b] = total


@jit(device=True, inline=True)
def each_weighted_row(
    worker: int, workers: int, exact: Any, outputs: Array, targets: Array, weights: Array, features: Array,
    setting: float, sums: Array, gradient: Array,
) -> None:
    """A worker's share of a loss whose elements have weights; parameters as of `huber.weighted_huber_loss`."""
    by_element = intp(weights.shape[1] > 1)
    first, last = span(worker, workers, outputs.shape[0])
    for n in range(first, last):
        total = 0.0
        for k in range(outputs.shape[1]):
            gradient[n, k] = 0
            weight = weights[n, k * by_element] * features[k]
            if weight > 0:
                loss, slope = exact(np.float64(outputs[n, k]) - np.float64(targets[n, k]), setting)
                gradient[n, k] = weight * slope
                total += weight * loss
        sums[n] = total
