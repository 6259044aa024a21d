"""The gates' pre-activations of a run, which it has overwritten with the gates."""

from fastlstm_kernels.arrays import ZERO, Array, Index
from fastlstm_kernels.batch import previous_row
from fastlstm_kernels.forward import add_inputs
from fastlstm_kernels.jit import jit
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import matrix_rows, multiply, panel_range, panel_rows
from fastlstm_kernels.unpacked import is_unpacked


@jit()
def preactivations(x: Array, offsets: Index, panels: Array, hidden: Array, z: Array, workers: int) -> None:
    """The gates' pre-activations of a run of `layer_forward`, bit for bit those of the run.

    Parameters
    ----------
    x, offsets, hidden
        As for `forward.forward`.
    panels : array of `pack.panels_shape`
        As `layer_forward` has left them.
    z : (units / lanes rounded up, N, 4 lanes) array
        Written.
    workers : int
        Shares of the work.

    Notes
    -----
    8 N H (input + H) flops.
    """
    if is_unpacked(offsets, panels):
        z[:] = panels[:, : z.shape[1]]
    else:
        share(_worker, (x, offsets, panels, hidden, z), workers)


@jit(device=True)
def _worker(
    worker: int, workers: int, x: Array, offsets: Index, panels: Array, hidden: Array, z: Array
) -> None:
    sequences = hidden.shape[0] - offsets[-1]
    first, last = span(worker, workers, panels.shape[0])
    add_inputs(x, ZERO, offsets[-1], panels, first, last, z, ZERO)
    for t in range(offsets.shape[0] - 1):
        multiply(
            matrix_rows(hidden, previous_row(offsets, sequences, t)), offsets[t + 1] - offsets[t],
            panel_range(panels, 1 + x.shape[1], first, last), last * panels.shape[2], ZERO, panel_rows(z, offsets[t]),
        )
