"""Products of dz, the gradients at the pre-activations: those of weights and of inputs.

The weight gradients are split among workers by their OUTPUT, so that each element is summed in one order.
"""

import math
from typing import Any

from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.batch import previous_row
from fastlstm_kernels.jit import jit
from fastlstm_kernels.phases import done, take
from fastlstm_kernels.rows import copy_rows, fold_row, store_at
from fastlstm_kernels.simd import Count, Machine, Place, operation
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import CHUNK, ROWS, multiply

GROUP = 16 * ROWS
"""Rows of the weight gradients that are formed together."""

DEPTH = 256
"""Rows of dz that go into them at a time; GROUP times DEPTH inputs stay in the second-level cache."""

DOUBT = max(GROUP * DEPTH, CHUNK * 4 * 16)
"""Where in a worker's scratch a vector stands that is zero while what was gathered is finite."""

SCRATCH = DOUBT + 16
"""Elements of a worker's scratch."""


@operation
def _copy_rows(
    v: Machine, rows: Count, columns: Count, a: Place, a_row: Count, out: Place, out_row: Count, doubt: Place
) -> None:
    """Some columns of some rows; `doubt` is no longer zero if there is a NaN or infinity among them."""

    def row(r: Any, total: Any) -> list[Any]:
        def element(total: Any, offset: Any, mask: Any, x: Any) -> Any:
            store_at(v, out + (r * out_row + offset), x, mask)
            return total + (x - x)

        return [fold_row(v, columns, total, [a + r * a_row], element)]

    v.store(doubt, v.repeat(rows, [v.load(doubt)], row)[0])


@jit(device=True, inline=True)
def _gather(
    x: Array, fed: Array, offsets: Index, begin: int, row: int, rows: int, first: int, last: int, scratch: Array
) -> None:
    """Columns first to last - 1 of the rows of (1, input, hidden state fed) into scratch, GROUP apart.

    `row` counts from the first row of step `begin`.
    """
    batch, inputs, size, n = fed.shape[0] - offsets[-1], x.shape[1], fed.shape[1], offsets[begin] + row
    if first == 0:
        for k in range(rows):
            scratch[k * GROUP] = 1
    left, right = max(1, first), min(last, 1 + inputs)
    if left < right:
        _copy_rows(rows, right - left, x, n * inputs + left - 1, inputs, scratch, left - first, GROUP, scratch, DOUBT)
    left = max(1 + inputs, first)
    if left >= last:
        return
    t, k = begin, ZERO
    while k < rows:
        while n + k >= offsets[t + 1]:
            t += 1
        # States lie in a row, through many steps, as long as no sequence ends.
        before, start = previous_row(offsets, batch, t) + n + k - offsets[t], k
        k = min(rows, offsets[t + 1] - n)
        while k < rows and previous_row(offsets, batch, t + 1) == before + k - start:
            t += 1
            k = min(rows, offsets[t + 1] - n)
        _copy_rows(
            k - start, last - left, fed, before * size + left - 1 - inputs, size, scratch,
            start * GROUP + left - first, GROUP, scratch, DOUBT,
        )


@jit(device=True)
def _leave_out(dz: Array, at: int, rows: int, columns: int, scratch: Array) -> None:
    """Put zeros in place of rows that no error reaches, whose dz are all -0, if what was gathered is not all finite.

    They may be padding, and 0 · NaN is NaN.
    """
    total = scratch[DOUBT]
    for j in range(1, 16):
        total += scratch[DOUBT + j]
    if total == 0:
        return
    for k in range(rows):
        reached = False
        for p in range(dz.shape[0]):
            for j in range(dz.shape[2]):
                reached |= dz[p, at + k, j] != 0 or math.copysign(1.0, dz[p, at + k, j]) > 0
        if not reached:
            scratch[k * GROUP : k * GROUP + columns] = 0


@jit(device=True, inline=True)
def add_sums(
    x: Array, fed: Array, offsets: Index, begin: int, row: int, rows: int, first: int, last: int, dz: Array,
    columns: int, gradients: Array, place: int, work: Array,
) -> None:
    """Add what some rows of dz, from `row` on, send to rows first to last - 1 of the weight gradients.

    `row` counts from the first row of step `begin`. The first of these gradients is row `place` of `gradients`, of
    which so many columns count. Rows of -0 add nothing, whatever x and `fed` hold there.
    """
    width = dz.shape[2]
    work[DOUBT:SCRATCH] = 0
    _gather(x, fed, offsets, begin, row, rows, first, last, work)
    _leave_out(dz, row, rows, last - first, work)
    multiply(
        work, ZERO, ONE, GROUP, ONE, ZERO, rows, last - first, dz, row * width, dz.shape[1] * width, ZERO,
        dz.shape[0], columns, False, gradients, place * width, width, gradients.shape[1] * width,
    )


