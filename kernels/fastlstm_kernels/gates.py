"""The arithmetic of the four gates, forwards and backwards: the only copy of it.

Gates in the order f forget, i input, c candidate, hf hidden filter (the literature's output gate). One step, after
Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), eqs. (1)-(6)::

    F, I, Hf = sigmoid(z_f), sigmoid(z_i), sigmoid(z_hf)      C = a0(z_c)
    S = F S_prev + I C                                        h = Hf a1(S)

The gates of as many units as a vector has lanes lie together, as four vectors: the width of a panel (see `pack`).
"""

from typing import Any

from fastlstm_kernels.activations import activation, each_vector, sigmoid, sigmoid_slope, slope
from fastlstm_kernels.arrays import Array
from fastlstm_kernels.jit import jit
from fastlstm_kernels.simd import Count, Machine, Place, operation


def _gates(v: Machine, place: Any) -> list[Any]:
    return [v.load(place + g * v.lanes) for g in range(4)]


def cell_forward(
    v: Machine, code_c: Any, code_h: Any, rows: Any, units: Any, z: Any, s_prev: Any, s: Any, h: Any, h_row: Any
) -> None:
    """One step of one vector of units of some rows; mirrors `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    code_c, code_h : int
        Activation codes a0 of the candidate and a1 of the cell state.
    rows : int
        How many rows.
    units : int
        How many of the vector's units exist, counted from the first; more than a vector is all.
    z : place, rows a panel's width apart
        Pre-activations; replaced by the activated gates F, I, C, Hf.
    s_prev : place, rows a vector apart
        Cell state before the step.
    s : place, rows a vector apart
        Written: the cell state S; may be `s_prev` itself.
    h : place, rows `h_row` apart
        Written, for units that exist: the hidden state.
    """
    mask = v.first(units)
    whole = v.truth(units >= v.lanes)

    def row(r: Any) -> list[Any]:
        place = z + r * (4 * v.lanes)
        z_f, z_i, z_c, z_hf = _gates(v, place)
        gates = sigmoid(v, z_f), sigmoid(v, z_i), activation(v, code_c, z_c), sigmoid(v, z_hf)
        for g, value in enumerate(gates):
            v.store(place + g * v.lanes, value)
        f, i, c, hf = gates
        state = v.fma(f, v.load(s_prev + r * v.lanes), i * c)
        v.store(s + r * v.lanes, state)
        hidden, out = hf * activation(v, code_h, state), h + r * h_row
        v.choose(whole, {1: lambda: v.store(out, hidden), 0: lambda: v.store_part(out, hidden, mask)})
        return []

    v.repeat(rows, [], row)


def forget_gate_delta(delta_s: Any, s_prev: Any, f: Any) -> Any:
    """Gradient at z_f; mirrors `oracle.LSTM.back_prop_forget_gate`."""
    return delta_s * s_prev * sigmoid_slope(f)


def input_gate_delta(delta_s: Any, c: Any, i: Any) -> Any:
    """Gradient at z_i; mirrors `oracle.LSTM.back_prop_input_gate`."""
    return delta_s * c * sigmoid_slope(i)


def candidate_gate_delta(v: Machine, delta_s: Any, i: Any, c: Any, code_c: Any) -> Any:
    """Gradient at z_c; mirrors `oracle.LSTM.back_prop_candidate_gate`."""
    return delta_s * i * slope(v, code_c, c)


def hidden_filter_gate_delta(delta_filter: Any, hf: Any) -> Any:
    """Gradient at z_hf, given the gradient at Hf; mirrors `oracle.LSTM.back_prop_hidden_filter_gate`."""
    return delta_filter * sigmoid_slope(hf)


@operation
def cell_backward(
    v: Machine, code_c: Count, code_h: Count, rows: Count, units: Count, gates: Place, s_prev: Place, s: Place,
    given: Place, given_row: Count, given_units: Count, delta_h: Place, delta_s: Place, dz: Place,
) -> None:
    """One step back of one vector of units of some rows; mirrors `oracle.LSTM.back_propagate_through_time`.

    Parameters
    ----------
    code_c, code_h : int
        Activation codes a0 and a1.
    rows : int
        How many rows.
    units : int
        How many of the vector's units exist; dz of the others is zero, whatever infinite inputs have made of them.
    gates : place, rows a panel's width apart
        F, I, C, Hf of this step.
    s_prev, s : places, rows a vector apart
        Cell state before and after the step; a1(S) is formed anew, which costs less than keeping it.
    given : place, rows `given_row` apart
        Gradient at the hidden state h of this step from the step's output, for the first `given_units` units.
    delta_h : place, rows a panel's width apart
        Gradient at h from the step after.
    delta_s : place, rows a vector apart
        Gradient that reaches S from the step after; replaced by the gradient that goes on to `s_prev`.
    dz : place, rows a panel's width apart
        Written: the gradients at the pre-activations.
    """
    mask, given_mask = v.first(units), v.first(given_units)

    def row(r: Any) -> list[Any]:
        wide, narrow = r * (4 * v.lanes), r * v.lanes
        f, i, c, hf = _gates(v, gates + wide)
        before, state, at_s = (v.load(place + narrow) for place in (s_prev, s, delta_s))
        at_h = v.load(delta_h + wide) + v.load_part(given + r * given_row, given_mask)
        filtered = activation(v, code_h, state)
        total = v.fma(at_h * hf, slope(v, code_h, filtered), at_s)
        deltas = (
            forget_gate_delta(total, before, f),
            input_gate_delta(total, c, i),
            candidate_gate_delta(v, total, i, c, code_c),
            hidden_filter_gate_delta(at_h * filtered, hf),
        )
        for g, delta in enumerate(deltas):
            v.store(dz + (wide + g * v.lanes), v.select(mask, delta, 0.0))
        v.store(delta_s + narrow, total * f)
        return []

    v.repeat(rows, [], row)


FORGET, INPUT, CANDIDATE, HIDDEN_FILTER = range(4)
"""Numbers of the gates, in the order of the weights."""


@operation
def _delta_row(
    v: Machine, gate: Count, code_c: Count, n: Count, a: Place, b: Place, argument: Place, delta: Place
) -> None:
    def step(offset: Any, mask: Any) -> None:
        load = v.load if mask is None else lambda place: v.load_part(place, mask)
        first, second, z = load(a + offset), load(b + offset), load(argument + offset)
        value = v.choose(gate, {
            FORGET: lambda: forget_gate_delta(first, second, sigmoid(v, z)),
            INPUT: lambda: input_gate_delta(first, second, sigmoid(v, z)),
            CANDIDATE: lambda: candidate_gate_delta(v, first, second, activation(v, code_c, z), code_c),
            HIDDEN_FILTER: lambda: hidden_filter_gate_delta(first, sigmoid(v, z)),
        })
        if mask is None:
            v.store(delta + offset, value)
        else:
            v.store_part(delta + offset, value, mask)

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
