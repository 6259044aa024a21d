"""What `nn.LSTM` refuses of layers, directions, projections, lengths and dropout, and that refusing changes nothing."""

import re

import numpy
import pytest

from fastlstm import nn
from tests.tools.stacks import LENGTHS, ROOM, WIDE, ragged

ARGUMENTS = [
    ({"num_layers": 0}, ValueError, "num_layers must be at least 1, got 0"),
    ({"num_layers": 2.0}, TypeError, "num_layers must be an integer, got 2.0"),
    ({"num_layers": True}, TypeError, "num_layers must be an integer, got True"),
    ({"proj_size": -1}, ValueError, "proj_size must be at least 0, got -1"),
    ({"proj_size": None}, TypeError, "proj_size must be an integer, got None"),
    ({"proj_size": 5}, ValueError, "proj_size must be smaller than hidden_size, 5, got 5"),
    ({"dropout": -0.1}, ValueError, "dropout must be from 0 to 1, got -0.1"),
    ({"dropout": 1.5}, ValueError, "dropout must be from 0 to 1, got 1.5"),
    ({"dropout": "0.5"}, TypeError, "dropout must be a number, got '0.5'"),
    ({"dropout": numpy.nan}, ValueError, "dropout must be finite, got nan"),
    ({"dropout": None}, TypeError, "dropout must be a number, got None"),
    ({"recurrent_dropout": -1}, ValueError, "recurrent_dropout must be from 0 to 1, got -1"),
    ({"recurrent_dropout": numpy.inf}, ValueError, "recurrent_dropout must be finite, got inf"),
    ({"recurrent_dropout": [0.5]}, TypeError, "recurrent_dropout must be a number, got [0.5]"),
    ({"recurrent_dropout": 0.1, "proj_size": 2}, ValueError, "recurrent_dropout must be 0 with a projection, got 0.1"),
    ({"forget_bias": "one"}, TypeError, "forget_bias must be a number, got 'one'"),
    ({"forget_bias": numpy.nan}, ValueError, "forget_bias must be finite, got nan"),
    ({"forget_bias": 1.0, "bias": False}, ValueError, "forget_bias must be None without biases, got 1.0"),
    ({"forget_bias": 0, "bias": False}, ValueError, "forget_bias must be None without biases, got 0"),
    ({"recurrent_initializer": "identity"}, ValueError,
     "recurrent_initializer must be one of 'uniform', 'orthogonal', got 'identity'"),
    ({"recurrent_initializer": None}, ValueError, "got None"),
]  # fmt: skip


@pytest.mark.parametrize(("argument", "error", "message"), ARGUMENTS, ids=[str(a[0]) for a in ARGUMENTS])
def test_bad_arguments(argument, error, message):
    with pytest.raises(error, match=re.escape(message)):
        nn.LSTM(3, 5, **argument)


@pytest.fixture(params=[{"layers": 2, "bidirectional": True}, {"projection": 2}], ids=str)
def given(request):
    """A layer and its arguments, and that nothing of the layer changes, what its next masks are neither."""
    rates = {} if "projection" in request.param else {"dropout": 0.5, "recurrent_dropout": 0.5}
    layer, *arguments = ragged(request.param, **rates)
    layer.gradients.flat[:] = 1

    def held():
        return layer.parameters.flat.copy(), layer.gradients.flat.copy(), str(layer.generator.bit_generator.state)

    before = held()
    yield layer, *arguments
    for a, b in zip(held(), before, strict=True):
        numpy.testing.assert_array_equal(a, b)


COUNT = len(LENGTHS)
BAD_LENGTHS = [
    (LENGTHS[:-1], ValueError, f"lengths must have shape ({COUNT},), one for each sequence, got ({COUNT - 1},)"),
    ([LENGTHS], ValueError, f"lengths must have shape ({COUNT},), one for each sequence, got (1, {COUNT})"),
    (2, ValueError, f"lengths must have shape ({COUNT},), one for each sequence, got ()"),
    ([-1, *LENGTHS[1:]], ValueError, f"lengths must be from 0 to {ROOM}, the number of steps; got -1"),
    ([*LENGTHS[1:], ROOM + 1], ValueError, f"lengths must be from 0 to {ROOM}, the number of steps; got {ROOM + 1}"),
    ([2**40, *LENGTHS[1:]], ValueError, f"got {2**40}"),
    (numpy.full(COUNT, 2**64 - 1, numpy.uint64), ValueError, f"got {2**64 - 1}"),
    (numpy.array(LENGTHS, float), TypeError, "lengths must hold integers, got dtype float64"),
    (numpy.array(LENGTHS, bool), TypeError, "lengths must hold integers, got dtype bool"),
    (["1"] * COUNT, TypeError, "lengths must hold real numbers, got dtype <U1"),
    ([[1], *LENGTHS[1:]], ValueError, "lengths must have a regular shape"),
    ([None] * COUNT, TypeError, "lengths must hold real numbers, got dtype object"),
]


