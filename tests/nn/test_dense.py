"""`fastlstm.nn.Dense` against PyTorch and NumPy, and what it does with its input."""

import copy
import pickle
import re

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlstm import nn
from tests.tools.helpers import JIT_OFF, assert_matches, dtypes, sizes

both = pytest.mark.parametrize("dtype", ["float32", "float64"])
leads = st.sampled_from([(), (1,), (7,), (5, 3), (0, 3), (5, 0), (2, 3, 2)])


@given(leads, sizes, sizes, dtypes, st.booleans())
def test_outputs_and_gradients_are_numpys(lead, inputs, outputs, dtype, bias):
    rng = numpy.random.default_rng(inputs + 100 * outputs)
    layer = nn.Dense(inputs, outputs, bias, dtype=dtype, seed=1)
    x, dy = (rng.standard_normal((*lead, width)).astype(dtype) for width in (inputs, outputs))
    layer.gradients.flat[:] = before = rng.standard_normal(layer.gradients.flat.size).astype(dtype)
    y, state, tape = layer.forward(x)
    dx, d_state = layer.backward(tape, dy)
    assert state is d_state is None
    w, rows, errors = layer.parameters["weight"], x.reshape(-1, inputs), dy.reshape(-1, outputs)
    assert_matches(y, x.astype(float) @ w.astype(float).T + (layer.parameters["bias"] if bias else 0), dtype)
    assert_matches(dx, dy.astype(float) @ w.astype(float), dtype)
    sums = [(errors.T.astype(float) @ rows).ravel(), errors.astype(float).sum(axis=0)][: 1 + bias]
    assert_matches(layer.gradients.flat, before + numpy.concatenate(sums), dtype)
    called, state = layer(x)
    assert state is None
    numpy.testing.assert_array_equal(called, y, strict=True)


@both
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 17), (37, 5), (17, 1)])
def test_outputs_and_gradients_are_torchs(rng, dtype, bias, inputs, outputs):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
    twin, layer = torch.nn.Linear(inputs, outputs, bias=bias).double(), nn.Dense(inputs, outputs, bias, dtype=dtype)
    layer.load_state_dict(twin.state_dict())
    assert list(layer.parameters) == list(twin.state_dict())
    with torch.no_grad():
        for name, value in twin.named_parameters():
            value[...] = torch.from_numpy(layer.parameters[name])  # rounded
    x, dy = (rng.standard_normal((5, 4, width)).astype(dtype) for width in (inputs, outputs))
    their_x = torch.from_numpy(x).double().requires_grad_()
    theirs = twin(their_x)
    theirs.backward(torch.from_numpy(dy).double())
    y, _, tape = layer.forward(x)
    dx, _ = layer.backward(tape, dy)
    assert_matches(y, theirs.detach().numpy(), dtype)
    assert_matches(dx, their_x.grad.numpy(), dtype)
    for name, value in twin.named_parameters():
        assert_matches(layer.gradients[name], value.grad.numpy(), dtype)


@both
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_any_number_of_threads_gives_the_same_bits(rng, monkeypatch, dtype, threads):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)  # however little there is to do
    x, runs = rng.standard_normal((9, 7, 5 if JIT_OFF else 37)).astype(dtype), []
    for count in (threads, 1):
        layer = nn.Dense(x.shape[-1], 5, dtype=dtype, seed=1, n_threads=count)
        y, _, tape = layer.forward(x)
        runs.append([y, layer.backward(tape, y)[0], layer.gradients.flat, layer(x)[0]])
    for a, b in zip(*runs, strict=True):
        numpy.testing.assert_array_equal(a, b)


def test_a_tape_serves_twice_and_is_its_own(rng):
    layer = nn.Dense(3, 2, dtype="float64", seed=1)
    x, dy = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    _, _, tape = layer.forward(x)
    first, _ = layer.backward(tape, dy)
    once = layer.gradients.flat.copy()
    layer.backward(layer.forward(2 * x)[2], dy)
    layer.zero_grad()
    assert not layer.gradients.flat.any()
    second, _ = layer.backward(tape, dy, truncate=2, stride=3)
    numpy.testing.assert_array_equal(second, first)
    numpy.testing.assert_array_equal(layer.gradients.flat, once)
    assert not numpy.shares_memory(first, second)


