"""Cross-entropy of rows of logits and its gradient, in one pass; it mirrors `fastlstm.oracle.losses.cross_entropy`.

Exponentials, and sums of them, are vectors; a row's loss is float64. Where float32 has no room for a row's sums, or
the largest exponential, one, has swallowed the others, they are made once more in float64, element by element.
"""

from typing import Any

import numpy as np

from fastlstm_kernels.activations import exp
from fastlstm_kernels.arrays import Array, Index, intp
from fastlstm_kernels.jit import jit
from fastlstm_kernels.loss import SCRATCH, across, lane_sum
from fastlstm_kernels.rows import fold_row, load_at, map_row, store_at
from fastlstm_kernels.simd import Backend, Int, Pointer, operation
from fastlstm_kernels.threads import share, span

NEAR = 2.0**-6
"""Loss, of a row whose weights sum up to one, below which float32 has too few digits left for it."""

TOP, TOTAL, WEIGHT, BELOW, SHARE = range(5)
"""What stands there of a row: its largest logit, the sum of exponentials; Σ y, Σ y (top - z); a factor."""


@operation
def _exponentials(v: Backend, n: Int, z: Pointer, out: Pointer, found: Pointer) -> None:
    """``out = exp(z - max z)``; leaves TOP and TOTAL."""

    def larger(a: Any, b: Any) -> Any:
        return v.select(a > b, a, b)

    def most(carried: Any, offset: Any, mask: Any, x: Any) -> Any:
        return larger(x if mask is None else v.select(mask, x, carried), carried)

    top = across(v, fold_row(v, n, v.broadcast(z), [z], most), larger)

    def power(carried: Any, offset: Any, mask: Any, x: Any) -> Any:
        e = exp(v, x - top)
        store_at(v, out + offset, e, mask)
        return carried + (e if mask is None else v.select(mask, e, 0.0))

    total = lane_sum(v, fold_row(v, n, v.fill(0.0), [z], power))
    v.store_part(found + TOP, top, v.first(1))
    v.store_part(found + TOTAL, total, v.first(1))


@operation
def _expected(v: Backend, n: Int, z: Pointer, targets: Pointer, found: Pointer) -> None:
    """Leaves WEIGHT and BELOW; takes TOP."""
    top = v.broadcast(found + TOP)

    def below(carried: Any, offset: Any, mask: Any, x: Any, y: Any) -> Any:
        # A logit of minus infinity is no loss where nothing is expected of it.
        return carried + v.select((y > 0.0) | (y < 0.0), y * (top - x), 0.0)

    weight = lane_sum(v, fold_row(v, n, v.fill(0.0), [targets], lambda carried, offset, mask, y: carried + y))
    v.store_part(found + WEIGHT, weight, v.first(1))
    v.store_part(found + BELOW, lane_sum(v, fold_row(v, n, v.fill(0.0), [z, targets], below)), v.first(1))


@operation
def _times(v: Backend, n: Int, out: Pointer, found: Pointer) -> None:
    """``out *= SHARE``."""
    factor = v.broadcast(found + SHARE)
    map_row(v, n, out, out, lambda x, *_: x * factor)


@operation
def _minus(v: Backend, n: Int, out: Pointer, targets: Pointer, found: Pointer, scale: Pointer) -> None:
    """``out = (out · SHARE - targets) · scale``."""
    factor, by = v.broadcast(found + SHARE), v.broadcast(scale)
    map_row(
        v, n, out, out, lambda x, offset, mask: (x * factor - load_at(v, targets + offset, mask)) * by
    )


@jit(device=True)
def _others(n: int, label: int, exponentials: Array) -> float:
    """The sum of a row's exponentials without the label's, in float64."""
    total = 0.0
    for k in range(exponentials.shape[1]):
        if k != label:
            total += np.float64(exponentials[n, k])
    return total


@jit(device=True)
def _label_worker(
    worker: int, workers: int, outputs: Array, labels: Index, mask: Array, scale: Array, scratch: Array,
    losses: Array, gradient: Array,
) -> None:
    width, found, by_row = outputs.shape[1], intp(worker * SCRATCH), intp(scale.shape[0] > 1)
    first, last = span(worker, workers, outputs.shape[0])
    for n in range(first, last):
        losses[n] = 0
        if not mask[n]:
            gradient[n, :] = 0
            continue
        _exponentials(width, outputs, n * width, gradient, n * width, scratch, found)
        total, label, by = scratch[worker, TOTAL], labels[n], scale[n * by_row]
        scratch[worker, SHARE] = by / total
        less: float = np.float64((gradient[n, label] - total) / total)  # p - 1, without the rounding of p
        spread = np.log(np.float64(total))
        if outputs.itemsize == 4 and less > -NEAR:
            others = _others(n, label, gradient)
            less, spread = -others / (1 + others), np.log1p(others)
        _times(width, gradient, n * width, scratch, found)
        gradient[n, label] = less * by
        losses[n] = spread + (np.float64(scratch[worker, TOP]) - np.float64(outputs[n, label]))


