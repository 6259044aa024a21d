"""Which two layers run at the same time, each on a core of its own: see `fastlstm_kernels.pair`."""

from typing import Any, NamedTuple

import numpy

from fastlstm.checks import Array
from fastlstm.engine.cores import available
from fastlstm.engine.workspace import kept, room
from fastlstm_kernels.batch import chunk_begin
from fastlstm_kernels.pack import blocks
from fastlstm_kernels.threads import shares_units

NEAR = 1 << 19
"""Bytes of recurrent weights that stay in a core's second-level cache."""

TURN = 32
"""Rows, about, after which the layer above may go on; fewer make more of the products small."""

TURNS = 4
"""Turns from which a layer and the one above it run at the same time: one of them is alone in the first and last."""

SMALL_STEP = 1 << 15
"""Multiply-adds of a gate's step up to which they do."""

FEW = 4
"""Inputs of the lower layer for each hidden unit, up to which the upper one has not too much less to do."""


class Pair(NamedTuple):
    """Two layers that run at the same time.

    Attributes
    ----------
    turns : (turns, 4) intp array
        As `fastlstm_kernels.forward_pair` takes them.
    chained : bool
        Whether the second layer takes the outputs of the first.
    between : (N, H) array
        What those are multiplied with on their way; without rows: nothing.
    """

    turns: Array
    chained: bool
    between: Array


def side_by_side(offsets: Array, batch: int, size: int, dtype: numpy.dtype[Any]) -> Pair:
    """Two layers that do not wait for each other."""
    return Pair(_turns(offsets, batch, size, dtype, len(offsets)), False, nothing(dtype))


def chain(offsets: Array, batch: int, size: int, dtype: numpy.dtype[Any], dropped: Array | None) -> Pair:
    """A layer, and the one above it."""
    steps = -(-TURN // max(1, batch))
    return Pair(_turns(offsets, batch, size, dtype, steps), True, nothing(dtype) if dropped is None else dropped)


def _turns(offsets: Array, batch: int, size: int, dtype: numpy.dtype[Any], steps: int) -> Array:
    """Turns of so many steps, but for the first of each chunk."""
    together = room(batch, int(offsets[-1]), blocks(size, dtype), dtype)
    turns, end = [], len(offsets) - 1
    while end > 0:
        begin = chunk_begin(offsets, end, together)
        turns += [(max(begin, stop - steps), stop, begin, end) for stop in range(end, begin, -steps)]
        end = begin
    return numpy.array(turns[::-1], numpy.intp).reshape(-1, 4)


def chain_pays(
    offsets: Array, batch: int, inputs: int, size: int, dtype: numpy.dtype[Any], n_threads: int | None
) -> bool:
    """Whether a layer and the one above it are done sooner at the same time, or at least no later.

    Two cores, 200 steps, forwards and training: 32 units, one sequence 1.4 and 1.7 times faster; 64 units 1.2 and 1.2,
    8 sequences 1.2 and 1.1; 128 units, one sequence 1.0 and 1.2, 32 sequences 1.1 and 0.96; 256 units 0.9 and 0.9.
    """
    workers = available(n_threads)
    if workers <= 1 or inputs > FEW * size or offsets[-1] < TURNS * max(TURN, batch):
        return False
    return batch * size * size <= SMALL_STEP if workers == 2 else pays(batch, size, dtype, workers)


def nothing(dtype: numpy.dtype[Any]) -> Array:
    """No rows."""
    return kept("nothing", (0, 0), dtype)


def pays(batch: int, size: int, dtype: numpy.dtype[Any], workers: int) -> bool:
    """Whether two layers of the same work are done sooner by a worker for each than by all workers, one by one."""
    if workers <= 2:
        return bool(workers == 1 or 4 * size * size * dtype.itemsize <= NEAR)
    return batch < workers and not shares_units(batch, size, blocks(size, dtype), workers)
