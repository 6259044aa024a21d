"""An affine layer over many rows at once: the output layer, and each layer of the dense network.

Nothing grows with the rows but the results, and nothing with the weights: each worker packs a piece of a panel at a
time (see `pack`; here a panel's columns are simply the next ones of the product) into scratch of its own, and goes with
it through a block of rows.
"""

from typing import Any

import numpy as np

from fastlstm_kernels.activations import IDENTITY, SOFTMAX, activate, softmax
from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.few_rows import affine, affine_back, affine_gradients, are_reached
from fastlstm_kernels.gradients import DEPTH, GROUP, SCRATCH, add_sums
from fastlstm_kernels.jit import jit
from fastlstm_kernels.pack import copy_row, from_panel, to_panel
from fastlstm_kernels.rows import copy_rows
from fastlstm_kernels.simd import VECTOR_BYTES, Backend, Int, Place, Pointer, lanes, operation
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import CHUNK, WIDTH, Left, Panels, Result, flat, multiply, panel_rows

BLOCK = 10 * CHUNK
"""Rows that go through one piece of a panel before it makes place for the next."""

FEW_ROWS = 4
"""Rows up to which weights are multiplied as they are, not packed."""

SUMS = 2 * GROUP
"""Rows of the weight gradients that are summed over all rows before the next."""

PANELS = 8
"""Panels of them."""


def dense_scratch(dtype: Any) -> int:
    """Elements of a worker's scratch; about 1 MB."""
    width = WIDTH * lanes(dtype)
    return max((1 + DEPTH + BLOCK) * width, SCRATCH + PANELS * (SUMS + DEPTH) * width)


@jit(device=True, inline=True)
def _panels(work: Array, at: int, count: int, depth: int, width: int) -> Array:
    return work[at : at + count * depth * width].reshape(count, depth, width)


@operation
def _delta_row(v: Backend, columns: Int, delta: Pointer, out: Pointer) -> None:
    """Up to a panel's row of deltas; -0 where there is no error, and behind them. See `gradients.add_sums`."""
    for j in range(WIDTH):
        x = v.load_part(delta + j * v.lanes, v.first(columns - j * v.lanes))
        v.store(out + j * v.lanes, v.select(v.is_zero(x), -0.0, x))


@jit(device=True)
def _pack(w: Array, b: Array, column: int, k: int, many: int, panels: Array) -> None:
    """Outputs `column` on and inputs k to k + many - 1 of (b, w) into a panel."""
    outputs, width = w.shape[0], panels.shape[2]
    vector = width // WIDTH
    copy_row(outputs - column, b, column, panels, ZERO)
    for j in range(0, width, vector):
        units = max(0, min(vector, outputs - column - j))
        to_panel(w, column + j, units, k, k + many, panels, ZERO, ONE, j)


@jit(device=True)
def _pack_transposed(w: Array, column: int, k: int, many: int, panels: Array) -> None:
    """Inputs `column` on and outputs k to k + many - 1 of w into a panel, below a row of zeros."""
    inputs, width = w.shape[1], panels.shape[2]
    copy_row(ZERO, w, ZERO, panels, ZERO)
    for i in range(many):
        copy_row(inputs - column, w, (k + i) * inputs + column, panels, (1 + i) * width)


