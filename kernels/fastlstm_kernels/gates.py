"""The arithmetic of the four gates, forwards and backwards: the only copy of it.

Gates in the order f forget, i input, c candidate, hf hidden filter (the literature's output gate). One step, after
Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), eqs. (1)-(6)::

    F, I, Hf = sigmoid(z_f), sigmoid(z_i), sigmoid(z_hf)      C = a0(z_c)
    S = F S_prev + I C                                        h = Hf a1(S)

The gates of as many units as a vector has lanes lie together, as four vectors: the width of a panel (see `pack`).
"""

from typing import Any

from fastlstm_kernels.activations import activation, sigmoid, sigmoid_slope, slope
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


def forget_gate_factor(s_prev: Any, f: Any) -> Any:
    """dS/dz_f; mirrors `oracle.LSTM.back_prop_forget_gate`, whose delta is this times the gradient at S."""
    return s_prev * sigmoid_slope(f)


def input_gate_factor(c: Any, i: Any) -> Any:
    """dS/dz_i; mirrors `oracle.LSTM.back_prop_input_gate`."""
    return c * sigmoid_slope(i)


def candidate_gate_factor(v: Machine, i: Any, c: Any, code_c: Any) -> Any:
    """dS/dz_c; mirrors `oracle.LSTM.back_prop_candidate_gate`."""
    return i * slope(v, code_c, c)


def hidden_filter_gate_factor(hf: Any) -> Any:
    """dHf/dz_hf; mirrors `oracle.LSTM.back_prop_hidden_filter_gate`."""
    return sigmoid_slope(hf)


FACTORS = 6
"""Vectors that `_factors` makes of one."""


def _factors(v: Machine, code_c: Any, code_h: Any, gates: Any, s_prev: Any, s: Any) -> list[Any]:
    """What a step back multiplies with: dS/dz_f, dS/dz_i, dS/dz_c, dh/dz_hf, dh/dS, and F = dS/dS_prev."""
    (f, i, c, hf), before, state = _gates(v, gates), v.load(s_prev), v.load(s)
    filtered = activation(v, code_h, state)  # formed anew, which costs less than keeping it
    return [
        forget_gate_factor(before, f),
        input_gate_factor(c, i),
        candidate_gate_factor(v, i, c, code_c),
        filtered * hidden_filter_gate_factor(hf),
        hf * slope(v, code_h, filtered),
        f,
    ]


def _deltas(v: Machine, factors: list[Any], mask: Any, at_h: Any, delta_s: Any) -> list[Any]:
    """Gradients at the pre-activations, given those at h, and at S in `delta_s`, which then holds that at S_prev.

    Where no error comes, none goes on, whatever NaN or infinity the step has computed, for it may be padding: there the
    results are -0, and an error's product that is zero is +0. Sums keep that apart; see `gradients.add_sums`.
    """
    *of_state, to_filter, to_state, kept = factors
    before = v.load(delta_s)
    no_h = v.is_zero(at_h)
    at_s = v.select(no_h, before, v.fma(at_h, to_state, before))
    no_s = v.is_zero(at_s)
    v.store(delta_s, v.select(no_s, 0.0, at_s * kept))
    through_state = [v.select(no_s, -0.0, v.fma(at_s, factor, 0.0)) for factor in of_state]
    through_filter = v.select(no_h, -0.0, v.fma(at_h, to_filter, 0.0))
    return [v.select(mask, delta, -0.0) for delta in [*through_state, through_filter]]


@operation
def cell_backward(
    v: Machine, code_c: Count, code_h: Count, rows: Count, units: Count, gates: Place, s_prev: Place, s: Place,
    given: Place, given_row: Count, delta_h: Place, delta_s: Place, dz: Place,
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
        Cell state before and after the step.
    given : place, rows `given_row` apart
        Gradient at the hidden state h of this step from the step's output.
    delta_h : place, rows a panel's width apart
        Gradient at h from the step after.
    delta_s : place, rows a vector apart
        Gradient that reaches S from the step after; replaced by the gradient that goes on to `s_prev`.
    dz : place, rows a panel's width apart
        Written: the gradients at the pre-activations.
    """
    mask = v.first(units)

    def row(r: Any) -> list[Any]:
        wide, narrow = r * (4 * v.lanes), r * v.lanes
        factors = _factors(v, code_c, code_h, gates + wide, s_prev + narrow, s + narrow)
        at_h = v.load(delta_h + wide) + v.load_part(given + r * given_row, mask)
        for g, delta in enumerate(_deltas(v, factors, mask, at_h, delta_s + narrow)):
            v.store(dz + (wide + g * v.lanes), delta)
        return []

    v.repeat(rows, [], row)


@operation
def cell_factors(
    v: Machine, code_c: Count, code_h: Count, rows: Count, gates: Place, s_prev: Place, s: Place, factors: Place
) -> None:
    """What many windows that step back over the same rows have in common.

    Parameters
    ----------
    code_c, code_h, rows, gates, s_prev, s
        As for `cell_backward`.
    factors : place, rows FACTORS vectors apart
        Written.
    """

    def row(r: Any) -> list[Any]:
        found = _factors(v, code_c, code_h, gates + r * (4 * v.lanes), s_prev + r * v.lanes, s + r * v.lanes)
        for k, factor in enumerate(found):
            v.store(factors + (r * (FACTORS * v.lanes) + k * v.lanes), factor)
        return []

    v.repeat(rows, [], row)


@operation
def windows_backward(
    v: Machine, windows: Count, rows: Count, apart: Count, width: Count, units: Count, own: Count, factors: Place,
    given: Place, given_row: Count, delta_h: Place, delta_s: Place, dz: Place, sums: Place,
) -> None:
    """One step back of one vector of units, in several windows; mirrors `cell_backward`, from its `cell_factors`.

    Parameters
    ----------
    windows, rows : int
        How many windows, and rows in each.
    apart, width : int
        From a window's first row to the next one's: in the arrays of all rows, and in those of the windows.
    units
        As for `cell_backward`.
    own : int
        1 where a window's errors begin at its step, which has met no other window then; else 0.
    factors : place, rows FACTORS vectors apart
        Of all rows.
    given, given_row
        As for `cell_backward`, of all rows; read where `own`.
    delta_h, delta_s, dz
        As for `cell_backward`, of the windows' rows.
    sums : place, rows a panel's width apart
        Of all rows: dz summed over windows.
    """
    mask, given_mask = v.first(units), v.first(units * own)

    def window(w: Any) -> list[Any]:
        def row(r: Any) -> list[Any]:
            here, there = w * apart + r, w * width + r
            wide, total = there * (4 * v.lanes), sums + here * (4 * v.lanes)
            of_row = factors + here * (FACTORS * v.lanes)
            at_h = v.load(delta_h + wide) + v.load_part(given + here * given_row, given_mask)
            deltas = _deltas(
                v, [v.load(of_row + k * v.lanes) for k in range(FACTORS)], mask, at_h, delta_s + there * v.lanes
            )
            for g, delta in enumerate(deltas):
                v.store(dz + (wide + g * v.lanes), delta)

            def begin() -> None:
                for g, delta in enumerate(deltas):
                    v.store(total + g * v.lanes, delta)

            def add() -> None:
                for g, delta in enumerate(deltas):
                    v.store(total + g * v.lanes, v.load(total + g * v.lanes) + delta)

            v.choose(own, {1: begin, 0: add})
            return []

        v.repeat(rows, [], row)
        return []

    v.repeat(windows, [], window)


