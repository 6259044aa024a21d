"""A layer in one direction, from weights and states as users have them to results as users want them.

Each of the arguments is a tuple of arrays of one role, in the order of the class here that has its name. (Numba looks
at every letter of a NamedTuple's names in every call: 19 arrays apart take 1.1 µs, in five tuples 1.3, in five
NamedTuples 6.3. In compiled code the names cost nothing.)
"""

from typing import Any, NamedTuple

import numpy as np

from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.backward import run_backward
from fastlstm_kernels.forward import run_forward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.pack import add_from_panels, pack_biased, transpose
from fastlstm_kernels.phases import BOARD
from fastlstm_kernels.truncated import run_truncated


class Weights(NamedTuple):
    """A layer's weights.

    Attributes
    ----------
    w, u : (4 H, input) and (4 H, H) arrays
    b_ih, b_hh : (4 H,) arrays
        Added to each other; or without elements.
    order : (4,) intp array
        Where the gates f, i, c, hf stand in them.
    code_c, code_h : int
        Activation codes a0 of the candidate and a1 of the cell state.
    """

    w: Array
    u: Array
    b_ih: Array
    b_hh: Array
    order: Index
    code_c: int
    code_h: int


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
    """States in the order of the user's sequences.

    Attributes
    ----------
    h_0, c_0 : (batch, H) arrays
        Initial ones; without rows: zeros.
    h_n, c_n : (batch, H) arrays
        Written: final ones.
    """

    h_0: Array
    c_0: Array
    h_n: Array
    c_n: Array


class Tape(NamedTuple):
    """What a run leaves behind; the arguments of `forward.forward` that have these names (`gates`: z)."""

    gates: Array
    cells: Array
    hidden: Array
    fed: Array
    mask: Array


class Deltas(NamedTuple):
    """Gradients that come in, and go out.

    Attributes
    ----------
    d_y : (N, H) array
        At the hidden states.
    d_h_n, d_c_n : (batch, H) arrays
        At the final states, in the order of the user's sequences; without rows: zeros.
    d_x : (N, input) array
        Written, at the inputs. Without rows it is not formed.
    d_h_0, d_c_0 : (batch, H) arrays
        Written, at the initial states, in the order of the user's sequences.
    """

    d_y: Array
    d_h_n: Array
    d_c_n: Array
    d_x: Array
    d_h_0: Array
    d_c_0: Array


class Gradients(NamedTuple):
    """Gradients of the weights, added to; the biases' without elements where there are none."""

    d_w: Array
    d_u: Array
    d_b_ih: Array
    d_b_hh: Array


class Scratch(NamedTuple):
    """What the way back overwrites; the arguments of `backward.backward` that have these names."""

    transposed_u: Array
    transposed_w: Array
    delta_h: Array
    delta_s: Array
    dz: Array
    sums: Array
    scratch: Array


class Window(NamedTuple):
    """Truncation; the arguments of `truncated.truncated_backward` that have these names."""

    truncate: int
    stride: int
    initial_h: Array
    initial_s: Array
    delta_h: Array
    delta_s: Array
    factors: Array
    tiles: Array


@jit(device=True)
def into_vectors(rows: Array, places: Index, out: Array) -> None:
    """Rows `places` of an array (n, columns) by vectors of columns (columns / width rounded up, batch, width).

    Zeros behind the last column, and everywhere where there are no rows.
    """
    width = out.shape[2]
    for p in range(out.shape[0]):
        columns = min(width, rows.shape[1] - p * width) if rows.shape[0] else 0
        for k in range(places.shape[0]):
            for j in range(width):
                out[p, k, j] = rows[places[k], p * width + j] if j < columns else 0


@jit(device=True)
def from_vectors(groups: Array, lines: Index, places: Index, out: Array) -> None:
    """The reverse of `into_vectors`: line ``lines[k]`` of groups as row ``places[k]`` of an array (batch, columns)."""
    width = groups.shape[2]
    for k in range(places.shape[0]):
        for p in range(groups.shape[0]):
            for j in range(min(width, out.shape[1] - p * width)):
                out[places[k], p * width + j] = groups[p, lines[k], j]


@jit(device=True)
def enter(weights: Any, batch: Any, states: Any, tape: Any, panels: Array, workers: int) -> None:
    """Pack the weights, and take the initial states."""
    weights, batch, states, tape = Weights(*weights), Batch(*batch), States(*states), Tape(*tape)
    pack_biased(weights.w, weights.u, weights.b_ih, weights.b_hh, weights.order, panels, workers)
    places, hidden, fed, mask = batch.places, tape.hidden, tape.fed, tape.mask
    for k in range(places.shape[0]):
        for j in range(hidden.shape[1]):
            value = states.h_0[places[k], j] if states.h_0.shape[0] else hidden.dtype.type(0)
            hidden[k, j] = value
            if mask.shape[0]:
                fed[k, j] = value * mask[k, j]
    into_vectors(states.c_0, places, tape.cells)


@jit(device=True)
def leave(batch: Any, states: Any, tape: Any, record: bool) -> None:
    """Give the final states."""
    batch, states, tape = Batch(*batch), States(*states), Tape(*tape)
    places, ends = batch.places, batch.ends
    for k in range(places.shape[0]):
        for j in range(states.h_n.shape[1]):
            states.h_n[places[k], j] = tape.hidden[ends[k], j]
    from_vectors(tape.cells, ends if record else np.arange(places.shape[0]), places, states.c_n)


