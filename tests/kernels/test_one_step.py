"""Steps in a row, of which every second goes through the panels backwards where they are many: the same bits."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm_kernels.activations import TANH
from fastlstm_kernels.one_step import NEAR_BYTES, is_turned
from fastlstm_kernels.pack import blocks, panels_shape
from fastlstm_kernels.simd import lanes
from tests.tools.helpers import JIT_OFF
from tests.tools.loops import both, nothing

T, INPUTS = 3, 5


def run(x, state, panels, rows):
    """States of all steps from (hidden, cells); hidden and cells of the last."""
    (h_0, c_0), steps, dtype, size = state, len(x) // rows, x.dtype, state[0].shape[1]
    count, vector = blocks(size, dtype), lanes(dtype)
    hidden, cells = nothing((len(x) + rows, size), dtype), nothing((count, len(x) + rows, vector), dtype)
    hidden[:rows], cells[:, :rows] = h_0, c_0
    gates, mask = nothing((count, len(x), 4 * vector), dtype), numpy.empty((0, size), dtype)
    offsets = rows * numpy.arange(steps + 1)
    kernels.forward(x, offsets, panels, TANH, TANH, True, mask, gates, cells, hidden, hidden, 1)
    return hidden[rows:], (hidden[-rows:], cells[:, -rows:])


@both
@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("size", [9] if JIT_OFF else [16, 81, 130])
def test_a_sequence_is_its_steps_one_by_one(rng, dtype, size, rows):
    panels, count = nothing(panels_shape(INPUTS, size, dtype), dtype), blocks(size, dtype)
    w, u, b = (rng.standard_normal((4 * size, *n)).astype(dtype) / 8 for n in ((INPUTS,), (size,), ()))
    kernels.pack(w, u, b, numpy.arange(4), panels, 1)
    x = rng.standard_normal((T * rows, INPUTS)).astype(dtype)
    start = numpy.zeros((rows, size), dtype), numpy.zeros((count, rows, lanes(dtype)), dtype)
    together, _ = run(x, start, panels, rows)
    for t in range(T):
        alone, start = run(x[t * rows : (t + 1) * rows], start, panels, rows)
        numpy.testing.assert_array_equal(together[t * rows : (t + 1) * rows], alone)


@both
def test_only_many_panels_are_turned_and_every_second_time(dtype):
    turned = getattr(is_turned, "py_func", is_turned)
    for size in (8, 40, 64, 100, 256):
        panels, count = numpy.empty(panels_shape(INPUTS, size, dtype), dtype), blocks(size, dtype)
        near = count * size * panels.shape[2] * panels.itemsize <= NEAR_BYTES
        assert [turned(t, count, panels, size) for t in range(4)] == [0, 0 if near else 1] * 2
