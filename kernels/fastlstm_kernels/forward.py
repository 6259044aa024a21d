"""The loop over time, forwards.

Rows are the (time step, sequence) pairs of a batch, one time step after the other, the sequences of a step in order
of falling length: step t owns rows ``offsets[t]`` to ``offsets[t + 1] - 1`` and the sequences that have ended are
simply not there. State arrays carry `batch` rows of initial state in front, so row n of a step finds the state
before it by its place in the step before; see `previous_row`.
"""

from numba import prange

from fastlstm_kernels.arrays import Array, Index, intp
from fastlstm_kernels.gates import cell_forward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.products import ONE, ZERO, add_rows_by_transpose
from fastlstm_kernels.threads import BLOCK, span

LONG_STEP = 100_000
"""Recurrent weights times sequences from which a parallel region a step pays.

One sequence, two threads: at 128 units (65 536 weights) a step takes 9.4 µs by one and 8.8 by two, at 160 units 14
and 11, at 256 units 44 and 26.
"""


@jit(device=True)
def previous_row(offsets: Index, batch: int, t: int) -> int:
    """Row of the state arrays that holds the first sequence's state before step t."""
    return 0 if t == 0 else batch + offsets[t - 1]


@jit(device=True)
def affine_rows(x: Array, w: Array, b: Array, z: Array, first: int, last: int, out: int) -> None:
    """``z[out:] = x[first:last] @ w.T + b``; x (?, k), w (n, k), b (n,), z (?, n)."""
    for n in range(first, last):
        for j in range(b.shape[0]):
            z[out + n - first, j] = b[j]
    add_rows_by_transpose(x, first, last - first, w, ZERO, w.shape[0], z, out)


@jit(device=True)
def _add_to_gates(a: Array, row: int, rows: int, w: Array, z: Array, out: int, first: int, last: int) -> None:
    """What some rows of `a` send through w (4 H, ?) to units first to last - 1 of the four gates."""
    size = w.shape[0] // 4
    for g in range(4):
        add_rows_by_transpose(a, row, rows, w, g * size + first, g * size + last, z, out)


@jit(device=True)
def _shares_units(batch: int, u: Array, workers: int) -> bool:
    """Whether workers share the units of each step: sequences are too few to share, and steps long enough to pay."""
    return batch <= BLOCK * (workers - 1) and u.size * batch >= LONG_STEP


@jit(device=True)
def _share(
    worker: int, workers: int, by_unit: bool, step: int, steps: int, size: int
) -> tuple[int, int, int, int, int, int]:
    """Steps (begin, end), blocks of sequences (first, every) and units (first, last) of a worker."""
    if by_unit:
        first, last = span(worker, workers, size)
        return step, step + 1, ZERO, ONE, first, last
    return ZERO, steps, worker, workers, ZERO, size


@jit(device=True)
def _record_worker(
    worker: int, workers: int, by_unit: bool, phase: int, x: Array, offsets: Index, w: Array, u: Array, b: Array,
    code_c: int, code_h: int, args: Array, gates: Array, cells: Array, filtered: Array, hidden: Array,
) -> None:
    """Phase 0: what the inputs send to a share of all rows. Later phases: the steps, one a phase by unit."""
    if phase == 0:
        first, last = span(worker, workers, x.shape[0])
        affine_rows(x, w, b, args, first, last, first)
        return
    batch, size = hidden.shape[0] - args.shape[0], hidden.shape[1]
    begin, end, block, every, first, last = _share(
        worker, workers, by_unit, phase - 1, offsets.shape[0] - 1, size
    )
    for t in range(begin, end):
        start, before = offsets[t], previous_row(offsets, batch, t)
        for r in range(block * BLOCK, offsets[t + 1] - start, every * BLOCK):
            n, rows = start + r, min(BLOCK, offsets[t + 1] - start - r)
            _add_to_gates(hidden, before + r, rows, u, args, n, first, last)
            for k in range(rows):
                cell_forward(
                    args[n + k], cells[before + r + k], code_c, code_h, gates[n + k], cells[batch + n + k],
                    filtered[n + k], hidden[batch + n + k], first, last,
                )


