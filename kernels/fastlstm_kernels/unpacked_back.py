"""One step back of a few rows, with the weights, and their gradients, as users have them.

Bit for bit the sums of the way with packed ones: along the pre-activations by panel, gate and unit; each weight's
gradient along the rows, then added.
"""

from typing import Any

from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.backward import output_deltas, step_back, times_mask
from fastlstm_kernels.few_rows import add_outer, add_rows
from fastlstm_kernels.gates import GATES
from fastlstm_kernels.gradients import is_reached
from fastlstm_kernels.jit import jit
from fastlstm_kernels.layer import enter_back, leave_back
from fastlstm_kernels.rows import copy_rows
from fastlstm_kernels.structs import Batch, Deltas, Gradients, Scratch, Tape, Weights
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH, flat


@jit(device=True)
def _times_weights(
    dz: Array, rows: int, w: Array, order: Index, gates: int, column: int, out: Array, at: int, out_row: int
) -> None:
    """Some columns of dz w, from `column` on, up to a panel's width, of the first `gates` gates."""
    size, columns, width = w.shape[0] // GATES, w.shape[1], dz.shape[2]
    vector = width // WIDTH
    for r in range(rows):
        for j in range(width):
            out[at + r * out_row + j] = 0
    for p in range(dz.shape[0]):
        units = min(vector, size - p * vector)
        for g in range(gates):
            add_rows(
                rows, units, columns - column, dz, p * dz.shape[1] * width + g * vector, width, w,
                (order[g] * size + p * vector) * columns + column, columns, out, at, out_row,
            )


@jit(device=True, inline=True)
def _copy_reached(x: Array, h_in: Array, rows: int, dz: Array, work: Array) -> None:
    """Inputs and hidden states of each row into `work`; zeros where no error reaches it, for they may be padding."""
    inputs, size = x.shape[1], h_in.shape[1]
    for r in range(rows):
        reached, at = is_reached(dz, r), r * (inputs + size)
        for k in range(inputs):
            work[at + k] = x[r, k] if reached else 0
        for k in range(size):
            work[at + inputs + k] = h_in[r, k] if reached else 0


@jit(device=True, inline=True)
def _add_gradients(dz: Array, rows: int, first: int, last: int, order: Index, work: Array, out: Gradients) -> None:
    """Add the gradients of the weights of panels first to last - 1; `work` from `_copy_reached`."""
    d_w, d_u, width = out.d_w, out.d_u, dz.shape[2]
    vector, inputs, size = width // WIDTH, d_w.shape[1], d_u.shape[1]
    for p in range(first, last):
        for g in range(GATES):
            for j in range(min(vector, size - p * vector)):
                row, at = order[g] * size + p * vector + j, p * dz.shape[1] * width + g * vector + j
                add_outer(rows, inputs, dz, at, width, work, ZERO, inputs + size, d_w, row * inputs)
                add_outer(rows, size, dz, at, width, work, inputs, inputs + size, d_u, row * size)
                total = dz.dtype.type(0)
                for r in range(rows):
                    total += dz[p, r, g * vector + j]
                for d_b in (out.d_b_ih, out.d_b_hh):
                    if d_b.shape[0]:
                        d_b[row] += total


@jit(device=True)
def _cells_worker(
    worker: int, workers: int, codes: tuple[int, int], batch: Batch, tape: Tape, d_y: Array, scratch: Scratch
) -> None:
    rows, panels = (ZERO, scratch.d_h.shape[1]), (ZERO, scratch.transposed_u.shape[0])
    step_back(ZERO, rows, panels, (ZERO, ONE), codes, batch, tape, d_y, scratch)


@jit(device=True)
def _products_worker(
    worker: int, workers: int, weights: Weights, batch: Batch, tape: Tape, d_x: Array, gradients: Gradients,
    scratch: Scratch,
) -> None:
    dz, d_h, work, rows, order = scratch.dz, scratch.d_h, scratch.work[worker], batch.offsets[1], weights.order
    width, inputs, panels = dz.shape[2], d_x.shape[1], d_h.shape[0]
    gates = (scratch.transposed_u.shape[1] - 1) * WIDTH // (dz.shape[0] * width)
    first, last = span(worker, workers, panels)
    for p in range(first, last):
        place = p * d_h.shape[1] * width
        _times_weights(dz, rows, weights.u, order, gates, p * width, flat(d_h), place, width)
    output_deltas(dz, ZERO, rows, gates * width // WIDTH, first, last, d_h, ZERO)
    times_mask(tape.mask, ZERO, rows, first, last, d_h, ZERO)
    first, last = span(worker, workers, (inputs + width - 1) // width if d_x.shape[0] else 0)
    for p in range(first, last):
        _times_weights(dz, rows, weights.w, order, gates, p * width, work, ZERO, width)
        copy_rows(rows, min(width, inputs - p * width), work, ZERO, width, d_x, p * width, inputs)
    _copy_reached(batch.x, tape.h_in, rows, dz, work)
    first, last = span(worker, workers, dz.shape[0])
    _add_gradients(dz, rows, first, last, order, work, gradients)


@jit()
def unpacked_backward(
    weights: Any, batch: Any, tape: Any, deltas: Any, gradients: Any, scratch: Any, workers: int
) -> None:
    """`layer.layer_backward` over what `unpacked_forward` has recorded, bit for bit.

    For runs of which `unpacked.is_unpacked` is true, and no others: with more rows it would write behind
    ``scratch.work``. Nothing is checked.

    Parameters
    ----------
    weights, batch, tape, deltas, gradients, scratch, workers
        As for `layer_backward`; of `scratch`, U and W are not packed.

    Notes
    -----
    16 rows H (input + H) flops; reads the weights once, and updates their gradients once.
    """
    layer, rows, run, delta, work = Weights(*weights), Batch(*batch), Tape(*tape), Deltas(*deltas), Scratch(*scratch)
    enter_back(rows.places, delta, work)
    share(_cells_worker, ((layer.code_g, layer.code_c), rows, run, delta.d_y, work), ONE)
    share(_products_worker, (layer, rows, run, delta.d_x, Gradients(*gradients), work), workers)
    leave_back(rows.places, delta, work.d_h, work.d_c)
