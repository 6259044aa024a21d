"""One time step, frame by frame: weights are packed once, and each step reads them once."""

from typing import Any

from fastlstm_kernels.activations import TANH
from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.forward import step_tiles
from fastlstm_kernels.gates import cell
from fastlstm_kernels.jit import jit
from fastlstm_kernels.simd import Backend, Int, Pointer, operation
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH, product

TOGETHER = 2
"""Panels of which one row goes through at once: a single panel's four sums wait for themselves."""


def _one_row(
    v: Backend, first: Any, last: Any, inputs: Any, size: Any, x: Any, h_prev: Any, panels: Any, panel: Any, c: Any,
    c_panel: Any, h: Any,
) -> None:
    """One step of one row, panel by panel from the bias to the hidden state, in registers; see `_step_rows`."""
    width = WIDTH * v.lanes

    def through(start: Any, many: int) -> None:
        lines = [panels + (start + q) * panel for q in range(many)]

        def along(a: Any, row: Any) -> Any:
            def step(k: Any, *sums: Any) -> list[Any]:
                value, at = v.broadcast(a + k), (row + k) * width
                return [
                    v.fma(value, v.load(lines[n // WIDTH] + (at + n % WIDTH * v.lanes)), total)
                    for n, total in enumerate(sums)
                ]

            return step

        sums = [v.load(line + j * v.lanes) for line in lines for j in range(WIDTH)]
        sums = v.repeat(inputs, sums, along(x, 1))
        sums = v.repeat(size, sums, along(h_prev, inputs + 1))
        for q in range(many):
            place, unit = c + (start + q) * c_panel, (start + q) * v.lanes
            _, state, hidden = cell(v, TANH, TANH, sums[q * WIDTH : (q + 1) * WIDTH], v.load(place))
            v.store(place, state)
            v.store_part(h + unit, hidden, v.first(size - unit))

    groups = v.quotient(last - first, TOGETHER)

    def group(k: Any) -> list[Any]:
        through(first + k * TOGETHER, TOGETHER)
        return []

    v.repeat(groups, [], group)
    rest = first + groups * TOGETHER
    v.choose(v.truth(rest < last), {1: lambda: through(rest, 1), 0: lambda: None})


@operation
def _step_rows(
    v: Backend, rows: Int, first: Int, last: Int, inputs: Int, size: Int, x: Pointer, h_prev: Pointer,
    panels: Pointer, panel: Int, z: Pointer, z_panel: Int, c: Pointer, c_panel: Int, h: Pointer,
) -> None:
    """One step of some rows and of panels first to last - 1; see `forward.step_tiles`.

    (The inputs through `multiply`, whose pieces take divisions: 50 ns more, a third of a step of 8 units.)
    """
    width = WIDTH * v.lanes

    def begin(p: Any, row: Any, many: Any, place: Any) -> None:
        bias = panels + p * panel
        v.shared(product, many, WIDTH, bias, 0, x + row * inputs, inputs, 1, 1, 0, inputs, bias + width, place, width)

    recurrent = panels + (inputs + 1) * width
    v.choose(v.truth(rows > 1), {
        1: lambda: step_tiles(
            v, TANH, TANH, rows, first, last, size, h_prev, recurrent, panel, z, z_panel, c, c, c_panel, h, begin
        ),
        0: lambda: _one_row(v, first, last, inputs, size, x, h_prev, panels, panel, c, c_panel, h),
    })


@jit(device=True)
def _step_worker(
    worker: int, workers: int, x: Array, panels: Array, z: Array, cells: Array, hidden: Array, now: int
) -> None:
    batch, inputs = x.shape
    size, depth, width = hidden.shape[2], panels.shape[1], panels.shape[2]
    first, last = span(worker, workers, panels.shape[0])
    _step_rows(
        batch, first, last, inputs, size, x, intp(0), hidden, now * batch * size, panels, intp(0), depth * width, z,
        intp(0), batch * width, cells, intp(0), batch * cells.shape[2], hidden, (1 - now) * batch * size,
    )


@jit()
def step(x: Array, panels: Array, z: Array, cells: Array, hidden: Array, now: int, workers: int) -> None:
    """Advance some rows by one step; mirrors `oracle.LSTM.compute_layer`, bit for bit one step of `forward.forward`.

    Parameters
    ----------
    x : (batch, input) array
        Inputs.
    panels : array of `pack.panels_shape`
        Weights, from `pack.pack`.
    z : (units / lanes rounded up, batch, 4 lanes) array
        Overwritten, unless there is a single row.
    cells : (units / lanes rounded up, batch, lanes) array
        Cell states, changed in place.
    hidden : (2, batch, H) array
        ``hidden[now]`` is read, ``hidden[1 - now]`` is written.
    now : int
        0 or 1.
    workers : int
        Shares of the work, by units.

    Notes
    -----
    8 batch H (input + H) flops.
    """
    share(_step_worker, (x, panels, z, cells, hidden, now), workers)
