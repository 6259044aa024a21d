"""The loop over time, backwards: truncated back-propagation through time.

The steps come in groups of `stride`. The errors of a group are walked back together, over the group and the `truncate`
steps before it: BPTT(h; h') of Williams & Peng (1990), section 4, with h' = stride and h = truncate + stride. The
oracle does so window by window. Here all windows step back together, one lag after the other, and every lag is one
matrix product; the gradients at the pre-activations are summed per step, so that weight gradients are formed once,
afterwards. Only the order of summation differs.
"""

import numpy as np

from fastlstm_kernels.arrays import ZERO, Array, Index
from fastlstm_kernels.backward import into_hidden, times_mask
from fastlstm_kernels.batch import previous_row
from fastlstm_kernels.gates import FACTORS, Errors, Forward, cell_factors, windows_backward
from fastlstm_kernels.gradients import products_phase
from fastlstm_kernels.jit import jit
from fastlstm_kernels.phases import SYNC_LINE, finish, next_part
from fastlstm_kernels.simd import Place
from fastlstm_kernels.structs import Batch, Deltas, Scratch, Tape, Window
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH

WINDOW_ROWS = 36
"""Rows of windows that step back together, about; their dz stay in the second-level cache. 48 and 72 gain nothing."""

WINDOW_SEQUENCES = 4
"""Sequences whose windows step back together."""


@jit(device=True)
def _factors_of(
    first: int, last: int, offsets: Index, codes: tuple[int, int], gates: Array, cells: Array, factors: Array
) -> None:
    """What windows multiply with at the steps first to last - 1."""
    sequences, vector = cells.shape[1] - gates.shape[1], cells.shape[2]
    t = first
    while t < last:
        at, before = offsets[t], previous_row(offsets, sequences, t)
        t += 1
        # States follow each other in memory, through many steps, as long as no sequence ends.
        while t < last and previous_row(offsets, sequences, t) - before == offsets[t] - at:
            t += 1
        for p in range(gates.shape[0]):
            state = p * cells.shape[1]
            forward = Forward(
                Place(gates, (p * gates.shape[1] + at) * WIDTH * vector), Place(cells, (state + before) * vector),
                Place(cells, (state + sequences + at) * vector),
            )
            cell_factors(
                codes[0], codes[1], offsets[t] - at, forward, factors, (p * gates.shape[1] + at) * FACTORS * vector
            )


@jit(device=True, inline=True)
def _present(offsets: Index, t: int, row: int, count: int) -> int:
    """How many of `count` sequences from `row` on are still there at step t, which may come after the last."""
    found: int = 0 if t >= offsets.shape[0] - 1 else max(0, min(row + count, offsets[t + 1] - offsets[t]) - row)
    return found


@jit(device=True)
def _set_row(out: Array, at: int, a: Array, row: int) -> None:
    """out[:, at] = a[:, row], for which Numba would allocate."""
    for p in range(out.shape[0]):
        for j in range(out.shape[2]):
            out[p, at, j] = a[p, row, j]


@jit(device=True)
def _add_row(out: Array, at: int, a: Array, row: int) -> None:
    """out[:, at] += a[:, row]."""
    for p in range(out.shape[0]):
        for j in range(out.shape[2]):
            out[p, at, j] += a[p, row, j]


