"""What `fastlstm.nn.LSTM` takes, what it refuses, and that refusing changes nothing."""

import re

import numpy
import pytest

from fastlstm import nn

X = numpy.random.default_rng(1).standard_normal((4, 2, 3))
DY = numpy.random.default_rng(2).standard_normal((4, 2, 5))


@pytest.fixture
def layer():
    made = nn.LSTM(3, 5, dtype="float64", seed=1)
    made.gradients.flat[:] = 1  # so that a change of the gradients would be seen
    return made


@pytest.fixture
def unchanged(layer):
    before = layer.parameters.flat.copy(), layer.gradients.flat.copy()
    yield
    numpy.testing.assert_array_equal(layer.parameters.flat, before[0])
    numpy.testing.assert_array_equal(layer.gradients.flat, before[1])


def zeros(*shape):
    return numpy.zeros(shape)


ARGUMENTS = [
    ({"input_size": 0}, ValueError, "input_size must be at least 1, got 0"),
    ({"input_size": 3.0}, TypeError, "input_size must be an integer, got 3.0"),
    ({"hidden_size": -1}, ValueError, "hidden_size must be at least 1, got -1"),
    ({"hidden_size": True}, TypeError, "hidden_size must be an integer, got True"),
    ({"dtype": "float16"}, TypeError, "dtype must be float32 or float64, got 'float16'"),
    ({"dtype": None}, TypeError, "dtype must be float32 or float64, got None"),
    ({"n_threads": 0}, ValueError, "n_threads must be at least 1, got 0"),
    ({"n_threads": 1.5}, TypeError, "n_threads must be an integer, got 1.5"),
]


@pytest.mark.parametrize(("argument", "error", "message"), ARGUMENTS, ids=[str(a[0]) for a in ARGUMENTS])
def test_bad_arguments(argument, error, message):
    with pytest.raises(error, match=re.escape(message)):
        nn.LSTM(**{"input_size": 3, "hidden_size": 5, **argument})


INPUTS = [
    (zeros(4, 2, 4), ValueError, "(T, batch, 3)", "(4, 2, 4)"),
    (zeros(3), ValueError, "(T, batch, 3)", "(3,)"),
    (zeros(1, 4, 2, 3), ValueError, "(T, batch, 3)", "(1, 4, 2, 3)"),
    (1.0, ValueError, "(T, batch, 3)", "()"),
    (X + 0j, TypeError, "input must hold real numbers", "complex128"),
    ([["a", "b", "c"]], TypeError, "input must hold real numbers", "<U1"),
    (None, TypeError, "input must hold real numbers", "object"),
    ([[1.0, 2.0, 3.0], [1.0]], ValueError, "input must have a regular shape", ""),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("x", "error", "message", "came"), INPUTS, ids=[a[3] or "ragged" for a in INPUTS])
@pytest.mark.parametrize("method", ["__call__", "forward"])
def test_bad_input(layer, method, x, error, message, came):
    with pytest.raises(error, match=re.escape(message)) as caught:
        getattr(layer, method)(x)
    assert came in str(caught.value)


PAIRS = [
    (zeros(1, 2, 5), TypeError, "{} must be a tuple of two arrays, hidden and cell, got ndarray"),
    ((zeros(1, 2, 5),), TypeError, "{} must be a tuple of two arrays"),
    ((zeros(1, 2, 5),) * 3, TypeError, "{} must be a tuple of two arrays"),
    ((zeros(1, 2, 4), zeros(1, 2, 5)), ValueError, "{}[0] must have shape (1, 2, 5), got (1, 2, 4)"),
    ((zeros(1, 2, 5), zeros(2, 5)), ValueError, "{}[1] must have shape (1, 2, 5), got (2, 5)"),
    ((zeros(1, 2, 5), zeros(1, 1, 5)), ValueError, "{}[1] must have shape (1, 2, 5), got (1, 1, 5)"),
    ((zeros(1, 2, 5) + 0j, zeros(1, 2, 5)), TypeError, "{}[0] must hold real numbers, got dtype complex128"),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("state", "error", "message"), PAIRS)
def test_bad_states_and_their_gradients(layer, state, error, message):
    for method in (layer, layer.forward):
        with pytest.raises(error, match=re.escape(message.format("state"))):
            method(X, state)
    _, _, tape = layer.forward(X)
    with pytest.raises(error, match=re.escape(message.format("dstate"))):
        layer.backward(tape, DY, state)


@pytest.mark.usefixtures("unchanged")
def test_a_state_without_batch_axis_goes_with_such_an_input(layer):
    with pytest.raises(ValueError, match=re.escape("state[0] must have shape (1, 5), got (1, 1, 5)")):
        layer(X[:, 0], (zeros(1, 1, 5), zeros(1, 1, 5)))


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("dy", "error", "message"),
    [
        (zeros(4, 2, 3), ValueError, "dy must have shape (4, 2, 5), got (4, 2, 3)"),
        (zeros(4, 5), ValueError, "dy must have shape (4, 2, 5), got (4, 5)"),
        (zeros(3, 2, 5), ValueError, "dy must have shape (4, 2, 5), got (3, 2, 5)"),
        (DY + 0j, TypeError, "dy must hold real numbers, got dtype complex128"),
    ],
)
def test_bad_gradients_of_the_output(layer, dy, error, message):
    _, _, tape = layer.forward(X)
    with pytest.raises(error, match=re.escape(message)):
        layer.backward(tape, dy)


