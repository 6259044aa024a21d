"""`fastlstm.nn.Sequential`, its one flat buffer, and layers from their configs."""

import copy
import json
import pickle
import re

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlstm import nn, oracle
from fastlstm.parameters import Buffer
from tests.tools.helpers import JIT_OFF, LARGEST, assert_matches, dtypes, sizes

both = pytest.mark.parametrize("dtype", ["float32", "float64"])
clones = pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])


def made(inputs=3, size=5, outputs=2, dtype="float64", **options):
    return nn.Sequential(
        nn.LSTM(inputs, size, dtype=dtype, seed=1, **options), nn.Dense(size, outputs, dtype=dtype, seed=2)
    )


def drawn(rng, model, T, batch):
    x, dy = (rng.standard_normal((T, batch, n)).astype(model.dtype) for n in (model.input_size, model.output_size))
    h, c, d_h, d_c = rng.standard_normal((4, 1, batch, model.layers[0].hidden_size)).astype(model.dtype)
    return x, ((h, c), None), dy, ((d_h, d_c), None)


def assert_tied(model):
    """Every layer's parameters and gradients lie in the model's, under its names."""
    for whole, parts in [(model.parameters, "parameters"), (model.gradients, "gradients")]:
        names = []
        for k, layer in enumerate(model.layers):
            part = getattr(layer, parts)
            assert numpy.shares_memory(part.flat, whole.flat)
            names += [f"{k}.{name}" for name in part]
            for name, array in part.items():
                array[...] += 1
                numpy.testing.assert_array_equal(array, whole[f"{k}.{name}"])
        assert names == list(whole)
        before = numpy.concatenate([getattr(layer, parts).flat for layer in model.layers])
        numpy.testing.assert_array_equal(before, whole.flat)
        whole.flat[:] *= 2
        numpy.testing.assert_array_equal(numpy.concatenate([getattr(a, parts).flat for a in model.layers]), 2 * before)


@given(st.sampled_from([1, 2, 7]), st.sampled_from([1, 2, 5]), sizes, sizes, sizes, dtypes)
def test_it_is_its_layers_one_after_the_other(T, batch, inputs, size, outputs, dtype):
    model = made(inputs, size, outputs, dtype)
    lstm, dense = copy.deepcopy(model.layers)
    x, (state, _), dy, (d_state, _) = drawn(numpy.random.default_rng(1), model, T, batch)
    hidden, final, tape = lstm.forward(x, state)
    y, _, dense_tape = dense.forward(hidden)
    d_hidden, _ = dense.backward(dense_tape, dy)
    dx, d_initial = lstm.backward(tape, d_hidden, d_state)

    found, found_final, found_tape = model.forward(x, (state, None))
    found_dx, found_initial = model.backward(found_tape, dy, [d_state, None])
    called, called_final = model(x, (state, None))
    for ours in (found_final, found_initial, called_final):
        assert type(ours) is tuple
        assert ours[1] is None
    for a, b in [(found, y), (called, y), (found_dx, dx)]:
        numpy.testing.assert_array_equal(a, b, strict=True)
    for a, b in [(found_final, final), (called_final, final), (found_initial, d_initial)]:
        numpy.testing.assert_array_equal(a[0], b)
    wanted = numpy.concatenate((lstm.gradients.flat, dense.gradients.flat))
    numpy.testing.assert_array_equal(model.gradients.flat, wanted)


@both
@pytest.mark.parametrize("T", [1, 6])
def test_gradients_are_torchs(rng, dtype, T):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
    model = made(3, 5, 2, dtype)
    twins = torch.nn.ModuleList([torch.nn.LSTM(3, 5), torch.nn.Linear(5, 2)]).double()
    assert list(twins.state_dict()) == list(model.parameters)
    twins.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    x, (state, _), dy, (d_state, _) = drawn(rng, model, T, 4)
    their_x, h, c = (torch.from_numpy(a).double().requires_grad_() for a in (x, *state))
    hidden, final = twins[0](their_x, (h, c))
    theirs = twins[1](hidden)
    loss = (theirs * torch.from_numpy(dy)).sum()
    (loss + sum((a * torch.from_numpy(b)).sum() for a, b in zip(final, d_state, strict=True))).backward()

    y, _, tape = model.forward(x, (state, None))
    dx, (d_initial, _) = model.backward(tape, dy, (d_state, None))
    assert_matches(y, theirs.detach().numpy(), dtype)
    assert_matches(dx, their_x.grad.numpy(), dtype)
    for ours, leaf in zip(d_initial, (h, c), strict=True):
        assert_matches(ours, leaf.grad.numpy(), dtype)
    for name, value in twins.named_parameters():
        assert_matches(model.gradients[name], value.grad.numpy(), dtype)