@jit(device=True, inline=True)
def _cells_back(
    lag: int, groups: tuple[int, int], base: int, sequences: tuple[int, int], store: int, worker: int, offsets: Index,
    d_y: Array, scratch: Scratch, window: Window,
) -> None:
    """dz of the windows of some groups at the steps that are `lag` before the last of their group.

    The arguments are those of `_step_back`. Their dz go to the rows from ``(g - begin) * count`` on of the worker's;
    rows of sequences that have ended are zero.
    """
    (begin, end), (row, last_row), stride, factors = groups, sequences, window.stride, window.factors
    count, size, duration = last_row - row, d_y.shape[1], offsets.shape[0] - 1
    d_h, d_c, dz, dz_sum = window.d_h[store], window.d_c[store], window.dz[worker], scratch.dz
    panel, vector, own = dz.shape[2], d_c.shape[2], lag < stride
    g = max(begin, lag // stride)  # of the windows that are not yet before the first step
    while g < end:
        t = (g + 1) * stride - 1 - lag
        rows = _present(offsets, t, row, count)
        distance = offsets[t + stride] - offsets[t] if t + stride < duration else ZERO
        d, k, n = (g - base) * count, (g - begin) * count, ZERO
        while True:  # the windows that follow, as long as their rows follow as regularly
            if rows < count:
                dz[:, k + n * count + rows : k + (n + 1) * count] = 0
            if own and rows:
                here = t + n * stride
                for r in range(_present(offsets, here + 1, row, count), rows):  # sequences whose last step this is
                    _set_row(d_h, d + n * count + r, scratch.d_h, row + r)
                    _set_row(d_c, d + n * count + r, scratch.d_c, row + r)
            n += 1
            t_next = t + n * stride
            if g + n == end or _present(offsets, t_next, row, count) != rows:
                break
            if rows and offsets[t_next] - offsets[t_next - stride] != distance:
                break
        if rows:
            at = offsets[t] + row
            for p in range(dz.shape[0]):
                unit = p * vector
                errors = Errors(
                    Place(d_y, at * size + unit), size,
                    Place(d_h, (p // WIDTH * d_h.shape[1] + d) * panel + p % WIDTH * vector),
                    Place(d_c, (p * d_c.shape[1] + d) * vector), Place(dz, (p * dz.shape[1] + k) * panel),
                )
                windows_backward(
                    n, rows, distance, count, size - unit, own, factors,
                    (p * factors.shape[1] + at) * FACTORS * vector, errors, dz_sum, (p * dz_sum.shape[1] + at) * panel,
                )
        g += n


@jit(device=True)
def _step_back(
    lag: int, groups: tuple[int, int], base: int, sequences: tuple[int, int], store: int, worker: int, batch: Batch,
    mask: Array, d_y: Array, back: tuple[Scratch, Window],
) -> None:
    """Windows of some groups and sequences, from `lag` steps back to one more; ranges are first and last-plus-one.

    `lag` is the distance from a group's last step. The gradients at the states of group g are in the rows from
    ``(g - base) * count`` on of the window's `d_h` and `d_c`, of which `store` is used.
    """
    (begin, end), (row, last_row), (scratch, window), offsets = groups, sequences, back, batch.offsets
    count, stride, transposed = last_row - row, window.stride, scratch.transposed_u
    d_h, d_c, panels = window.d_h[store], window.d_c[store], transposed.shape[0]
    first = max(begin, lag // stride)  # of the windows that are not yet before the first step
    if lag == 0:
        d_h[:, (begin - base) * count : (end - base) * count] = 0
        d_c[:, (begin - base) * count : (end - base) * count] = 0
    _cells_back(lag, groups, base, sequences, store, worker, offsets, d_y, scratch, window)
    begins = (first + 1) * stride - 1 == lag  # the first window has walked back over step 0
    last = end if lag + 1 < window.truncate + stride else first + begins
    if last > first:
        d = (first - base) * count
        into_hidden(
            window.dz[worker], (first - begin) * count, (last - first) * count, transposed, ZERO, panels, d_h, d
        )
        if mask.shape[0]:
            for k in range(last - first):
                times_mask(mask, row, count, ZERO, panels, d_h, d + k * count)
        if begins:
            for r in range(_present(offsets, ZERO, row, count)):
                _add_row(window.d_h_0, row + r, d_h, d + r)
                _add_row(window.d_c_0, row + r, d_c, d + r)


@jit(device=True, inline=True)
def _by_sequence(
    part: int, parts: int, worker: int, batch: Batch, mask: Array, d_y: Array, back: tuple[Scratch, Window]
) -> None:
    """All lags of a few windows of a part's sequences, then of the next few."""
    offsets, window = batch.offsets, back[1]
    sequences, duration, stride, reach = (
        back[0].d_h.shape[1], offsets.shape[0] - 1, window.stride, window.truncate + window.stride
    )
    for row in range(part * WINDOW_SEQUENCES, sequences, parts * WINDOW_SEQUENCES):
        last_row, steps = min(row + WINDOW_SEQUENCES, sequences), duration
        while steps > 0 and offsets[steps] - offsets[steps - 1] <= row:
            steps -= 1
        groups, stretch = (steps + stride - 1) // stride, WINDOW_ROWS // (last_row - row)
        for begin in range(0, groups, stretch):
            end = min(groups, begin + stretch)
            for lag in range(min(reach, end * stride)):
                _step_back(lag, (begin, end), begin, (row, last_row), worker, worker, batch, mask, d_y, back)


@jit(device=True)
def _truncated_worker(
    worker: int, workers: int, by_sequence: bool, codes: tuple[int, int], batch: Batch, tape: Tape, deltas: Deltas,
    back: tuple[Scratch, Window], sync: Array,
) -> None:
    """Phases: the factors of all steps; the windows; the products."""
    (scratch, window), offsets, d_y, mask = back, batch.offsets, deltas.d_y, tape.mask
    sequences, duration, stride = scratch.d_h.shape[1], offsets.shape[0] - 1, window.stride
    phase, groups = ZERO, (duration + stride - 1) // stride
    part = next_part(sync, worker, workers, phase)
    while part >= 0:
        first, last = span(part, workers, duration)
        _factors_of(first, last, offsets, codes, tape.gates, tape.cells, window.factors)
        finish(sync, part, phase)
        part = next_part(sync, worker, workers, phase)
    phase += 1
    if by_sequence:
        part = next_part(sync, worker, workers, phase)
        while part >= 0:
            _by_sequence(part, workers, worker, batch, mask, d_y, back)
            finish(sync, part, phase)
            part = next_part(sync, worker, workers, phase)
        phase += 1
    else:  # a part of one lag of many windows, then of the next lag
        many, stretch = window.d_h.shape[2] // sequences, max(1, WINDOW_ROWS // sequences)
        for base in range(0, groups, many):
            top = min(groups, base + many)
            for lag in range(min(window.truncate + stride, top * stride)):
                lowest = max(base, lag // stride)
                part = next_part(sync, worker, workers, phase)
                while part >= 0:
                    first, last = span(part, workers, top - lowest)
                    for begin in range(lowest + first, lowest + last, stretch):
                        end = min(lowest + last, begin + stretch)
                        _step_back(
                            lag, (begin, end), base, (ZERO, sequences), ZERO, worker, batch, mask, d_y, back
                        )
                    finish(sync, part, phase)
                    part = next_part(sync, worker, workers, phase)
                phase += 1
    products_phase(worker, workers, sync, phase, (ZERO, duration), batch, tape.h_in, deltas.d_x, scratch)


@jit()
def shares_windows(batch: int, workers: int) -> bool:
    """Whether workers share the windows of each lag, the sequences being too few to share."""
    return workers > 1 and batch < WINDOW_SEQUENCES * workers


@jit(device=True, inline=True)
def run_truncated(
    codes: tuple[int, int], batch: Batch, tape: Tape, deltas: Deltas, scratch: Scratch, window: Window, workers: int
) -> None:
    """Walk the errors of each group of steps back; mirrors `oracle.LSTM.back_propagate_through_time`.

    Parameters
    ----------
    codes, batch, tape, deltas
        As for `backward.run_backward`.
    scratch : Scratch
        U and W are packed; `d_h` and `d_c` hold the gradients at the final states, which are part of the errors of each
        sequence's last step.
    window : Window
        `d_h_0` and `d_c_0` are added to.
    workers : int
        Shares of the work: by sequences where there are enough; else by windows, one lag after the other, for within
        a lag no two windows meet at a step. Sums have the same order in both.

    Notes
    -----
    8 N H ((K / stride + 1) H + 2 input + H) flops.
    """
    sync = np.zeros((workers, SYNC_LINE), np.int64)
    by_sequence = not shares_windows(scratch.d_h.shape[1], workers)
    share(_truncated_worker, (by_sequence, codes, batch, tape, deltas, (scratch, window), sync), workers)
