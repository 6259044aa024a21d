"""One step of a few sequences is computed without packing weights: the same bits as with packed ones.

Two steps of which no sequence has the second one go the other way.
"""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import nn
from fastlstm.engine.batch import Batch
from fastlstm.engine.direction import Direction
from fastlstm_kernels.activations import TANH
from fastlstm_kernels.gradients import SCRATCH
from fastlstm_kernels.unpacked import UNPACKED_ROWS
from tests.tools.helpers import JIT_OFF

ORDER = numpy.arange(4)
SIZES = [(5, 9)] if JIT_OFF else [(1, 1), (5, 9), (16, 16), (24, 40), (70, 37)]


def step(layer, x, state, d_y, d_state, lengths=None):
    """All results of a step forwards and back."""
    layer.gradients.flat[...] = 0
    called, _ = layer(x, state, lengths)
    output, final, tape = layer.forward(x, state, lengths)
    d_x, d_initial = layer.backward(tape, d_y, d_state)
    return [called[0], output[0], *final, d_x[0], *d_initial, layer.gradients.flat.copy()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("rows", [1, 3, UNPACKED_ROWS])
@pytest.mark.parametrize(
    "shape", [{}, {"bidirectional": True, "n_threads": 3}, {"num_layers": 2, "recurrent_dropout": 0.5}], ids=str
)
def test_a_step_is_that_with_packed_weights_bit_for_bit(rng, monkeypatch, dtype, size, rows, shape):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    layer = nn.LSTM(*size, **shape, seed=0, dtype=dtype)
    x = numpy.repeat(rng.standard_normal((1, rows, size[0])), 2, axis=0).astype(dtype)
    output, (h_n, _) = layer(x[:1])
    state, d_state = (tuple(rng.standard_normal((2, *h_n.shape)).astype(dtype)) for _ in range(2))
    d_y = numpy.repeat(rng.standard_normal(output.shape), 2, axis=0).astype(dtype)
    d_y[:, 0, 0] = numpy.inf if rows == 3 else 1
    if rows > 1:  # what no error reaches may hold anything
        x[:, 1], d_y[:, 1] = numpy.nan, 0
        for array in d_state:
            array[:, 1] = 0
    found = []
    for steps, lengths in ((1, None), (2, [1] * rows)):
        layer.generator.bit_generator.state = numpy.random.default_rng(0).bit_generator.state
        found.append(step(layer, x[:steps], state, d_y[:steps], d_state, lengths))
    for got, wanted in zip(*found, strict=True):
        numpy.testing.assert_array_equal(got, wanted)
    assert rows == 3 or numpy.isfinite(layer.gradients.flat).all()


@pytest.mark.parametrize(
    ("steps", "rows", "inputs", "size", "wanted"),
    [
        (1, 1, 3, 5, True),
        (1, UNPACKED_ROWS, 3, 5, True),
        (1, UNPACKED_ROWS + 1, 3, 5, False),
        (2, 1, 3, 5, False),
        (1, 4, 1, 1, False),  # no room for so many pre-activations
        (1, UNPACKED_ROWS, SCRATCH, 1, False),  # nor for so many inputs
    ],
)
def test_when_weights_are_not_packed(steps, rows, inputs, size, wanted):
    w, u, b = (numpy.empty((4 * size, *rest)) for rest in ((inputs,), (size,), ()))
    direction = Direction((w, u, b, b[:0], ORDER, TANH, TANH), (), Batch(steps, rows, False), True)
    assert direction.is_unpacked == wanted
    assert direction.run_forward is (kernels.unpacked_forward if wanted else kernels.layer_forward)
    assert direction.run_backward is (kernels.unpacked_backward if wanted else kernels.layer_backward)