@jit()
def layer_forward(
    weights: Any, batch: Any, states: Any, tape: Any, panels: Array, record: bool, workers: int
) -> None:
    """Run over every step of sequences; mirrors `oracle.stack.stacked_lstm`.

    Parameters
    ----------
    weights, batch, states, tape : tuples
        See `Weights`, `Batch`, `States` and `Tape`.
    panels : array of `pack.panels_shape`
        Overwritten: the packed weights.
    record : bool
        Whether all that the way back needs is kept.
    workers : int
        Shares of the work.

    Notes
    -----
    8 N H (input + H) flops; each step reads the weights once, or once per worker.
    """
    enter(weights, batch, states, tape, panels, workers)
    kept, given, run = Weights(*weights), Batch(*batch), Tape(*tape)
    board = np.empty((workers, BOARD), np.int64)
    run_forward(
        given.x, given.offsets, panels, kept.code_c, kept.code_h, record, run.mask, run.gates, run.cells, run.hidden,
        run.fed, board, workers,
    )
    leave(batch, states, tape, record)


@jit(device=True)
def enter_back(weights: Any, batch: Any, deltas: Any, scratch: Any, workers: int) -> None:
    """Pack the weights for the way back, and take the gradients at the final states."""
    weights, places, deltas, scratch = Weights(*weights), Batch(*batch).places, Deltas(*deltas), Scratch(*scratch)
    transpose(weights.u, weights.order, scratch.transposed_u, workers)
    transpose(weights.w, weights.order, scratch.transposed_w, workers)
    into_vectors(deltas.d_h_n, places, scratch.delta_h)
    into_vectors(deltas.d_c_n, places, scratch.delta_s)
    if deltas.d_y.shape[0] == 0:
        scratch.sums[:] = 0


@jit(device=True)
def leave_back(
    weights: Any, batch: Any, deltas: Any, gradients: Any, delta_h: Array, delta_s: Array, sums: Array, workers: int
) -> None:
    """Give the gradients at the initial states, and add those of the weights."""
    places, deltas, gradients = Batch(*batch).places, Deltas(*deltas), Gradients(*gradients)
    lines = np.arange(places.shape[0])
    from_vectors(delta_h, lines, places, deltas.d_h_0)
    from_vectors(delta_s, lines, places, deltas.d_c_0)
    add_from_panels(
        sums, Weights(*weights).order, gradients.d_w, gradients.d_u, gradients.d_b_ih, gradients.d_b_hh, workers
    )


@jit()
def layer_backward(
    weights: Any, batch: Any, tape: Any, deltas: Any, gradients: Any, scratch: Any, workers: int
) -> None:
    """Sweep back over what `layer_forward` has recorded; mirrors the gradients of `oracle.stack.stacked_lstm`.

    Parameters
    ----------
    weights, batch, tape
        As for `layer_forward`.
    deltas, gradients, scratch : tuples
        See `Deltas`, `Gradients` and `Scratch`.
    workers : int
        Shares of the work.

    Notes
    -----
    16 N H (input + H) flops.
    """
    enter_back(weights, batch, deltas, scratch, workers)
    kept, given, run, delta, work = Weights(*weights), Batch(*batch), Tape(*tape), Deltas(*deltas), Scratch(*scratch)
    board = np.empty((workers, BOARD), np.int64)
    run_backward(
        given.offsets, work.transposed_u, work.transposed_w, kept.code_c, kept.code_h, run.mask, given.x, run.gates,
        run.cells, run.fed, delta.d_y, work.delta_h, work.delta_s, work.dz, work.sums, delta.d_x, work.scratch, board,
        workers,
    )
    leave_back(weights, batch, deltas, gradients, work.delta_h, work.delta_s, work.sums, workers)


@jit()
def layer_truncated_backward(
    weights: Any, batch: Any, tape: Any, deltas: Any, gradients: Any, scratch: Any, window: Any, workers: int
) -> None:
    """Walk the errors of each group of steps back; mirrors `oracle.LSTM.back_propagate_through_time`.

    Parameters
    ----------
    weights, batch, tape, deltas, gradients, scratch, workers
        As for `layer_backward`.
    window : tuple
        See `Window`.

    Notes
    -----
    8 N H ((K / stride + 1) H + 2 input + H) flops.
    """
    enter_back(weights, batch, deltas, scratch, workers)
    kept, given, run, delta, work = Weights(*weights), Batch(*batch), Tape(*tape), Deltas(*deltas), Scratch(*scratch)
    turns, there = Window(*window), given.offsets[1] - given.offsets[0]
    turns.initial_h[:], turns.initial_s[:] = work.delta_h, work.delta_s
    turns.initial_h[:, :there], turns.initial_s[:, :there] = 0, 0  # the others end where they begin
    board = np.empty((workers, BOARD), np.int64)
    run_truncated(
        given.offsets, turns.truncate, turns.stride, work.transposed_u, work.transposed_w, kept.code_c, kept.code_h,
        run.mask, given.x, run.gates, run.cells, run.fed, delta.d_y, work.delta_h, work.delta_s, turns.initial_h,
        turns.initial_s, turns.delta_h, turns.delta_s, turns.factors, work.dz, turns.tiles, work.sums, delta.d_x,
        work.scratch, board, workers,
    )
    leave_back(weights, batch, deltas, gradients, turns.initial_h, turns.initial_s, work.sums, workers)
