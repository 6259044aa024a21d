"""One step of some rows, panel by panel: the sums of the gates' pre-activations, then the cell.

Both walks that take steps, `forward` over time and `step` frame by frame, go through it.
"""

from typing import Any, NamedTuple

from fastlstm_kernels.arrays import Array
from fastlstm_kernels.gates import cell_forward, gate_vectors
from fastlstm_kernels.jit import jit
from fastlstm_kernels.simd import Backend, Int, Pointer, operation
from fastlstm_kernels.tile import WIDTH, Left, Rows, each_tile, product

PIPELINED = 16
"""Cells, at least, that are computed after one another."""

TOGETHER = 2
"""Panels of which one row goes through at once: on some cores a single panel's four sums wait for themselves."""

NEAR_BYTES = 32768
"""Bytes of hidden states' weights above which every second step reads them from the end, where a cache still has some.

One row, 64 units 820 to 742 ns a step, 72 units 1100 to 1030; below it is 5 % slower (40 units), and from 100 on equal.
"""


@jit(device=True, inline=True)
def is_turned(t: int, count: int, panels: Array, size: int) -> int:
    """Whether step t goes through `count` panels backwards."""
    return t & 1 if count * size * panels.shape[2] * panels.itemsize > NEAR_BYTES else 0


class Cells(NamedTuple):
    """What follows the sums of a step: which rows and panels, and where everything is of the first row and of unit 0.

    Attributes
    ----------
    rows : int
        How many rows.
    first, last : int
        Panels first to last - 1.
    size : int
        Units of the layer.
    z : place, panels `z_panel` apart, rows a panel's width
        The sums, or what they begin with, or room for them; replaced by the gates.
    c_prev, c : places, panels `c_panel` apart, rows a vector
        Cell states before, and after.
    h : place, rows `size` apart
        Written: the hidden states.
    """

    rows: Int
    first: Int
    last: Int
    size: Int
    z: Pointer
    z_panel: Int
    c_prev: Pointer
    c: Pointer
    c_panel: Int
    h: Pointer


class Step(NamedTuple):
    """A whole step.

    Attributes
    ----------
    cells : Cells
    turned : int
        1 to go through the panels from the last to the first: every second step, for what the nearest cache still
        holds.
    h_prev : place, rows ``cells.size`` apart
        What the step takes of the hidden states before.
    weights : place, panels `panel` apart
        Those of the first hidden state; see `pack`.
    """

    cells: Cells
    turned: Int
    h_prev: Pointer
    weights: Pointer
    panel: Int


class Inputs(NamedTuple):
    """Inputs that have not been summed up, rows `count` apart; their weights, and the biases, are before the others."""

    x: Pointer
    count: Int


def _cells(v: Backend, code_g: Any, code_c: Any, at: Cells, first: Any, count: Any) -> None:
    """What follows the sums, of some panels."""

    def of_panel(k: Any) -> list[Any]:
        p = first + k
        unit = p * v.lanes
        cell_forward(
            v, code_g, code_c, at.rows, at.size - unit, at.z + p * at.z_panel, at.c_prev + p * at.c_panel,
            at.c + p * at.c_panel, at.h + unit, at.size,
        )
        return []

    v.repeat(count, [], of_panel)


@operation
def cells_of_panels(v: Backend, code_g: Int, code_c: Int, at: Cells) -> None:
    """What follows the sums of a step. Activation codes are those of the candidate and of the cell state."""
    _cells(v, code_g, code_c, at, at.first, at.last - at.first)


def along(v: Backend, a: Any, weights: list[Any]) -> Any:
    """A step of `repeat` that adds products with the elements from `a` on; each sum has its column of weights."""
    width = WIDTH * v.lanes

    def step(k: Any, *sums: Any) -> list[Any]:
        x, row = v.broadcast(a + k), k * width
        return [v.fma(x, v.load(w + row), total) for w, total in zip(weights, sums, strict=True)]

    return step


