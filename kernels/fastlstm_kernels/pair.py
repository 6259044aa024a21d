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
from fastlstm_kernels.forward import forward_worker
from fastlstm_kernels.jit import jit
from fastlstm_kernels.layer import (
    Batch,
    Deltas,
    Scratch,
    Tape,
    Weights,
    enter,
    enter_back,
    leave,
    leave_back,
)
from fastlstm_kernels.phases import BOARD, done, take_turn
from fastlstm_kernels.rows import times_rows
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
def _forward(start: int, stop: int, weights: Any, batch: Any, tape: Any, panels: Array, record: bool) -> None:
    weights, batch, tape = Weights(*weights), Batch(*batch), Tape(*tape)
    board = np.zeros((1, BOARD), np.int64)
    forward_worker(
        ZERO, ONE, True, start, stop, board, record, batch.offsets, batch.x, panels, weights.code_c, weights.code_h,
        tape.mask, tape.gates, tape.cells, tape.hidden, tape.fed,
    )


@jit(device=True)
def _forward_worker(
    worker: int, workers: int, first: Any, second: Any, turns: Index, chained: bool, between: Array, board: Array
) -> None:
    weights, batch, _, tape, panels, record = first
    above, batch_above, _, tape_above, panels_above, _ = second
    hidden, offsets = Tape(*tape).hidden, Batch(*batch).offsets
    turn = take_turn(board, worker, workers, turns.shape[0], chained)
    while turn >= 0:
        k, layer = turn // 2, turn % 2
        start, stop = turns[k, 0], turns[k, 1]
        if layer == 0:
            _forward(start, stop, weights, batch, tape, panels, record)
            row = hidden.shape[0] - offsets[-1]
            _hand_over(start, stop, offsets, hidden, row, between, Batch(*batch_above).x)
        else:
            _forward(start, stop, above, batch_above, tape_above, panels_above, record)
        done(board, layer, k)
        turn = take_turn(board, worker, workers, turns.shape[0], chained)


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
    for weights, batch, states, tape, panels, _ in (first, second):
        enter(weights, batch, states, tape, panels, workers)
    board = np.zeros((2, BOARD), np.int64)
    share(_forward_worker, (first, second, turns, chained, between, board), min(workers, 2))
    for _, batch, states, tape, _, record in (first, second):
        leave(batch, states, tape, record)


@jit(device=True)
def _backward(
    start: int, stop: int, begin: int, end: int, weights: Any, batch: Any, tape: Any, deltas: Any, scratch: Any
) -> None:
    weights, batch, tape, deltas, scratch = (
        Weights(*weights), Batch(*batch), Tape(*tape), Deltas(*deltas), Scratch(*scratch)
    )
    backward_turn(
        start, stop, begin, end, batch.offsets, scratch.transposed_u, scratch.transposed_w, weights.code_c,
        weights.code_h, tape.mask, batch.x, tape.gates, tape.cells, tape.fed, deltas.d_y, scratch.delta_h,
        scratch.delta_s, scratch.dz, scratch.sums, deltas.d_x, scratch.scratch[0],
    )


@jit(device=True)
def _backward_worker(
    worker: int, workers: int, first: Any, second: Any, turns: Index, chained: bool, between: Array, board: Array
) -> None:
    weights, batch, tape, deltas, _, scratch = first
    below, batch_below, tape_below, deltas_below, _, scratch_below = second
    offsets, d_x, many = Batch(*batch).offsets, Deltas(*deltas).d_x, turns.shape[0]
    turn = take_turn(board, worker, workers, many, chained)
    while turn >= 0:
        k, layer = turn // 2, turn % 2
        n = many - 1 - k
        start, stop, begin, end = turns[n, 0], turns[n, 1], turns[n, 2], turns[n, 3]
        if layer == 0:
            _backward(start, stop, begin, end, weights, batch, tape, deltas, scratch)
            _hand_over(start, stop, offsets, d_x, ZERO, between, Deltas(*deltas_below).d_y)
        else:
            _backward(start, stop, begin, end, below, batch_below, tape_below, deltas_below, scratch_below)
        done(board, layer, k)
        turn = take_turn(board, worker, workers, many, chained)


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
    for weights, batch, _, deltas, _, scratch in (first, second):
        enter_back(weights, batch, deltas, scratch, workers)
    board = np.zeros((2, BOARD), np.int64)
    share(_backward_worker, (first, second, turns, chained, between, board), min(workers, 2))
    for weights, batch, _, deltas, gradients, scratch in (first, second):
        work = Scratch(*scratch)
        leave_back(weights, batch, deltas, gradients, work.delta_h, work.delta_s, work.sums, workers)
