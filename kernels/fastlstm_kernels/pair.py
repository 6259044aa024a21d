"""Two layers that run at the same time, a worker for each, so that no worker waits for another at every step.

They are the two directions of a layer; or one layer and the one above it, which follows some steps behind: a wavefront.
Both directions of 32 units, one sequence, 1000 steps: 0.6 ms instead of 1.5; training 128 units, 32 sequences, 100
steps: 23 ms instead of 38. With more weights than fit a core's second-level cache it is better that each core reads
half of them: 512 units, one sequence, 7 ms instead of 10. A layer and the one above it: see `fastlstm.engine.overlap`.
"""

from typing import Any

from fastlstm_kernels.arrays import ONE, ZERO, Array, Index
from fastlstm_kernels.backward import backward_turn
from fastlstm_kernels.forward import forward_worker
from fastlstm_kernels.jit import jit
from fastlstm_kernels.phases import clear, done, take_turn
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
def _forward(start: int, stop: int, arguments: Any) -> None:
    x, offsets, panels, code_c, code_h, keep, mask, z, cells, hidden, fed, board = arguments
    clear(board)
    forward_worker(
        ZERO, ONE, True, start, stop, board, keep, offsets, x, panels, code_c, code_h, mask, z, cells, hidden, fed
    )


@jit(device=True)
def _forward_worker(
    worker: int, workers: int, first: Any, second: Any, turns: Index, chained: bool, between: Array, board: Array
) -> None:
    x, offsets, hidden = second[0], first[1], first[9]
    turn = take_turn(board, worker, workers, turns.shape[0], chained)
    while turn >= 0:
        k, layer = turn // 2, turn % 2
        start, stop = turns[k, 0], turns[k, 1]
        if layer == 0:
            _forward(start, stop, first)
            _hand_over(start, stop, offsets, hidden, hidden.shape[0] - offsets[-1], between, x)
        else:
            _forward(start, stop, second)
        done(board, layer, k)
        turn = take_turn(board, worker, workers, turns.shape[0], chained)


@jit()
def forward_pair(
    first: Any, second: Any, turns: Index, chained: bool, between: Array, board: Array, workers: int
) -> None:
    """Run two layers over all steps; mirrors layers, or the directions of one, of `oracle.stack`.

    Parameters
    ----------
    first, second : tuples
        The arguments of `forward.forward` but for the last, each with a board of one line.
    turns : (turns, 4) intp array
        The steps in ranges: first and last-plus-one of each, and the same of the chunk it is a part of on the way back,
        as `batch.chunk_begin` has it.
    chained : bool
        Whether the second layer takes the outputs of the first.
    between : (N, H) array
        What the outputs of the first are multiplied with on their way into the inputs of the second, which are written.
        Without rows: nothing, as the inputs are those outputs.
    board : (2, `phases.BOARD`) int64 array
        Overwritten.
    workers : int
        1 or 2.
    """
    clear(board)
    share(_forward_worker, (first, second, turns, chained, between, board), workers)


@jit(device=True)
def _backward(start: int, stop: int, begin: int, end: int, arguments: Any) -> None:
    (
        offsets, transposed_u, transposed_w, code_c, code_h, mask, x, gates, cells, fed, delta_out, delta_h, delta_s,
        dz, gradients, d_x, scratch, _,
    ) = arguments
    backward_turn(
        start, stop, begin, end, offsets, transposed_u, transposed_w, code_c, code_h, mask, x, gates, cells, fed,
        delta_out, delta_h, delta_s, dz, gradients, d_x, scratch[0],
    )


@jit(device=True)
def _backward_worker(
    worker: int, workers: int, first: Any, second: Any, turns: Index, chained: bool, between: Array, board: Array
) -> None:
    offsets, d_x, delta_out, many = first[0], first[15], second[10], turns.shape[0]
    turn = take_turn(board, worker, workers, many, chained)
    while turn >= 0:
        k, layer = turn // 2, turn % 2
        n = many - 1 - k
        start, stop, begin, end = turns[n, 0], turns[n, 1], turns[n, 2], turns[n, 3]
        if layer == 0:
            _backward(start, stop, begin, end, first)
            _hand_over(start, stop, offsets, d_x, ZERO, between, delta_out)
        else:
            _backward(start, stop, begin, end, second)
        done(board, layer, k)
        turn = take_turn(board, worker, workers, many, chained)


@jit()
def backward_pair(
    first: Any, second: Any, turns: Index, chained: bool, between: Array, board: Array, workers: int
) -> None:
    """Sweep back over two layers; mirrors the gradients of `oracle.stack`.

    Parameters
    ----------
    first, second : tuples
        The arguments of `backward.backward` but for the last, each with scratch of one line. Where they are chained,
        the layer above is the first.
    turns, chained, between, board, workers
        As for `forward_pair`, the turns from the last to the first: what the first layer sends to its inputs becomes
        the `delta_out` of the second.
    """
    clear(board)
    share(_backward_worker, (first, second, turns, chained, between, board), workers)