@jit(device=True)
def _product(
    row: int, rows: int, held: int, a: Array, w: Array, b: Array, out: Array, work: Array
) -> int:
    """``out = a w.T + b``, or ``a w`` where b is empty, for some rows, at most BLOCK.

    `held` is the piece of w that `work` holds, or -1; that which it holds in the end is returned.
    """
    if rows <= FEW_ROWS:
        if b.shape[0]:
            affine(row, rows, a, w, b, out, work)
        else:
            affine_back(row, rows, a, w, out, work)
        return -1
    depth, columns, width = a.shape[1], out.shape[1], WIDTH * (VECTOR_BYTES // work.itemsize)
    panels, z = _panels(work, ZERO, ONE, 1 + DEPTH, width), (1 + DEPTH) * width
    for column in range(0, columns, width):
        for k in range(0, depth, DEPTH):
            many, piece = min(DEPTH, depth - k), column * depth + k
            if piece != held:
                held = piece
                if b.shape[0]:
                    _pack(w, b, column, k, many, panels)
                else:
                    _pack_transposed(w, column, k, many, panels)
            multiply(
                Left(Place(flat(a), row * depth + k), depth, ONE, ONE, ZERO, many), rows,
                Panels(Place(work, width), ZERO, ZERO, ONE), columns - column, ONE if k == 0 else ZERO,
                Result(Place(work, z), width, ZERO),
            )
        copy_rows(rows, min(width, columns - column), work, z, width, out, row * columns + column, columns)
    return held


@jit(device=True)
def _forward_worker(
    worker: int, workers: int, x: Array, w: Array, b: Array, code: int, args: Array, out: Array, scratch: Array
) -> None:
    outputs, held = out.shape[1], -1
    first, last = span(worker, workers, x.shape[0])
    for row in range(first, last, BLOCK):
        rows = min(BLOCK, last - row)
        held = _product(row, rows, held, x, w, b, args, scratch[worker])
        if code == IDENTITY:  # as one row: where its vectors begin makes no difference
            activate(code, rows * outputs, args, row * outputs, out, row * outputs)
            continue
        for at in range(row * outputs, (row + rows) * outputs, outputs):
            if code == SOFTMAX:
                softmax(outputs, args, at, out, at)
            else:
                activate(code, outputs, args, at, out, at)


@jit()
def dense_forward(
    x: Array, w: Array, b: Array, code: int, args: Array, out: Array, scratch: Array, workers: int
) -> None:
    """``args = x w.T + b; out = activation(args)``; mirrors the output line of `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    x, w, b : (N, k), (n, k) and (n,) arrays
    code : int
        Activation code.
    args, out : (N, n) arrays
        Written; they may be one array, which then holds `out`.
    scratch : (workers, `dense_scratch`) array
        Overwritten.
    workers : int
        Shares of the work, by rows.

    Notes
    -----
    2 N n k flops.
    """
    share(_forward_worker, (x, w, b, code, args, out, scratch), workers)


@jit(device=True)
def _unpack(sums: Array, j: int, column: int, d_w: Array, d_b: Array) -> None:
    """Add rows j on of the gradients at (b, w.T), which hold outputs `column` on."""
    outputs, width, first, last = d_w.shape[0], sums.shape[2], max(1, j), j + sums.shape[1]
    vector = width // WIDTH
    for p in range(sums.shape[0]):
        for row in range(column + p * width, min(outputs, column + (p + 1) * width), vector):
            units, place = min(vector, outputs - row), row - column - p * width
            for k in range(units if j == 0 else 0):
                d_b[row + k] += sums[p, 0, place + k]
            from_panel(d_w, row, units, first - 1, last - 1, sums, p, first - j, place)


@jit(device=True)
def _gradients(
    first: int, last: int, delta: Array, x: Array, no_h: Array, offsets: Index, d_w: Array, d_b: Array, work: Array
) -> None:
    """Add rows first to last - 1 of the gradients at (b, w.T)."""
    outputs, width = delta.shape[1], WIDTH * (VECTOR_BYTES // work.itemsize)
    for column in range(0, outputs, PANELS * width):
        count = min(PANELS, (outputs - column + width - 1) // width)
        for j in range(first, last, SUMS):
            many = min(SUMS, last - j)
            sums = _panels(work, SCRATCH, count, many, width)
            sums[:] = 0
            for n in range(0, delta.shape[0], DEPTH):
                depth = min(DEPTH, delta.shape[0] - n)
                dz = _panels(work, SCRATCH + sums.size, count, depth, width)
                for p in range(count):
                    at = column + p * width
                    for k in range(depth):
                        _delta_row(outputs - at, delta, (n + k) * outputs + at, dz, (p * depth + k) * width)
                for i in range(0, many, GROUP):
                    add_sums(
                        x[n : n + depth], no_h, offsets, ZERO, (ZERO, depth), (j + i, j + min(i + GROUP, many)), dz,
                        outputs - column, panel_rows(sums, i), work,
                    )
            _unpack(sums, j, column, d_w, d_b)


@jit(device=True)
def _backward_worker(
    worker: int, workers: int, delta: Array, x: Array, w: Array, no_steps: Index, d_w: Array, d_b: Array, d_x: Array,
    scratch: Array,
) -> None:
    work, nothing, held = scratch[worker], d_b[:0], -1
    if x.shape[0] <= FEW_ROWS and are_reached(delta):
        first, last = span(worker, workers, w.shape[0])
        affine_gradients(first, last, delta, x, d_w, d_b)
    else:
        first, last = span(worker, workers, 1 + x.shape[1])
        _gradients(first, last, delta, x, x[:0, :0], no_steps, d_w, d_b, work)
    first, last = span(worker, workers, d_x.shape[0])
    for row in range(first, last, BLOCK):
        held = _product(row, min(BLOCK, last - row), held, delta, w, nothing, d_x, work)


@jit()
def dense_backward(
    delta: Array, x: Array, w: Array, d_w: Array, d_b: Array, d_x: Array, scratch: Array, workers: int
) -> None:
    """Gradients of an affine layer; mirrors `oracle.LSTM.init_gradients` and ``delta @ W_o``.

    Parameters
    ----------
    delta : (N, n) array
        Gradient at the layer's pre-activations.
    x, w : (N, k) and (n, k) arrays
        Its input and weights.
    d_w, d_b : (n, k) and (n,) arrays
        Added to: ``delta.T @ x`` and ``delta.sum(axis=0)``.
    d_x : (N, k) array
        Written: ``delta @ w``. Without rows it is not formed.
    scratch : (workers, `dense_scratch`) array
        Overwritten.
    workers : int
        Shares of the work.

    Notes
    -----
    4 N n k flops. Every element is summed in one order, whoever sums it.
    """
    share(_backward_worker, (delta, x, w, np.zeros(1, np.intp), d_w, d_b, d_x, scratch), workers)
