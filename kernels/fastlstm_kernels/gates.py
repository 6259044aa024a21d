"""The arithmetic of the four gates, forwards and backwards: the only copy of it.

Gates in the order f forget, i input, g candidate, o output (the NumPy classes' hidden filter). One step, after
Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), eqs. (1)-(6)::

    f, i, o = sigmoid(z_f), sigmoid(z_i), sigmoid(z_o)      g = a0(z_g)
    c = f c_prev + i g                                      h = o a1(c)

The gates of as many units as a vector has lanes lie together, as four vectors: the width of a panel (see `pack`). On
their way forwards, those of the fewer units of an incomplete panel lie close together, and take fewer vectors.
"""

from typing import Any, NamedTuple

import numpy as np

from fastlstm_kernels.activations import activation, sigmoid, sigmoid_slope, slope
from fastlstm_kernels.simd import SHORTEST, Backend, Int, Pointer, operation
from fastlstm_kernels.tile import WIDTH

GATES = 4
"""Gates of a unit; at most the `WIDTH` vectors of a panel."""


def gate_vectors(v: Backend, units: Any) -> Any:
    """Vectors of a panel that the gates of some units take, close together; of more units than it has lanes: all."""
    return v.least(v.quotient(units * GATES + (v.lanes - 1), v.lanes), GATES)


def gates_of(v: Backend, code_g: Any, z: list[Any]) -> list[Any]:
    """The activated gates f, i, g, o of a vector of units."""
    f, i, g, o = z
    return [sigmoid(v, f), sigmoid(v, i), activation(v, code_g, g), sigmoid(v, o)]


def _gates(v: Backend, place: Any, apart: Any) -> list[Any]:
    return [v.load(place + k * apart) for k in range(GATES)]


def cell_states(v: Backend, code_c: Any, gates: list[Any], c_prev: Any) -> tuple[Any, Any]:
    """The cell state and the hidden state of a vector of units, given their activated gates f, i, g, o."""
    f, i, g, o = gates
    state = v.fma(f, c_prev, i * g)
    return state, o * activation(v, code_c, state)


def cell_forward(
    v: Backend, code_g: Any, code_c: Any, rows: Any, units: Any, z: Any, c_prev: Any, c: Any, h: Any, h_row: Any
) -> None:
    """One step of one vector of units of some rows; mirrors `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    code_g, code_c : int
        Activation codes a0 of the candidate and a1 of the cell state.
    rows : int
        How many rows.
    units : int
        How many of the vector's units exist, counted from the first; more than a vector is all.
    z : place, rows a panel's width apart
        Pre-activations, each gate's behind the one before; replaced by the activated gates f, i, g, o, each at its
        vector.
    c_prev : place, rows a vector apart
        Cell state before the step.
    c : place, rows a vector apart
        Written: the cell state; may be `c_prev` itself.
    h : place, rows `h_row` apart
        Written, for units that exist: the hidden state.
    """
    whole, apart = v.truth(units >= v.lanes), v.least(units, v.lanes)

    def each_row(part: Backend) -> None:
        """In vectors of `part`, the rest of whose lanes become zero."""
        mask = part.first(units)

        def widened(value: Any) -> Any:
            return value if part is v else v.shuffle(value, part.fill(0.0), range(v.lanes))

        def activate(r: Any) -> list[Any]:
            place = z + r * (WIDTH * v.lanes)
            given = [part.select(mask, gate, 0.0) for gate in _gates(part, place, apart)]
            for k, value in enumerate(gates_of(part, code_g, given)):
                v.store(place + k * v.lanes, widened(value))
            return []

        def combine(r: Any) -> list[Any]:
            place, here, out = z + r * (WIDTH * v.lanes), r * v.lanes, h + r * h_row
            gates = _gates(part, place, v.lanes)
            v.fetch_ahead(out, write=True)
            state, hidden = cell_states(part, code_c, gates, part.load(c_prev + here))
            v.store(c + here, widened(state))
            v.choose(whole, {1: lambda: part.store(out, hidden), 0: lambda: part.store_part(out, hidden, mask)})
            return []

        # Two short loops rather than one, whose operations wait for each other and are more than a processor looks
        # ahead: layers of 16 to 40 units take 6 to 10 % less, of 136 units 3 (Zen 3). A loop for each gate: one row of
        # 37 units takes 12 % more.
        v.repeat(rows, [], activate)
        v.repeat(rows, [], combine)

    # Few units take half the time: (1500, 3, 8, 40) on two cores 0.98 to 0.90 ms, (60, 5, 20, 24) on one 59 to 56.5 us.
    # Not in float64, whose cell is larger: a row of 256 units on two cores took 8 % longer, though none of it is half.
    half = v.lanes // 2
    if half * v.dtype.itemsize < SHORTEST or v.dtype != np.float32:
        each_row(v)
    else:
        v.choose(v.truth(units > half), {1: lambda: each_row(v), 0: lambda: each_row(v.shortened(half))})


