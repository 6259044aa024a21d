"""The loop over time, backwards: truncated back-propagation through time.

The oracle walks back K steps from every time step on its own, T (K + 1) matrix-vector products and outer products.
Here all those windows step back together, one lag after the other, and every lag is one matrix product; the
gradients at the pre-activations are summed per step, so that weight gradients are formed once, afterwards
(`affine.affine_backward`). Only the order of summation differs. The family of gradients is BPTT(h; h') of Williams &
Peng (1990), section 4, with h = K + 1 and h' = 1. Without truncation the windows merge into one sweep whose cost is
linear in T.

`exact` tells what goes one step back through the hidden filter gate: its gradient times its recurrent weights (true),
or the gradient itself (false: what the "reference" gradient does).
"""

from numba import prange

from fastlstm_kernels.arrays import Array, Index, intp
from fastlstm_kernels.forward import previous_row
from fastlstm_kernels.gates import cell_backward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.products import ONE, ZERO, add_rows
from fastlstm_kernels.threads import BLOCK, span

TILE = 32
"""Windows that a worker steps back together, at least; their dz stay in the second-level cache."""


@jit(device=True)
def _into_hidden(dz: Array, first: int, rows: int, u: Array, exact: bool, delta_h: Array, out: int) -> None:
    """Gradient at the hidden states one step back: ``delta_h[out:] = dz[first:] @ u``, or its "reference" form."""
    size = delta_h.shape[1]
    for k in range(rows):
        for j in range(size):
            delta_h[out + k, j] = 0 if exact else dz[first + k, 3 * size + j]
    add_rows(dz.ravel(), first * 4 * size, 4 * size, ONE, rows, 4 * size if exact else 3 * size, u, delta_h, out)


@jit(device=True)
def _step_back(
    lag: int, goes_on: bool, begin: int, end: int, windows: Index, offsets: Index, u: Array, gates: Array,
    cells: Array, filtered: Array, code_c: int, code_h: int, exact: bool, delta_h: Array, delta_s: Array, first: int,
    dz_sum: Array, tile: Array,
) -> None:
    """Windows begin to end - 1 of a tile, from `lag` steps back to one more.

    ``windows[0, k]`` is the row of window k's own step, ``windows[1, k]`` that step; its gradients are in row
    ``first + k`` of delta_h and delta_s.
    """
    batch = cells.shape[0] - gates.shape[0]
    for k in range(begin, end):
        t, d = windows[1, k], first + k
        r = windows[0, k] - offsets[t]
        at, before = offsets[t - lag] + r, previous_row(offsets, batch, t - lag) + r
        if lag == 0:
            for j in range(delta_s.shape[1]):
                delta_s[d, j] = 0
        cell_backward(delta_h[d], delta_s[d], gates[at], cells[before], filtered[at], code_c, code_h, tile[k])
        # A step's own window comes to it before those that reach back to it, so it need not be zero before.
        if lag == 0:
            for j in range(tile.shape[1]):
                dz_sum[at, j] = tile[k, j]
        else:
            for j in range(tile.shape[1]):
                dz_sum[at, j] += tile[k, j]
    if goes_on:
        _into_hidden(tile, begin, end - begin, u, exact, delta_h, first + begin)


@jit(device=True)
def _lag_worker(
    worker: int, workers: int, lag: int, goes_on: bool, offsets: Index, u: Array, gates: Array, cells: Array,
    filtered: Array, code_c: int, code_h: int, exact: bool, delta_h: Array, delta_s: Array, dz_sum: Array, tile: Array,
    windows: Index,
) -> None:
    """One lag of a share of all windows; other workers must be at the same lag."""
    begin, end = span(worker, workers, offsets[-1] - offsets[lag])
    t = lag
    for first in range(offsets[lag] + begin, offsets[lag] + end, TILE):
        rows = min(TILE, offsets[lag] + end - first)
        for k in range(rows):
            while first + k >= offsets[t + 1]:
                t += 1
            windows[0, k], windows[1, k] = first + k, t
        _step_back(
            lag, goes_on, ZERO, rows, windows, offsets, u, gates, cells, filtered, code_c, code_h, exact, delta_h,
            delta_s, first, dz_sum, tile,
        )


@jit(device=True)
def _sequence_worker(
    worker: int, workers: int, truncate: int, offsets: Index, u: Array, gates: Array, cells: Array, filtered: Array,
    code_c: int, code_h: int, exact: bool, delta_out: Array, delta_h: Array, delta_s: Array, dz_sum: Array,
    tile: Array, windows: Index,
) -> None:
    """All lags of a share of the sequences, a few steps at a time, so that what they touch stays in cache."""
    batch, duration = cells.shape[0] - gates.shape[0], offsets.shape[0] - 1
    stretch = TILE // max(1, min(BLOCK, batch))
    for r in range(worker * BLOCK, batch, workers * BLOCK):
        for start in range(0, duration, stretch):
            rows = ZERO
            for t in range(start, min(duration, start + stretch)):
                for n in range(offsets[t] + r, min(offsets[t] + r + BLOCK, offsets[t + 1])):
                    windows[0, rows], windows[1, rows] = n, t
                    for j in range(delta_h.shape[1]):
                        delta_h[rows, j] = delta_out[n, j]
                    rows += 1
            begin = ZERO
            for lag in range(min(truncate + 1, start + stretch)):
                while begin < rows and windows[1, begin] < lag:
                    begin += 1
                _step_back(
                    lag, lag < truncate, begin, rows, windows, offsets, u, gates, cells, filtered, code_c, code_h,
                    exact, delta_h, delta_s, ZERO, dz_sum, tile,
                )


