"""The way back over a step whose weights are as they are: bit for bit that of packed weights."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm_kernels.activations import RELU, TANH
from fastlstm_kernels.gradients import SCRATCH
from fastlstm_kernels.pack import blocks, panels_shape, transposed_shape
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.unpacked import UNPACKED_ROWS
from tests.tools.helpers import JIT_OFF
from tests.tools.loops import both, nothing, sizes


def results(kernel, rng, dtype, inputs, size, rows, masked, workers, gates=4):
    """All that the way back over a step writes; the step is the same for both kernels."""
    w, u = (rng.standard_normal((4 * size, n)).astype(dtype) for n in (inputs, size))
    b, order = numpy.zeros(4 * size, dtype), numpy.array([2, 0, 3, 1])
    weights, count, vector = (w, u, b, b, order, TANH, RELU), blocks(size, dtype), lanes(dtype)
    x, d_y = (rng.standard_normal((rows, n)).astype(dtype) for n in (inputs, size))
    h_0, c_0, d_h, d_c = rng.standard_normal((4, 1, rows, size)).astype(dtype)
    batch = (x, numpy.array([0, rows]), rows + numpy.arange(rows), numpy.arange(rows))
    hidden, mask = nothing((2 * rows, size), dtype), rng.standard_normal((rows if masked else 0, size)).astype(dtype)
    tape = (
        nothing((count, rows, 4 * vector), dtype), nothing((count, 2 * rows, vector), dtype), hidden,
        hidden.copy() if masked else hidden, mask,
    )
    panels, ends = nothing(panels_shape(inputs, size, dtype), dtype), nothing((2, 1, rows, size), dtype)
    kernels.layer_forward(weights, batch, (h_0, c_0, *ends, 0), tape, panels, True, 1)
    transposed = [nothing(transposed_shape(m.shape[1], size, dtype, gates), dtype) for m in (u, w)]
    scratch = (
        *transposed, nothing((len(transposed[0]), rows, 4 * vector), dtype), nothing((count, rows, vector), dtype),
        nothing((count, rows, 4 * vector), dtype), nothing(panels.shape, dtype), nothing((workers, SCRATCH), dtype),
    )
    deltas = (d_y, nothing(x.shape, dtype), d_h, d_c, *nothing((2, 1, rows, size), dtype), 0)
    gradients = tuple(rng.standard_normal(a.shape).astype(dtype) for a in (w, u, b, b))
    kernel(weights, batch, tape, deltas, gradients, scratch, workers)
    return [*gradients, deltas[1], *deltas[4:6]]


@both
@sizes
@pytest.mark.parametrize("inputs", [21] if JIT_OFF else [1, 16, 21])
@pytest.mark.parametrize("rows", [1, UNPACKED_ROWS])
@pytest.mark.parametrize(("masked", "workers", "gates"), [(False, 1, 4), (True, 3, 4), (False, 3, 3)])
def test_gradients_are_those_of_packed_weights_bit_for_bit(dtype, inputs, size, rows, masked, workers, gates):
    rows = min(rows, 1 + inputs + size)  # see `is_unpacked`
    packed, unpacked = (
        results(kernel, numpy.random.default_rng(0), dtype, inputs, size, rows, masked, workers, gates)
        for kernel in (kernels.layer_backward, kernels.unpacked_backward)
    )
    for got, wanted in zip(unpacked, packed, strict=True):
        assert numpy.isfinite(wanted).all()
        numpy.testing.assert_array_equal(got, wanted)
