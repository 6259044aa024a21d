"""The loss at the output layer, and its error, carried back through the activation."""

import numpy as np

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


@jit(device=True)
def _largest(row: Array) -> int:
    """Where the first of the largest numbers is, or of the NaN; mirrors `numpy.argmax`."""
    found = 0
    for j in range(1, row.shape[0]):
        if row[j] > row[found] or (row[j] != row[j] and row[found] == row[found]):
            found = j
    return found


@jit()
def losses_of_logits(logits: Array, targets: Array, losses: Array) -> None:
    """Cross-entropy of each row's softmax; mirrors `oracle.lstm.loss_of_logits`.

    Parameters
    ----------
    logits, targets : (N, n) arrays
        Pre-activations of the outputs; the largest target tells the class.
    losses : (N,) float64 array
        Written.
    """
    for n in range(logits.shape[0]):
        top, total = np.float64(logits[n, _largest(logits[n])]), 0.0
        for j in range(logits.shape[1]):
            total += np.exp(np.float64(logits[n, j]) - top)
        losses[n] = np.log(total) - (np.float64(logits[n, _largest(targets[n])]) - top)
