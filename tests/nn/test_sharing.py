"""What users do to arrays, lists and attributes between two calls does not make wrong numbers."""

import copy
import pickle
from typing import Any

import numpy
import pytest

import fastlstm
from fastlstm import nn
from fastlstm.parameters import Buffer

LAYERS = {
    "lstm": lambda: nn.LSTM(3, 5, seed=0, dtype=numpy.float64),
    "deep": lambda: nn.LSTM(3, 5, num_layers=2, seed=0, dtype=numpy.float64),
    "both ways": lambda: nn.LSTM(3, 5, bidirectional=True, seed=0, dtype=numpy.float64),
    "projected": lambda: nn.LSTM(3, 5, proj_size=2, seed=0, dtype=numpy.float64),
    "batch first": lambda: nn.LSTM(3, 5, batch_first=True, seed=0, dtype=numpy.float64),
    "dense": lambda: nn.Dense(3, 5, seed=0, dtype=numpy.float64),
    "lstm last": lambda: nn.Sequential(nn.Dense(3, 5, seed=1, dtype="f8"), nn.LSTM(5, 4, seed=0, dtype="f8")),
    "dense last": lambda: nn.Sequential(nn.LSTM(3, 5, seed=0, dtype="f8"), nn.Dense(5, 4, seed=1, dtype="f8")),
    "within": lambda: nn.Sequential(nn.Sequential(nn.LSTM(3, 4, seed=0, dtype="f8"))),
}


@pytest.mark.parametrize("made", LAYERS)
@pytest.mark.parametrize("shape", [(6, 2, 3), (6, 3)])
@pytest.mark.parametrize("changed", ["output", "input", "state"])
def test_arrays_changed_between_forward_and_backward(made: str, shape: Any, changed: str) -> None:
    """As in ``y -= target``: the tape has its own."""
    rng = numpy.random.default_rng(0)
    x, found = rng.standard_normal(shape), []
    for change in (False, True):
        layer, given = LAYERS[made](), x.copy()
        _, state = layer(x)
        output, final, tape = layer.forward(given, state)
        dy = numpy.ones_like(output)
        if change:
            for array in {"output": [output], "input": [given], "state": [*arrays(state), *arrays(final)]}[changed]:
                array *= 17
        d_x, d_state = layer.backward(tape, dy)
        found.append([layer.gradients.flat.copy(), d_x, *arrays(d_state)])
    for one, other in zip(*found, strict=True):
        numpy.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"proj_size": 2}, {"num_layers": 2, "proj_size": 2}])
def test_outputs_of_a_stepper_cannot_be_changed(options: Any) -> None:
    """They are the state that the next step begins with."""
    step = nn.LSTM(2, 4, seed=0, **options).stepper(3)
    x = numpy.ones((3, 2), numpy.float32)
    for _ in range(3):
        with pytest.raises(ValueError, match="read-only"):
            step(x)[...] = 0
        step.reset([1])
        step.state = step.state
        with pytest.raises(ValueError, match="read-only"):
            step(x)[...] = 0
    other = pickle.loads(pickle.dumps(step))
    output = other(x)
    numpy.testing.assert_array_equal(output, step(x))
    with pytest.raises(ValueError, match="read-only"):
        output -= 1


def arrays(state: Any) -> list[Any]:
    """All arrays of a state."""
    if state is None:
        return []
    return [state] if isinstance(state, numpy.ndarray) else [array for part in state for array in arrays(part)]


@pytest.mark.parametrize("made", LAYERS)
def test_assigning_a_flat_array_copies_it(made: str) -> None:
    layer = LAYERS[made]()
    flat, new = layer.parameters.flat, numpy.linspace(-1, 1, layer.parameters.flat.size)
    layer.parameters.flat = new
    assert layer.parameters.flat is flat
    numpy.testing.assert_array_equal(flat, new)
    first = next(iter(layer.parameters.values()))
    numpy.testing.assert_array_equal(first.ravel(), new[: first.size])
    layer.parameters.flat -= 0.5
    assert layer.parameters.flat is flat
    numpy.testing.assert_array_equal(flat, new - 0.5)
    layer.gradients.flat = new.tolist()
    numpy.testing.assert_array_equal(layer.gradients.flat, new)
    for wrong, error in ((new[:-1], ValueError), (["a"] * new.size, TypeError), (new[None], ValueError)):
        with pytest.raises(error, match="flat must"):
            layer.parameters.flat = wrong
    numpy.testing.assert_array_equal(flat, new - 0.5)


def test_a_part_of_a_buffer_stays_one() -> None:
    model = LAYERS["dense last"]()
    inner = model.layers[0]
    inner.parameters.flat = numpy.arange(float(inner.parameters.flat.size))
    assert inner.parameters.is_part
    numpy.testing.assert_array_equal(model.parameters["0.weight_ih_l0"].ravel(), numpy.arange(60.0))


@pytest.mark.parametrize("made", LAYERS)
@pytest.mark.parametrize("name", ["parameters", "gradients", "layers"])
def test_buffers_and_layers_cannot_be_replaced(made: str, name: str) -> None:
    """They would be the layer's no longer, and those around it would not learn of it."""
    layer = LAYERS[made]()
    if hasattr(layer, name):
        with pytest.raises(AttributeError):
            setattr(layer, name, getattr(LAYERS[made](), name))


def test_the_models_flat_array_too() -> None:
    model = fastlstm.LSTM(2, 2, 3, seed=0)
    model.parameters.flat = numpy.zeros(model.parameters.flat.size)
    assert not model.W_f.any()
    numpy.testing.assert_array_equal(model.feed_forward(numpy.ones((1, 2))), [[0.5, 0.5]])


@pytest.mark.parametrize("again", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_of_buffers(again: Any) -> None:
    buffer = Buffer({"a": (2,), "b": (2, 2)}, numpy.dtype(numpy.float32))
    buffer.flat = range(6)
    other = again(buffer)
    other.flat[0] = 7
    assert (buffer["a"][0], other["a"][0], other["b"][1, 1]) == (0, 7, 5)