def test_gradients_are_those_of_finite_differences(rng):
    widths = (1, 2, 2, 1) if JIT_OFF else (2, 3, 4, 3)
    kinds = (nn.Dense, nn.LSTM, nn.LSTM, nn.Dense)
    layers = [kind(n, m, dtype="float64", seed=n) for kind, n, m in zip(kinds, widths, (*widths[1:], 1), strict=True)]
    model = nn.Sequential(*layers)
    x, dy = rng.standard_normal((3, 2, widths[0])), rng.standard_normal((3, 2, 1))
    dx, _ = model.backward(model.forward(x)[2], dy)
    for array, gradient in ((x, dx), (model.parameters.flat, model.gradients.flat)):
        wanted = oracle.finite_difference(lambda: (model(x)[0] * dy).sum(), array)
        numpy.testing.assert_allclose(gradient, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("truncate", "stride"), [(0, 1), (2, 1), (3, 2), (None, 1)])
def test_truncation_is_that_of_each_layer(rng, truncate, stride):
    model = made()
    lstm, dense = copy.deepcopy(model.layers)
    x, _, dy, _ = drawn(rng, model, 7, 2)
    hidden, _, tape = lstm.forward(x)
    d_hidden, _ = dense.backward(dense.forward(hidden)[2], dy)
    dx, _ = lstm.backward(tape, d_hidden, truncate=truncate, stride=stride)
    found, _ = model.backward(model.forward(x)[2], dy, truncate=truncate, stride=stride)
    numpy.testing.assert_array_equal(found, dx)
    numpy.testing.assert_array_equal(model.gradients["0.weight_hh_l0"], lstm.gradients["weight_hh_l0"])


@pytest.mark.parametrize("batch_first", [False, True])
def test_inputs_without_a_batch_axis_and_with_it_first(rng, batch_first):
    model, x = made(batch_first=batch_first), rng.standard_normal((4, 6, 3))
    y, _ = model(x)
    alone, ((h, _), _) = model(x[0] if batch_first else x[:, 0])
    assert h.shape == (1, 5)
    assert model.batch_first is batch_first
    numpy.testing.assert_array_equal(alone, y[0] if batch_first else y[:, 0])
    assert nn.Sequential(nn.Dense(3, 2)).batch_first is None


@both
@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_gives_the_same_bits(monkeypatch, dtype, threads):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)  # however little there is to do
    runs = []
    for count in (threads, 1):
        model = made(3, LARGEST, 2, dtype)
        for layer in model.layers:
            layer.n_threads = count
        x, state, dy, d_state = drawn(numpy.random.default_rng(1), model, 5, 3)
        y, _, tape = model.forward(x, state)
        runs.append([y, model.backward(tape, dy, d_state)[0], model.gradients.flat, model(x, state)[0]])
    for a, b in zip(*runs, strict=True):
        numpy.testing.assert_array_equal(a, b)


def test_layers_become_views_and_keep_what_they_held():
    lstm, dense = nn.LSTM(3, 5, seed=1), nn.Dense(5, 2, seed=2)
    for layer in (lstm, dense):
        layer.gradients.flat[:] = numpy.arange(layer.gradients.flat.size)
    parameters = numpy.concatenate((lstm.parameters.flat, dense.parameters.flat))
    gradients = numpy.concatenate((lstm.gradients.flat, dense.gradients.flat))
    model = nn.Sequential(lstm, dense)
    assert model.layers == (lstm, dense)
    numpy.testing.assert_array_equal(model.parameters.flat, parameters, strict=True)
    numpy.testing.assert_array_equal(model.gradients.flat, gradients, strict=True)
    assert_tied(model)
    lstm.zero_grad()
    assert model.gradients["1.bias"].all()
    assert not model.gradients["0.weight_ih_l0"].any()
    model.zero_grad()
    assert not dense.gradients.flat.any()


