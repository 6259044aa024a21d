"""The loop over time, forwards. How rows lie: see `batch`.

What a step gives to the next one, `fed`, is the hidden state itself, or that times a mask which stays the same for all
steps of a sequence: the dropout of Gal & Ghahramani (2016), "A theoretically grounded application of dropout in
recurrent neural networks", section 4.

Workers share the units of each step: each reads its part of the weights only, which then stays in its cache. Where a
step is too small to wait for others after it, each worker runs all time steps of its own sequences instead.
"""

from typing import Any

from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.batch import previous_row
from fastlstm_kernels.gates import cell_forward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.phases import clear, done, take
from fastlstm_kernels.rows import times_rows
from fastlstm_kernels.simd import Count, Machine, Place, operation
from fastlstm_kernels.threads import share, shares_units, span
from fastlstm_kernels.tile import WIDTH, each_tile, multiply, product

TOGETHER = 96
"""Rows of several short steps whose inputs go through the weights together."""

PIPELINED = 16
"""Cells, at least, that are computed after one another."""


@jit(device=True, inline=True)
def _add_inputs(
    x: Array, row: int, rows: int, panels: Array, first: int, last: int, z: Array, at: int
) -> None:
    """What some rows of the inputs send to panels first to last - 1 of the gates, biases included."""
    inputs, width = x.shape[1], panels.shape[2]
    multiply(
        x, row * inputs, inputs, ONE, ONE, ZERO, inputs, rows, panels, width, panels.shape[1] * width, first, last,
        last * width, True, z, at * width, width, z.shape[1] * width,
    )


@jit(device=True, inline=True)
def _add_recurrent(
    hidden: Array, row: int, rows: int, inputs: int, panels: Array, first: int, last: int, z: Array, at: int
) -> None:
    """What some rows of hidden states send to panels first to last - 1 of the gates."""
    size, width = hidden.shape[1], panels.shape[2]
    multiply(
        hidden, row * size, size, ONE, ONE, ZERO, size, rows, panels, (1 + inputs) * width,
        panels.shape[1] * width, first, last, last * width, False, z, at * width, width, z.shape[1] * width,
    )


def step_tiles(
    v: Machine, code_c: Any, code_h: Any, rows: Any, first: Any, last: Any, size: Any, h_prev: Any, panels: Any,
    panel: Any, z: Any, z_panel: Any, s_prev: Any, s: Any, s_panel: Any, h: Any, begin: Any,
) -> None:
    """One step of some rows and of panels first to last - 1.

    The places are those of the first row, of unit 0, and, for the weights, of the first hidden state's; ``begin(p, row,
    many, place)`` makes sure that what the inputs send to a tile is in z. (To go through the panels backwards every
    second step, for what the cache still holds, gained 10 % at 256 units, nothing at 512.)
    """
    width = WIDTH * v.lanes
    # A cell's operations wait for each other, so several rows or panels must be under way at once: panel by panel,
    # one row took 1.6 times as long.
    group = v.quotient(rows + (PIPELINED - 1), rows)

    def of_group(k: Any) -> list[Any]:
        start = first + k * group
        count = v.least(group, last - start)

        def product_of_panel(k: Any) -> list[Any]:
            p = start + k

            def of_tile(row: Any, many: Any) -> None:
                place = z + (p * z_panel + row * width)
                begin(p, row, many, place)
                a, b = h_prev + row * size, panels + p * panel
                v.shared(product, many, WIDTH, place, width, a, size, 1, 1, 0, size, b, place, width)

            each_tile(v, rows, of_tile)
            return []

        def cells_of_panel(k: Any) -> list[Any]:
            p = start + k
            unit = p * v.lanes
            cell_forward(
                v, code_c, code_h, rows, size - unit, z + p * z_panel, s_prev + p * s_panel, s + p * s_panel, h + unit,
                size,
            )
            return []

        v.repeat(count, [], product_of_panel)
        v.repeat(count, [], cells_of_panel)
        return []

    v.repeat(v.quotient(last - first + (group - 1), group), [], of_group)


@operation
def _step_panels(
    v: Machine, code_c: Count, code_h: Count, rows: Count, first: Count, last: Count, size: Count, h_prev: Place,
    panels: Place, panel: Count, z: Place, z_panel: Count, s_prev: Place, s: Place, s_panel: Count, h: Place,
) -> None:
    """`step_tiles`, where the inputs have been added into z."""
    step_tiles(
        v, code_c, code_h, rows, first, last, size, h_prev, panels, panel, z, z_panel, s_prev, s, s_panel, h,
        lambda *_: None,
    )


@jit(device=True, inline=True)
def _step(
    t: int, row: int, rows: int, first: int, last: int, keep: bool, offsets: Index, inputs: int, panels: Array,
    code_c: int, code_h: int, mask: Array, z: Array, at: int, cells: Array, hidden: Array, fed: Array,
) -> None:
    """One step of some sequences and panels, whose inputs have been added into z."""
    size, width, vector = hidden.shape[1], panels.shape[2], cells.shape[2]
    batch = hidden.shape[0] - offsets[-1]
    before, here = previous_row(offsets, batch, t) + row, batch + offsets[t] + row
    s_prev, s = (before, here) if keep else (row, row)
    _step_panels(
        code_c, code_h, rows, first, last, size, fed, before * size, panels, (1 + inputs) * width,
        panels.shape[1] * width, z, at * width, z.shape[1] * width, cells, s_prev * vector, cells, s * vector,
        cells.shape[1] * vector, hidden, here * size,
    )
    if mask.shape[0]:
        unit, place = first * vector, here * size + first * vector
        times_rows(
            rows, min(size, last * vector) - unit, hidden, place, size, mask, row * size + unit, size, fed, place, size
        )


