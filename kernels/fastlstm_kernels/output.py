"""The error at the output layer, carried back through its activation."""

from fastlstm_kernels.activations import times_slope
from fastlstm_kernels.arrays import Array
from fastlstm_kernels.jit import jit

ERROR, ELEMENTWISE, JACOBIAN = range(3)
"""What the error is multiplied with: nothing, the elementwise derivative, the softmax's Jacobian."""


@jit()
def output_delta(form: int, code: int, outputs: Array, targets: Array, delta: Array) -> None:
    """Gradient of the loss at the output layer's pre-activations; mirrors `oracle.LSTM.output_delta`.

    Parameters
    ----------
    form : int
        One of the constants above.
    code : int
        Activation code of the output layer.
    outputs, targets : (N, n) arrays
    delta : (N, n) array
        Written.
    """
    rows, width = outputs.shape
    for n in range(rows):
        for j in range(width):
            delta[n, j] = outputs[n, j] - targets[n, j]
        if form == ELEMENTWISE:
            times_slope(code, width, outputs, n * width, delta, n * width)
        elif form == JACOBIAN:
            along = type(outputs[n, 0])(0)
            for j in range(width):
                along += delta[n, j] * outputs[n, j]
            for j in range(width):
                delta[n, j] = outputs[n, j] * (delta[n, j] - along)
