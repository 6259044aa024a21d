"""The loop over time, forwards.

Rows are the (time step, sequence) pairs of a batch, one time step after the other, the sequences of a step in order
of falling length: step t owns rows ``offsets[t]`` to ``offsets[t + 1] - 1`` and the sequences that have ended are
simply not there. State arrays carry `batch` rows of initial state in front, so row n of a step finds the state
before it by its place in the step before; see `previous_row`.

What the inputs send to the gates is one product over many rows. Then each worker runs all time steps of its own
sequences, without waiting for others; or, where sequences are few and the weights large, all workers share the units
of each step.
"""

from fastlstm_kernels.arrays import Array, Index, intp
from fastlstm_kernels.gates import cell_forward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH, multiply

LONG_STEP = 100_000
"""Weights times sequences from which a parallel region a step pays.

One sequence, two threads: at 128 units (65 536 weights) a step takes 9.4 µs by one and 8.8 by two, at 160 units 14
and 11, at 256 units 44 and 26.
"""

NONE, WHOLE = intp(0), intp(1)


@jit(device=True)
def previous_row(offsets: Index, batch: int, t: int) -> int:
    """Row of the state arrays that holds the first sequence's state before step t."""
    return 0 if t == 0 else batch + offsets[t - 1]


@jit(device=True)
def shares_units(batch: int, weights: int, workers: int) -> bool:
    """Whether workers share the units of each step: sequences are too few to share, and steps long enough to pay."""
    return workers > 1 and batch <= 4 * (workers - 1) and weights * batch >= LONG_STEP


@jit(device=True)
def _input_worker(
    worker: int, workers: int, x: Array, first_row: int, rows: int, panels: Array, z: Array
) -> None:
    """What some rows of the inputs send to the gates, from row 0 of z on."""
    depth, width = panels.shape[1], panels.shape[2]
    begin, end = span(worker, workers, rows)
    multiply(
        x, (first_row + begin) * x.shape[1], x.shape[1], WHOLE, WHOLE, NONE, x.shape[1], end - begin, panels, width,
        depth * width, NONE, panels.shape[0], True, z, begin * width, width, z.shape[1] * width,
    )


@jit(device=True)
def _add_recurrent(
    rows: int, before: int, here: int, inputs: int, panels: Array, first: int, last: int, z: Array,
    hidden: Array,
) -> None:
    """What some rows of hidden states send to panels first to last - 1 of the gates."""
    size, width = hidden.shape[1], panels.shape[2]
    multiply(
        hidden, before * size, size, WHOLE, WHOLE, NONE, size, rows, panels, (1 + inputs) * width,
        panels.shape[1] * width, first, last, False, z, here * width, width, z.shape[1] * width,
    )


@jit(device=True)
def _step_worker(
    worker: int, workers: int, by_unit: bool, begin: int, end: int, origin: int, keep: bool, offsets: Index,
    inputs: int, panels: Array, code_c: int, code_h: int, z: Array, cells: Array, hidden: Array,
) -> None:
    """Steps begin to end - 1 of a worker's sequences, or of its units of all; z holds the rows from `origin` on."""
    size, units, width, room = hidden.shape[1], cells.shape[1], panels.shape[2], z.shape[1]
    batch, vector = hidden.shape[0] - offsets[-1], width // WIDTH
    row, last_row = (NONE, batch) if by_unit else span(worker, workers, batch)
    first, last = span(worker, workers, panels.shape[0]) if by_unit else (NONE, panels.shape[0])
    for t in range(begin, end):
        rows = min(last_row, offsets[t + 1] - offsets[t]) - row
        if rows <= 0:
            break
        before, at = previous_row(offsets, batch, t) + row, offsets[t] + row
        _add_recurrent(rows, before, at - origin, inputs, panels, first, last, z, hidden)
        s_prev, s = (before, batch + at) if keep else (row, row)
        for p in range(first, last):
            unit = p * vector
            cell_forward(
                code_c, code_h, rows, size - unit, z, (p * room + at - origin) * width, width, cells,
                s_prev * units + unit, cells, s * units + unit, units, hidden, (batch + at) * size + unit, size,
            )


@jit()
def forward(
    x: Array, offsets: Index, panels: Array, code_c: int, code_h: int, keep: bool, z: Array, cells: Array,
    hidden: Array, workers: int,
) -> None:
    """Run the cell over every step; mirrors `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    x : (N, input) array
        Inputs, rows as described above.
    offsets : (T + 1,) intp array
        First row of each step, and N.
    panels : array of `pack.panels_shape`
        Weights, from `pack.pack`.
    code_c, code_h : int
        Activation codes a0 and a1.
    keep : bool
        Whether all that the way back needs is kept.
    z : (units / lanes rounded up, rows, 4 lanes) array
        Overwritten; to be kept it has N rows, and then it holds the gates F, I, C, Hf of each vector of units.
        Otherwise as many as should be worked on at once, at least those of one step.
    cells : (batch + N or batch, units rounded up) array
        Cell states: kept for all rows, after `batch` initial ones; or carried in place.
    hidden : (batch + N, H) array
        The first `batch` rows hold the initial state; the rest is written.
    workers : int
        Shares of the work.

    Notes
    -----
    8 N H (input + H) flops; each step reads the recurrent weights once per worker.
    """
    batch, size, duration = hidden.shape[0] - offsets[-1], hidden.shape[1], offsets.shape[0] - 1
    by_unit = shares_units(batch, 4 * size * size, workers)
    begin = NONE
    while begin < duration and offsets[begin + 1] > offsets[begin]:
        end = begin + 1
        while end < duration and offsets[end + 1] - offsets[begin] <= z.shape[1]:
            end += 1
        origin = offsets[begin]
        share(_input_worker, (x, origin, offsets[end] - origin, panels, z), workers)
        for t in range(begin, end, 1 if by_unit else end - begin):
            share(
                _step_worker,
                (
                    by_unit, t, t + 1 if by_unit else end, origin, keep, offsets, x.shape[1], panels, code_c, code_h, z,
                    cells, hidden,
                ),
                workers,
            )
        begin = end


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
    batch = hidden.shape[0] - offsets[-1]
    share(_input_worker, (x, NONE, offsets[-1], panels, z), workers)
    for t in range(offsets.shape[0] - 1):
        _add_recurrent(
            offsets[t + 1] - offsets[t], previous_row(offsets, batch, t), offsets[t], x.shape[1], panels, NONE,
            panels.shape[0], z, hidden,
        )
