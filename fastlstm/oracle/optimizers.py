"""Optimizers in NumPy, formula by formula; state is kept in a dictionary that is empty before the first step.

Every function changes `parameters` and `state` in place.
"""

import numpy

from fastlstm.oracle.activations import Array

State = dict[str, Array]


def clipped(gradients: Array, clip_norm: float | None, clip_value: float | None) -> tuple[Array, float | None]:
    """The gradient cut off at ± clip_value, then shortened to clip_norm (Pascanu et al. 2013, section 3.2); its norm.

    The norm is that before it was shortened, or None where `clip_norm` is.
    """
    if clip_value is not None:
        gradients = numpy.clip(gradients, -clip_value, clip_value)
    if clip_norm is None:
        return gradients, None
    exact = gradients.astype(numpy.float64)
    norm = largest = float(numpy.abs(exact).max(initial=0))
    if 0 < largest < numpy.inf:
        norm = largest * float(numpy.sqrt(numpy.sum((exact / largest) ** 2)))
    return (exact * numpy.minimum(1, clip_norm / (norm + 1e-6))).astype(gradients.dtype), norm


def sgd(
    parameters: Array, gradients: Array, state: State, learning_rate: float, momentum: float, nesterov: bool,
    weight_decay: float,
) -> None:
    """Stochastic gradient descent, with momentum as Sutskever et al. (2013, section 2) rewritten by PyTorch."""
    g = gradients + weight_decay * parameters
    if momentum:
        state["momentum_buffer"] = b = momentum * state.get("momentum_buffer", numpy.zeros_like(g)) + g
        g = g + momentum * b if nesterov else b
    parameters -= learning_rate * g


def adam(
    parameters: Array, gradients: Array, state: State, updates: int, learning_rate: float, betas: tuple[float, float],
    eps: float, weight_decay: float, decoupled: bool,
) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1), or AdamW (Loshchilov & Hutter 2019, algorithm 2); `updates` so far."""
    (beta1, beta2), t, g = betas, updates + 1, gradients
    if decoupled:
        parameters *= 1 - learning_rate * weight_decay
    else:
        g = g + weight_decay * parameters
    state["exp_avg"] = m = beta1 * state.get("exp_avg", numpy.zeros_like(g)) + (1 - beta1) * g
    state["exp_avg_sq"] = s = beta2 * state.get("exp_avg_sq", numpy.zeros_like(g)) + (1 - beta2) * g * g
    parameters -= learning_rate * (m / (1 - beta1**t)) / (numpy.sqrt(s / (1 - beta2**t)) + eps)


def rmsprop(
    parameters: Array, gradients: Array, state: State, learning_rate: float, alpha: float, eps: float,
    weight_decay: float, momentum: float, centered: bool,
) -> None:
    """RMSprop (Tieleman & Hinton 2012, lecture 6e), or centred (Graves 2013, section 4.2)."""
    g = gradients + weight_decay * parameters
    state["square_avg"] = spread = alpha * state.get("square_avg", numpy.zeros_like(g)) + (1 - alpha) * g * g
    if centered:
        state["grad_avg"] = m = alpha * state.get("grad_avg", numpy.zeros_like(g)) + (1 - alpha) * g
        spread = spread - m * m
    step = g / (numpy.sqrt(spread) + eps)
    if momentum:
        state["momentum_buffer"] = step = momentum * state.get("momentum_buffer", numpy.zeros_like(g)) + step
    parameters -= learning_rate * step
