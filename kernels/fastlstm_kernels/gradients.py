"""Products of dz, the gradients at the pre-activations: those of weights and of inputs.

The weight gradients are split among workers by their OUTPUT, so that each element is summed in one order.
"""

import math
from typing import Any

from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.batch import previous_row
from fastlstm_kernels.jit import jit
from fastlstm_kernels.phases import finish, next_part
from fastlstm_kernels.rows import copy_rows, fold_row, store_at
from fastlstm_kernels.simd import Backend, Int, Place, Pointer, operation
from fastlstm_kernels.structs import Batch, Scratch
from fastlstm_kernels.threads import span
from fastlstm_kernels.tile import CHUNK, ROWS, WIDTH, Left, Result, gate_rows, multiply, panel_range, panel_rows

GROUP = 16 * ROWS
"""Rows of the weight gradients that are formed together."""

DEPTH = 256
"""Rows of dz that go into them at a time; GROUP times DEPTH inputs stay in the second-level cache.

A training step of 256 units takes 5 % longer with 128, 4 with 512; of 64 units as long (Zen 3).
"""

DOUBT = max(GROUP * DEPTH, CHUNK * WIDTH * 16)
"""Where in a worker's scratch a vector stands that is zero while what was gathered is finite."""

SCRATCH = DOUBT + 16
"""Elements of a worker's scratch."""


@operation
def _copy_rows(
    v: Backend, rows: Int, columns: Int, a: Pointer, a_row: Int, out: Pointer, out_row: Int, doubt: Pointer
) -> None:
    """Some columns of some rows; `doubt` is no longer zero if there is a NaN or infinity among them."""

    def row(r: Any, total: Any) -> list[Any]:
        def element(total: Any, offset: Any, mask: Any, x: Any) -> Any:
            store_at(v, out + (r * out_row + offset), x, mask)
            return total + (x - x)

        return [fold_row(v, columns, total, [a + r * a_row], element)]

    v.store(doubt, v.repeat(rows, [v.load(doubt)], row)[0])


@jit(device=True)
def _gather(
    x: Array, h_in: Array, offsets: Index, begin: int, rows: tuple[int, int], columns: tuple[int, int], work: Array
) -> None:
    """Some columns of (1, input, hidden state that was fed back), of some rows, into `work`, rows GROUP apart.

    Ranges are first and last-plus-one; rows count from the first row of step `begin`.
    """
    first, last = columns
    batch, inputs, size = h_in.shape[0] - offsets[-1], x.shape[1], h_in.shape[1]
    n, count = offsets[begin] + rows[0], rows[1] - rows[0]
    if first == 0:
        for k in range(count):
            work[k * GROUP] = 1
    left, right = max(1, first), min(last, 1 + inputs)
    if left < right:
        _copy_rows(count, right - left, x, n * inputs + left - 1, inputs, work, left - first, GROUP, work, DOUBT)
    left = max(1 + inputs, first)
    if left >= last:
        return
    t, k = begin, ZERO
    while k < count:
        while n + k >= offsets[t + 1]:
            t += 1
        # States follow each other in memory, through many steps, as long as no sequence ends.
        before, start = previous_row(offsets, batch, t) + n + k - offsets[t], k
        k = min(count, offsets[t + 1] - n)
        while k < count and previous_row(offsets, batch, t + 1) == before + k - start:
            t += 1
            k = min(count, offsets[t + 1] - n)
        _copy_rows(
            k - start, last - left, h_in, before * size + left - 1 - inputs, size, work, start * GROUP + left - first,
            GROUP, work, DOUBT,
        )


@jit(device=True)
def is_reached(dz: Array, row: int) -> bool:
    """Whether an error reaches a row: else its dz are all -0."""
    for p in range(dz.shape[0]):
        for j in range(dz.shape[2]):
            if dz[p, row, j] != 0 or math.copysign(1.0, dz[p, row, j]) > 0:
                return True
    return False


