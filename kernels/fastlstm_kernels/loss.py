"""Losses of rows of outputs and their gradients, each in one pass; they mirror `fastlstm.oracle.losses`.

What a kernel sums in vectors, a row or `PIECE` elements, is added up in float64, in an order that the shapes and the
mask decide and the workers do not.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastlstm_kernels.activations import exp, fold_row, load_at, map_row, store_at
from fastlstm_kernels.arrays import Array, Index, intp
from fastlstm_kernels.jit import jit
from fastlstm_kernels.simd import Count, Machine, Place, operation
from fastlstm_kernels.threads import share, span

PIECE = 256
"""Elements of an elementwise loss that are summed in vectors before the sum goes into one of float64."""

SCRATCH = 16
"""Numbers that a worker has for itself; a cache line, so that no two write into one."""

TOP, TOTAL, WEIGHT, BELOW, SHARE = range(5)
"""What stands there of a row: its largest logit, the sum of exponentials; Σ y, Σ y (top - z); a factor."""


def huber_sums(entries: int, group: int) -> int:
    """How many sums `huber_loss` writes for a mask of `entries`, each of which stands for `group` elements."""
    return -(-entries // max(1, PIECE // group))


def _across(v: Machine, x: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """All lanes of a vector combined; in every lane."""
    half = v.lanes // 2
    while half:
        x = combine(x, v.shuffle(x, x, [lane ^ half for lane in range(v.lanes)]))
        half //= 2
    return x


def _sum(v: Machine, x: Any) -> Any:
    return _across(v, x, lambda a, b: a + b)


@operation
def _huber(
    v: Machine, n: Count, outputs: Place, targets: Place, numbers: Place, gradient: Place, total: Place
) -> None:
    delta, scale = v.broadcast(numbers), v.broadcast(numbers + 1)
    least = 0.0 - delta

    def step(carried: Any, offset: Any, mask: Any, output: Any, target: Any) -> Any:
        error = output - target
        size = v.select(error < 0.0, 0.0 - error, error)
        slope = scale * v.select(error > delta, delta, v.select(error < least, least, error))
        store_at(v, gradient + offset, slope, mask)
        return carried + v.select(size > delta, delta * (size - 0.5 * delta), 0.5 * error * error)

    v.store_part(total, _sum(v, fold_row(v, n, v.fill(0.0), [outputs, targets], step)), v.first(1))


@jit(device=True)
def _huber_worker(
    worker: int, workers: int, outputs: Array, targets: Array, mask: Array, group: int, numbers: Array,
    scratch: Array, sums: Array, gradient: Array,
) -> None:
    entries, block = mask.shape[0], max(1, PIECE // group)
    first, last = span(worker, workers, sums.shape[0])
    for b in range(first, last):
        total = 0.0
        begin, end = b * block, min(entries, (b + 1) * block)
        while begin < end:
            stop = begin  # of a run of entries that have a target
            while stop < end and mask[stop]:
                stop += 1
            for at in range(begin * group, stop * group, PIECE):
                _huber(
                    min(PIECE, stop * group - at), outputs, at, targets, at, numbers, 0, gradient, at, scratch,
                    worker * SCRATCH,
                )
                total += np.float64(scratch[worker, 0])
            begin = stop
            while begin < end and not mask[begin]:
                gradient[begin * group : (begin + 1) * group] = 0
                begin += 1
        sums[b] = total


@jit()
def huber_loss(
    outputs: Array, targets: Array, mask: Array, group: int, numbers: Array, scratch: Array, sums: Array,
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
    numbers : (2,) array
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
    share(_huber_worker, (outputs, targets, mask, group, numbers, scratch, sums, gradient), workers)


@operation
def _exponentials(v: Machine, n: Count, z: Place, out: Place, found: Place) -> None:
    """``out = exp(z - max z)``; leaves TOP and TOTAL."""

    def larger(a: Any, b: Any) -> Any:
        return v.select(a > b, a, b)

    def most(carried: Any, offset: Any, mask: Any, x: Any) -> Any:
        return larger(x if mask is None else v.select(mask, x, carried), carried)

    top = _across(v, fold_row(v, n, v.broadcast(z), [z], most), larger)

    def power(carried: Any, offset: Any, mask: Any, x: Any) -> Any:
        e = exp(v, x - top)
        store_at(v, out + offset, e, mask)
        return carried + (e if mask is None else v.select(mask, e, 0.0))

    total = _sum(v, fold_row(v, n, v.fill(0.0), [z], power))
    v.store_part(found + TOP, top, v.first(1))
    v.store_part(found + TOTAL, total, v.first(1))


@operation
def _weighted(v: Machine, n: Count, z: Place, targets: Place, found: Place) -> None:
    """Leaves WEIGHT and BELOW; takes TOP."""
    top = v.broadcast(found + TOP)

    def below(carried: Any, offset: Any, mask: Any, x: Any, y: Any) -> Any:
        # A logit of minus infinity is no loss where nothing is expected of it.
        return carried + v.select((y > 0.0) | (y < 0.0), y * (top - x), 0.0)

    weight = _sum(v, fold_row(v, n, v.fill(0.0), [targets], lambda carried, offset, mask, y: carried + y))
    v.store_part(found + WEIGHT, weight, v.first(1))
    v.store_part(found + BELOW, _sum(v, fold_row(v, n, v.fill(0.0), [z, targets], below)), v.first(1))


@operation
def _times(v: Machine, n: Count, out: Place, found: Place) -> None:
    """``out *= SHARE``."""
    factor = v.broadcast(found + SHARE)
    map_row(v, n, out, out, lambda x, *_: x * factor)


@operation
def _minus(v: Machine, n: Count, out: Place, targets: Place, found: Place, scale: Place) -> None:
    """``out = (out · SHARE - targets) · scale``."""
    factor, by = v.broadcast(found + SHARE), v.broadcast(scale)
    map_row(
        v, n, out, out, lambda x, offset, mask: (x * factor - load_at(v, targets + offset, mask)) * by
    )


@jit(device=True)
def _label_worker(
    worker: int, workers: int, outputs: Array, labels: Index, mask: Array, scale: Array, scratch: Array,
    losses: Array, gradient: Array,
) -> None:
    width, found = outputs.shape[1], intp(worker * SCRATCH)
    first, last = span(worker, workers, outputs.shape[0])
    for n in range(first, last):
        losses[n] = 0
        if not mask[n]:
            gradient[n, :] = 0
            continue
        _exponentials(width, outputs, n * width, gradient, n * width, scratch, found)
        total, label = scratch[worker, TOTAL], labels[n]
        scratch[worker, SHARE] = scale[0] / total
        less = (gradient[n, label] - total) / total  # p - 1, without the rounding of p
        _times(width, gradient, n * width, scratch, found)
        gradient[n, label] = less * scale[0]
        losses[n] = np.log(np.float64(total)) + (np.float64(scratch[worker, TOP]) - np.float64(outputs[n, label]))


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
    scale : (1,) array
        What the gradient is multiplied by.
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


@jit(device=True)
def _row_worker(
    worker: int, workers: int, outputs: Array, targets: Array, mask: Array, scale: Array, scratch: Array,
    losses: Array, gradient: Array,
) -> None:
    width, found = outputs.shape[1], intp(worker * SCRATCH)
    first, last = span(worker, workers, outputs.shape[0])
    for n in range(first, last):
        losses[n] = 0
        if not mask[n]:
            gradient[n, :] = 0
            continue
        at = n * width
        _exponentials(width, outputs, at, gradient, at, scratch, found)
        _weighted(width, outputs, at, targets, at, scratch, found)
        total, weight = scratch[worker, TOTAL], scratch[worker, WEIGHT]
        scratch[worker, SHARE] = weight / total
        _minus(width, gradient, at, targets, at, scratch, found, scale, 0)
        losses[n] = np.float64(weight) * np.log(np.float64(total)) + np.float64(scratch[worker, BELOW])


@jit()
def cross_entropy(
    outputs: Array, targets: Array, mask: Array, scale: Array, scratch: Array, losses: Array, gradient: Array,
    workers: int,
) -> None:
    """Cross-entropy of the softmax of logits with rows of weights; mirrors `oracle.losses.cross_entropy`.

    Parameters
    ----------
    outputs, targets : (N, n) arrays
        Logits, and the weight of each class; n at least 1.
    mask, scale, scratch, losses, gradient, workers
        As for `label_cross_entropy`.
    """
    share(_row_worker, (outputs, targets, mask, scale, scratch, losses, gradient), workers)
