"""Which two layers run at the same time, each on a core of its own: see `fastlstm_kernels.pair`."""

from typing import Any

import numpy

from fastlstm.checks import Array
from fastlstm.engine.batch import Batch
from fastlstm.engine.workspace import rows_at_once
from fastlstm_kernels.batch import chunk_begin
from fastlstm_kernels.gates import GATES
from fastlstm_kernels.pack import blocks
from fastlstm_kernels.threads import share_units

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


def independent(batch: Batch, size: int, dtype: numpy.dtype[Any]) -> Array:
    """Turns of two layers that do not wait for each other."""
    return _turns(batch, size, dtype, len(batch.offsets))


def following(batch: Batch, size: int, dtype: numpy.dtype[Any]) -> Array:
    """Turns of a layer, and of the one above it."""
    return _turns(batch, size, dtype, -(-TURN // max(1, batch.batch)))


def _turns(batch: Batch, size: int, dtype: numpy.dtype[Any], steps: int) -> Array:
    """Turns of so many steps, but for the first of each chunk; as `fastlstm_kernels.forward_pair` takes them."""
    offsets, most = batch.offsets, rows_at_once(batch.batch, batch.rows, blocks(size, dtype), dtype)
    turns, end = [], len(offsets) - 1
    while end > 0:
        begin = chunk_begin(offsets, end, most)
        turns += [(max(begin, stop - steps), stop, begin, end) for stop in range(end, begin, -steps)]
        end = begin
    return numpy.array(turns[::-1], numpy.intp).reshape(-1, 4)


def following_pays(batch: Batch, inputs: int, size: int, dtype: numpy.dtype[Any], workers: int) -> bool:
    """Whether a layer and the one above it are done sooner at the same time, or at least no later.

    Two cores, 200 steps, forwards and training: 32 units, one sequence 1.4 and 1.7 times faster; 64 units 1.2 and 1.2,
    8 sequences 1.2 and 1.1; 128 units, one sequence 1.0 and 1.2, 32 sequences 1.1 and 0.96; 256 units 0.9 and 0.9.
    """
    if workers <= 1 or inputs > FEW * size or batch.rows < TURNS * max(TURN, batch.batch):
        return False
    if workers == 2:
        return batch.batch * size * size <= SMALL_STEP
    return independent_pays(batch.batch, size, dtype, workers)


def independent_pays(batch: int, size: int, dtype: numpy.dtype[Any], workers: int) -> bool:
    """Whether two layers of the same work are done sooner by a worker for each than by all workers, one by one."""
    if workers <= 2:
        return bool(workers == 1 or GATES * size * size * dtype.itemsize <= NEAR)
    return batch < workers and not share_units(batch, size, blocks(size, dtype), workers, False)