@pytest.mark.usefixtures("unchanged")
def test_another_layers_tape_or_none(layer):
    _, _, other = nn.LSTM(3, 5, dtype="float64", seed=1).forward(X)
    for tape in (other, None, X):
        with pytest.raises(TypeError, match="tape must come from forward of this layer, got"):
            layer.backward(tape, DY)


STATE_DICTS = [
    (lambda given: given.pop("bias_hh_l0"), KeyError, "state_dict must hold"),
    (lambda given: given.update(weight_ih_l1=zeros(20, 5)), KeyError, "weight_ih_l1"),
    (lambda given: given.update(bias_hh_l0=zeros(19)), ValueError, "bias_hh_l0 must have shape (20,), got (19,)"),
    (lambda given: given.update(bias_hh_l0=zeros(20) + 0j), TypeError, "bias_hh_l0 must hold real numbers"),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("spoil", "error", "message"), STATE_DICTS)
def test_bad_state_dicts(layer, spoil, error, message):
    given = {name: numpy.ones_like(value) for name, value in layer.parameters.items()}
    spoil(given)
    with pytest.raises(error, match=re.escape(message)):
        layer.load_state_dict(given)


def test_a_state_dict_is_a_copy_and_comes_back(layer):
    held, flat = layer.state_dict(), layer.parameters.flat.copy()
    layer.parameters.flat[:] = 0
    layer.load_state_dict(held)
    numpy.testing.assert_array_equal(layer.parameters.flat, flat)
    held["weight_ih_l0"][:] = 0
    numpy.testing.assert_array_equal(layer.parameters.flat, flat)


def reversed_twice(a):
    return a[::-1].copy()[::-1]


LAYOUTS = {
    "Fortran order": numpy.asfortranarray,
    "every other element": lambda a: numpy.repeat(a, 2, axis=-1)[..., ::2],
    "negative strides": reversed_twice,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": lambda a: numpy.frombuffer(b"." + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "nested lists": lambda a: a.tolist(),
}


@pytest.mark.parametrize("changed", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_any_layout_gives_the_same_bits(changed, batch_first):
    state = tuple(numpy.random.default_rng(3).standard_normal((2, 1, 4 if batch_first else 2, 5)))
    runs = []
    for make in (numpy.array, changed):
        layer = nn.LSTM(3, 5, batch_first=batch_first, dtype="float64", seed=1)
        y, final, tape = layer.forward(make(X), tuple(map(make, state)))
        dx, dstate = layer.backward(tape, make(DY), tuple(map(make, state)))
        runs.append([y, *final, dx, *dstate, layer.gradients.flat, layer(make(X))[0]])
    for a, b in zip(*runs, strict=True):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [bool, numpy.int8, numpy.uint64, numpy.float16, numpy.longdouble])
def test_numbers_of_other_kinds_are_converted(layer, kind):
    x = (10 * numpy.abs(X)).astype(kind)
    numpy.testing.assert_array_equal(layer(x)[0], layer(x.astype(numpy.float64))[0])


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("batch_first", [False, True])
def test_arguments_are_not_modified(writable, batch_first):
    layer = nn.LSTM(3, 5, batch_first=batch_first, dtype="float64", seed=1)
    state = numpy.random.default_rng(3).standard_normal((2, 1, 4 if batch_first else 2, 5))
    arguments = [X.copy(), *state.copy(), DY.copy(), *state.copy()]
    for argument in arguments:
        argument.flags.writeable = writable
    x, h, c, dy, dh, dc = arguments
    layer(x, (h, c))
    _, _, tape = layer.forward(x, (h, c))
    layer.backward(tape, dy, (dh, dc))
    for argument, wanted in zip(arguments, [X, *state, DY, *state], strict=True):
        numpy.testing.assert_array_equal(argument, wanted)


@pytest.mark.parametrize("batch_first", [False, True])
def test_results_are_arrays_of_their_own(layer, batch_first):
    layer.batch_first = batch_first
    state = (zeros(1, 4 if batch_first else 2, 5),) * 2
    y, final = layer(X, state)
    _, _, tape = layer.forward(X, state)
    dx, dstate = layer.backward(tape, DY, state)
    results = [y, *final, dx, *dstate]
    kept = [result.copy() for result in results]
    arguments = X, DY, *state, layer.parameters.flat, layer.gradients.flat
    for k, result in enumerate(results):
        assert not any(numpy.shares_memory(result, other) for other in (*arguments, *results[:k]))
    layer(2 * X)
    layer.backward(layer.forward(2 * X)[2], 2 * DY)
    for result, wanted in zip(results, kept, strict=True):
        numpy.testing.assert_array_equal(result, wanted)


def test_a_bad_call_does_not_spoil_the_next(layer):
    wanted = layer(X)[0]
    with pytest.raises(ValueError, match="input must have shape"):
        layer(X[..., :2])
    numpy.testing.assert_array_equal(layer(X)[0], wanted)
