"""One time step, frame by frame: weights are packed once, and each step reads them once."""

from fastlstm_kernels.activations import TANH
from fastlstm_kernels.arrays import Array
from fastlstm_kernels.forward import NONE, add_inputs, step_panels
from fastlstm_kernels.jit import jit
from fastlstm_kernels.threads import share, span


@jit(device=True)
def _step_worker(
    worker: int, workers: int, x: Array, panels: Array, z: Array, cells: Array, hidden: Array, now: int
) -> None:
    batch, inputs = x.shape
    size, depth, width = hidden.shape[2], panels.shape[1], panels.shape[2]
    first, last = span(worker, workers, panels.shape[0])
    add_inputs(x, NONE, batch, panels, first, last, z, NONE)
    step_panels(
        TANH, TANH, batch, first, last, size, hidden, now * batch * size, panels, (1 + inputs) * width, depth * width,
        z, NONE, batch * width, cells, NONE, cells, NONE, batch * cells.shape[2], hidden, (1 - now) * batch * size,
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
