"""One step of a few rows, with the weights as users have them.

To pack weights takes longer than the step itself; see `few_rows`. The sums run along the inputs, then along the hidden
states, as everywhere: results are bit for bit those with packed weights.
"""

from typing import Any

from fastlstm_kernels.arrays import ZERO, Array, Index
from fastlstm_kernels.few_rows import add_products
from fastlstm_kernels.forward import mask_rows
from fastlstm_kernels.gates import GATES
from fastlstm_kernels.gradients import SCRATCH
from fastlstm_kernels.jit import jit
from fastlstm_kernels.layer import enter, leave
from fastlstm_kernels.one_step import Cells, cells_of_panels
from fastlstm_kernels.pack import add_biases, spread
from fastlstm_kernels.simd import Place
from fastlstm_kernels.structs import Batch, States, Tape, Weights
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH, Rows

UNPACKED_ROWS = 8
"""Rows of a step up to which this is faster: 8 rows of 40 to 256 units 1.1 to 1.8 times, of 16 units as fast."""


def is_unpacked(steps: int, rows: int, inputs: int, size: int) -> bool:
    """Whether a run takes the kernels here, and in `unpacked_back`; for Python, not compiled."""
    # The last two: pre-activations stand in the panels, inputs and hidden states in a worker's scratch.
    return steps == 1 and rows <= min(UNPACKED_ROWS, 1 + inputs + size, SCRATCH // (inputs + size))


@jit(device=True)
def _add_product(w: Array, order: Index, p: int, units: int, x: Array, rows: int, z: Array) -> None:
    """What rows of x send to the gates of panel p."""
    depth, width, size = w.shape[1], z.shape[2], w.shape[0] // GATES
    vector = width // WIDTH
    for g in range(0, GATES, 2):
        first, second = order[g] * size, order[g + 1] * size
        add_products(
            rows, units, depth, Rows(Place(w, (first + p * vector) * depth), depth), (second - first) * depth,
            Rows(Place(x, ZERO), depth), Rows(Place(z, p * z.shape[1] * width + g * units), width), units, 2,
        )


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
        _add_product(weights.w, order, p, units, x, rows, z)
        _add_product(weights.u, order, p, units, tape.h_in, rows, z)
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
