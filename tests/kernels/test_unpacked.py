"""A step with the weights as they are: bit for bit a step with packed weights."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm_kernels.activations import RELU, TANH
from fastlstm_kernels.pack import blocks, panels_shape
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.unpacked import UNPACKED_ROWS
from tests.tools.helpers import JIT_OFF, by_row
from tests.tools.loops import both, nothing, sizes


class Step:
    """A recorded step of a layer, and the same with packed weights."""

    def __init__(self, rng, dtype, inputs, size, rows, masked, workers):
        shapes = (4 * size, inputs), (4 * size, size), (4 * size,), (4 * size,)
        w, u, b_ih, b_hh = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
        order = numpy.array([2, 0, 3, 1])
        x, h_0, c_0 = (rng.standard_normal((rows, n)).astype(dtype) for n in (inputs, size, size))
        mask = rng.standard_normal((rows if masked else 0, size)).astype(dtype)
        offsets, places = numpy.array([0, rows]), numpy.arange(rows)
        count, vector = blocks(size, dtype), lanes(dtype)
        panels = nothing(panels_shape(inputs, size, dtype), dtype)

        def new():
            hidden = nothing((2 * rows, size), dtype)
            tape = (
                nothing((count, rows, 4 * vector), dtype), nothing((count, 2 * rows, vector), dtype), hidden,
                hidden.copy() if masked else hidden, mask,
            )
            return tape

        self.weights = (w, u, b_ih, b_hh, order, TANH, RELU)
        self.batch = (x, offsets, rows + places, places)
        self.panels, self.tape, self.packed = panels, new(), new()
        states = (h_0[None], c_0[None], nothing((1, rows, size), dtype), nothing((1, rows, size), dtype), 0)
        kernels.unpacked_forward(self.weights, self.batch, states, self.tape, panels, True, workers)
        gates, cells, hidden, h_in, _ = self.packed
        hidden[:rows] = h_0
        h_in[:rows] = h_0 * mask if masked else h_0
        padded = numpy.zeros((rows, count * vector), dtype)
        padded[:, :size] = c_0
        cells[:, :rows] = padded.reshape(rows, count, vector).transpose(1, 0, 2)
        packed = nothing(panels.shape, dtype)
        kernels.pack(w, u, b_ih + b_hh, order, packed, 1)
        kernels.forward(x, offsets, packed, TANH, RELU, True, mask, gates, cells, hidden, h_in, 1)
        self.states = states


@both
@sizes
@pytest.mark.parametrize("inputs", [21] if JIT_OFF else [1, 16, 21])
@pytest.mark.parametrize("rows", [1, UNPACKED_ROWS])
@pytest.mark.parametrize(("masked", "workers"), [(False, 1), (True, 3)])
def test_a_step_is_that_of_packed_weights_bit_for_bit(rng, dtype, inputs, size, rows, masked, workers):
    rows = min(rows, 1 + inputs + size)  # see `is_unpacked`
    step = Step(rng, dtype, inputs, size, rows, masked, workers)
    for got, wanted in zip(step.tape, step.packed, strict=True):
        numpy.testing.assert_array_equal(got, wanted)
    numpy.testing.assert_array_equal(step.states[2][0], step.packed[2][rows:])


@both
@sizes
def test_panels_hold_the_preactivations(rng, dtype, size):
    step = Step(rng, dtype, 21, size, 2, False, 1)
    w, u, b_ih, b_hh, order = (a.astype(float) for a in step.weights[:5])
    z = step.batch[0] @ w.T + step.tape[2][:2] @ u.T + b_ih + b_hh
    wanted = numpy.concatenate([z[:, int(g) * size : (int(g) + 1) * size] for g in order], axis=1)
    numpy.testing.assert_allclose(by_row(step.panels[:, :2], size), wanted, rtol=1e-4, atol=1e-4)