@jit(device=True)
def _leave_out(dz: Array, at: int, rows: int, columns: int, scratch: Array) -> None:
    """Put zeros in place of rows that no error reaches, if what was gathered is not all finite.

    They may be padding, and 0 · NaN is NaN.
    """
    total = scratch[DOUBT]
    for j in range(1, 16):
        total += scratch[DOUBT + j]
    if total == 0:
        return
    for k in range(rows):
        if not is_reached(dz, at + k):
            scratch[k * GROUP : k * GROUP + columns] = 0


@jit(device=True)
def add_sums(
    x: Array, h_in: Array, offsets: Index, begin: int, rows: tuple[int, int], columns: tuple[int, int], dz: Array,
    outputs: int, sums: Result, work: Array,
) -> None:
    """Add what some rows of dz send to some rows of the weight gradients: those of columns of (1, input, h_in).

    Ranges are first and last-plus-one; rows count from the first row of step `begin`. The first of these gradients goes
    to the first row of `sums`, of which so many `outputs` count. Rows of -0 add nothing, whatever x and `h_in` hold
    there.
    """
    count, many = rows[1] - rows[0], columns[1] - columns[0]
    work[DOUBT:SCRATCH] = 0
    _gather(x, h_in, offsets, begin, rows, columns, work)
    _leave_out(dz, rows[0], count, many, work)
    multiply(
        Left(Place(work, ZERO), ONE, GROUP, ONE, ZERO, count), many, panel_range(dz, rows[0], ZERO, dz.shape[0]),
        outputs, ZERO, sums,
    )


@jit(device=True)
def weight_sums(
    part: int, parts: int, chunk: tuple[int, int], batch: Batch, h_in: Array, dz: Array, d_panels: Array, work: Array
) -> None:
    """A part of the rows of the weight gradients, of a chunk of steps."""
    (begin, end), offsets = chunk, batch.offsets
    rows, many, outputs = offsets[end] - offsets[begin], d_panels.shape[1], dz.shape[0] * dz.shape[2]
    passes = (many + GROUP * parts - 1) // (GROUP * parts)
    group = (many + passes * parts - 1) // (passes * parts)
    for j in range(part * group, many, parts * group):
        last = min(j + group, many)
        if end == offsets.shape[0] - 1:  # the chunk that comes first
            d_panels[:, j:last] = 0
        for k in range(0, rows, DEPTH):
            add_sums(
                batch.x, h_in, offsets, begin, (k, min(k + DEPTH, rows)), (j, last), dz, outputs,
                panel_rows(d_panels, j), work,
            )


@jit(device=True)
def into_inputs(first: int, last: int, row: int, dz: Array, transposed: Array, d_x: Array, work: Array) -> None:
    """Gradient at the inputs: rows first to last - 1 of dz times W, to rows `row` + first on of d_x."""
    width, inputs, taken = dz.shape[2], d_x.shape[1], (transposed.shape[1] - 1) // dz.shape[0]
    for n in range(first, last if d_x.shape[0] else first, CHUNK):
        count = min(CHUNK, last - n)
        for p in range(transposed.shape[0]):
            multiply(
                gate_rows(dz, n, taken), count, panel_range(transposed, ONE, p, p + 1), inputs, ONE,
                Result(Place(work, -p * width), width, width),
            )
            copy_rows(
                count, min(width, inputs - p * width), work, ZERO, width, d_x, (row + n) * inputs + p * width, inputs
            )


@jit(device=True)
def products_phase(
    worker: int, workers: int, sync: Array, phase: int, chunk: tuple[int, int], batch: Batch, h_in: Array, d_x: Array,
    scratch: Scratch,
) -> None:
    """The phase that forms, of a chunk's dz, the gradients of weights and inputs.

    Of all phases of the chunk it is the last; of the chunks, that with the last step comes first, and begins the sums.
    """
    offsets, (begin, end), work, dz = batch.offsets, chunk, scratch.work[worker], scratch.dz
    part = next_part(sync, worker, workers, phase)
    while part >= 0:
        weight_sums(part, workers, chunk, batch, h_in, dz, scratch.d_panels, work)
        first, last = span(part, workers, offsets[end] - offsets[begin])
        into_inputs(first, last, offsets[begin], dz, scratch.transposed_w, d_x, work)
        finish(sync, part, phase)
        part = next_part(sync, worker, workers, phase)