@pytest.mark.parametrize(("lengths", "error", "message"), BAD_LENGTHS, ids=[message for *_, message in BAD_LENGTHS])
def test_bad_lengths(given, lengths, error, message):
    layer, x, state, *_ = given
    for method in (layer, layer.forward):
        with pytest.raises(error, match=re.escape(message)):
            method(x, state, lengths)


def test_lengths_without_a_batch_axis(given):
    layer, x, *_ = given
    for method in (layer, layer.forward):
        with pytest.raises(ValueError, match="lengths must be None for an input without a batch axis"):
            method(x[:, 0], None, [1])


def test_bad_input_and_bad_states_with_lengths(given):
    layer, x, (h, c), lengths, *_ = given
    for method in (layer, layer.forward):
        with pytest.raises(ValueError, match=re.escape(f"got {x[..., :2].shape}")):
            method(x[..., :2], (h, c), lengths)
        for pair, message in [
            ((h[:1, :, :1], c), f"state[0] must have shape {h.shape}, got {h[:1, :, :1].shape}"),
            ((h, c[:, 1:]), f"state[1] must have shape {c.shape}, got {c[:, 1:].shape}"),
            ((h, c[:-1]), f"state[1] must have shape {c.shape}, got {c[:-1].shape}"),
            ((h, h[:, 0]), f"state[1] must have shape {c.shape}, got {h[:, 0].shape}"),
        ]:
            with pytest.raises(ValueError, match=re.escape(message)):
                method(x, pair, lengths)


def test_bad_gradients(given):
    layer, x, state, lengths, dy, (d_h, d_c) = given
    kept = layer.generator.bit_generator.state
    _, _, tape = layer.forward(x, state, lengths)
    layer.generator.bit_generator.state = kept
    for arguments, error, message in [
        ((dy[:-1],), ValueError, f"dy must have shape {dy.shape}, got {dy[:-1].shape}"),
        ((dy[..., :-1],), ValueError, f"dy must have shape {dy.shape}, got {dy[..., :-1].shape}"),
        ((dy + 0j,), TypeError, "dy must hold real numbers, got dtype complex128"),
        ((dy, d_h), TypeError, "dstate must be a tuple of two arrays, hidden and cell, got ndarray"),
        ((dy, (d_h, d_c[:-1])), ValueError, f"dstate[1] must have shape {d_c.shape}, got {d_c[:-1].shape}"),
        ((dy, (d_h[:, 1:], d_c)), ValueError, f"dstate[0] must have shape {d_h.shape}, got {d_h[:, 1:].shape}"),
        ((dy, None, -1), ValueError, "truncate must be at least 0, got -1"),
        ((dy, None, None, 0), ValueError, "stride must be at least 1, got 0"),
    ]:
        with pytest.raises(error, match=re.escape(message)):
            layer.backward(tape, *arguments)


def test_truncation_with_a_projection():
    layer, x, *_, dy, _ = ragged({"projection": 2})
    _, _, tape = layer.forward(x)
    with pytest.raises(ValueError, match="truncate must be None with a projection, got 3"):
        layer.backward(tape, dy, None, 3)
    assert not layer.gradients.flat.any()


@pytest.mark.parametrize("name", ["weight_hh_l1_reverse", "bias_ih_l0_reverse", "weight_ih_l1"])
def test_bad_state_dicts(given, name):
    layer = given[0]
    if layer.proj_size:
        name = "weight_hr_l0"
    held = layer.state_dict()
    for spoilt, error in [({**held, name: numpy.zeros((2, WIDE + 1))}, ValueError), ({"weight_ih_l9": 1}, KeyError)]:
        with pytest.raises(error, match=name if error is ValueError else "state_dict must hold"):
            layer.load_state_dict(spoilt)