@jit()
def label_cross_entropy(
    outputs: Array, labels: Index, mask: Array, scale: Array, scratch: Array, losses: Array, gradient: Array,
    workers: int,
) -> None:
    """Cross-entropy of the softmax of logits with labels, and its gradient; mirrors `oracle.losses.cross_entropy`.

    Parameters
    ----------
    outputs : (N, n) array
        Logits; n at least 1.
    labels : (N,) intp array
        From 0 to n - 1, where the mask is set.
    mask : (N,) bool array
        Which rows have a target.
    scale : (1,) or (N,) array
        What the gradient is multiplied by; one number, or one for each row.
    scratch : (workers, SCRATCH) array
        Overwritten.
    losses : (N,) float64 array
        Written; zero where there is no target.
    gradient : (N, n) array
        Written, likewise.
    workers : int
        Shares of the work, by rows.
    """
    share(_label_worker, (outputs, labels, mask, scale, scratch, losses, gradient), workers)


@jit(device=True, inline=True)
def _wanted(n: int, k: int, targets: Array, classes: Array) -> float:
    """A target times the weight of its class; zero where that is zero, whatever the target."""
    weight = classes[k] if classes.shape[0] else 1.0
    return weight * np.float64(targets[n, k]) if weight > 0 else 0.0


@jit(device=True)
def _again(n: int, outputs: Array, targets: Array, classes: Array, scale: float, top: float, gradient: Array) -> float:
    """The loss of a row, and its gradient instead of the exponentials that stand there, in float64."""
    width, expects = outputs.shape[1], False
    total = weight = below = 0.0
    for k in range(width):
        total += np.float64(gradient[n, k])
        y = _wanted(n, k, targets, classes)
        if y != 0:
            expects = True
            weight += y
            below += y * (top - np.float64(outputs[n, k]))
    if not expects:  # no loss, not even of NaN
        gradient[n, :] = 0
        return 0.0
    share = weight / total
    for k in range(width):
        gradient[n, k] = scale * (np.float64(gradient[n, k]) * share - _wanted(n, k, targets, classes))
    loss: float = weight * np.log(total) + below
    return loss


@jit(device=True)
def _row_worker(
    worker: int, workers: int, outputs: Array, targets: Array, mask: Array, classes: Array, scale: Array,
    scratch: Array, losses: Array, gradient: Array,
) -> None:
    width, found, by_row = outputs.shape[1], intp(worker * SCRATCH), intp(scale.shape[0] > 1)
    first, last = span(worker, workers, outputs.shape[0])
    for n in range(first, last):
        losses[n] = 0
        if not mask[n]:
            gradient[n, :] = 0
            continue
        at, by, loss = n * width, n * by_row, np.inf
        _exponentials(width, outputs, at, gradient, at, scratch, found)
        if not classes.shape[0]:
            _expected(width, outputs, at, targets, at, scratch, found)
            total, weight = scratch[worker, TOTAL], scratch[worker, WEIGHT]
            scratch[worker, SHARE] = weight / total
            loss = np.float64(weight) * np.log(np.float64(total)) + np.float64(scratch[worker, BELOW])
        if not np.isfinite(loss) or (outputs.itemsize == 4 and loss < NEAR * scratch[worker, WEIGHT]):
            top = np.float64(scratch[worker, TOP])
            losses[n] = _again(n, outputs, targets, classes, np.float64(scale[by]), top, gradient)
        else:
            _minus(width, gradient, at, targets, at, scratch, found, scale, by)
            losses[n] = loss


@jit()
def cross_entropy(
    outputs: Array, targets: Array, mask: Array, classes: Array, scale: Array, scratch: Array, losses: Array,
    gradient: Array, workers: int,
) -> None:
    """Cross-entropy of the softmax of logits with rows of weights; mirrors `oracle.losses.cross_entropy`.

    Parameters
    ----------
    outputs, targets : (N, n) arrays
        Logits, and the weight of each class; n at least 1.
    mask, scale, scratch, losses, gradient, workers
        As for `label_cross_entropy`.
    classes : (n,) or (0,) float64 array
        What each column of the targets is multiplied by; empty for nothing.
    """
    share(_row_worker, (outputs, targets, mask, classes, scale, scratch, losses, gradient), workers)