@jit(parallel=True)
def forward_record(
    x: Array, offsets: Index, w: Array, u: Array, b: Array, code_c: int, code_h: int, args: Array, gates: Array,
    cells: Array, filtered: Array, hidden: Array, workers: int,
) -> None:
    """Run the cell over every step and keep all that the way back needs; mirrors `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    x : (N, input) array
        Inputs, rows as described above.
    offsets : (T + 1,) intp array
        First row of each step, and N.
    w, u, b : (4 H, input), (4 H, H) and (4 H,) arrays
        Weights, gates in the order f, i, c, hf.
    code_c, code_h : int
        Activation codes a0 and a1.
    args, gates : (N, 4 H) arrays
        Written: pre-activations and activated gates.
    cells, hidden : (batch + N, H) arrays
        The first `batch` rows hold the initial state; the rest is written.
    filtered : (N, H) array
        Written: a1 of the cell state.
    workers : int
        Shares of the work: by sequence, each over all time steps; or, where the sequences are too few and a step is
        long enough to pay for a parallel region of its own, by hidden unit.

    Notes
    -----
    8 N H (input + H) flops; each step reads `u` once per four sequences.
    """
    batch = hidden.shape[0] - args.shape[0]
    by_unit = _shares_units(batch, u, workers)
    for phase in range(offsets.shape[0] if by_unit else 2):
        for share in prange(workers):
            _record_worker(
                intp(share), workers, by_unit, phase, x, offsets, w, u, b, code_c, code_h, args, gates, cells, filtered,
                hidden,
            )


@jit(device=True)
def _infer_worker(
    worker: int, workers: int, by_unit: bool, phase: int, x: Array, offsets: Index, w: Array, u: Array, b: Array,
    code_c: int, code_h: int, cells: Array, hidden: Array, scratch: Array,
) -> None:
    batch, size = cells.shape
    gates, filtered = scratch[BLOCK], scratch[BLOCK + 1, :size]
    begin, end, block, every, first, last = _share(worker, workers, by_unit, phase, offsets.shape[0] - 1, size)
    for t in range(begin, end):
        start, before = offsets[t], previous_row(offsets, batch, t)
        for r in range(block * BLOCK, offsets[t + 1] - start, every * BLOCK):
            n, rows = start + r, min(BLOCK, offsets[t + 1] - start - r)
            for k in range(rows):
                for j in range(b.shape[0]):
                    scratch[k, j] = b[j]
            _add_to_gates(x, n, rows, w, scratch, ZERO, first, last)
            _add_to_gates(hidden, before + r, rows, u, scratch, ZERO, first, last)
            for k in range(rows):
                cell_forward(
                    scratch[k], cells[r + k], code_c, code_h, gates, cells[r + k], filtered, hidden[batch + n + k],
                    first, last,
                )


@jit(parallel=True)
def forward_infer(
    x: Array, offsets: Index, w: Array, u: Array, b: Array, code_c: int, code_h: int, cells: Array, hidden: Array,
    scratch: Array, workers: int,
) -> None:
    """Run the cell over every step and keep only the hidden states; mirrors `oracle.LSTM.feed_forward`.

    Parameters
    ----------
    x, offsets, w, u, b, code_c, code_h, workers
        As for `forward_record`.
    cells : (batch, H) array
        Cell state of every sequence, carried in place from the initial to the final one.
    hidden : (batch + N, H) array
        The first `batch` rows hold the initial state; the rest is written.
    scratch : (workers, BLOCK + 2, 4 H) array
        Overwritten.

    Notes
    -----
    8 N H (input + H) flops.
    """
    by_unit = _shares_units(cells.shape[0], u, workers)
    for phase in range(offsets.shape[0] - 1 if by_unit else 1):
        for share in prange(workers):
            _infer_worker(
                intp(share), workers, by_unit, phase, x, offsets, w, u, b, code_c, code_h, cells, hidden,
                scratch[share],
            )