def test_initial_parameters_follow_the_seed():
    a, b, c = (nn.Dense(4, 30, seed=seed).parameters.flat for seed in (1, 1, 2))
    numpy.testing.assert_array_equal(a, b)
    assert not numpy.array_equal(a, c)
    assert 0.4 < numpy.abs(a).max() <= 0.5


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_is_independent_and_the_same(rng, clone):
    layer, x = nn.Dense(3, 2, seed=1), rng.standard_normal((4, 3))
    twin, wanted = clone(layer), layer(x)[0]
    layer.parameters.flat[:] = 0
    numpy.testing.assert_array_equal(twin(x)[0], wanted)


def test_a_state_dict_comes_back():
    layer = nn.Dense(3, 2, seed=1)
    held = layer.state_dict()
    twin = nn.from_config(layer.config())
    twin.load_state_dict(held)
    numpy.testing.assert_array_equal(twin.parameters.flat, layer.parameters.flat)
    with pytest.raises(KeyError, match="state_dict must hold"):
        twin.load_state_dict({"weight": held["weight"]})
    with pytest.raises(ValueError, match=re.escape("bias must have shape (2,), got (3,)")):
        twin.load_state_dict({"weight": 0 * held["weight"], "bias": numpy.zeros(3)})
    numpy.testing.assert_array_equal(twin.parameters.flat, layer.parameters.flat)


def test_arguments_are_not_modified_whatever_their_layout(rng):
    layer = nn.Dense(3, 2, dtype="float64", seed=1)
    x, dy = rng.standard_normal((5, 4, 3)), rng.standard_normal((5, 4, 2))
    y, _, tape = layer.forward(x)
    dx, _ = layer.backward(tape, dy)
    for change in (numpy.asfortranarray, lambda a: a.astype(">f8"), lambda a: a.tolist()):
        y_changed, _, tape = layer.forward(change(x))
        numpy.testing.assert_array_equal(y_changed, y, strict=True)
        numpy.testing.assert_array_equal(layer.backward(tape, change(dy))[0], dx, strict=True)
    kept = x.copy(), dy.copy()
    for array in (x, dy):
        array.flags.writeable = False
    layer.backward(layer.forward(x)[2], dy)
    numpy.testing.assert_array_equal(x, kept[0])
    numpy.testing.assert_array_equal(dy, kept[1])


ARGUMENTS = [
    ({"input_size": 0}, ValueError, "input_size must be at least 1, got 0"),
    ({"output_size": 2.0}, TypeError, "output_size must be an integer, got 2.0"),
    ({"dtype": "float16"}, TypeError, "dtype must be float32 or float64, got 'float16'"),
    ({"n_threads": 0}, ValueError, "n_threads must be at least 1, got 0"),
]


@pytest.mark.parametrize(("argument", "error", "message"), ARGUMENTS, ids=[str(a[0]) for a in ARGUMENTS])
def test_bad_arguments(argument, error, message):
    with pytest.raises(error, match=re.escape(message)):
        nn.Dense(**{"input_size": 3, "output_size": 2, **argument})


X, DY = numpy.ones((5, 4, 3)), numpy.ones((5, 4, 2))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X[..., :2],), ValueError, "input must have shape (..., 3), got (5, 4, 2)"),
        ((1.0,), ValueError, "input must have shape (..., 3), got ()"),
        ((X + 0j,), TypeError, "input must hold real numbers"),
        ((X, (X, X)), TypeError, "state must be None, for the layer has no state; got tuple"),
    ],
)
def test_bad_input(arguments, error, message):
    layer = nn.Dense(3, 2, seed=1)
    for method in (layer, layer.forward):
        with pytest.raises(error, match=re.escape(message)):
            method(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((DY[0],), ValueError, "dy must have shape (5, 4, 2), got (4, 2)"),
        ((DY + 0j,), TypeError, "dy must hold real numbers"),
        ((DY, (DY, DY)), TypeError, "dstate must be None, for the layer has no state; got tuple"),
        ((DY, None, -1), ValueError, "truncate must be at least 0, got -1"),
        ((DY, None, None, 0), ValueError, "stride must be at least 1, got 0"),
    ],
)
def test_bad_gradients(arguments, error, message):
    layer = nn.Dense(3, 2, seed=1)
    _, _, tape = layer.forward(X)
    with pytest.raises(error, match=re.escape(message)):
        layer.backward(tape, *arguments)
    assert not layer.gradients.flat.any()


def test_another_layers_tape_or_none():
    layer, other = nn.Dense(3, 2, seed=1), nn.Dense(3, 2, seed=1)
    for tape in (other.forward(X)[2], None, X):
        with pytest.raises(TypeError, match="tape must come from forward of this layer, got"):
            layer.backward(tape, DY)