def _bias(v: Backend, at: Step, inputs: Inputs, p: Any) -> Any:
    return at.weights + (p * at.panel - (inputs.count + 1) * (WIDTH * v.lanes))


def _sums(v: Backend, at: Step, inputs: Inputs | None, p: Any) -> None:
    """Those of one panel, some rows at a time."""
    width, cells, weights = WIDTH * v.lanes, at.cells, at.weights + p * at.panel
    size, needed = cells.size, gate_vectors(v, cells.size - p * v.lanes)

    def of_tile(row: Any, many: Any) -> None:
        z, h = Rows(cells.z + (p * cells.z_panel + row * width), width), at.h_prev + row * size
        if inputs is not None:
            bias = _bias(v, at, inputs, p)
            x = Left(inputs.x + row * inputs.count, inputs.count, 1, 1, 0, inputs.count)
            v.shared(product, many, needed, Rows(bias, 0), x, bias + width, 0, z)
        v.shared(product, many, needed, z, Left(h, size, 1, 1, 0, size), weights, 0, z)

    each_tile(v, cells.rows, of_tile)


def _row_sums(v: Backend, at: Step, inputs: Inputs | None, p: Any, panels: int) -> None:
    """Those of one row, of some panels from p on at once."""
    width, cells = WIDTH * v.lanes, at.cells

    def of_last(vectors: int) -> Any:
        columns = [q * WIDTH + j for q in range(panels) for j in range(WIDTH if q < panels - 1 else vectors)]

        def places(start: Any, panel: Any) -> list[Any]:
            lines = [start + q * panel for q in range(panels)]
            return [lines[n // WIDTH] + n % WIDTH * v.lanes for n in columns]

        def run() -> None:
            results = places(cells.z + p * cells.z_panel, cells.z_panel)
            if inputs is not None:
                bias = places(_bias(v, at, inputs, p), at.panel)
                sums = [v.load(place) for place in bias]
                sums = v.repeat(inputs.count, sums, along(v, inputs.x, [place + width for place in bias]))
            else:
                sums = [v.load(place) for place in results]
            sums = v.repeat(cells.size, sums, along(v, at.h_prev, places(at.weights + p * at.panel, at.panel)))
            for place, total in zip(results, sums, strict=True):
                v.store(place, total)

        return run

    needed = gate_vectors(v, cells.size - (p + (panels - 1)) * v.lanes)
    v.choose(needed, {vectors: of_last(vectors) for vectors in range(1, WIDTH + 1)})


def _in_groups(v: Backend, at: Step, first: Any, count: Any, group: Any, body: Any) -> None:
    """Run ``body(first, count)`` for groups of some panels, in the order that is asked for."""

    def turn(k: Any) -> list[Any]:
        before = k * group
        many = v.least(count - before, group)
        body(first + before + at.turned * (count - before - before - many), many)
        return []

    v.repeat(v.quotient(count + (group - 1), group), [], turn)


def take_step(v: Backend, code_g: Any, code_c: Any, at: Step, inputs: Inputs | None = None) -> None:
    """One step of some rows and panels; with `inputs`, their sums too, which are in z otherwise.

    Activation codes are those of the candidate and of the cell state.
    """
    cells = at.cells
    one = v.truth(cells.rows < 2)

    def of_group(first: Any, count: Any) -> None:
        def of_row() -> None:
            _in_groups(v, at, first, count, TOGETHER, lambda p, many: v.choose(many, {
                TOGETHER: lambda: _row_sums(v, at, inputs, p, TOGETHER),
                1: lambda: _row_sums(v, at, inputs, p, 1),
            }))

        v.choose(one, {1: of_row, 0: lambda: _in_groups(v, at, first, count, 1, lambda p, _: _sums(v, at, inputs, p))})
        _cells(v, code_g, code_c, cells, first, count)

    # A cell's operations wait for each other, so several rows or panels must be under way at once: panel by panel, one
    # row took 1.6 times as long.
    group = v.quotient(cells.rows + (PIPELINED - 1), cells.rows)
    _in_groups(v, at, cells.first, cells.last - cells.first, group, of_group)
