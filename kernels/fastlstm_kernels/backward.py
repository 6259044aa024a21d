"""The loop over time, backwards, without truncation: one sweep, whose cost is linear in the number of steps.

The sweep leaves the gradients at the pre-activations, dz, of a chunk of steps; then the chunk's share of all weight
gradients is one product, split among workers by its OUTPUT, so that each element is summed in one order.
"""

from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.forward import NONE, WHOLE, previous_row, shares_units
from fastlstm_kernels.gates import cell_backward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import CHUNK, ROWS, WIDTH, multiply

GROUP = 8 * ROWS
"""Rows of the weight gradients that are formed together."""

DEPTH = 256
"""Rows of dz that go into them at a time; GROUP times DEPTH inputs stay in the second-level cache."""

SCRATCH = max(GROUP * DEPTH, CHUNK * 4 * 16)
"""Elements of a worker's scratch."""


@jit(device=True)
def into_hidden(
    dz: Array, at: int, rows: int, transposed: Array, first: int, last: int, delta_h: Array, out: int
) -> None:
    """Gradient at the hidden states one step back: ``delta_h[out:] = dz[:, at:] @ U``, panels first to last - 1.

    Where U holds three gates, the "reference" gradient is asked for: the hidden filter's delta goes back as it is.
    """
    width, room = dz.shape[2], dz.shape[1] * dz.shape[2]
    taken, vector = (transposed.shape[1] - 1) // dz.shape[0], width // WIDTH
    multiply(
        dz, at * width, width, WHOLE, dz.shape[0], room, taken, rows, transposed, width, transposed.shape[1] * width,
        first, last, True, delta_h, out * delta_h.shape[1], delta_h.shape[1], width,
    )
    if taken < width:
        for p in range(first * WIDTH, min(last * WIDTH, dz.shape[0])):
            for r in range(rows):
                for j in range(vector):
                    delta_h[out + r, p * vector + j] += dz[p, at + r, taken + j]


@jit(device=True)
def _sweep_worker(
    worker: int, workers: int, by_unit: bool, top: int, bottom: int, begin: int, end: int, offsets: Index,
    transposed: Array, code_c: int, code_h: int, gates: Array, cells: Array, delta_out: Array, delta_h: Array,
    delta_s: Array, dz: Array,
) -> None:
    """Steps top down to bottom of a worker's sequences, or units; dz holds the steps begin to end - 1.

    A turn first brings the gradient of step t + 1 to t's hidden state, then does step t; so the turns of a chunk run
    from its last step to the one before its first.
    """
    width, units, size = dz.shape[2], cells.shape[1], delta_out.shape[1]
    batch, vector = delta_h.shape[0], width // WIDTH
    rows_kept, room = gates.shape[1] * width, dz.shape[1] * width
    row, last_row = (NONE, batch) if by_unit else span(worker, workers, batch)
    panel, last_panel = span(worker, workers, transposed.shape[0]) if by_unit else (NONE, transposed.shape[0])
    block, last_block = panel * WIDTH, min(last_panel * WIDTH, dz.shape[0])
    for t in range(top, bottom - 1, -1):
        if t + 1 < end:
            rows = min(last_row, offsets[t + 2] - offsets[t + 1]) - row
            if rows > 0:
                at = offsets[t + 1] - offsets[begin] + row
                into_hidden(dz, at, rows, transposed, panel, last_panel, delta_h, row)
        if t < begin:
            continue
        rows = min(last_row, offsets[t + 1] - offsets[t]) - row
        if rows <= 0:
            continue
        at, before = offsets[t] + row, previous_row(offsets, batch, t) + row
        for r in range(rows):
            for j in range(block * vector, min(last_block * vector, size)):
                delta_h[row + r, j] += delta_out[at + r, j]
        for p in range(block, last_block):
            unit = p * vector
            cell_backward(
                code_c, code_h, rows, size - unit, gates, p * rows_kept + at * width, width, cells,
                before * units + unit, cells, (batch + at) * units + unit, units, delta_h,
                row * delta_h.shape[1] + unit, delta_h.shape[1], delta_s, row * units + unit, units, dz,
                p * room + (at - offsets[begin]) * width, width,
            )


@jit(device=True)
def _gather(
    x: Array, hidden: Array, offsets: Index, begin: int, row: int, rows: int, first: int, last: int, scratch: Array
) -> None:
    """Columns first to last - 1 of the rows of (1, input, hidden state before) into scratch, GROUP apart.

    `row` counts from the first row of step `begin`.
    """
    batch, inputs, n = hidden.shape[0] - offsets[-1], x.shape[1], offsets[begin] + row
    t = begin
    for k in range(rows):
        while n + k >= offsets[t + 1]:
            t += 1
        line = k * GROUP - first
        before = previous_row(offsets, batch, t) + n + k - offsets[t]
        if first == 0:
            scratch[line] = 1
        for j in range(max(1, first), min(last, 1 + inputs)):
            scratch[line + j] = x[n + k, j - 1]
        for j in range(max(1 + inputs, first), last):
            scratch[line + j] = hidden[before, j - 1 - inputs]