@clones
def test_copies_are_independent_and_tied_in_themselves(rng, clone):
    model = nn.Sequential(made(), nn.Dense(2, 3, dtype="float64", seed=3))
    x, before = rng.standard_normal((4, 2, 3)), model.parameters.flat.copy()
    wanted, twin = model(x)[0], clone(model)
    numpy.testing.assert_array_equal(twin(x)[0], wanted)
    for part in (twin, twin.layers[0]):
        assert_tied(part)
    numpy.testing.assert_array_equal(model.parameters.flat, before)
    assert not numpy.array_equal(twin(x)[0], wanted)
    twin.parameters.flat[:] = 0
    assert not twin(x)[0].any()


@clones
def test_a_copy_of_a_layer_is_a_layer_of_its_own(clone):
    model = made()
    dense = clone(model.layers[1])
    dense.parameters.flat[:] = 0
    assert model.parameters.flat.all()
    nn.Sequential(dense, nn.Dense(2, 2, dtype="float64"))


def test_a_state_dict_comes_back():
    model = nn.Sequential(made(), nn.Dense(2, 3, dtype="float64", seed=3))
    held = model.state_dict()
    assert list(held)[-3:] == ["0.1.bias", "1.weight", "1.bias"]
    twin = nn.from_config(json.loads(json.dumps(model.config())))
    assert repr(twin) == repr(model)
    twin.load_state_dict(held)
    numpy.testing.assert_array_equal(twin.parameters.flat, model.parameters.flat, strict=True)
    held["1.bias"] = numpy.zeros(2)
    with pytest.raises(ValueError, match=re.escape("1.bias must have shape (3,), got (2,)")):
        twin.load_state_dict(held)
    numpy.testing.assert_array_equal(twin.parameters.flat, model.parameters.flat)


@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(3, 5, bias=False, batch_first=True, dtype="float64", n_threads=2), nn.LSTM(1, 1),
        nn.LSTM(3, 5, 2, True, True, 0.25, True, recurrent_dropout=0.5, recurrent_initializer="orthogonal"),
        nn.LSTM(3, 5, 3, proj_size=2, bidirectional=True, forget_bias=1),
        nn.Dense(3, 2, False, dtype="float64", n_threads=1), nn.Sequential(nn.Dense(3, 2)),
    ],
    ids=repr,
)  # fmt: skip
def test_layers_from_their_configs(layer):
    twin = nn.from_config(json.loads(json.dumps(layer.config())))
    assert type(twin) is type(layer)
    assert repr(twin) == repr(layer)
    assert twin.config() == layer.config()
    assert twin.parameters.same_layout(layer.parameters)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ([], TypeError, "config must be a mapping, got list"),
        ({}, ValueError, "config must have the kind of a known Layer, got None"),
        ({"kind": "GRU"}, ValueError, "got 'GRU', known are"),
        ({"kind": ["GRU"]}, ValueError, "got ['GRU']"),
        ({"kind": "Dense", "input_size": 3}, TypeError, "output_size"),
        ({"kind": "LSTM", "input_size": 3, "hidden_size": 2, "depth": 1}, TypeError, "depth"),
        ({"kind": "Sequential"}, ValueError, "a Sequential must have at least one layer, got none"),
        ({"kind": "Sequential", "layers": [], "bias": True}, TypeError, "bias"),
    ],
    ids=str,
)
def test_bad_configs(config, error, message):
    with pytest.raises(error, match=re.escape(message)):
        nn.from_config(config)


