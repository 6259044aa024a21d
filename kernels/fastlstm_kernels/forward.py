"""The loop over time, forwards. How rows lie: see `batch`.

What a step gives to the next one, `h_in`, is the hidden state itself, or that times a mask which stays the same for all
steps of a sequence: the dropout of Gal & Ghahramani (2016), "A theoretically grounded application of dropout in
recurrent neural networks", section 4.

Workers share the units of each step: each reads its part of the weights only, which then stays in its cache. Where a
step is too small to wait for others after it, each worker runs all time steps of its own sequences instead.
"""

import numpy as np

from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.batch import is_ragged, previous_row
from fastlstm_kernels.jit import jit
from fastlstm_kernels.one_step import Cells, Step, is_turned, take_step
from fastlstm_kernels.pack import gate_columns, spread
from fastlstm_kernels.phases import SYNC_LINE, finish, next_part
from fastlstm_kernels.rows import times_rows
from fastlstm_kernels.simd import Backend, Int, Place, operation
from fastlstm_kernels.structs import Batch, Packed, Tape
from fastlstm_kernels.threads import share, shares_units, span
from fastlstm_kernels.tile import WIDTH, matrix_rows, multiply, panel_range, panel_rows

INPUT_ROWS = 96
"""Rows of several short steps whose inputs go through the weights together; 13, 25, 37 or 49 change 1 % (Zen 4)."""


@jit(device=True, inline=True)
def _add_inputs(
    x: Array, row: int, rows: int, panels: Array, first: int, last: int, size: int, z: Array, at: int
) -> None:
    """What some rows of the inputs send to panels first to last - 1 of the gates, biases included."""
    columns = gate_columns(size, panels.shape[2])
    multiply(matrix_rows(x, row), rows, panel_range(panels, ONE, first, last), columns, ONE, panel_rows(z, at))


@operation
def _step_panels(v: Backend, code_g: Int, code_c: Int, at: Step) -> None:
    """`take_step`, where the inputs have been added into z."""
    take_step(v, code_g, code_c, at)


@jit(device=True, inline=True)
def mask_rows(tape: Tape, row: int, rows: int, here: int, first: int, last: int) -> None:
    """What the next step takes of units of panels first to last - 1 of sequences from `row` on, at rows from `here`."""
    mask, hidden, size, vector = tape.mask, tape.hidden, tape.hidden.shape[1], tape.cells.shape[2]
    if mask.shape[0]:
        unit, place = first * vector, here * size + first * vector
        times_rows(
            rows, min(size, last * vector) - unit, hidden, place, size, mask, row * size + unit, size, tape.h_in, place,
            size,
        )


@jit(device=True, inline=True)
def _step(
    t: int, row: int, rows: int, first: int, last: int, record: bool, packed: Packed, batch: Batch, tape: Tape, at: int
) -> None:
    """One step of some sequences and panels, whose inputs have been added into the gates, from row `at` on."""
    panels, offsets, z, cells, hidden, h_in = (
        packed.panels, batch.offsets, tape.gates, tape.cells, tape.hidden, tape.h_in
    )
    inputs, size, width, vector = batch.x.shape[1], hidden.shape[1], panels.shape[2], cells.shape[2]
    sequences = hidden.shape[0] - offsets[-1]
    before, here = previous_row(offsets, sequences, t) + row, sequences + offsets[t] + row
    c_prev, c = (before, here) if record else (row, row)
    state = Cells(
        rows, first, last, size, Place(z, at * width), z.shape[1] * width, Place(cells, c_prev * vector),
        Place(cells, c * vector), cells.shape[1] * vector, Place(hidden, here * size),
    )
    weights, turned = Place(panels, (1 + inputs) * width), is_turned(t, last - first, panels, size)
    _step_panels(
        packed.code_g, packed.code_c,
        Step(state, turned, Place(h_in, before * size), weights, panels.shape[1] * width),
    )
    mask_rows(tape, row, rows, here, first, last)


