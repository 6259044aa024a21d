"""A layer by its kernels alone: states and gradients in the order of the user's sequences, against the oracle."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import nn
from fastlstm.engine.batch import RaggedBatch
from fastlstm.engine.direction import Direction, Recorded, no_states
from fastlstm_kernels.activations import TANH
from fastlstm_kernels.structs import Batch as Rows
from fastlstm_kernels.structs import Deltas, Gradients, Scratch, States, Tape, Weights, Window
from tests.tools.loops import both
from tests.tools.stacks import by_oracle, close

LENGTHS = numpy.array([2, 5, 0, 3])
ORDER = numpy.array([1, 0, 2, 3])


@both
@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_takes_and_gives_states_in_the_users_order(rng, dtype, record, bias, workers):
    dtype = numpy.dtype(dtype)
    layer = nn.LSTM(3, 19, bias=bias, dtype=dtype, seed=0)
    x = rng.standard_normal((5, 4, 3)).astype(dtype)
    state = tuple(rng.standard_normal((1, 4, 19)).astype(dtype) for _ in range(2))
    batch = RaggedBatch(5, 4, False, LENGTHS)
    views, none = layer.parameters.views, numpy.empty(0, dtype)
    weights = (*views, ORDER, TANH, TANH) if bias else (*views, none, none, ORDER, TANH, TANH)
    h_n, c_n = numpy.full((2, 1, 4, 19), numpy.nan, dtype)
    run = Direction(weights, (), batch, record).forward(batch.take(x), (*state, h_n, c_n, 0))
    kernels.layer_forward(*run, workers)
    if not bias:
        layer = nn.LSTM(3, 19, dtype=dtype, seed=0)
        layer.parameters.flat[:] = 0
        for name, value in zip(("weight_ih_l0", "weight_hh_l0"), views, strict=True):
            layer.parameters.assign(name, value)
    wanted = by_oracle(layer, x, state, LENGTHS)
    close(batch.give(run.hidden[4:]), wanted["y"], dtype)
    close(h_n[0], wanted["h_n"][0], dtype)
    close(c_n[0], wanted["c_n"][0], dtype)


def test_the_classes_name_what_the_engine_gives(rng):
    """The kernels take plain tuples, so that only their order says what is what."""
    batch = RaggedBatch(5, 4, False, LENGTHS)
    w, u, b = (rng.standard_normal(shape) for shape in ((20, 3), (20, 5), 20))
    direction = Direction((w, u, b, b, ORDER, TANH, TANH), (w, u, b, b), batch, True)
    states = (no_states(w.dtype), no_states(w.dtype), numpy.empty((1, 4, 5)), numpy.empty((1, 4, 5)), 0)
    run = direction.forward(rng.standard_normal((10, 3)), states)
    deltas = (numpy.empty((10, 5)), numpy.empty((10, 3)), *states)
    back, window = direction.window(direction.backward(Recorded(run.batch, run.tape), deltas, 2), 1, 1, 2)
    for kind, values in (
        (Weights, run.weights), (Rows, run.batch), (States, run.states), (Tape, run.tape), (Deltas, back.deltas),
        (Gradients, back.gradients), (Scratch, back.scratch), (Window, window),
    ):  # fmt: skip
        assert type(values) is tuple, kind
        assert len(values) == len(kind._fields), kind
    assert Tape(*run.tape).hidden.shape == (14, 5)
    assert Scratch(*back.scratch).work.shape[0] == 2
