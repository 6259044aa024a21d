"""For the methods of `fastlstm.LSTM` about gates: one of them, one step at a time; all that a run has computed."""

from typing import Any

import numpy as np

from fastlstm_kernels.activations import activation, sigmoid
from fastlstm_kernels.arrays import Array
from fastlstm_kernels.gates import (
    GATES,
    candidate_gate_factor,
    forget_gate_factor,
    input_gate_factor,
    output_gate_factor,
)
from fastlstm_kernels.jit import jit
from fastlstm_kernels.rows import copy_rows, each_vector, load_at, store_at
from fastlstm_kernels.simd import Backend, Int, Pointer, operation
from fastlstm_kernels.tile import WIDTH

FORGET, INPUT, CANDIDATE, HIDDEN_FILTER = range(4)
"""Numbers of the gates, in the order of the weights."""


@operation
def _delta_row(
    v: Backend, gate: Int, code_g: Int, n: Int, a: Pointer, b: Pointer, argument: Pointer, delta: Pointer
) -> None:
    def step(offset: Any, mask: Any) -> None:
        first, second, z = (load_at(v, place + offset, mask) for place in (a, b, argument))
        value = v.choose(gate, {
            FORGET: lambda: first * forget_gate_factor(second, sigmoid(v, z)),
            INPUT: lambda: first * input_gate_factor(second, sigmoid(v, z)),
            CANDIDATE: lambda: first * candidate_gate_factor(v, second, activation(v, code_g, z), code_g),
            HIDDEN_FILTER: lambda: first * output_gate_factor(sigmoid(v, z)),
        })
        store_at(v, delta + offset, value, mask)

    each_vector(v, n, step)


@jit()
def gate_delta(gate: int, code_g: int, a: Array, b: Array, argument: Array, delta: Array) -> None:
    """Gradient at one gate's pre-activation; mirrors `oracle.LSTM.back_prop_forget_gate` and its twins.

    Parameters
    ----------
    gate : int
        FORGET, INPUT, CANDIDATE or HIDDEN_FILTER.
    code_g : int
        Activation code a0 of the candidate.
    a : (H,) array
        Gradient at the cell state; for the hidden filter, at its value.
    b : (H,) array
        What the gate multiplies: S_prev, C or I; not used for the hidden filter.
    argument : (H,) array
        The gate's pre-activation.
    delta : (H,) array
        Written.
    """
    _delta_row(gate, code_g, delta.shape[0], a, 0, b, 0, argument, 0, delta, 0)


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


@jit()
def gate_step(
    gate: int, code_g: int, carry: bool, a: Array, b: Array, argument: Array, h_prev: Array, x: Array, u: Array,
    d_w: Array, d_u: Array, d_b: Array, delta_h: Array,
) -> None:
    """`gate_delta`, then `add_gate_gradients` with it; mirrors `oracle.LSTM.back_prop_forget_gate` and its twins.

    Parameters
    ----------
    gate, code_g, a, b, argument
        As for `gate_delta`; `a` may be `delta_h`, which is changed last.
    carry, h_prev, x, u, d_w, d_u, d_b, delta_h
        As for `add_gate_gradients`.
    """
    delta = np.empty_like(h_prev)
    gate_delta(gate, code_g, a, b, argument, delta)
    add_gate_gradients(delta, h_prev, x, u, d_w, d_u, d_b, delta_h, carry)


@jit()
def run_rows(z: Array, gates: Array, cells: Array, hidden: Array, rows: Array) -> None:
    """Everything that a recorded run has computed, row by row; mirrors `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    z : array like `gates`
        From `preactivations`.
    gates, cells, hidden
        From `forward`, which calls the first `z`.
    rows : (10, N, H) array
        Written: F_args, Fs, I_args, Is, C_args, Cs, Hf_args, Hfs, Hs, Ss.
    """
    _, count, size = rows.shape
    vector, first, plane = cells.shape[2], hidden.shape[0] - count, count * size
    width = WIDTH * vector
    for p in range(cells.shape[0]):
        unit = p * vector
        units = min(vector, size - unit)
        for g in range(GATES):
            at, place = p * count * width + g * vector, 2 * g * plane + unit
            copy_rows(count, units, z, at, width, rows, place, size)
            copy_rows(count, units, gates, at, width, rows, place + plane, size)
        at = (p * cells.shape[1] + first) * vector
        copy_rows(count, units, cells, at, vector, rows, 9 * plane + unit, size)
    copy_rows(count, size, hidden, first * size, size, rows, 8 * plane, size)