@jit(device=True)
def _products_worker(
    worker: int, workers: int, begin: int, end: int, offsets: Index, x: Array, hidden: Array, dz: Array,
    transposed: Array, gradients: Array, d_x: Array, scratch: Array,
) -> None:
    """A worker's rows of the weight gradients, and its rows of the gradient at the inputs."""
    width, room, many = dz.shape[2], dz.shape[1] * dz.shape[2], gradients.shape[1]
    rows, work = offsets[end] - offsets[begin], scratch[worker]
    turns = (many + GROUP * workers - 1) // (GROUP * workers)
    group = (many + turns * workers - 1) // (turns * workers)
    for j in range(worker * group, many, workers * group):
        last = min(j + group, many)
        for k in range(0, rows, DEPTH):
            depth = min(DEPTH, rows - k)
            _gather(x, hidden, offsets, begin, k, depth, j, last, work)
            multiply(
                work, NONE, WHOLE, GROUP, WHOLE, NONE, depth, last - j, dz, k * width, room, NONE, dz.shape[0], False,
                gradients, j * width, width, many * width,
            )
    first, last = span(worker, workers, rows if d_x.shape[0] else NONE)
    inputs, taken = d_x.shape[1], (transposed.shape[1] - 1) // dz.shape[0]
    for n in range(first, last, CHUNK):
        count = min(CHUNK, last - n)
        for p in range(transposed.shape[0]):
            multiply(
                dz, n * width, width, WHOLE, dz.shape[0], room, taken, count, transposed, width,
                transposed.shape[1] * width, p, p + 1, True, work, -p * width, width, width,
            )
            for r in range(count):
                for j in range(p * width, min(inputs, (p + 1) * width)):
                    d_x[offsets[begin] + n + r, j] = work[r * width + j - p * width]


@jit()
def weight_gradients(
    begin: int, end: int, offsets: Index, x: Array, hidden: Array, dz: Array, transposed: Array, gradients: Array,
    d_x: Array, scratch: Array, workers: int,
) -> None:
    """What the steps begin to end - 1 add to the gradients; mirrors the weight gradients of the oracle's BPTT.

    Parameters
    ----------
    begin, end : int
        Range of steps.
    offsets : (T + 1,) intp array
        First row of each step, and N; see `forward`.
    x, hidden : (N, input) and (batch + N, H) arrays
        As for `forward.forward`.
    dz : (units / lanes rounded up, rows, 4 lanes) array
        Gradients at the pre-activations, from the first row of step `begin` on.
    transposed : array of `pack.transposed_shape`
        W, from `pack.pack_transposed`.
    gradients : array of `pack.panels_shape`
        Added to: gradients of biases, W and U.
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
        _products_worker, (begin, end, offsets, x, hidden, dz, transposed, gradients, d_x, scratch), workers
    )


@jit()
def backward(
    offsets: Index, transposed_u: Array, transposed_w: Array, code_c: int, code_h: int, x: Array, gates: Array,
    cells: Array, hidden: Array, delta_out: Array, delta_h: Array, delta_s: Array, dz: Array, gradients: Array,
    d_x: Array, scratch: Array, workers: int,
) -> None:
    """Sweep back over all steps; mirrors `oracle.LSTM.back_propagate_through_time` without truncation.

    Parameters
    ----------
    offsets, x, hidden, gradients, d_x, scratch, workers
        As for `weight_gradients`.
    transposed_u, transposed_w : arrays of `pack.transposed_shape`
        U and W, from `pack.pack_transposed`.
    code_c, code_h : int
        Activation codes a0 and a1.
    gates, cells : (units / lanes rounded up, N, 4 lanes) and (batch + N, units rounded up) arrays
        From `forward.forward`, keeping.
    delta_out : (N, H) array
        The gradient that each step's output sends to its hidden state.
    delta_h : (batch, columns of `transposed_u` rounded up) array
    delta_s : (batch, units rounded up) array
        Gradients at the final state on entry, zero where there is no unit; at the initial state on return.
    dz : (units / lanes rounded up, rows, 4 lanes) array
        Overwritten; as many rows as should be worked on at once, at least those of one step.

    Notes
    -----
    16 N H (input + H) flops.
    """
    size, duration = delta_out.shape[1], offsets.shape[0] - 1
    by_unit = shares_units(delta_h.shape[0], 4 * size * size, workers)
    end = duration
    while end > 0:
        begin = end - 1
        while begin > 0 and offsets[end] - offsets[begin - 1] <= dz.shape[1]:
            begin -= 1
        turn = 1 if by_unit else end - begin + 1
        for top in range(end - 1, begin - 2, -turn):
            share(
                _sweep_worker,
                (
                    by_unit, top, max(begin - 1, top - turn + 1), begin, end, offsets, transposed_u, code_c, code_h,
                    gates, cells, delta_out, delta_h, delta_s, dz,
                ),
                workers,
            )
        weight_gradients(
            begin, end, offsets, x, hidden, dz, transposed_w, gradients, d_x, scratch, workers
        )
        end = begin
