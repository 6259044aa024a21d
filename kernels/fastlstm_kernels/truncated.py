"""The loop over time, backwards: truncated back-propagation through time.

The steps come in groups of `stride`. The errors of a group are walked back together, over the group and the `truncate`
steps before it: BPTT(h; h') of Williams & Peng (1990), section 4, with h' = stride and h = truncate + stride. The
oracle does so window by window. Here all windows step back together, one lag after the other, and every lag is one
matrix product; the gradients at the pre-activations are summed per step, so that weight gradients are formed once,
afterwards. Only the order of summation differs.
"""

from fastlstm_kernels.arrays import ZERO, Array, Index
from fastlstm_kernels.backward import into_hidden, times_mask
from fastlstm_kernels.batch import previous_row
from fastlstm_kernels.gates import FACTORS, cell_factors, windows_backward
from fastlstm_kernels.gradients import products_phase
from fastlstm_kernels.jit import jit
from fastlstm_kernels.phases import clear, done, take
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH

TILE = 36
"""Rows of windows that step back together, about; their dz stay in the second-level cache."""

BLOCK = 4
"""Sequences whose windows step back together."""


@jit(device=True)
def _factors_of(
    first: int, last: int, offsets: Index, code_c: int, code_h: int, gates: Array, cells: Array, factors: Array
) -> None:
    """What windows multiply with at the steps first to last - 1."""
    batch, vector = cells.shape[1] - gates.shape[1], cells.shape[2]
    t = first
    while t < last:
        at, before = offsets[t], previous_row(offsets, batch, t)
        t += 1
        # States lie in a row, through many steps, as long as no sequence ends.
        while t < last and previous_row(offsets, batch, t) - before == offsets[t] - at:
            t += 1
        for p in range(gates.shape[0]):
            state = p * cells.shape[1]
            cell_factors(
                code_c, code_h, offsets[t] - at, gates, (p * gates.shape[1] + at) * WIDTH * vector,
                cells, (state + before) * vector, cells, (state + batch + at) * vector,
                factors, (p * gates.shape[1] + at) * FACTORS * vector,
            )


@jit(device=True, inline=True)
def _present(offsets: Index, t: int, row: int, width: int) -> int:
    """How many of `width` sequences from `row` on are still there at step t, which may lie behind the last."""
    found: int = 0 if t >= offsets.shape[0] - 1 else max(0, min(row + width, offsets[t + 1] - offsets[t]) - row)
    return found