def forget_gate_factor(c_prev: Any, f: Any) -> Any:
    """dc/dz_f; mirrors `oracle.LSTM.back_prop_forget_gate`, whose delta is this times the gradient at c."""
    return c_prev * sigmoid_slope(f)


def input_gate_factor(g: Any, i: Any) -> Any:
    """dc/dz_i; mirrors `oracle.LSTM.back_prop_input_gate`."""
    return g * sigmoid_slope(i)


def candidate_gate_factor(v: Backend, i: Any, g: Any, code_g: Any) -> Any:
    """dc/dz_g; mirrors `oracle.LSTM.back_prop_candidate_gate`."""
    return i * slope(v, code_g, g)


def output_gate_factor(o: Any) -> Any:
    """do/dz_o; mirrors `oracle.LSTM.back_prop_hidden_filter_gate`."""
    return sigmoid_slope(o)


class Forward(NamedTuple):
    """What a step has left, of one vector of units.

    Attributes
    ----------
    gates : place, rows a panel's width apart
        f, i, g, o.
    c_prev, c : places, rows a vector apart
        Cell state before and after.
    """

    gates: Pointer
    c_prev: Pointer
    c: Pointer


class Errors(NamedTuple):
    """Gradients of a step, of one vector of units.

    Attributes
    ----------
    d_y : place, rows `d_y_row` apart
        At the hidden state h of this step from the step's output.
    d_h : place, rows a panel's width apart
        At h from the step after.
    d_c : place, rows a vector apart
        What reaches c from the step after; replaced by what goes on to `c_prev`.
    dz : place, rows a panel's width apart
        Written: those at the pre-activations.
    """

    d_y: Pointer
    d_y_row: Int
    d_h: Pointer
    d_c: Pointer
    dz: Pointer


FACTORS = 6
"""Vectors that `_factors` makes of one."""


def _factors(v: Backend, code_g: Any, code_c: Any, forward: Forward, r: Any) -> list[Any]:
    """What a step back multiplies with: dc/dz_f, dc/dz_i, dc/dz_g, dh/dz_o, dh/dc, and f = dc/dc_prev, of row r."""
    f, i, g, o = _gates(v, forward.gates + r * (WIDTH * v.lanes), v.lanes)
    before, state = v.load(forward.c_prev + r * v.lanes), v.load(forward.c + r * v.lanes)
    squashed = activation(v, code_c, state)  # formed anew, which costs less than keeping it
    return [
        forget_gate_factor(before, f),
        input_gate_factor(g, i),
        candidate_gate_factor(v, i, g, code_g),
        squashed * output_gate_factor(o),
        o * slope(v, code_c, squashed),
        f,
    ]


