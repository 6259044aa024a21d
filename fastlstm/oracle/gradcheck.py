"""Gradients from values alone: finite differences and the complex step, and the windowed loss they are taken of."""

from collections.abc import Callable
from typing import Any

import numpy

from fastlstm.oracle.activations import Array
from fastlstm.oracle.lstm import LSTM, loss


def finite_difference(function: Callable[[], Any], array: Array, step: float = 1e-5) -> Array:
    """Gradient of ``function()`` with respect to `array`, by central differences.

    Parameters
    ----------
    function : callable
        Takes no arguments, reads `array`, returns a number.
    array : float array
        Changed element by element, and restored.
    step : float
        Half the distance between the two evaluations. The error is of order step² plus rounding / step.

    Returns
    -------
    array
        Same shape as `array`; 2 · array.size evaluations.
    """
    gradient = numpy.zeros_like(array)
    for index in numpy.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = function()
        array[index] = kept - step
        gradient[index] = (above - function()) / (2 * step)
        array[index] = kept
    return gradient


def complex_step(function: Callable[[], Any], array: Array, step: float = 1e-30) -> Array:
    """Gradient of ``function()`` with respect to `array`, from the imaginary part of a complex step.

    Exact to rounding, for there is no difference to cancel (Squire & Trapp 1998).

    Parameters
    ----------
    function : callable
        Takes no arguments, reads `array`, returns a complex number; analytic in `array`.
    array : complex array
        Changed element by element, and restored.
    step : float
        Length of the step along the imaginary axis.

    Returns
    -------
    float array
        Same shape as `array`; array.size evaluations.
    """
    gradient = numpy.zeros(array.shape)
    for index in numpy.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + 1j * step
        gradient[index] = numpy.imag(function()) / step
        array[index] = kept
    return gradient


def windowed_loss(model: LSTM, X: Array, Y: Array) -> Callable[[], Any]:
    """The loss whose gradient truncated back-propagation through time computes.

    The output at time t is formed from the state `bptt_truncate` steps before the first step of t's group, which stays
    what it is at this call, and the steps after it, which follow the parameters.

    Parameters
    ----------
    model : LSTM
        Its parameters, `bptt_truncate` and `bptt_stride` are read at every evaluation.
    X, Y : (T, input) and (T, output) arrays
        Inputs and targets, read at every evaluation too.

    Returns
    -------
    callable
        Takes no arguments; returns the loss summed over time steps.
    """
    cache = model.feed_forward_and_cache(X)
    states = [(h.copy(), s.copy()) for h, s in zip(cache[8], cache[11], strict=True)]
    zero = numpy.zeros(model.hidden_size, model.dtype)

    def value() -> Any:
        total = 0.0
        for t in range(len(X)):
            group = t - t % model.bptt_stride
            first = 0 if model.bptt_truncate is None else max(0, group - model.bptt_truncate)
            model.h_t, model.S = states[first - 1] if first else (zero, zero)
            outputs = model.feed_forward(X[first : t + 1])
            total += loss(model.loss_func, outputs[-1:], Y[t : t + 1])[0]
        model.reset()
        return total

    return value