@jit(device=True)
def forward_worker(
    worker: int, workers: int, by_unit: bool, start: int, stop: int, board: Array, keep: bool, offsets: Index, x: Array,
    panels: Array, code_c: int, code_h: int, mask: Array, z: Array, cells: Array, hidden: Array, fed: Array,
) -> None:
    """A worker's share of steps start to stop - 1 of `forward`, for which the board is clear."""
    inputs = x.shape[1]
    if not by_unit:
        row, last_row = span(worker, workers, hidden.shape[0] - offsets[-1])
        for t in range(start, stop):
            rows = min(last_row, offsets[t + 1] - offsets[t]) - row
            if rows <= 0:
                break
            at = row + offsets[t] if keep else row
            _add_inputs(x, row + offsets[t], rows, panels, ZERO, panels.shape[0], z, at)
            _step(
                t, row, rows, ZERO, panels.shape[0], keep, offsets, inputs, panels, code_c, code_h, mask, z, at, cells,
                hidden, fed,
            )
        return
    begin = end = start
    for t in range(start, stop):
        rows = offsets[t + 1] - offsets[t]
        if rows == 0:
            break
        fresh = t == end
        if fresh:
            begin, end = end, end + 1
            while end < stop and offsets[end + 1] - offsets[begin] <= TOGETHER:
                end += 1
        origin = ZERO if keep else offsets[begin]
        part = take(board, worker, workers, t - start)
        while part >= 0:
            first, last = span(part, workers, panels.shape[0])
            if fresh:
                many = offsets[end] - offsets[begin]
                _add_inputs(x, offsets[begin], many, panels, first, last, z, offsets[begin] - origin)
            _step(
                t, ZERO, rows, first, last, keep, offsets, inputs, panels, code_c, code_h, mask, z,
                offsets[t] - origin, cells, hidden, fed,
            )
            done(board, part, t - start)
            part = take(board, worker, workers, t - start)


@jit(device=True, inline=True)
def run_forward(
    x: Array, offsets: Index, panels: Array, code_c: int, code_h: int, keep: bool, mask: Array, z: Array, cells: Array,
    hidden: Array, fed: Array, board: Array, workers: int,
) -> None:
    """`forward`, for other kernels: LLVM optimizes a callee once more in every function above it."""
    clear(board)
    by_unit = shares_units(hidden.shape[0] - offsets[-1], hidden.shape[1], panels.shape[0], workers)
    share(
        forward_worker,
        (
            by_unit, ZERO, offsets.shape[0] - 1, board, keep, offsets, x, panels, code_c, code_h, mask, z, cells,
            hidden, fed,
        ),
        workers,
    )


@jit()
def forward(
    x: Array, offsets: Index, panels: Array, code_c: int, code_h: int, keep: bool, mask: Array, z: Array, cells: Array,
    hidden: Array, fed: Array, board: Array, workers: int,
) -> None:
    """Run the cell over every step; mirrors `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    x : (N, input) array
        Inputs.
    offsets : (T + 1,) intp array
        First row of each step, and N.
    panels : array of `pack.panels_shape`
        Weights, from `pack.pack`.
    code_c, code_h : int
        Activation codes a0 and a1.
    keep : bool
        Whether all that the way back needs is kept.
    mask : (batch, H) array
        What the hidden states of each sequence are multiplied with on their way to the next step. Without rows: ones.
    z : (units / lanes rounded up, rows, 4 lanes) array
        Overwritten. To be kept it has N rows, and then it holds the gates F, I, C, Hf of each vector of units;
        otherwise TOGETHER rows, and at least as many as a step.
    cells : (units / lanes rounded up, batch + N or batch, lanes) array
        Cell states: kept for all rows, after `batch` initial ones; or carried in place.
    hidden : (batch + N, H) array
        The first `batch` rows hold the initial state; the rest is written.
    fed : (batch + N, H) array
        The same times the mask, the initial state too; `hidden` itself where there is no mask.
    board : (workers, `phases.BOARD`) int64 array
        Overwritten.
    workers : int
        Shares of the work.

    Notes
    -----
    8 N H (input + H) flops; each step reads the weights once, or once per worker.
    """
    run_forward(
        x, offsets, panels, code_c, code_h, keep, mask, z, cells, hidden, fed, board, workers,
    )


@jit()
def preactivations(x: Array, offsets: Index, panels: Array, z: Array, hidden: Array, workers: int) -> None:
    """The gates' pre-activations of a run whose hidden states are known, bit for bit those of the run.

    Parameters
    ----------
    x, offsets, panels, hidden, workers
        As for `forward`, which has filled `hidden`.
    z : (units / lanes rounded up, N, 4 lanes) array
        Written.

    Notes
    -----
    8 N H (input + H) flops.
    """
    share(_preactivations_worker, (x, offsets, panels, z, hidden), workers)


@jit(device=True)
def _preactivations_worker(
    worker: int, workers: int, x: Array, offsets: Index, panels: Array, z: Array, hidden: Array
) -> None:
    batch = hidden.shape[0] - offsets[-1]
    first, last = span(worker, workers, panels.shape[0])
    _add_inputs(x, ZERO, offsets[-1], panels, first, last, z, ZERO)
    for t in range(offsets.shape[0] - 1):
        _add_recurrent(
            hidden, previous_row(offsets, batch, t), offsets[t + 1] - offsets[t], x.shape[1], panels, first, last, z,
            offsets[t],
        )
