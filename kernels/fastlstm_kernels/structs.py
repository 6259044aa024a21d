"""The arrays that kernels share, in groups of one role each.

A kernel that Python calls takes plain tuples, whose fields stand in the order of the class here that has their name,
and makes these of them. (Numba looks at every letter of a NamedTuple's names in every call from Python: 19 arrays apart
take 1.1 µs, in five tuples 1.3, in five NamedTuples 6.3. In compiled code the names cost nothing.)
"""

from typing import NamedTuple

from fastlstm_kernels.arrays import Array, Index


class Weights(NamedTuple):
    """A layer's weights as users have them.

    Attributes
    ----------
    w, u : (4 H, input) and (4 H, H) arrays
    b_ih, b_hh : (4 H,) arrays
        Added to each other; or without elements.
    order : (4,) intp array
        Where the gates f, i, g, o stand in them.
    code_g, code_c : int
        Activation codes a0 of the candidate and a1 of the cell state.
    """

    w: Array
    u: Array
    b_ih: Array
    b_hh: Array
    order: Index
    code_g: int
    code_c: int


class Packed(NamedTuple):
    """A layer's weights as the loop over time reads them.

    Attributes
    ----------
    panels : array of `pack.panels_shape`
    code_g, code_c : int
        As in `Weights`.
    """

    panels: Array
    code_g: int
    code_c: int


class Batch(NamedTuple):
    """Sequences as rows; see `batch`.

    Attributes
    ----------
    x : (N, input) array
        Inputs.
    offsets : (T + 1,) intp array
        First row of each step, and N.
    ends : (batch,) intp array
        Which row of the state arrays holds the state after each sequence's last step.
    places : (batch,) intp array
        Which of the user's sequences each is.
    """

    x: Array
    offsets: Index
    ends: Index
    places: Index


class States(NamedTuple):
    """States of all layers, in the order of the user's sequences.

    Attributes
    ----------
    h_0, c_0 : (layers, batch, H) arrays
        Initial ones; without layers: zeros.
    h_n, c_n : (layers, batch, H) arrays
        Final ones; those of `layer` are written.
    layer : int
        Which layer. (To take its part of each array in Python costs 0.2 µs an array.)
    """

    h_0: Array
    c_0: Array
    h_n: Array
    c_n: Array
    layer: int


class Tape(NamedTuple):
    """What a run writes.

    Attributes
    ----------
    gates : (units / lanes rounded up, rows, 4 lanes) array
        The gates f, i, g, o of each vector of units. Recorded, it has N rows; otherwise it is scratch of
        `forward.INPUT_ROWS` rows, and at least as many as a step.
    cells : (units / lanes rounded up, batch + N or batch, lanes) array
        Cell states: recorded for all rows, after `batch` initial ones; otherwise carried in place.
    hidden : (batch + N, H) array
        Hidden states, the initial ones first.
    h_in : (batch + N, H) array
        What the next step takes of them: the same times the mask; `hidden` itself where there is no mask.
    mask : (batch, H) array
        What the hidden states of each sequence are multiplied with on their way to the next step. Without rows: ones.
    """

    gates: Array
    cells: Array
    hidden: Array
    h_in: Array
    mask: Array


class Deltas(NamedTuple):
    """Gradients that come in, and go out.

    Attributes
    ----------
    d_y : (N, H) array
        At the hidden states, from each step's output.
    d_x : (N, input) array
        Written, at the inputs. Without rows it is not formed.
    d_h_n, d_c_n, d_h_0, d_c_0, layer
        At the states; see `States`. The last two are written.
    """

    d_y: Array
    d_x: Array
    d_h_n: Array
    d_c_n: Array
    d_h_0: Array
    d_c_0: Array
    layer: int


class Gradients(NamedTuple):
    """Gradients of the weights, added to; the biases' without elements where there are none."""

    d_w: Array
    d_u: Array
    d_b_ih: Array
    d_b_hh: Array


class Scratch(NamedTuple):
    """What the way back overwrites.

    Attributes
    ----------
    transposed_u, transposed_w : arrays of `pack.transposed_shape`
        U and W, packed for the way back.
    d_h : (panels of `transposed_u`, batch, 4 lanes) array
    d_c : (units / lanes rounded up, batch, lanes) array
        Gradients at the states of the step that the way back has come to.
    dz : (units / lanes rounded up, rows, 4 lanes) array
        Gradients at the pre-activations, of as many rows as are worked on at once, at least those of one step; N rows
        with truncation, where they are summed over the windows that hold a step.
    d_panels : array of `pack.panels_shape`
        Gradients of the packed weights.
    work : (workers, `gradients.SCRATCH`) array
    """

    transposed_u: Array
    transposed_w: Array
    d_h: Array
    d_c: Array
    dz: Array
    d_panels: Array
    work: Array


class Window(NamedTuple):
    """Truncation, and what it overwrites besides.

    Attributes
    ----------
    truncate : int
        K: how many steps a window reaches back before its group, 0 or more.
    stride : int
        Steps of a group, 1 or more.
    d_h_0, d_c_0 : arrays like `Scratch.d_h` and `Scratch.d_c`
        Gradients at the initial state, which counts as an input of the first step.
    d_h : (stores, panels of `transposed_u`, rows, 4 lanes) array
    d_c : (stores, units / lanes rounded up, rows, lanes) array
        Those of the windows. Where `truncated.shares_windows`, one store of a multiple of `batch` rows; else one for
        each worker of `truncated.WINDOW_ROWS`.
    factors : (units / lanes rounded up, N, `gates.FACTORS` · lanes) array
    dz : (workers, units / lanes rounded up, max(WINDOW_ROWS, batch), 4 lanes) array
        Of the windows that a worker steps back.
    """

    truncate: int
    stride: int
    d_h_0: Array
    d_c_0: Array
    d_h: Array
    d_c: Array
    factors: Array
    dz: Array