@jit(device=True, inline=True)
def weight_sums(
    part: int, parts: int, begin: int, end: int, offsets: Index, x: Array, fed: Array, dz: Array, gradients: Array,
    work: Array,
) -> None:
    """A part of the rows of the weight gradients, of the chunk begin to end - 1."""
    rows, many, columns = offsets[end] - offsets[begin], gradients.shape[1], dz.shape[0] * dz.shape[2]
    turns = (many + GROUP * parts - 1) // (GROUP * parts)
    group = (many + turns * parts - 1) // (turns * parts)
    for j in range(part * group, many, parts * group):
        last = min(j + group, many)
        if end == offsets.shape[0] - 1:  # the chunk that comes first
            gradients[:, j:last] = 0
        for k in range(0, rows, DEPTH):
            add_sums(
                x, fed, offsets, begin, k, min(DEPTH, rows - k), j, last, dz, columns, gradients, j, work
            )


@jit(device=True, inline=True)
def into_inputs(
    first: int, last: int, row: int, dz: Array, transposed: Array, d_x: Array, work: Array
) -> None:
    """Gradient at the inputs: rows first to last - 1 of dz times W, to rows `row` + first on of d_x."""
    width, room = dz.shape[2], dz.shape[1] * dz.shape[2]
    inputs, taken = d_x.shape[1], (transposed.shape[1] - 1) // dz.shape[0]
    for n in range(first, last if d_x.shape[0] else first, CHUNK):
        count = min(CHUNK, last - n)
        for p in range(transposed.shape[0]):
            multiply(
                dz, n * width, width, ONE, dz.shape[0], room, taken, count, transposed, width,
                transposed.shape[1] * width, p, p + 1, inputs, True, work, -p * width, width, width,
            )
            copy_rows(
                count, min(width, inputs - p * width), work, ZERO, width, d_x, (row + n) * inputs + p * width, inputs
            )


@jit(device=True, inline=True)
def _products(
    part: int, parts: int, begin: int, end: int, offsets: Index, x: Array, fed: Array, dz: Array,
    transposed: Array, gradients: Array, d_x: Array, work: Array,
) -> None:
    """A part of what is formed of a chunk's dz."""
    weight_sums(part, parts, begin, end, offsets, x, fed, dz, gradients, work)
    first, last = span(part, parts, offsets[end] - offsets[begin])
    into_inputs(first, last, offsets[begin], dz, transposed, d_x, work)


@jit(device=True)
def _products_worker(
    worker: int, workers: int, begin: int, end: int, offsets: Index, x: Array, fed: Array, dz: Array,
    transposed: Array, gradients: Array, d_x: Array, scratch: Array,
) -> None:
    _products(
        worker, workers, begin, end, offsets, x, fed, dz, transposed, gradients, d_x, scratch[worker]
    )


@jit(device=True)
def products_phase(
    worker: int, workers: int, board: Array, phase: int, begin: int, end: int, offsets: Index, x: Array, fed: Array,
    dz: Array, transposed: Array, gradients: Array, d_x: Array, scratch: Array,
) -> None:
    """The phase of `weight_gradients`, for workers whose dz other workers have formed."""
    part = take(board, worker, workers, phase)
    while part >= 0:
        _products(part, workers, begin, end, offsets, x, fed, dz, transposed, gradients, d_x, scratch[worker])
        done(board, part, phase)
        part = take(board, worker, workers, phase)


@jit()
def weight_gradients(
    begin: int, end: int, offsets: Index, x: Array, fed: Array, dz: Array, transposed: Array, gradients: Array,
    d_x: Array, scratch: Array, workers: int,
) -> None:
    """What the steps begin to end - 1 add to the gradients; mirrors the weight gradients of the oracle's BPTT.

    The chunk with the last step comes first, and begins the sums.

    Parameters
    ----------
    begin, end : int
        Range of steps.
    offsets : (T + 1,) intp array
        First row of each step, and N; see `batch`.
    x, fed : (N, input) and (batch + N, H) arrays
        As for `forward.forward`.
    dz : (units / lanes rounded up, rows, 4 lanes) array
        Gradients at the pre-activations, from the first row of step `begin` on. A row of -0 adds nothing, whatever x
        and `fed` hold there.
    transposed : array of `pack.transposed_shape`
        W, from `pack.pack_transposed`.
    gradients : array of `pack.panels_shape`
        Written by the first chunk, added to by the others: gradients of biases, W and U.
    d_x : (N, input) array
        Written: gradient at the inputs. Without rows it is not formed.
    scratch : (workers, SCRATCH) array
        Overwritten.
    workers : int
        Shares of the work.

    Notes
    -----
    8 rows H (2 input + H) flops.
    """
    share(
        _products_worker, (begin, end, offsets, x, fed, dz, transposed, gradients, d_x, scratch), workers
    )
