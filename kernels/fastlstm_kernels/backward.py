"""The loop over time, backwards, without truncation: one sweep, whose cost is linear in the number of steps.

The sweep leaves the gradients at the pre-activations, dz, of a chunk of steps; then the chunk's share of all weight
gradients is one product, split among workers by its OUTPUT, so that each element is summed in one order.
"""

import numpy as np

from fastlstm_kernels.arrays import ONE, ZERO, Array
from fastlstm_kernels.batch import chunk_begin, is_ragged, previous_row
from fastlstm_kernels.gates import Errors, Forward, cell_backward
from fastlstm_kernels.gradients import into_inputs, products_phase, weight_sums
from fastlstm_kernels.jit import jit
from fastlstm_kernels.phases import SYNC_LINE, finish, next_part
from fastlstm_kernels.rows import times_rows
from fastlstm_kernels.simd import Place
from fastlstm_kernels.structs import Batch, Deltas, Scratch, Tape
from fastlstm_kernels.threads import share, shares_units, span
from fastlstm_kernels.tile import WIDTH, gate_rows, multiply, panel_range, panel_rows


@jit(device=True, inline=True)
def output_deltas(dz: Array, at: int, rows: int, taken: int, first: int, last: int, d_h: Array, out: int) -> None:
    """Where only so many elements of each panel of dz go through U, add the others to `d_h`; see `into_hidden`."""
    width = dz.shape[2]
    vector = width // WIDTH
    if taken < width:
        for p in range(first * WIDTH, min(last * WIDTH, dz.shape[0])):
            for r in range(rows):
                for j in range(vector):
                    d_h[p // WIDTH, out + r, p % WIDTH * vector + j] += dz[p, at + r, taken + j]


@jit(device=True)
def into_hidden(dz: Array, at: int, rows: int, transposed: Array, first: int, last: int, d_h: Array, out: int) -> None:
    """Gradient at the hidden states one step back: rows `out` on of `d_h` = dz[:, at:] U, panels first to last - 1.

    Where U holds three gates, the "reference" gradient is asked for: the output gate's delta goes back as it is.
    """
    taken, units = (transposed.shape[1] - 1) // dz.shape[0], dz.shape[0] * dz.shape[2] // WIDTH
    multiply(
        gate_rows(dz, at, taken), rows, panel_range(transposed, ONE, first, last), units, ONE,
        panel_rows(d_h, out),
    )
    output_deltas(dz, at, rows, taken, first, last, d_h, out)


@jit(device=True, inline=True)
def times_mask(mask: Array, row: int, rows: int, first: int, last: int, d_h: Array, out: int) -> None:
    """The gradient at what was fed back becomes that at the hidden states, in panels first to last - 1."""
    size, width = mask.shape[1], d_h.shape[2]
    if mask.shape[0]:
        for p in range(first, last):
            place = (p * d_h.shape[1] + out) * width
            times_rows(
                rows, min(width, size - p * width), d_h, place, width, mask, row * size + p * width, size, d_h, place,
                width,
            )


@jit(device=True)
def step_back(
    t: int, rows: tuple[int, int], panels: tuple[int, int], chunk: tuple[int, int], codes: tuple[int, int],
    batch: Batch, tape: Tape, d_y: Array, scratch: Scratch,
) -> None:
    """Bring the gradient of step t + 1 to t's hidden state, then do step t, if they lie in the chunk.

    So a chunk takes one call more than it has steps: from its last step to the one before its first. For some
    sequences, and the units of some panels of U; ranges are first and last-plus-one.
    """
    (row, last_row), (panel, last_panel), (begin, end), (code_g, code_c) = rows, panels, chunk, codes
    offsets, gates, cells, d_h, d_c, dz = batch.offsets, tape.gates, tape.cells, scratch.d_h, scratch.d_c, scratch.dz
    width, vector, size, sequences = dz.shape[2], cells.shape[2], d_y.shape[1], d_h.shape[1]
    if t + 1 < end:
        count = min(last_row, offsets[t + 2] - offsets[t + 1]) - row
        if count > 0:
            at = offsets[t + 1] - offsets[begin] + row
            into_hidden(dz, at, count, scratch.transposed_u, panel, last_panel, d_h, row)
            times_mask(tape.mask, row, count, panel, last_panel, d_h, row)
    if t < begin:
        return
    count = min(last_row, offsets[t + 1] - offsets[t]) - row
    at, before = offsets[t] + row, previous_row(offsets, sequences, t) + row
    if count > 0:
        for p in range(panel * WIDTH, min(last_panel * WIDTH, dz.shape[0])):
            unit, state = p * vector, p * cells.shape[1]
            cell_backward(
                code_g, code_c, count, size - unit,
                Forward(
                    Place(gates, (p * gates.shape[1] + at) * width), Place(cells, (state + before) * vector),
                    Place(cells, (state + sequences + at) * vector),
                ),
                Errors(
                    Place(d_y, at * size + unit), size,
                    Place(d_h, (p // WIDTH * sequences + row) * width + p % WIDTH * vector),
                    Place(d_c, (p * sequences + row) * vector),
                    Place(dz, (p * dz.shape[1] + at - offsets[begin]) * width),
                ),
            )


@jit(device=True)
def backward_turn(
    start: int, stop: int, chunk: tuple[int, int], codes: tuple[int, int], batch: Batch, tape: Tape, deltas: Deltas,
    scratch: Scratch,
) -> None:
    """Steps start to stop - 1 of a chunk, by one worker; bit for bit as by many."""
    begin, offsets, dz, d_x, work = chunk[0], batch.offsets, scratch.dz, deltas.d_x, scratch.work[0]
    rows, panels = (ZERO, scratch.d_h.shape[1]), (ZERO, scratch.transposed_u.shape[0])
    for t in range(stop - 1, start - 1 if start > begin else begin - 2, -1):
        step_back(t, rows, panels, chunk, codes, batch, tape, deltas.d_y, scratch)
    first = offsets[begin]
    into_inputs(offsets[start] - first, offsets[stop] - first, first, dz, scratch.transposed_w, d_x, work)
    if start == begin:
        weight_sums(ZERO, ONE, chunk, batch, tape.h_in, dz, scratch.d_panels, work)


@jit(device=True)
def _backward_worker(
    worker: int, workers: int, by_unit: bool, codes: tuple[int, int], batch: Batch, tape: Tape, deltas: Deltas,
    scratch: Scratch, sync: Array,
) -> None:
    offsets, panels = batch.offsets, scratch.transposed_u.shape[0]
    end, phase, sequences = offsets.shape[0] - 1, ZERO, scratch.d_h.shape[1]
    while end > 0:
        begin = chunk_begin(offsets, end, scratch.dz.shape[1])
        steps = 1 if by_unit else end - begin + 1  # of a phase
        for top in range(end - 1, begin - 2, -steps):
            part = next_part(sync, worker, workers, phase)
            while part >= 0:
                rows = (ZERO, sequences) if by_unit else span(part, workers, sequences)
                units = span(part, workers, panels) if by_unit else (ZERO, panels)
                for t in range(top, top - steps, -1):
                    step_back(t, rows, units, (begin, end), codes, batch, tape, deltas.d_y, scratch)
                finish(sync, part, phase)
                part = next_part(sync, worker, workers, phase)
            phase += 1
        products_phase(worker, workers, sync, phase, (begin, end), batch, tape.h_in, deltas.d_x, scratch)
        phase += 1
        end = begin


@jit(device=True, inline=True)
def run_backward(
    codes: tuple[int, int], batch: Batch, tape: Tape, deltas: Deltas, scratch: Scratch, workers: int
) -> None:
    """Sweep back over all steps; mirrors `oracle.LSTM.back_propagate_through_time` without truncation.

    Parameters
    ----------
    codes : tuple of 2 int
        Activation codes a0 of the candidate and a1 of the cell state.
    batch, tape : Batch, Tape
        What `forward` took and recorded.
    deltas : Deltas
        `d_y` is read, `d_x` written.
    scratch : Scratch
        U and W are packed; `d_h` and `d_c` hold the gradients at the final states on entry, zero where there is no
        unit, and those at the initial states on return. `d_panels` is written, unless there is no step.
    workers : int
        Shares of the work.

    Notes
    -----
    16 N H (input + H) flops.
    """
    sync = np.zeros((workers, SYNC_LINE), np.int64)
    sequences, size, panels = scratch.d_h.shape[1], deltas.d_y.shape[1], scratch.transposed_u.shape[0]
    by_unit = shares_units(sequences, size, panels, workers, is_ragged(batch.offsets, sequences))
    share(_backward_worker, (by_unit, codes, batch, tape, deltas, scratch, sync), workers)