@jit(device=True, inline=True)
def _by_sequence(worker: int, workers: int, record: bool, packed: Packed, batch: Batch, tape: Tape) -> None:
    """All steps of a worker's own sequences."""
    panels, offsets, size = packed.panels, batch.offsets, tape.hidden.shape[1]
    row, last_row = span(worker, workers, tape.hidden.shape[0] - offsets[-1])
    for t in range(offsets.shape[0] - 1):
        rows = min(last_row, offsets[t + 1] - offsets[t]) - row
        if rows <= 0:
            break
        at = row + offsets[t] if record else row
        _add_inputs(batch.x, row + offsets[t], rows, panels, ZERO, panels.shape[0], size, tape.gates, at)
        _step(t, row, rows, ZERO, panels.shape[0], record, packed, batch, tape, at)


@jit(device=True)
def forward_by_unit(
    worker: int, workers: int, start: int, stop: int, record: bool, packed: Packed, batch: Batch, tape: Tape,
    sync: Array,
) -> None:
    """A worker's share of the units in steps start to stop - 1; `sync` is zero before the first worker comes."""
    offsets, panels, size = batch.offsets, packed.panels, tape.hidden.shape[1]
    begin = end = start
    for t in range(start, stop):
        rows = offsets[t + 1] - offsets[t]
        if rows == 0:
            break
        new_group = t == end
        if new_group:
            begin, end = end, end + 1
            while end < stop and offsets[end + 1] - offsets[begin] <= INPUT_ROWS:
                end += 1
        origin = ZERO if record else offsets[begin]
        part = next_part(sync, worker, workers, t - start)
        while part >= 0:
            first, last = span(part, workers, panels.shape[0])
            if new_group:
                count, row = offsets[end] - offsets[begin], offsets[begin]
                _add_inputs(batch.x, row, count, panels, first, last, size, tape.gates, row - origin)
            _step(t, ZERO, rows, first, last, record, packed, batch, tape, offsets[t] - origin)
            finish(sync, part, t - start)
            part = next_part(sync, worker, workers, t - start)


@jit(device=True)
def _forward_worker(
    worker: int, workers: int, by_unit: bool, record: bool, packed: Packed, batch: Batch, tape: Tape, sync: Array
) -> None:
    if by_unit:
        forward_by_unit(worker, workers, ZERO, batch.offsets.shape[0] - 1, record, packed, batch, tape, sync)
    else:
        _by_sequence(worker, workers, record, packed, batch, tape)


@jit(device=True, inline=True)
def run_forward(packed: Packed, batch: Batch, tape: Tape, record: bool, workers: int) -> None:
    """`forward`, for other kernels."""
    sync = np.zeros((workers, SYNC_LINE), np.int64)
    sequences, size = tape.hidden.shape[0] - batch.offsets[-1], tape.hidden.shape[1]
    ragged = is_ragged(batch.offsets, sequences)
    by_unit = shares_units(sequences, size, packed.panels.shape[0], workers, ragged)
    share(_forward_worker, (by_unit, record, packed, batch, tape, sync), workers)


@jit()
def forward(
    x: Array, offsets: Index, panels: Array, code_g: int, code_c: int, record: bool, mask: Array, gates: Array,
    cells: Array, hidden: Array, h_in: Array, workers: int,
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
    code_g, code_c : int
        Activation codes a0 of the candidate and a1 of the cell state.
    record : bool
        Whether gates and cell states of all steps are kept.
    mask, gates, cells, hidden, h_in : arrays
        See `structs.Tape`. The first `batch` rows of `hidden`, `h_in` and `cells` hold the initial state; the rest is
        written.
    workers : int
        Shares of the work.

    Notes
    -----
    8 N H (input + H) flops; each step reads the weights once, or once per worker.
    """
    batch = Batch(x, offsets, offsets[:0], offsets[:0])
    run_forward(Packed(panels, code_g, code_c), batch, Tape(gates, cells, hidden, h_in, mask), record, workers)


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
    rows, size, width = offsets[-1], hidden.shape[1], panels.shape[2]
    batch, columns = hidden.shape[0] - rows, gate_columns(size, width)
    first, last = span(worker, workers, panels.shape[0])
    _add_inputs(x, ZERO, rows, panels, first, last, size, z, ZERO)
    for t in range(offsets.shape[0] - 1):
        multiply(
            matrix_rows(hidden, previous_row(offsets, batch, t)), offsets[t + 1] - offsets[t],
            panel_range(panels, 1 + x.shape[1], first, last), columns, ZERO, panel_rows(z, offsets[t]),
        )
    if first < last:
        spread(z[last - 1], min(width // WIDTH, size - (last - 1) * (width // WIDTH)), z[last - 1])
