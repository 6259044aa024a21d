"""Which activation functions run compiled, and that any other callable works."""

import pickle
import warnings

import numba
import numpy
import pytest

from fastlstm import LSTM, PerformanceWarning, activations, compat
from tests.tools.helpers import assert_matches, flatten, one_hot, pair

I, O, H = 3, 2, 5  # noqa: E741


def my_tanh(x):
    return numpy.tanh(x)


def my_tanh_prime(x):
    return 1 - numpy.tanh(x) ** 2


def my_softmax(x):
    e = numpy.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@numba.njit
def compiled_tanh(x):
    return numpy.tanh(x)


class Unhashable:
    __hash__ = None

    def __call__(self, x):
        return numpy.tanh(x)


@pytest.mark.parametrize(
    "afuncs",
    [
        None,
        ["tanh", "tanh", "softmax"],
        [numpy.tanh, activations.tanh, activations.softmax],
        (activations.sigmoid, "relu", "identity"),
    ],
)
def test_known_functions_run_compiled(afuncs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LSTM(I, O, H, 1, afuncs)
        LSTM(I, O, H, 1, afuncs, model.afunc_primes)
    assert all(map(callable, model.afuncs))


@pytest.mark.parametrize("function", [my_tanh, compiled_tanh, Unhashable(), lambda x: numpy.tanh(x)])
def test_any_callable_works_and_warns_once(rng, function):
    with pytest.warns(PerformanceWarning) as caught:
        compat.lstm(I, O, H, 1, [function, function, "softmax"])
    assert [w.filename for w in caught] == [__file__]
    with pytest.warns(PerformanceWarning, match="runs through NumPy") as caught:
        custom = LSTM(I, O, H, 1, [function, function, "softmax"], [my_tanh_prime, my_tanh_prime, my_tanh_prime])
    assert [w.filename for w in caught] == [__file__]
    known = LSTM(I, O, H, 1)
    X, Y = rng.standard_normal((7, I)), one_hot(rng, 7, O)
    for a, b in zip(custom.feed_forward_and_cache(X), known.feed_forward_and_cache(X), strict=True):
        assert_matches(a, b)
    for _ in range(2):
        assert_matches(custom.feed_forward(X), known.feed_forward(X))
        assert_matches(custom.S, known.S)
        assert_matches(custom.predict(X), known.predict(X))
    assert_matches(custom.compute_layer(X[0]), known.compute_layer(X[0]))
    for a, b in zip(
        flatten(custom.back_propagate_through_time(X, Y)), flatten(known.back_propagate_through_time(X, Y)), strict=True
    ):
        assert_matches(a, b)
    custom.train([X], [Y])
    known.train([X], [Y])
    assert_matches(custom.parameters.flat, known.parameters.flat)
    custom.W_f[:] += 1
    known.W_f[:] += 1
    assert_matches(custom.feed_forward(X), known.feed_forward(X))


def test_custom_output_is_trusted_with_cross_entropy(rng):
    with pytest.warns(PerformanceWarning):
        custom = LSTM(I, O, H, 1, ["tanh", "tanh", my_softmax], [my_tanh_prime] * 3, loss_func="cross_entropy")
    known = LSTM(I, O, H, 1)
    X, Y = rng.standard_normal((7, I)), one_hot(rng, 7, O)
    assert custom.loss_function([X], [Y]) == pytest.approx(known.loss_function([X], [Y]))
    for a, b in zip(
        flatten(custom.back_propagate_through_time(X, Y)), flatten(known.back_propagate_through_time(X, Y)), strict=True
    ):
        assert_matches(a, b)


@pytest.mark.parametrize("gradient", ["exact", "reference"])
def test_custom_derivative_of_a_known_function(rng, gradient):
    with pytest.warns(PerformanceWarning, match="my_tanh_prime"):
        custom = LSTM(I, O, H, 1, ["tanh"] * 3, [my_tanh_prime] * 3, gradient=gradient)
    known = LSTM(I, O, H, 1, ["tanh"] * 3, gradient=gradient)
    X, Y = rng.standard_normal((7, I)), one_hot(rng, 7, O)
    for a, b in zip(
        flatten(custom.back_propagate_through_time(X, Y)), flatten(known.back_propagate_through_time(X, Y)), strict=True
    ):
        assert_matches(a, b)


@pytest.mark.parametrize("gradient", ["exact", "reference"])
def test_jacobian_of_the_output(rng, gradient):
    primes = [activations.tanh_prime, activations.tanh_prime, activations.softmax_jacobian]
    ours = LSTM(I, O, H, 1, None, primes, gradient=gradient, loss_func="squared_error")
    _, twin = pair(I, O, H, seed=1, afunc_primes=primes, gradient=gradient, loss_func="squared_error")
    X, Y = rng.standard_normal((7, I)), one_hot(rng, 7, O)
    for a, b in zip(
        flatten(ours.back_propagate_through_time(X, Y)), flatten(twin.back_propagate_through_time(X, Y)), strict=True
    ):
        assert_matches(a, b)


def test_softmax_inside_runs_through_numpy(rng):
    with pytest.warns(PerformanceWarning, match="softmax"):
        model = LSTM(I, O, H, 1, ["softmax", "tanh", "softmax"])
    X = rng.standard_normal((7, I))
    Cs = model.feed_forward_and_cache(X)[5]
    numpy.testing.assert_allclose(Cs.sum(axis=1), 1)


def test_gradients_need_derivatives(rng):
    with pytest.warns(PerformanceWarning):
        model = LSTM(I, O, H, 1, [my_tanh, "tanh", "softmax"])
    assert model.afunc_primes is None
    X, Y = rng.standard_normal((7, I)), one_hot(rng, 7, O)
    assert model.feed_forward(X).shape == (7, O)
    model.gradients.flat[:] = 7
    state = model.S.copy()
    with pytest.raises(ValueError, match="afunc_primes must be given"):
        model.back_propagate_through_time(X, Y, out=model.gradients)
    numpy.testing.assert_array_equal(model.S, state)
    assert (model.gradients.flat == 7).all()


def test_a_derivative_may_be_a_number(rng):
    with pytest.warns(PerformanceWarning):
        custom = LSTM(I, O, H, 1, ["tanh", "tanh", lambda x: x], [activations.tanh_prime] * 2 + [lambda x: 1.0])
    known = LSTM(I, O, H, 1, ["tanh", "tanh", "identity"])
    X, Y = rng.standard_normal((7, I)), one_hot(rng, 7, O)
    for a, b in zip(
        flatten(custom.back_propagate_through_time(X, Y)), flatten(known.back_propagate_through_time(X, Y)), strict=True
    ):
        assert_matches(a, b)


def test_custom_models_pickle_quietly(rng):
    with pytest.warns(PerformanceWarning):
        model = LSTM(I, O, H, 1, [my_tanh] * 3, [my_tanh_prime] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twin = pickle.loads(pickle.dumps(model))
    X = rng.standard_normal((7, I))
    numpy.testing.assert_array_equal(twin.feed_forward(X), model.feed_forward(X))
