"""One time step, frame by frame: weights are packed once, and each step reads them once."""

from fastlstm_kernels.activations import TANH
from fastlstm_kernels.arrays import ZERO, Array
from fastlstm_kernels.jit import jit
from fastlstm_kernels.one_step import Cells, Inputs, Step, is_turned, take_step
from fastlstm_kernels.simd import Backend, Place, operation
from fastlstm_kernels.threads import share, span


@operation
def _step_rows(v: Backend, at: Step, inputs: Inputs) -> None:
    """One step, its inputs too.

    (The inputs through `multiply`, whose pieces take divisions: 50 ns more, a third of a step of 8 units.)
    """
    take_step(v, TANH, TANH, at, inputs)


@jit(device=True)
def _step_worker(
    worker: int, workers: int, x: Array, panels: Array, z: Array, cells: Array, hidden: Array, now: int
) -> None:
    batch, inputs = x.shape
    size, depth, width = hidden.shape[2], panels.shape[1], panels.shape[2]
    first, last = span(worker, workers, panels.shape[0])
    if batch:
        state = Cells(
            batch, first, last, size, Place(z, ZERO), batch * width, Place(cells, ZERO), Place(cells, ZERO),
            batch * cells.shape[2], Place(hidden, (1 - now) * batch * size),
        )
        weights, turned = Place(panels, (1 + inputs) * width), is_turned(now, last - first, panels, size)
        before = Place(hidden, now * batch * size)
        _step_rows(Step(state, turned, before, weights, depth * width), Inputs(Place(x, ZERO), inputs))


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
