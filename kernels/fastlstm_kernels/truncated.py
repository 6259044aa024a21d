"""The loop over time, backwards: truncated back-propagation through time.

The oracle walks back K steps from every time step on its own, T (K + 1) matrix-vector products and outer products.
Here all those windows step back together, one lag after the other, and every lag is one matrix product; the
gradients at the pre-activations are summed per step, so that weight gradients are formed once, afterwards
(`backward.weight_gradients`). Only the order of summation differs. The family of gradients is BPTT(h; h') of Williams
& Peng (1990), section 4, with h = K + 1 and h' = 1.
"""

from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.backward import into_hidden, weight_gradients
from fastlstm_kernels.forward import NONE, previous_row
from fastlstm_kernels.gates import cell_backward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH

TILE = 36
"""Windows that step back together, about; their dz stay in the second-level cache."""

BLOCK = 4
"""Sequences whose windows step back together."""


@jit(device=True)
def _step_back(
    lag: int, goes_on: bool, begin: int, end: int, base: int, row: int, width: int, offsets: Index, transposed: Array,
    code_c: int, code_h: int, gates: Array, cells: Array, delta_out: Array, delta_h: Array, delta_s: Array,
    dz_sum: Array, tile: Array,
) -> None:
    """Windows of the steps begin to end - 1 and `width` sequences from `row` on, from `lag` steps back to one more.

    The gradients of the windows of step t are in the rows from ``(t - base) * width`` on of delta_h and delta_s; their
    dz go to the rows from ``(t - begin) * width`` on of the tile. Rows of sequences that have ended hold nothing.
    """
    batch, size = cells.shape[1] - gates.shape[1], delta_out.shape[1]
    panel, vector = tile.shape[2], cells.shape[2]
    begin_here = max(begin, lag)
    for t in range(begin_here, end):
        rows = min(row + width, offsets[t + 1] - offsets[t]) - row
        if rows <= 0:
            break
        d, k = (t - base) * width, (t - begin) * width
        at, before = offsets[t - lag] + row, previous_row(offsets, batch, t - lag) + row
        if lag == 0:
            delta_h[:, d : d + rows] = 0
            delta_s[:, d : d + rows] = 0
        for p in range(tile.shape[0]):
            unit, state = p * vector, p * cells.shape[1]
            cell_backward(
                code_c, code_h, rows, size - unit, gates, (p * gates.shape[1] + at) * panel,
                cells, (state + before) * vector, cells, (state + batch + at) * vector,
                delta_out, at * size + unit, size, size - unit if lag == 0 else 0,
                delta_h, (p // WIDTH * delta_h.shape[1] + d) * panel + p % WIDTH * vector,
                delta_s, (p * delta_s.shape[1] + d) * vector, tile, (p * tile.shape[1] + k) * panel,
            )
            # A step's own window comes to it before those that reach back to it, so it need not be zero before.
            for r in range(rows):
                if lag == 0:
                    for j in range(panel):
                        dz_sum[p, at + r, j] = tile[p, k + r, j]
                else:
                    for j in range(panel):
                        dz_sum[p, at + r, j] += tile[p, k + r, j]
    if goes_on and begin_here < end:
        into_hidden(
            tile, (begin_here - begin) * width, (end - begin_here) * width, transposed, NONE, transposed.shape[0],
            delta_h, (begin_here - base) * width,
        )


@jit(device=True)
def _windows_worker(
    worker: int, workers: int, by_sequence: bool, lag: int, truncate: int, offsets: Index, transposed: Array,
    code_c: int, code_h: int, gates: Array, cells: Array, delta_out: Array, delta_h: Array, delta_s: Array,
    dz_sum: Array, tiles: Array,
) -> None:
    """All lags of a worker's sequences, few steps at a time; or one lag of its share of the windows of all."""
    batch, duration = cells.shape[1] - gates.shape[1], offsets.shape[0] - 1
    if by_sequence:
        for row in range(worker * BLOCK, batch, workers * BLOCK):
            width = min(BLOCK, batch - row)
            stretch = TILE // width
            for begin in range(0, duration, stretch):
                end = min(duration, begin + stretch)
                for step in range(min(truncate + 1, end)):
                    _step_back(
                        step, step < truncate, begin, end, begin, row, width, offsets, transposed, code_c, code_h,
                        gates, cells, delta_out, delta_h[worker], delta_s[worker], dz_sum, tiles[worker],
                    )
    else:
        stretch = max(1, TILE // batch)
        first, last = span(worker, workers, duration - lag)
        for begin in range(lag + first, lag + last, stretch):
            _step_back(
                lag, lag < truncate, begin, min(lag + last, begin + stretch), NONE, NONE, batch, offsets, transposed,
                code_c, code_h, gates, cells, delta_out, delta_h[0], delta_s[0], dz_sum, tiles[worker],
            )


@jit()
def shares_windows(batch: int, workers: int) -> bool:
    """Whether workers share the windows of each lag, the sequences being too few to share."""
    return workers > 1 and batch < BLOCK * workers


@jit()
def truncated_backward(
    offsets: Index, truncate: int, transposed_u: Array, transposed_w: Array, code_c: int, code_h: int, x: Array,
    gates: Array, cells: Array, hidden: Array, delta_out: Array, delta_h: Array, delta_s: Array, dz_sum: Array,
    tiles: Array, gradients: Array, d_x: Array, scratch: Array, workers: int,
) -> None:
    """Step every window back `truncate` steps; mirrors `oracle.LSTM.back_propagate_through_time`.

    Parameters
    ----------
    truncate : int
        K: how many steps a window reaches back, 0 or more.
    offsets, transposed_u, transposed_w, code_c, code_h, x, gates, cells, hidden, delta_out, gradients, d_x, scratch
        As for `backward.backward`.
    dz_sum : array like `gates`
        Written: gradients at the pre-activations of each step, summed over the windows that hold it.
    delta_h : (stores, panels of `transposed_u`, rows, 4 lanes) array
    delta_s : (stores, units / lanes rounded up, rows, lanes) array
        Overwritten. Where `shares_windows`, one store of T · batch rows; else one for each worker of TILE rows.
    tiles : (workers, units / lanes rounded up, max(TILE, batch), 4 lanes) array
        Overwritten.
    workers : int
        Shares of the work: by sequences where there are enough; else by windows, one lag after the other, for within
        a lag no two windows meet at a step. Sums have the same order in both.

    Notes
    -----
    8 N H (K H + input + H) flops.
    """
    batch, duration = cells.shape[1] - gates.shape[1], offsets.shape[0] - 1
    by_sequence = not shares_windows(batch, workers)
    for lag in range(1 if by_sequence else min(truncate + 1, duration)):
        share(
            _windows_worker,
            (
                by_sequence, lag, truncate, offsets, transposed_u, code_c, code_h, gates, cells, delta_out, delta_h,
                delta_s, dz_sum, tiles,
            ),
            workers,
        )
    weight_gradients(
        NONE, duration, offsets, x, hidden, dz_sum, transposed_w, gradients, d_x, scratch, workers
    )
