"""One step of a few rows, with the weights as users have them.

To pack weights takes longer than the step itself. Here a square of them is transposed in registers, multiplied, and
forgotten: for one row it takes a third to two thirds of the time of packing alone (64 to 512 units). The sums run
along the inputs, then along the hidden states, as everywhere: results are bit for bit those with packed weights.
"""

from typing import Any

from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.forward import mask_rows
from fastlstm_kernels.gates import GATES
from fastlstm_kernels.gradients import SCRATCH
from fastlstm_kernels.jit import jit
from fastlstm_kernels.layer import enter, leave
from fastlstm_kernels.one_step import Cells, cells_of_panels
from fastlstm_kernels.pack import add_biases, columns_of, spread, to_panel
from fastlstm_kernels.simd import Backend, Int, Place, Pointer, operation
from fastlstm_kernels.structs import Batch, States, Tape, Weights
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH, Left, flat, multiply, panel_range, panel_rows

UNPACKED_ROWS = 8
"""Rows of a step up to which this is faster: 8 rows of 40 to 256 units 1.1 to 1.8 times, of 16 units as fast."""


def is_unpacked(steps: int, rows: int, inputs: int, size: int) -> bool:
    """Whether a run takes the kernels here, and in `unpacked_back`; for Python, not compiled."""
    # The last two: pre-activations stand in the panels, inputs and hidden states in a worker's scratch.
    return steps == 1 and rows <= min(UNPACKED_ROWS, 1 + inputs + size, SCRATCH // (inputs + size))


@operation
def _add_square(
    v: Backend, rows: Int, units: Int, a: Pointer, a_row: Int, x: Pointer, x_row: Int, z: Pointer, z_row: Int
) -> None:
    """z[r] += x[r] a.T for some rows of x, and a square of weights a, of which so many rows exist."""
    columns, mask = columns_of(v, units, a, a_row), v.first(units)

    def row(r: Any) -> list[Any]:
        place = z + r * z_row
        before = total = v.load(place)
        for k, column in enumerate(columns):
            total = v.fma(v.broadcast(x + (r * x_row + k)), column, total)
        v.store(place, v.select(mask, total, before))
        return []

    v.repeat(rows, [], row)


@jit(device=True)
def _add_product(w: Array, order: Index, p: int, units: int, x: Array, rows: int, panels: Array, z: Array) -> None:
    """What rows of x send to the gates of panel p; `panels` has room for the columns behind the last whole square."""
    depth, width, size = w.shape[1], panels.shape[2], w.shape[0] // GATES
    vector = width // WIDTH
    whole = depth // vector * vector
    for k in range(0, whole, vector):
        for g in range(GATES):
            _add_square(
                rows, units, w, (order[g] * size + p * vector) * depth + k, depth, x, k, depth, z,
                p * z.shape[1] * width + g * units, width,
            )
    if whole < depth:
        for g in range(GATES):
            to_panel(w, order[g] * size + p * vector, units, whole, depth, panels, p, 1, g * units)
        rest = Left(Place(flat(x), whole), depth, ONE, ONE, ZERO, depth - whole)
        multiply(rest, rows, panel_range(panels, ONE, p, p + 1), (p + 1) * width, ZERO, panel_rows(z, 0))


@jit(device=True)
def _forward_worker(
    worker: int, workers: int, weights: Weights, batch: Batch, tape: Tape, panels: Array, record: bool
) -> None:
    x, rows, z, cells, hidden, order = batch.x, batch.offsets[1], tape.gates, tape.cells, tape.hidden, weights.order
    sequences, size, vector = hidden.shape[0] - rows, hidden.shape[1], cells.shape[2]
    first, last = span(worker, workers, panels.shape[0])
    for p in range(first, last):
        units = min(vector, size - p * vector)
        add_biases(weights.b_ih, weights.b_hh, order, size, panels, p)
        for r in range(rows):
            for j in range(panels.shape[2]):
                z[p, r, j] = panels[p, 0, j]
        _add_product(weights.w, order, p, units, x, rows, panels, z)
        _add_product(weights.u, order, p, units, tape.h_in, rows, panels, z)
        spread(z[p, :rows], units, panels[p])
    cells_of_panels(weights.code_g, weights.code_c, Cells(
        rows, first, last, size, Place(z, ZERO), z.shape[1] * WIDTH * vector, Place(cells, ZERO),
        Place(cells, sequences * vector if record else ZERO), cells.shape[1] * vector, Place(hidden, sequences * size),
    ))
    mask_rows(tape, 0, rows, sequences, first, last)


@jit()
def unpacked_forward(
    weights: Any, batch: Any, states: Any, tape: Any, panels: Array, record: bool, workers: int
) -> None:
    """`layer.layer_forward` over one step of a few rows, bit for bit.

    For runs of which `is_unpacked` is true, and no others: with more rows it would write behind `panels`. Nothing is
    checked.

    Parameters
    ----------
    weights, states, tape, record, workers
        As for `layer_forward`.
    batch : structs.Batch
        Of one step.
    panels : array of `pack.panels_shape`
        Overwritten: row r of each panel becomes its pre-activations of row r.

    Notes
    -----
    8 rows H (input + H) flops; reads the weights once.
    """
    rows, given, run = Batch(*batch), States(*states), Tape(*tape)
    enter(rows, given, run)
    share(_forward_worker, (Weights(*weights), rows, run, panels, record), workers)
    leave(rows, given, run, record)