def _deltas(v: Backend, factors: list[Any], mask: Any, at_h: Any, d_c: Any) -> list[Any]:
    """Gradients at the pre-activations, given those at h, and at c in `d_c`, which then holds that at c_prev.

    Where no error comes, none goes on, whatever NaN or infinity the step has computed, for it may be padding: there the
    results are -0, and an error's product that is zero is +0. Sums keep that apart; see `gradients.add_sums`.
    """
    *of_state, to_output, to_state, forget = factors
    before = v.load(d_c)
    no_h = v.is_zero(at_h)
    at_c = v.select(no_h, before, v.fma(at_h, to_state, before))
    no_c = v.is_zero(at_c)
    v.store(d_c, v.select(no_c, 0.0, at_c * forget))
    through_state = [v.select(no_c, -0.0, v.fma(at_c, factor, 0.0)) for factor in of_state]
    through_output = v.select(no_h, -0.0, v.fma(at_h, to_output, 0.0))
    return [v.select(mask, delta, -0.0) for delta in [*through_state, through_output]]


@operation
def cell_backward(
    v: Backend, code_g: Int, code_c: Int, rows: Int, units: Int, forward: Forward, errors: Errors
) -> None:
    """One step back of one vector of units of some rows; mirrors `oracle.LSTM.back_propagate_through_time`.

    Parameters
    ----------
    code_g, code_c : int
        Activation codes a0 and a1.
    rows : int
        How many rows.
    units : int
        How many of the vector's units exist; dz of the others is zero, whatever infinite inputs have made of them.
    forward, errors : Forward, Errors
    """
    mask, (d_y, d_y_row, d_h, d_c, dz) = v.first(units), errors

    def row(r: Any) -> list[Any]:
        wide, narrow = r * (WIDTH * v.lanes), r * v.lanes
        factors = _factors(v, code_g, code_c, forward, r)
        given = d_y + r * d_y_row
        v.fetch_ahead(given)  # for the next panels: a step of training takes 2 to 6 % less (Zen 3), with that of h
        at_h = v.load(d_h + wide) + v.load_part(given, mask)
        for k, delta in enumerate(_deltas(v, factors, mask, at_h, d_c + narrow)):
            v.store(dz + (wide + k * v.lanes), delta)
        return []

    v.repeat(rows, [], row)


@operation
def cell_factors(v: Backend, code_g: Int, code_c: Int, rows: Int, forward: Forward, factors: Pointer) -> None:
    """What many windows that step back over the same rows have in common.

    Parameters
    ----------
    code_g, code_c, rows, forward
        As for `cell_backward`.
    factors : place, rows FACTORS vectors apart
        Written.
    """

    def row(r: Any) -> list[Any]:
        for k, factor in enumerate(_factors(v, code_g, code_c, forward, r)):
            v.store(factors + (r * (FACTORS * v.lanes) + k * v.lanes), factor)
        return []

    v.repeat(rows, [], row)


@operation
def windows_backward(
    v: Backend, windows: Int, rows: Int, apart: Int, width: Int, units: Int, own: Int, factors: Pointer,
    errors: Errors, sums: Pointer,
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
    errors : Errors
        `d_y` of all rows, read where `own`; `d_h`, `d_c` and `dz` of the windows' rows.
    sums : place, rows a panel's width apart
        Of all rows: dz summed over windows.
    """
    (d_y, d_y_row, d_h, d_c, dz), mask, d_y_mask = errors, v.first(units), v.first(units * own)

    def window(w: Any) -> list[Any]:
        def row(r: Any) -> list[Any]:
            here, there = w * apart + r, w * width + r
            wide, total = there * (WIDTH * v.lanes), sums + here * (WIDTH * v.lanes)
            of_row = factors + here * (FACTORS * v.lanes)
            at_h = v.load(d_h + wide) + v.load_part(d_y + here * d_y_row, d_y_mask)
            deltas = _deltas(
                v, [v.load(of_row + k * v.lanes) for k in range(FACTORS)], mask, at_h, d_c + there * v.lanes
            )
            for k, delta in enumerate(deltas):
                v.store(dz + (wide + k * v.lanes), delta)

            def begin() -> None:
                for k, delta in enumerate(deltas):
                    v.store(total + k * v.lanes, delta)

            def add() -> None:
                for k, delta in enumerate(deltas):
                    v.store(total + k * v.lanes, v.load(total + k * v.lanes) + delta)

            v.choose(own, {1: begin, 0: add})
            return []

        v.repeat(rows, [], row)
        return []

    v.repeat(windows, [], window)


