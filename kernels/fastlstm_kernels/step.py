"""One time step, frame by frame: weights are packed once, and each step reads them once."""

from fastlstm_kernels.activations import TANH
from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.jit import jit
from fastlstm_kernels.one_step import Inputs, Step, is_turned, take_step
from fastlstm_kernels.simd import Backend, Int, Pointer, operation
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH


@operation
def _step_rows(
    v: Backend, rows: Int, first: Int, last: Int, turned: Int, inputs: Int, size: Int, x: Pointer, h_prev: Pointer,
    panels: Pointer, panel: Int, z: Pointer, z_panel: Int, c: Pointer, c_panel: Int, h: Pointer,
) -> None:
    """One step of some rows and of panels first to last - 1.

    (The inputs through `multiply`, whose pieces take divisions: 50 ns more, a third of a step of 8 units.)
    """
    recurrent = panels + (inputs + 1) * (WIDTH * v.lanes)
    at = Step(rows, first, last, turned, size, h_prev, recurrent, panel, z, z_panel, c, c, c_panel, h)
    take_step(v, TANH, TANH, at, Inputs(x, inputs))


@jit(device=True)
def _step_worker(
    worker: int, workers: int, x: Array, panels: Array, z: Array, cells: Array, hidden: Array, now: int
) -> None:
    batch, inputs = x.shape
    size, depth, width = hidden.shape[2], panels.shape[1], panels.shape[2]
    first, last = span(worker, workers, panels.shape[0])
    if batch:
        _step_rows(
            batch, first, last, is_turned(now, last - first, panels, size), inputs, size, x, intp(0), hidden,
            now * batch * size, panels, intp(0), depth * width, z, intp(0), batch * width, cells, intp(0),
            batch * cells.shape[2], hidden, (1 - now) * batch * size,
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
        Overwritten.
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
