"""A layer in one direction, from weights and states as users have them to results as users want them."""

from typing import Any

from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.backward import run_backward
from fastlstm_kernels.forward import run_forward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.pack import add_from_panels, pack_biased, transpose
from fastlstm_kernels.structs import Batch, Deltas, Gradients, Packed, Scratch, States, Tape, Weights, Window
from fastlstm_kernels.truncated import run_truncated


@jit(device=True)
def into_vectors(states: Array, layer: int, places: Index, out: Array) -> None:
    """Rows `places` of a layer of (layers, batch, columns), by vectors of columns (vectors, batch, width).

    Zeros behind the last column, and everywhere where there are no layers.
    """
    width = out.shape[2]
    for p in range(out.shape[0]):
        columns = min(width, states.shape[2] - p * width) if states.shape[0] else 0
        for k in range(places.shape[0]):
            for j in range(width):
                out[p, k, j] = states[layer, places[k], p * width + j] if j < columns else 0


@jit(device=True)
def from_vectors(vectors: Array, lines: Index, places: Index, states: Array, layer: int) -> None:
    """The reverse of `into_vectors`: line ``lines[k]`` of the vectors, or without `lines` k, to row ``places[k]``."""
    width = vectors.shape[2]
    for k in range(places.shape[0]):
        line = lines[k] if lines.shape[0] else k
        for p in range(vectors.shape[0]):
            for j in range(min(width, states.shape[2] - p * width)):
                states[layer, places[k], p * width + j] = vectors[p, line, j]


@jit(device=True)
def enter(batch: Batch, states: States, tape: Tape) -> None:
    """Take the initial states."""
    places, hidden, h_in, mask, h_0 = batch.places, tape.hidden, tape.h_in, tape.mask, states.h_0
    for k in range(places.shape[0]):
        for j in range(hidden.shape[1]):
            value = h_0[states.layer, places[k], j] if h_0.shape[0] else hidden.dtype.type(0)
            hidden[k, j] = value
            if mask.shape[0]:
                h_in[k, j] = value * mask[k, j]
    into_vectors(states.c_0, states.layer, places, tape.cells)


@jit(device=True)
def leave(batch: Batch, states: States, tape: Tape, record: bool) -> None:
    """Give the final states."""
    places, ends, h_n, hidden = batch.places, batch.ends, states.h_n, tape.hidden
    for k in range(places.shape[0]):
        for j in range(h_n.shape[2]):
            h_n[states.layer, places[k], j] = hidden[ends[k], j]
    from_vectors(tape.cells, ends if record else ends[:0], places, states.c_n, states.layer)


@jit()
def layer_forward(
    weights: Any, batch: Any, states: Any, tape: Any, panels: Array, record: bool, workers: int
) -> None:
    """Run over every step of sequences; mirrors `oracle.stack.stacked_lstm`.

    Parameters
    ----------
    weights, batch, states, tape : tuples
        See `structs.Weights`, `Batch`, `States` and `Tape`.
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
    layer, rows, given, run = Weights(*weights), Batch(*batch), States(*states), Tape(*tape)
    pack_biased(layer.w, layer.u, layer.b_ih, layer.b_hh, layer.order, panels, workers)
    enter(rows, given, run)
    run_forward(Packed(panels, layer.code_g, layer.code_c), rows, run, record, workers)
    leave(rows, given, run, record)


@jit(device=True)
def pack_back(weights: Weights, scratch: Scratch, workers: int) -> None:
    """Pack the weights for the way back."""
    transpose(weights.u, weights.order, scratch.transposed_u, workers)
    transpose(weights.w, weights.order, scratch.transposed_w, workers)


@jit(device=True)
def enter_back(places: Index, deltas: Deltas, scratch: Scratch) -> None:
    """Take the gradients at the final states."""
    into_vectors(deltas.d_h_n, deltas.layer, places, scratch.d_h)
    into_vectors(deltas.d_c_n, deltas.layer, places, scratch.d_c)
    if deltas.d_y.shape[0] == 0:
        scratch.d_panels[:] = 0


@jit(device=True)
def leave_back(places: Index, deltas: Deltas, d_h: Array, d_c: Array) -> None:
    """Give the gradients at the initial states."""
    from_vectors(d_h, places[:0], places, deltas.d_h_0, deltas.layer)
    from_vectors(d_c, places[:0], places, deltas.d_c_0, deltas.layer)


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
        See `structs.Deltas`, `Gradients` and `Scratch`.
    workers : int
        Shares of the work.

    Notes
    -----
    16 N H (input + H) flops.
    """
    layer, rows, delta, work = Weights(*weights), Batch(*batch), Deltas(*deltas), Scratch(*scratch)
    pack_back(layer, work, workers)
    enter_back(rows.places, delta, work)
    run_backward((layer.code_g, layer.code_c), rows, Tape(*tape), delta, work, workers)
    add_from_panels(work.d_panels, layer.order, Gradients(*gradients), workers)
    leave_back(rows.places, delta, work.d_h, work.d_c)


@jit(device=True)
def _begin(d_final: Array, there: int, d_initial: Array) -> None:
    """Zero for the first sequences, which have steps; the others end where they begin."""
    for p in range(d_final.shape[0]):
        for r in range(d_final.shape[1]):
            for j in range(d_final.shape[2]):
                d_initial[p, r, j] = d_final[p, r, j] if r >= there else 0


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
        See `structs.Window`.

    Notes
    -----
    8 N H ((K / stride + 1) H + 2 input + H) flops.
    """
    layer, rows, delta, work, turns = (
        Weights(*weights), Batch(*batch), Deltas(*deltas), Scratch(*scratch), Window(*window)
    )
    pack_back(layer, work, workers)
    enter_back(rows.places, delta, work)
    there = rows.offsets[1] - rows.offsets[0]
    _begin(work.d_h, there, turns.d_h_0)
    _begin(work.d_c, there, turns.d_c_0)
    run_truncated((layer.code_g, layer.code_c), rows, Tape(*tape), delta, work, turns, workers)
    add_from_panels(work.d_panels, layer.order, Gradients(*gradients), workers)
    leave_back(rows.places, delta, turns.d_h_0, turns.d_c_0)
