"""One gate of one step at a time, for the methods of `fastlstm.LSTM` that are called so."""

from typing import Any

from fastlstm_kernels.activations import activation, sigmoid
from fastlstm_kernels.arrays import Array
from fastlstm_kernels.gates import (
    candidate_gate_factor,
    forget_gate_factor,
    input_gate_factor,
    output_gate_factor,
)
from fastlstm_kernels.jit import jit
from fastlstm_kernels.rows import each_vector, load_at, store_at
from fastlstm_kernels.simd import Count, Machine, Place, operation

FORGET, INPUT, CANDIDATE, HIDDEN_FILTER = range(4)
"""Numbers of the gates, in the order of the weights."""


@operation
def _delta_row(
    v: Machine, gate: Count, code_c: Count, n: Count, a: Place, b: Place, argument: Place, delta: Place
) -> None:
    def step(offset: Any, mask: Any) -> None:
        first, second, z = (load_at(v, place + offset, mask) for place in (a, b, argument))
        value = v.choose(gate, {
            FORGET: lambda: first * forget_gate_factor(second, sigmoid(v, z)),
            INPUT: lambda: first * input_gate_factor(second, sigmoid(v, z)),
            CANDIDATE: lambda: first * candidate_gate_factor(v, second, activation(v, code_c, z), code_c),
            HIDDEN_FILTER: lambda: first * output_gate_factor(sigmoid(v, z)),
        })
        store_at(v, delta + offset, value, mask)

    each_vector(v, n, step)


@jit()
def gate_delta(gate: int, code_c: int, a: Array, b: Array, argument: Array, delta: Array) -> None:
    """Gradient at one gate's pre-activation; mirrors `oracle.LSTM.back_prop_forget_gate` and its twins.

    Parameters
    ----------
    gate : int
        FORGET, INPUT, CANDIDATE or HIDDEN_FILTER.
    code_c : int
        Activation code a0 of the candidate.
    a : (H,) array
        Gradient at the cell state S; for the hidden filter, at its value.
    b : (H,) array
        What the gate multiplies: S_prev, C or I; not used for the hidden filter.
    argument : (H,) array
        The gate's pre-activation.
    delta : (H,) array
        Written.
    """
    _delta_row(gate, code_c, delta.shape[0], a, 0, b, 0, argument, 0, delta, 0)


@jit()
def add_gate_gradients(
    delta: Array, h_prev: Array, x: Array, u: Array, d_w: Array, d_u: Array, d_b: Array, delta_h: Array, carry: bool
) -> None:
    """Add one step of one gate into its gradient buffers; mirrors `oracle.LSTM.back_prop_forget_gate` and its twins.

    Parameters
    ----------
    delta : (H,) array
        Gradient at the gate's pre-activation.
    h_prev, x : (H,) and (input,) arrays
        What the gate saw.
    u : (H, H) array
        Recurrent weights of the gate.
    d_w, d_u, d_b : (H, input), (H, H) and (H,) arrays
        Added to in place: delta ⊗ x, delta ⊗ h_prev, delta.
    delta_h : (H,) array
        Added to in place where `carry` is true: delta · u.
    carry : bool
        Whether the gradient goes on to the hidden state before the step.

    Notes
    -----
    2 H (2 H + input) flops; reads `u` and updates the buffers once.
    """
    for j in range(delta.shape[0]):
        for k in range(x.shape[0]):
            d_w[j, k] += delta[j] * x[k]
        for k in range(h_prev.shape[0]):
            d_u[j, k] += delta[j] * h_prev[k]
        d_b[j] += delta[j]
        if carry:
            for k in range(h_prev.shape[0]):
                delta_h[k] += delta[j] * u[j, k]
