"""`compat.NeuralNetwork` against the oracle's network."""

import copy
import pickle
import random

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlstm import oracle
from fastlstm.compat import NeuralNetwork
from fastlstm.model.files import write_model
from tests.tools.helpers import JIT_OFF, assert_matches, sizes


def pair(widths, **settings):
    """Our network and the oracle's, drawn from the same state of the global generator."""
    numpy.random.seed(5)
    ours = NeuralNetwork(widths, **settings)
    numpy.random.seed(5)
    return ours, oracle.NeuralNetwork(widths, **settings)


def example(rng, net):
    return rng.standard_normal((net.sizes[0], 1)), rng.uniform(size=(net.sizes[-1], 1))


@given(st.lists(sizes, min_size=1, max_size=5))
def test_one_example(widths):
    rng = numpy.random.default_rng(len(widths))
    ours, twin = pair(widths)
    for mine, theirs in ((ours.weights, twin.weights), (ours.biases, twin.biases)):
        for a, b in zip(mine, theirs, strict=True):
            numpy.testing.assert_array_equal(a, b, strict=True)
    x, y = example(rng, ours)
    ours._forward_prop(x)
    twin._forward_prop(x)
    for mine, theirs in ((ours._zs, twin._zs), (ours._activations, twin._activations)):
        for a, b in zip(mine, theirs, strict=True):
            assert_matches(a, b)
    for mine, theirs in zip(ours._back_prop(x, y), twin._back_prop(x, y), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert_matches(a, b)
    assert ours.predict(x) == twin.predict(x)


@pytest.mark.parametrize("count", [0, 1, 16, 37])
def test_fit_follows_the_oracle(rng, count, capsys):
    ours, twin = pair([5, 7, 3], learning_rate=0.5, mini_batch_size=8, epochs=3)
    data = [example(rng, ours) for _ in range(count)]
    order = [id(x) for x, _ in data]
    for net in (ours, twin):
        random.seed(3)
        net.fit(data)
    for mine, theirs in ((ours.weights, twin.weights), (ours.biases, twin.biases)):
        for a, b in zip(mine, theirs, strict=True):
            assert_matches(a, b)
    assert [id(x) for x, _ in data] == order
    assert capsys.readouterr().out == ""


def test_it_learns(rng, capsys):
    numpy.random.seed(0)
    random.seed(0)
    points = rng.uniform(-1, 1, (200, 2))
    labels = (points[:, 0] * points[:, 1] > 0).astype(int)
    examples = [(p[:, None], numpy.eye(2)[label][:, None]) for p, label in zip(points, labels, strict=True)]
    net = NeuralNetwork((2, 8, 2), learning_rate=3, mini_batch_size=10, epochs=200)
    held_out = [(p[:, None], label) for p, label in zip(points, labels, strict=True)]
    before = net.validate(held_out)
    net.epochs = 1
    net.fit(examples, held_out)
    assert capsys.readouterr().out.startswith("epoch 1: ")
    net.epochs = 30 if JIT_OFF else 200
    net.fit(examples)
    assert net.validate(held_out) > max(before, 140 if JIT_OFF else 180)
    assert net.validate([(x, y) for x, y in examples]) == net.validate(held_out)


def test_weights_changed_in_place_and_replaced(rng):
    ours, twin = pair([4, 3, 2])
    x, _ = example(rng, ours)
    for net in (ours, twin):
        net.weights[1] -= 0.5
        net.weights[2] = numpy.ones((2, 3))
        net.biases[1] = net.biases[1] * 2
    ours._forward_prop(x)
    twin._forward_prop(x)
    assert_matches(ours._activations[-1], twin._activations[-1])
    for net in (ours, twin):
        net.weights = [w + 1 for w in net.weights]
    ours._forward_prop(x)
    twin._forward_prop(x)
    assert_matches(ours._activations[-1], twin._activations[-1])


def test_the_way_back_starts_from_the_activations_that_stand_there(rng):
    ours, twin = pair([4, 3, 2])
    x, y = example(rng, ours)
    for net in (ours, twin):
        net._forward_prop(x)
    copied = copy.copy(ours)
    changed = ours._activations[1] / 2
    for net in (ours, twin, copied):
        net._activations[1][:] = changed
    for net in (ours, copied):
        for mine, theirs in zip(net._back_prop(x, y), twin_gradients(twin, y), strict=True):
            for a, b in zip(mine, theirs, strict=True):
                assert_matches(a, b)
    for net in (ours, twin):
        net._activations[1] = changed * 1.5
    for mine, theirs in zip(ours._back_prop(x, y), twin_gradients(twin, y), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert_matches(a, b)


def twin_gradients(twin, y):
    """The oracle's, whose slopes come from `_zs`: here from the activations, of which ours are made."""
    with numpy.errstate(divide="ignore", invalid="ignore"):
        twin._zs = [numpy.log(a / (1 - a)) for a in twin._activations]
    return twin._back_prop(None, y)


def test_results_stay_as_they_are(rng):
    ours, _ = pair([4, 3, 2])
    (x, y), (other, _) = example(rng, ours), example(rng, ours)
    ours._forward_prop(x)
    values = [*ours._zs, *ours._activations, *(n for nabla in ours._back_prop(x, y) for n in nabla)]
    before = [value.copy() for value in values]
    ours._forward_prop(other)
    ours._back_prop(other, y)
    for value, wanted in zip(values, before, strict=True):
        numpy.testing.assert_array_equal(value, wanted)


def test_layers_may_change_places(rng):
    ours, twin = pair([2, 2, 2])
    x, _ = example(rng, ours)
    for net in (ours, twin):
        net.weights[1], net.weights[2] = net.weights[2], net.weights[1]
        net.weights = tuple(net.weights)
    ours._forward_prop(x)
    twin._forward_prop(x)
    assert_matches(ours._activations[-1], twin._activations[-1])


def test_copies_are_independent(rng):
    ours, _ = pair([4, 3, 2], epochs=1)
    kept, x = copy.copy(ours), rng.standard_normal((4, 1))
    before = kept.predict(x), kept.weights[1].copy()
    ours.fit([example(rng, ours)])
    assert kept.predict(x) == before[0]
    numpy.testing.assert_array_equal(kept.weights[1], before[1])
    assert not numpy.array_equal(ours.weights[1], before[1])


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_change_of_a_copys_weights_is_seen(rng, again):
    ours, _ = pair([4, 3, 2])
    x = rng.standard_normal((4, 1))
    ours._forward_prop(x)
    before, twin = ours._activations[-1].copy(), again(ours)
    twin.weights[2][...] += 1.0
    twin.biases[1][...] -= 1.0
    twin._forward_prop(x)
    inner = 1 / (1 + numpy.exp(-(twin.weights[1] @ x + twin.biases[1])))
    assert_matches(twin._activations[-1], 1 / (1 + numpy.exp(-(twin.weights[2] @ inner + twin.biases[2]))))
    ours._forward_prop(x)
    numpy.testing.assert_array_equal(ours._activations[-1], before)


def test_settings_are_checked_when_they_are_used(rng, tmp_path):
    ours, _ = pair([4, 2])
    data = [example(rng, ours)]
    ours.mini_batch_size = 0
    with pytest.raises(ValueError, match="mini_batch_size must be at least 1"):
        ours.fit(data)
    ours.mini_batch_size, ours.epochs, ours.learning_rate = numpy.int64(2), numpy.int8(1), numpy.float32(0.5)
    ours.fit(data)
    ours.save(tmp_path / "net")
    before = ours.weights[1].copy()
    with pytest.raises(ValueError, match="x must have shape"):
        ours.fit(data, [(numpy.zeros(4), 1)])
    numpy.testing.assert_array_equal(ours.weights[1], before)


def test_a_bad_file_changes_nothing(rng, tmp_path):
    ours, _ = pair([4, 3, 2])
    write_model(tmp_path / "half", "NeuralNetwork", {"sizes": [5, 1]}, {"weights[1]": numpy.zeros((1, 5))})
    before = repr(ours), ours.weights[1].copy()
    with pytest.raises(ValueError, match="does not hold a whole NeuralNetwork"):
        ours.load(tmp_path / "half")
    assert repr(ours) == before[0]
    numpy.testing.assert_array_equal(ours.weights[1], before[1])


def test_files(tmp_path, rng):
    ours, _ = pair([4, 3, 2], learning_rate=0.5, mini_batch_size=3, epochs=1)
    x, _ = example(rng, ours)
    ours.save(tmp_path / "net")
    loaded = NeuralNetwork()
    loaded.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(ours) == "NeuralNetwork([4, 3, 2], learning_rate=0.5, mini_batch_size=3, epochs=1)"
    loaded._forward_prop(x)
    ours._forward_prop(x)
    numpy.testing.assert_array_equal(loaded._activations[-1], ours._activations[-1])
    numpy.testing.assert_array_equal(loaded.biases[0], ours.biases[0])
    NeuralNetwork().save(tmp_path / "empty")
    loaded.load(tmp_path / "empty")
    assert loaded.sizes == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sizes": [2, 0]}, ValueError, "sizes must be at least 1"),
        ({"sizes": [2, 1.5]}, TypeError, "sizes must be an integer"),
        ({"mini_batch_size": 0}, ValueError, "mini_batch_size must be at least 1"),
        ({"epochs": -1}, ValueError, "epochs must be at least 0"),
        ({"learning_rate": "x"}, TypeError, "learning_rate must be a number"),
    ],
)
def test_bad_settings(arguments, error, message):
    with pytest.raises(error, match=message):
        NeuralNetwork(**arguments)


def test_bad_input_changes_nothing(rng):
    ours, _ = pair([4, 3, 2])
    x, y = example(rng, ours)
    before = [w.copy() for w in ours.weights]
    with pytest.raises(ValueError, match=r"x must have shape \(4, 1\), got \(4,\)"):
        ours.predict(x[:, 0])
    with pytest.raises(ValueError, match=r"y must have shape \(2, 1\)"):
        ours.fit([(x, y), (x, x)])
    with pytest.raises(TypeError, match="real numbers"):
        ours._forward_prop(x.astype(str))
    with pytest.raises(ValueError, match="no layers"):
        NeuralNetwork().predict(x)
    for a, b in zip(ours.weights, before, strict=True):
        numpy.testing.assert_array_equal(a, b)
    ours.weights[1] = numpy.zeros((3, 3))
    with pytest.raises(ValueError, match=r"weights\[1\] must have shape \(3, 4\), got \(3, 3\)"):
        ours.predict(x)
    ours.weights.pop()
    with pytest.raises(ValueError, match="weights must hold 3 arrays, got 2"):
        ours.predict(x)