TAKEN = nn.Dense(3, 3)
nn.Sequential(TAKEN)
TWICE = nn.Dense(3, 3)
LAYERS = [
    ((), ValueError, "a Sequential must have at least one layer, got none"),
    ((nn.Dense(3, 2), "Dense"), TypeError, "subclass of Layer, got str"),
    ((nn.Dense(3, 2), nn.Dense(3, 2)), ValueError, "layer 1 must take 2 inputs, as many as layer 0 gives, got 3"),
    ((nn.LSTM(3, 2), nn.LSTM(3, 2)), ValueError, "layer 1 must take 2 inputs, as many as layer 0 gives, got 3"),
    ((nn.Dense(3, 3), nn.Dense(3, 2, dtype="float64")), ValueError, "layer 1 must be of float32 as layer 0"),
    ((nn.Dense(3, 3), TAKEN), ValueError, "layer 1 must not be part of a Sequential already, got Dense(3, 3"),
    ((TWICE, TWICE), ValueError, "layer 1 must not be part of a Sequential already, got Dense(3, 3"),
    ((nn.LSTM(3, 3, batch_first=True), nn.Dense(3, 3), nn.LSTM(3, 3)), ValueError, "batch_first must be the same"),
]


@pytest.mark.parametrize(("layers", "error", "message"), LAYERS, ids=[message for *_, message in LAYERS])
def test_layers_that_do_not_go_together(layers, error, message):
    with pytest.raises(error, match=re.escape(message)):
        nn.Sequential(*layers)
    assert not layers or not layers[0].parameters.is_part


def zeros(*shape):
    return numpy.zeros(shape)


STATES = [
    (zeros(1, 2, 5), TypeError, "{} must be a tuple with an entry for each layer, got ndarray"),
    ((None,), ValueError, "{} must have 2 entries, one for each layer, got 1"),
    ((zeros(1, 2, 5), None), TypeError, "{} must be a tuple of two arrays, hidden and cell, got ndarray"),
    (((zeros(1, 2, 4),) * 2, None), ValueError, "{}[0] must have shape (1, 2, 5), got (1, 2, 4)"),
    ((None, zeros(1, 2, 5)), TypeError, "{} must be None, for the layer has no state; got ndarray"),
]


@pytest.mark.parametrize(("state", "error", "message"), STATES)
def test_bad_states_and_their_gradients(state, error, message):
    model, x = made(), numpy.ones((4, 2, 3))
    for method in (model, model.forward):
        with pytest.raises(error, match=re.escape(message.format("state"))):
            method(x, state)
    with pytest.raises(error, match=re.escape(message.format("dstate"))):
        model.backward(model.forward(x)[2], zeros(4, 2, 2), state)
    assert not model.gradients.flat.any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((zeros(4, 2, 5),), ValueError, "dy must have shape (4, 2, 2), got (4, 2, 5)"),
        ((zeros(4, 2, 2), None, 1.5), TypeError, "truncate must be an integer, got 1.5"),
        ((zeros(4, 2, 2), None, None, 0), ValueError, "stride must be at least 1, got 0"),
    ],
)
def test_bad_gradients_of_the_output(arguments, error, message):
    model = made()
    _, _, tape = model.forward(numpy.ones((4, 2, 3)))
    with pytest.raises(error, match=re.escape(message)):
        model.backward(tape, *arguments)
    assert not model.gradients.flat.any()


def test_another_models_tape_or_none():
    model, other, x = made(), made(), numpy.ones((4, 2, 3))
    for tape in (other.forward(x)[2], model.layers[0].forward(x)[2], None):
        with pytest.raises(TypeError, match="tape must come from forward of this layer, got"):
            model.backward(tape, zeros(4, 2, 2))


def test_parts_of_a_buffer():
    whole = Buffer({"0.a": (2, 3), "0.b.c": (2,), "00.a": (1,), "1.a": (4,)}, numpy.dtype(numpy.float32))
    whole.flat[:] = numpy.arange(13)
    part = whole.part("0")
    assert list(part) == ["a", "b.c"]
    assert part.is_part
    assert not whole.is_part
    numpy.testing.assert_array_equal(part.flat, numpy.arange(8))
    numpy.testing.assert_array_equal(whole.part("1")["a"], [9, 10, 11, 12])
    part.part("b")["c"][:] = 20
    numpy.testing.assert_array_equal(whole["0.b.c"], [20, 20])
    for own in (copy.deepcopy(part), part.empty_like()):
        assert not own.is_part
        assert own.same_layout(part)
        assert not numpy.shares_memory(own.flat, whole.flat)
    with pytest.raises(KeyError, match=re.escape("no name begins with 2.; the names are 0.a, 0.b.c, 00.a, 1.a")):
        whole.part("2")