@jit(parallel=True)
def truncated_backward(
    offsets: Index, truncate: int, exact: bool, u: Array, gates: Array, cells: Array, filtered: Array, code_c: int,
    code_h: int, delta_h: Array, dz_sum: Array, delta_s: Array, tiles: Array, deltas: Array, windows: Index,
    workers: int,
) -> None:
    """Step every window back `truncate` steps; mirrors `oracle.LSTM.back_propagate_through_time`.

    Parameters
    ----------
    offsets : (T + 1,) intp array
        First row of each step, and N; see `forward`.
    truncate : int
        K: how many steps a window reaches back, 0 or more.
    exact : bool
        Which gradient; see above.
    u : (4 H, H) array
        Recurrent weights, gates in the order f, i, c, hf.
    gates, cells, filtered : (N, 4 H), (batch + N, H) and (N, H) arrays
        From `forward_record`.
    code_c, code_h : int
        Activation codes a0 and a1.
    delta_h : (N, H) array
        On entry the gradient that each step's output sends to its hidden state; overwritten.
    dz_sum : (N, 4 H) array
        Written: gradients at the pre-activations of each step, summed over the windows that hold it.
    delta_s, tiles, deltas : (N, H), (workers, TILE, 4 H) and (workers, 2, TILE, H) arrays
        Overwritten.
    windows : (workers, 2, TILE) intp array
        Overwritten.
    workers : int
        Shares of the work: by sequences where there are enough; else by windows, one lag after the other, for within
        a lag no two windows meet at a step. Sums have the same order in both.

    Notes
    -----
    8 N K H² flops.
    """
    # One region serves both ways of sharing, since every region is compiled, with all under it, once more.
    batch = cells.shape[0] - gates.shape[0]
    by_sequence = batch >= BLOCK * workers or workers == 1
    for lag in range(1 if by_sequence else min(truncate + 1, offsets.shape[0] - 1)):
        for share in prange(workers):
            if by_sequence:
                _sequence_worker(
                    intp(share), workers, truncate, offsets, u, gates, cells, filtered, code_c, code_h, exact, delta_h,
                    deltas[share, 0], deltas[share, 1], dz_sum, tiles[share], windows[share],
                )
            else:
                _lag_worker(
                    intp(share), workers, lag, lag < truncate, offsets, u, gates, cells, filtered, code_c, code_h,
                    exact, delta_h, delta_s, dz_sum, tiles[share], windows[share],
                )


@jit(device=True)
def _full_worker(
    worker: int, workers: int, offsets: Index, exact: bool, u: Array, gates: Array, cells: Array, filtered: Array,
    code_c: int, code_h: int, delta_out: Array, delta_h: Array, delta_s: Array, dz: Array,
) -> None:
    batch, size = delta_h.shape
    for t in range(offsets.shape[0] - 2, -1, -1):
        start, before = offsets[t], previous_row(offsets, batch, t)
        for r in range(worker * BLOCK, offsets[t + 1] - start, workers * BLOCK):
            n, rows = start + r, min(BLOCK, offsets[t + 1] - start - r)
            for k in range(rows):
                for j in range(size):
                    delta_h[r + k, j] += delta_out[n + k, j]
                cell_backward(
                    delta_h[r + k], delta_s[r + k], gates[n + k], cells[before + r + k], filtered[n + k], code_c,
                    code_h, dz[n + k],
                )
            _into_hidden(dz, n, rows, u, exact, delta_h, r)


@jit(parallel=True)
def full_backward(
    offsets: Index, exact: bool, u: Array, gates: Array, cells: Array, filtered: Array, code_c: int, code_h: int,
    delta_out: Array, delta_h: Array, delta_s: Array, dz: Array, workers: int,
) -> None:
    """Sweep back over all steps once; mirrors `oracle.LSTM.back_propagate_through_time` without truncation.

    Parameters
    ----------
    offsets, exact, u, gates, cells, filtered, code_c, code_h
        As for `truncated_backward`.
    delta_out : (N, H) array
        The gradient that each step's output sends to its hidden state.
    delta_h, delta_s : (batch, H) arrays
        Gradients at the final state on entry, at the initial state on return.
    dz : (N, 4 H) array
        Written: gradients at the pre-activations.
    workers : int
        Shares of the work; each takes all time steps of its own sequences.

    Notes
    -----
    8 N H² flops.
    """
    for share in prange(workers):
        _full_worker(
            intp(share), workers, offsets, exact, u, gates, cells, filtered, code_c, code_h, delta_out, delta_h,
            delta_s, dz,
        )
