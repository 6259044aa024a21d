"""The loop over time, backwards, without truncation: one sweep, whose cost is linear in the number of steps.

The sweep leaves the gradients at the pre-activations, dz, of a chunk of steps; then the chunk's share of all weight
gradients is one product, split among workers by its OUTPUT, so that each element is summed in one order.
"""

import math
from typing import Any

from fastlstm_kernels.activations import fold_row, store_at, times_rows
from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.forward import NONE, WHOLE, previous_row, shares_units
from fastlstm_kernels.gates import cell_backward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.phases import clear, done, take
from fastlstm_kernels.rows import copy_rows
from fastlstm_kernels.simd import Count, Machine, Place, operation
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import CHUNK, ROWS, WIDTH, multiply

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
def into_hidden(
    dz: Array, at: int, rows: int, transposed: Array, first: int, last: int, delta_h: Array, out: int
) -> None:
    """Gradient at the hidden states one step back: rows `out` on of `delta_h` = dz[:, at:] U, panels first to last - 1.

    Where U holds three gates, the "reference" gradient is asked for: the hidden filter's delta goes back as it is.
    """
    width, room = dz.shape[2], dz.shape[1] * dz.shape[2]
    taken, vector = (transposed.shape[1] - 1) // dz.shape[0], width // WIDTH
    multiply(
        dz, at * width, width, WHOLE, dz.shape[0], room, taken, rows, transposed, width, transposed.shape[1] * width,
        first, last, dz.shape[0] * (width // WIDTH), True, delta_h, out * width, width, delta_h.shape[1] * width,
    )
    if taken < width:
        for p in range(first * WIDTH, min(last * WIDTH, dz.shape[0])):
            for r in range(rows):
                for j in range(vector):
                    delta_h[p // WIDTH, out + r, p % WIDTH * vector + j] += dz[p, at + r, taken + j]


@jit(device=True, inline=True)
def times_mask(mask: Array, row: int, rows: int, first: int, last: int, delta_h: Array, out: int) -> None:
    """The gradient at what was `fed` becomes that at the hidden states, in panels first to last - 1; see `forward`."""
    size, width = mask.shape[1], delta_h.shape[2]
    if mask.shape[0]:
        for p in range(first, last):
            place = (p * delta_h.shape[1] + out) * width
            times_rows(
                rows, min(width, size - p * width), delta_h, place, width, mask, row * size + p * width, size,
                delta_h, place, width,
            )


@jit(device=True, inline=True)
def _turn(
    t: int, row: int, last_row: int, panel: int, last_panel: int, begin: int, end: int, offsets: Index,
    transposed: Array, code_c: int, code_h: int, mask: Array, gates: Array, cells: Array, delta_out: Array,
    delta_h: Array, delta_s: Array, dz: Array,
) -> None:
    """Bring the gradient of step t + 1 to t's hidden state, then do step t, if they lie in the chunk begin to end - 1.

    So the turns of a chunk run from its last step to the one before its first. For some sequences, and the units of
    some panels of U.
    """
    width, vector, size, batch = dz.shape[2], cells.shape[2], delta_out.shape[1], delta_h.shape[1]
    if t + 1 < end:
        rows = min(last_row, offsets[t + 2] - offsets[t + 1]) - row
        if rows > 0:
            into_hidden(dz, offsets[t + 1] - offsets[begin] + row, rows, transposed, panel, last_panel, delta_h, row)
            times_mask(mask, row, rows, panel, last_panel, delta_h, row)
    if t < begin:
        return
    rows = min(last_row, offsets[t + 1] - offsets[t]) - row
    at, before = offsets[t] + row, previous_row(offsets, batch, t) + row
    if rows > 0:
        for p in range(panel * WIDTH, min(last_panel * WIDTH, dz.shape[0])):
            unit, state = p * vector, p * cells.shape[1]
            cell_backward(
                code_c, code_h, rows, size - unit, gates, (p * gates.shape[1] + at) * width,
                cells, (state + before) * vector, cells, (state + batch + at) * vector,
                delta_out, at * size + unit, size,
                delta_h, (p // WIDTH * batch + row) * width + p % WIDTH * vector, delta_s, (p * batch + row) * vector,
                dz, (p * dz.shape[1] + at - offsets[begin]) * width,
            )


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
    t, k = begin, NONE
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
        work, NONE, WHOLE, GROUP, WHOLE, NONE, rows, last - first, dz, row * width, dz.shape[1] * width, NONE,
        dz.shape[0], columns, False, gradients, place * width, width, gradients.shape[1] * width,
    )


@jit(device=True, inline=True)
def _sums(
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
def _into_inputs(
    first: int, last: int, row: int, dz: Array, transposed: Array, d_x: Array, work: Array
) -> None:
    """Gradient at the inputs: rows first to last - 1 of dz times W, to rows `row` + first on of d_x."""
    width, room = dz.shape[2], dz.shape[1] * dz.shape[2]
    inputs, taken = d_x.shape[1], (transposed.shape[1] - 1) // dz.shape[0]
    for n in range(first, last if d_x.shape[0] else first, CHUNK):
        count = min(CHUNK, last - n)
        for p in range(transposed.shape[0]):
            multiply(
                dz, n * width, width, WHOLE, dz.shape[0], room, taken, count, transposed, width,
                transposed.shape[1] * width, p, p + 1, inputs, True, work, -p * width, width, width,
            )
            copy_rows(
                count, min(width, inputs - p * width), work, NONE, width, d_x, (row + n) * inputs + p * width, inputs
            )


@jit(device=True, inline=True)
def _products(
    part: int, parts: int, begin: int, end: int, offsets: Index, x: Array, fed: Array, dz: Array,
    transposed: Array, gradients: Array, d_x: Array, work: Array,
) -> None:
    """A part of what is formed of a chunk's dz."""
    _sums(part, parts, begin, end, offsets, x, fed, dz, gradients, work)
    first, last = span(part, parts, offsets[end] - offsets[begin])
    _into_inputs(first, last, offsets[begin], dz, transposed, d_x, work)


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
def chunk_begin(offsets: Index, end: int, rows: int) -> int:
    """First step of the chunk that ends before step `end`, of so many rows at most, or one step."""
    begin = end - 1
    while begin > 0 and offsets[end] - offsets[begin - 1] <= rows:
        begin -= 1
    return begin


@jit(device=True)
def backward_turn(
    start: int, stop: int, begin: int, end: int, offsets: Index, transposed_u: Array, transposed_w: Array, code_c: int,
    code_h: int, mask: Array, x: Array, gates: Array, cells: Array, fed: Array, delta_out: Array, delta_h: Array,
    delta_s: Array, dz: Array, gradients: Array, d_x: Array, work: Array,
) -> None:
    """Steps start to stop - 1 of the chunk begin to end - 1 of `backward`, by one worker; bit for bit the same."""
    for t in range(stop - 1, start - 1 if start > begin else begin - 2, -1):
        _turn(
            t, NONE, delta_h.shape[1], NONE, transposed_u.shape[0], begin, end, offsets, transposed_u, code_c, code_h,
            mask, gates, cells, delta_out, delta_h, delta_s, dz,
        )
    first = offsets[begin]
    _into_inputs(offsets[start] - first, offsets[stop] - first, first, dz, transposed_w, d_x, work)
    if start == begin:
        _sums(NONE, WHOLE, begin, end, offsets, x, fed, dz, gradients, work)


@jit(device=True)
def backward_worker(
    worker: int, workers: int, by_unit: bool, board: Array, offsets: Index, transposed_u: Array, transposed_w: Array,
    code_c: int, code_h: int, mask: Array, x: Array, gates: Array, cells: Array, fed: Array, delta_out: Array,
    delta_h: Array, delta_s: Array, dz: Array, gradients: Array, d_x: Array, scratch: Array,
) -> None:
    """A worker's share of `backward`."""
    end, phase, batch = offsets.shape[0] - 1, NONE, delta_h.shape[1]
    while end > 0:
        begin = chunk_begin(offsets, end, dz.shape[1])
        turns = 1 if by_unit else end - begin + 1  # of a phase
        for top in range(end - 1, begin - 2, -turns):
            part = take(board, worker, workers, phase)
            while part >= 0:
                row, last_row = (NONE, batch) if by_unit else span(part, workers, batch)
                panel, last_panel = span(part, workers, transposed_u.shape[0]) if by_unit else (
                    NONE, transposed_u.shape[0]
                )
                for t in range(top, top - turns, -1):
                    _turn(
                        t, row, last_row, panel, last_panel, begin, end, offsets, transposed_u, code_c, code_h, mask,
                        gates, cells, delta_out, delta_h, delta_s, dz,
                    )
                done(board, part, phase)
                part = take(board, worker, workers, phase)
            phase += 1
        products_phase(
            worker, workers, board, phase, begin, end, offsets, x, fed, dz, transposed_w, gradients, d_x, scratch
        )
        phase += 1
        end = begin


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
        First row of each step, and N; see `forward`.
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


@jit()
def backward(
    offsets: Index, transposed_u: Array, transposed_w: Array, code_c: int, code_h: int, mask: Array, x: Array,
    gates: Array, cells: Array, fed: Array, delta_out: Array, delta_h: Array, delta_s: Array, dz: Array,
    gradients: Array, d_x: Array, scratch: Array, board: Array, workers: int,
) -> None:
    """Sweep back over all steps; mirrors `oracle.LSTM.back_propagate_through_time` without truncation.

    Parameters
    ----------
    offsets, x, fed, gradients, d_x, scratch, workers
        As for `weight_gradients`.
    transposed_u, transposed_w : arrays of `pack.transposed_shape`
        U and W, from `pack.pack_transposed`.
    code_c, code_h : int
        Activation codes a0 and a1.
    mask
        As for `forward.forward`.
    gates, cells : (units / lanes rounded up, N, 4 lanes) and (units / lanes rounded up, batch + N, lanes) arrays
        From `forward.forward`, keeping.
    delta_out : (N, H) array
        The gradient that each step's output sends to its hidden state.
    delta_h : (panels of `transposed_u`, batch, 4 lanes) array
    delta_s : (units / lanes rounded up, batch, lanes) array
        Gradients at the final state on entry, zero where there is no unit; at the initial state on return.
    dz : (units / lanes rounded up, rows, 4 lanes) array
        Overwritten; as many rows as should be worked on at once, at least those of one step.
    board : (workers, `phases.BOARD`) int64 array
        Overwritten.

    Notes
    -----
    16 N H (input + H) flops.
    """
    clear(board)
    by_unit = shares_units(delta_h.shape[1], delta_out.shape[1], transposed_u.shape[0], workers)
    share(
        backward_worker,
        (
            by_unit, board, offsets, transposed_u, transposed_w, code_c, code_h, mask, x, gates, cells, fed, delta_out,
            delta_h, delta_s, dz, gradients, d_x, scratch,
        ),
        workers,
    )
