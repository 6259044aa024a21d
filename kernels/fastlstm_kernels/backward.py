"""The loop over time, backwards, without truncation: one sweep, whose cost is linear in the number of steps.

The sweep leaves the gradients at the pre-activations, dz, of a chunk of steps; then the chunk's share of all weight
gradients is one product, split among workers by its OUTPUT, so that each element is summed in one order.
"""


from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.batch import chunk_begin, previous_row
from fastlstm_kernels.gates import cell_backward
from fastlstm_kernels.gradients import into_inputs, products_phase, weight_sums
from fastlstm_kernels.jit import jit
from fastlstm_kernels.phases import clear, done, take
from fastlstm_kernels.rows import times_rows
from fastlstm_kernels.threads import share, shares_units, span
from fastlstm_kernels.tile import WIDTH, multiply


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
        dz, at * width, width, ONE, dz.shape[0], room, taken, rows, transposed, width, transposed.shape[1] * width,
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


@jit(device=True)
def backward_turn(
    start: int, stop: int, begin: int, end: int, offsets: Index, transposed_u: Array, transposed_w: Array, code_c: int,
    code_h: int, mask: Array, x: Array, gates: Array, cells: Array, fed: Array, delta_out: Array, delta_h: Array,
    delta_s: Array, dz: Array, gradients: Array, d_x: Array, work: Array,
) -> None:
    """Steps start to stop - 1 of the chunk begin to end - 1 of `backward`, by one worker; bit for bit the same."""
    for t in range(stop - 1, start - 1 if start > begin else begin - 2, -1):
        _turn(
            t, ZERO, delta_h.shape[1], ZERO, transposed_u.shape[0], begin, end, offsets, transposed_u, code_c, code_h,
            mask, gates, cells, delta_out, delta_h, delta_s, dz,
        )
    first = offsets[begin]
    into_inputs(offsets[start] - first, offsets[stop] - first, first, dz, transposed_w, d_x, work)
    if start == begin:
        weight_sums(ZERO, ONE, begin, end, offsets, x, fed, dz, gradients, work)


@jit(device=True)
def backward_worker(
    worker: int, workers: int, by_unit: bool, board: Array, offsets: Index, transposed_u: Array, transposed_w: Array,
    code_c: int, code_h: int, mask: Array, x: Array, gates: Array, cells: Array, fed: Array, delta_out: Array,
    delta_h: Array, delta_s: Array, dz: Array, gradients: Array, d_x: Array, scratch: Array,
) -> None:
    """A worker's share of `backward`."""
    end, phase, batch = offsets.shape[0] - 1, ZERO, delta_h.shape[1]
    while end > 0:
        begin = chunk_begin(offsets, end, dz.shape[1])
        turns = 1 if by_unit else end - begin + 1  # of a phase
        for top in range(end - 1, begin - 2, -turns):
            part = take(board, worker, workers, phase)
            while part >= 0:
                row, last_row = (ZERO, batch) if by_unit else span(part, workers, batch)
                panel, last_panel = span(part, workers, transposed_u.shape[0]) if by_unit else (
                    ZERO, transposed_u.shape[0]
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


@jit(device=True, inline=True)
def run_backward(
    offsets: Index, transposed_u: Array, transposed_w: Array, code_c: int, code_h: int, mask: Array, x: Array,
    gates: Array, cells: Array, fed: Array, delta_out: Array, delta_h: Array, delta_s: Array, dz: Array,
    gradients: Array, d_x: Array, scratch: Array, board: Array, workers: int,
) -> None:
    """`backward`, for other kernels; see `forward.run_forward`."""
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
    run_backward(
        offsets, transposed_u, transposed_w, code_c, code_h, mask, x, gates, cells, fed, delta_out, delta_h,
        delta_s, dz, gradients, d_x, scratch, board, workers,
    )
