"""Two layers that run at the same time, a worker for each, so that no worker waits for another at every step.

They are the two directions of a layer; or one layer and the one above it, which follows some steps behind: a wavefront.
Both directions of 32 units, one sequence, 1000 steps: 0.6 ms instead of 1.5; training 128 units, 32 sequences, 100
steps: 23 ms instead of 38. With more weights than fit a core's second-level cache it is better that each core reads
half of them: 512 units, one sequence, 7 ms instead of 10. A layer and the one above it: see `fastlstm.engine.overlap`.
"""

from typing import Any

import numpy as np

from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.backward import backward_turn
from fastlstm_kernels.forward import forward_by_unit
from fastlstm_kernels.jit import jit
from fastlstm_kernels.layer import enter, enter_back, leave, leave_back, pack_back
from fastlstm_kernels.pack import add_from_panels, pack_biased
from fastlstm_kernels.phases import SYNC_LINE, finish, next_turn
from fastlstm_kernels.rows import times_rows
from fastlstm_kernels.structs import Batch, Deltas, Gradients, Packed, Scratch, States, Tape, Weights
from fastlstm_kernels.threads import share


@jit(device=True)
def _hand_over(
    start: int, stop: int, offsets: Index, given: Array, row: int, between: Array, taken: Array
) -> None:
    """Multiply what one layer gives the other by what is dropped between them; rows of `given` begin at `row`."""
    if between.shape[0]:
        first, size = offsets[start], between.shape[1]
        times_rows(
            offsets[stop] - first, size, given, (row + first) * size, size, between, first * size, size, taken,
            first * size, size,
        )


@jit(device=True)
def _enter(run: Any, workers: int) -> None:
    weights, batch, states, tape, panels, _ = run
    layer = Weights(*weights)
    pack_biased(layer.w, layer.u, layer.b_ih, layer.b_hh, layer.order, panels, workers)
    enter(Batch(*batch), States(*states), Tape(*tape))


@jit(device=True)
def _leave(run: Any) -> None:
    _, batch, states, tape, _, record = run
    leave(Batch(*batch), States(*states), Tape(*tape), record)


@jit(device=True)
def _forward(start: int, stop: int, run: Any, sync: Array) -> None:
    """A turn of one layer."""
    weights, batch, _, tape, panels, record = run
    layer = Weights(*weights)
    sync[:] = 0
    packed = Packed(panels, layer.code_g, layer.code_c)
    forward_by_unit(ZERO, ONE, start, stop, record, packed, Batch(*batch), Tape(*tape), sync)


@jit(device=True)
def _forward_worker(
    worker: int, workers: int, first: Any, second: Any, turns: Index, chained: bool, between: Array, sync: Array
) -> None:
    offsets, hidden, taken = Batch(*first[1]).offsets, Tape(*first[3]).hidden, Batch(*second[1]).x
    turn = next_turn(sync, worker, workers, turns.shape[0], chained)
    while turn >= 0:
        k, layer = turn // 2, turn % 2
        start, stop = turns[k, 0], turns[k, 1]
        if layer == 0:
            _forward(start, stop, first, sync[2:3])
            _hand_over(start, stop, offsets, hidden, hidden.shape[0] - offsets[-1], between, taken)
        else:
            _forward(start, stop, second, sync[3:])
        finish(sync, layer, k)
        turn = next_turn(sync, worker, workers, turns.shape[0], chained)


@jit()
def forward_pair(first: Any, second: Any, turns: Index, chained: bool, between: Array, workers: int) -> None:
    """Run two layers over all steps; mirrors layers, or the directions of one, of `oracle.stack`.

    Parameters
    ----------
    first, second : tuples
        The arguments of `layer.layer_forward` but for the last.
    turns : (turns, 4) intp array
        The steps in ranges: first and last-plus-one of each, and the same of the chunk it is a part of on the way back,
        as `batch.chunk_begin` has it.
    chained : bool
        Whether the second layer takes the outputs of the first.
    between : (N, H) array
        What the outputs of the first are multiplied with on their way into the inputs of the second, which are written.
        Without rows: nothing, as the inputs are those outputs.
    workers : int
        Shares of the work; in the loop over time it has at most two.
    """
    _enter(first, workers)
    _enter(second, workers)
    sync = np.zeros((4, SYNC_LINE), np.int64)  # the layers', and their steps'
    share(_forward_worker, (first, second, turns, chained, between, sync), min(workers, 2))
    _leave(first)
    _leave(second)


@jit(device=True)
def _enter_back(run: Any, workers: int) -> None:
    weights, batch, _, deltas, _, scratch = run
    work = Scratch(*scratch)
    pack_back(Weights(*weights), work, workers)
    enter_back(Batch(*batch).places, Deltas(*deltas), work)


@jit(device=True)
def _leave_back(run: Any, workers: int) -> None:
    weights, batch, _, deltas, gradients, scratch = run
    work = Scratch(*scratch)
    add_from_panels(work.d_panels, Weights(*weights).order, Gradients(*gradients), workers)
    leave_back(Batch(*batch).places, Deltas(*deltas), work.d_h, work.d_c)


@jit(device=True)
def _backward(start: int, stop: int, chunk: tuple[int, int], run: Any) -> None:
    """A turn of one layer."""
    weights, batch, tape, deltas, _, scratch = run
    layer = Weights(*weights)
    codes = layer.code_g, layer.code_c
    backward_turn(start, stop, chunk, codes, Batch(*batch), Tape(*tape), Deltas(*deltas), Scratch(*scratch))


@jit(device=True)
def _backward_worker(
    worker: int, workers: int, first: Any, second: Any, turns: Index, chained: bool, between: Array, sync: Array
) -> None:
    offsets, d_x, d_y, many = Batch(*first[1]).offsets, Deltas(*first[3]).d_x, Deltas(*second[3]).d_y, turns.shape[0]
    turn = next_turn(sync, worker, workers, many, chained)
    while turn >= 0:
        k, layer = turn // 2, turn % 2
        n = many - 1 - k
        start, stop, chunk = turns[n, 0], turns[n, 1], (turns[n, 2], turns[n, 3])
        if layer == 0:
            _backward(start, stop, chunk, first)
            _hand_over(start, stop, offsets, d_x, ZERO, between, d_y)
        else:
            _backward(start, stop, chunk, second)
        finish(sync, layer, k)
        turn = next_turn(sync, worker, workers, many, chained)


@jit()
def backward_pair(first: Any, second: Any, turns: Index, chained: bool, between: Array, workers: int) -> None:
    """Sweep back over two layers; mirrors the gradients of `oracle.stack`.

    Parameters
    ----------
    first, second : tuples
        The arguments of `layer.layer_backward` but for the last. Where they are chained, the layer above is the first.
    turns, chained, between, workers
        As for `forward_pair`, the turns from the last to the first: what the first layer sends to its inputs becomes
        the `d_y` of the second.
    """
    _enter_back(first, workers)
    _enter_back(second, workers)
    sync = np.zeros((2, SYNC_LINE), np.int64)
    share(_backward_worker, (first, second, turns, chained, between, sync), min(workers, 2))
    _leave_back(first, workers)
    _leave_back(second, workers)