@jit(device=True)
def _step_back(
    lag: int, truncate: int, stride: int, begin: int, end: int, base: int, row: int, width: int, offsets: Index,
    transposed: Array, mask: Array, factors: Array, delta_out: Array, final_h: Array, final_s: Array, initial_h: Array,
    initial_s: Array, delta_h: Array, delta_s: Array, dz_sum: Array, tile: Array,
) -> None:
    """Windows of the groups begin to end - 1 and `width` sequences from `row` on, from `lag` steps back to one more.

    A lag counts from the last step of a group. The gradients of the windows of group g are in the rows from
    ``(g - base) * width`` on of delta_h and delta_s; their dz go to the rows from ``(g - begin) * width`` on of the
    tile, where a sequence that is not there has zeros.
    """
    size, duration = delta_out.shape[1], offsets.shape[0] - 1
    panel, vector, own = tile.shape[2], delta_s.shape[2], lag < stride
    first = max(begin, lag // stride)  # of the windows that are not yet before the first step
    if lag == 0:
        delta_h[:, (begin - base) * width : (end - base) * width] = 0
        delta_s[:, (begin - base) * width : (end - base) * width] = 0
    g = first
    while g < end:
        t = (g + 1) * stride - 1 - lag
        rows = _present(offsets, t, row, width)
        apart = offsets[t + stride] - offsets[t] if t + stride < duration else ZERO
        d, k, n = (g - base) * width, (g - begin) * width, ZERO
        while True:  # the windows that follow, as long as their rows follow as regularly
            if rows < width:
                tile[:, k + n * width + rows : k + (n + 1) * width] = 0
            if own and rows:
                here = t + n * stride
                for r in range(_present(offsets, here + 1, row, width), rows):  # sequences whose last step this is
                    delta_h[:, d + n * width + r] = final_h[:, row + r]
                    delta_s[:, d + n * width + r] = final_s[:, row + r]
            n += 1
            t_next = t + n * stride
            if g + n == end or _present(offsets, t_next, row, width) != rows:
                break
            if rows and offsets[t_next] - offsets[t_next - stride] != apart:
                break
        if rows:
            at = offsets[t] + row
            for p in range(tile.shape[0]):
                unit = p * vector
                windows_backward(
                    n, rows, apart, width, size - unit, own, factors, (p * factors.shape[1] + at) * FACTORS * vector,
                    delta_out, at * size + unit, size,
                    delta_h, (p // WIDTH * delta_h.shape[1] + d) * panel + p % WIDTH * vector,
                    delta_s, (p * delta_s.shape[1] + d) * vector, tile, (p * tile.shape[1] + k) * panel,
                    dz_sum, (p * dz_sum.shape[1] + at) * panel,
                )
        g += n
    begins = (first + 1) * stride - 1 == lag  # the first window has walked back over step 0
    last = end if lag + 1 < truncate + stride else first + begins
    if last > first:
        d = (first - base) * width
        into_hidden(
            tile, (first - begin) * width, (last - first) * width, transposed, ZERO, transposed.shape[0], delta_h, d
        )
        if mask.shape[0]:
            for k in range(last - first):
                times_mask(mask, row, width, ZERO, transposed.shape[0], delta_h, d + k * width)
        if begins:
            for r in range(_present(offsets, ZERO, row, width)):
                initial_h[:, row + r] += delta_h[:, d + r]
                initial_s[:, row + r] += delta_s[:, d + r]


@jit(device=True)
def _truncated_worker(
    worker: int, workers: int, by_sequence: bool, board: Array, truncate: int, stride: int, offsets: Index,
    transposed_u: Array, transposed_w: Array, code_c: int, code_h: int, mask: Array, x: Array, gates: Array,
    cells: Array, fed: Array, delta_out: Array, final_h: Array, final_s: Array, initial_h: Array, initial_s: Array,
    delta_h: Array, delta_s: Array, factors: Array, dz_sum: Array, tiles: Array, gradients: Array, d_x: Array,
    scratch: Array,
) -> None:
    """Phases: the factors of all steps; the windows; the products."""
    batch, duration = cells.shape[1] - gates.shape[1], offsets.shape[0] - 1
    phase, groups = ZERO, (duration + stride - 1) // stride
    part = take(board, worker, workers, phase)
    while part >= 0:
        first, last = span(part, workers, duration)
        _factors_of(first, last, offsets, code_c, code_h, gates, cells, factors)
        done(board, part, phase)
        part = take(board, worker, workers, phase)
    phase += 1
    if by_sequence:  # all lags of a few windows of a part's sequences, then of the next few
        part = take(board, worker, workers, phase)
        while part >= 0:
            for row in range(part * BLOCK, batch, workers * BLOCK):
                width, steps = min(BLOCK, batch - row), duration
                while steps > 0 and offsets[steps] - offsets[steps - 1] <= row:
                    steps -= 1
                of_block, stretch = (steps + stride - 1) // stride, TILE // width
                for begin in range(0, of_block, stretch):
                    end = min(of_block, begin + stretch)
                    for lag in range(min(truncate + stride, end * stride)):
                        _step_back(
                            lag, truncate, stride, begin, end, begin, row, width, offsets, transposed_u, mask, factors,
                            delta_out, final_h, final_s, initial_h, initial_s, delta_h[worker], delta_s[worker], dz_sum,
                            tiles[worker],
                        )
            done(board, part, phase)
            part = take(board, worker, workers, phase)
        phase += 1
    else:  # a part of one lag of many windows, then of the next lag
        many, stretch = delta_h.shape[2] // batch, max(1, TILE // batch)
        for base in range(0, groups, many):
            top = min(groups, base + many)
            for lag in range(min(truncate + stride, top * stride)):
                least = max(base, lag // stride)
                part = take(board, worker, workers, phase)
                while part >= 0:
                    first, last = span(part, workers, top - least)
                    end = least + last
                    for begin in range(least + first, end, stretch):
                        _step_back(
                            lag, truncate, stride, begin, min(end, begin + stretch), base, ZERO, batch, offsets,
                            transposed_u, mask, factors, delta_out, final_h, final_s, initial_h, initial_s, delta_h[0],
                            delta_s[0], dz_sum, tiles[worker],
                        )
                    done(board, part, phase)
                    part = take(board, worker, workers, phase)
                phase += 1
    products_phase(
        worker, workers, board, phase, ZERO, duration, offsets, x, fed, dz_sum, transposed_w, gradients, d_x, scratch
    )


@jit()
def shares_windows(batch: int, workers: int) -> bool:
    """Whether workers share the windows of each lag, the sequences being too few to share."""
    return workers > 1 and batch < BLOCK * workers


@jit(device=True, inline=True)
def run_truncated(
    offsets: Index, truncate: int, stride: int, transposed_u: Array, transposed_w: Array, code_c: int, code_h: int,
    mask: Array, x: Array, gates: Array, cells: Array, fed: Array, delta_out: Array, final_h: Array, final_s: Array,
    initial_h: Array, initial_s: Array, delta_h: Array, delta_s: Array, factors: Array, dz_sum: Array, tiles: Array,
    gradients: Array, d_x: Array, scratch: Array, board: Array, workers: int,
) -> None:
    """`truncated_backward`, for other kernels; see `forward.run_forward`."""
    clear(board)
    by_sequence = not shares_windows(cells.shape[1] - gates.shape[1], workers)
    share(
        _truncated_worker,
        (
            by_sequence, board, truncate, stride, offsets, transposed_u, transposed_w, code_c, code_h, mask, x, gates,
            cells, fed, delta_out, final_h, final_s, initial_h, initial_s, delta_h, delta_s, factors, dz_sum, tiles,
            gradients, d_x, scratch,
        ),
        workers,
    )


@jit()
def truncated_backward(
    offsets: Index, truncate: int, stride: int, transposed_u: Array, transposed_w: Array, code_c: int, code_h: int,
    mask: Array, x: Array, gates: Array, cells: Array, fed: Array, delta_out: Array, final_h: Array, final_s: Array,
    initial_h: Array, initial_s: Array, delta_h: Array, delta_s: Array, factors: Array, dz_sum: Array, tiles: Array,
    gradients: Array, d_x: Array, scratch: Array, board: Array, workers: int,
) -> None:
    """Walk the errors of each group of steps back; mirrors `oracle.LSTM.back_propagate_through_time`.

    Parameters
    ----------
    truncate : int
        K: how many steps a window reaches back before its group, 0 or more.
    stride : int
        Steps of a group, 1 or more.
    offsets, transposed_u, transposed_w, code_c, code_h, mask, x, gates, cells, fed : see `backward.backward`
    delta_out, gradients, d_x, scratch, board : likewise
    final_h, final_s : like `delta_h` and `delta_s` of `backward.backward`
        Gradients at the final state of each sequence, part of its last step's errors.
    initial_h, initial_s : arrays like `final_h` and `final_s`
        Added to: gradients at the initial state, which counts as an input of the first step.
    delta_h : (stores, panels of `transposed_u`, rows, 4 lanes) array
    delta_s : (stores, units / lanes rounded up, rows, lanes) array
        Overwritten. Where `shares_windows`, one store of a multiple of `batch` rows; else one for each worker of TILE.
    factors : (units / lanes rounded up, N, FACTORS · lanes) array
        Overwritten.
    dz_sum : array like `gates`
        Overwritten: gradients at the pre-activations of each step, summed over the windows that hold it.
    tiles : (workers, units / lanes rounded up, max(TILE, batch), 4 lanes) array
        Overwritten.
    workers : int
        Shares of the work: by sequences where there are enough; else by windows, one lag after the other, for within
        a lag no two windows meet at a step. Sums have the same order in both.

    Notes
    -----
    8 N H ((K / stride + 1) H + 2 input + H) flops.
    """
    run_truncated(
        offsets, truncate, stride, transposed_u, transposed_w, code_c, code_h, mask, x, gates, cells, fed,
        delta_out, final_h, final_s, initial_h, initial_s, delta_h, delta_s, factors, dz_sum, tiles, gradients, d_x,
        scratch, board, workers,
    )
