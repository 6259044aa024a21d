"""Huber's loss of rows of outputs and its gradient, in one pass; it mirrors `fastlstm.oracle.losses.huber`."""

from typing import Any

import numpy as np

from fastlstm_kernels.arrays import Array
from fastlstm_kernels.jit import jit
from fastlstm_kernels.loss import Elements, Numbers, each_piece, each_weighted_row, sum_errors
from fastlstm_kernels.simd import Backend, Int, Pointer, operation
from fastlstm_kernels.threads import share


def _bent(v: Backend, error: Any, delta: Any) -> tuple[Any, Any]:
    """Huber's loss of errors, and its slope there."""
    least = 0.0 - delta
    size = v.select(error < 0.0, 0.0 - error, error)
    slope = v.select(error > delta, delta, v.select(error < least, least, error))
    return v.select(size > delta, delta * (size - 0.5 * delta), 0.5 * error * error), slope


@jit(device=True, inline=True)
def _exactly_bent(error: float, delta: float) -> tuple[float, float]:
    """`_bent` of one error."""
    # Both are formed and one is taken: a branch that is mispredicted takes longer than all of it.
    size, square, most = abs(error), 0.5 * error * error, np.copysign(delta, error)
    line = delta * (size - 0.5 * delta)
    return line if size > delta else square, most if size > delta else error


@operation
def _huber(v: Backend, n: Int, outputs: Pointer, targets: Pointer, gradient: Pointer, found: Pointer) -> None:
    sum_errors(v, n, outputs, targets, gradient, found, _bent)


@jit(device=True)
def _worker(
    worker: int, workers: int, elements: Elements, numbers: Numbers, scratch: Array, sums: Array
) -> None:
    each_piece(worker, workers, _huber, _exactly_bent, elements, numbers, scratch, sums)


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
    sums : (`piece_sums`,) float64 array
        Written: what the loss is the sum of.
    gradient : (M,) array
        Written; zero where there is no target.
    workers : int
        Shares of the work.
    """
    elements = Elements(outputs, targets, mask, group, gradient)
    share(_worker, (elements, Numbers(delta, scale), scratch, sums), workers)


@jit(device=True)
def _weighted_worker(
    worker: int, workers: int, outputs: Array, targets: Array, weights: Array, features: Array, delta: float,
    sums: Array, gradient: Array,
) -> None:
    each_weighted_row(worker, workers, _exactly_bent, outputs, targets, weights, features, delta, sums, gradient)


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
