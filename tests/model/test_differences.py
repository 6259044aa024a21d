"""The exceptions that docs/compat.md lists under "Matches … except", one test each, in its order."""

import random

import numpy
import pytest

import fastlstm
from fastlstm import PerformanceWarning, compat
from tests.tools.helpers import assert_matches, flatten, one_hot, pair

T, I, O, H = 7, 3, 2, 5  # noqa: E741


@pytest.fixture
def data(rng):
    return rng.standard_normal((T, I)), one_hot(rng, T, O)


def test_1_order_of_summation(data):
    ours, twin = pair(I, O, H, seed=1, gradient="reference")
    found, wanted = ours.back_propagate_through_time(*data), twin.back_propagate_through_time(*data)
    for a, b in zip(flatten(found), flatten(wanted), strict=True):
        assert_matches(a, b)


def test_2_fastlstm_has_the_true_gradient_and_compat_the_classes():
    assert fastlstm.LSTM(I, O).gradient == "exact"
    assert compat.lstm(I, O).gradient == "reference"
    assert compat.lstm(I, O, gradient="exact").gradient == "exact"
    for kind in (fastlstm.LSTM, compat.lstm):
        model = kind(I, O, 6, 3, None, None, 2, 0.1, None)
        assert (model.hidden_size, model.bptt_truncate, model.learning_rate) == (6, 2, 0.1)
        numpy.testing.assert_array_equal(model.W_f, numpy.random.RandomState(3).uniform(-1, 1, (6, I)))


def test_2_the_reference_loss_is_cross_entropy_whatever_the_output(data):
    X, Y = data
    model = compat.lstm(I, O, H, 1, ["tanh", "tanh", "sigmoid"])
    Os = model.feed_forward_and_cache(X)[10]
    wanted = -numpy.log(Os[numpy.arange(T), Y.argmax(axis=1)]).mean()
    assert model.loss_function([X], [Y]) == pytest.approx(wanted)


def test_3_assignment_copies(data):
    model = compat.lstm(I, O, H, 1)
    mine = numpy.zeros((H, I))
    model.W_f = mine
    mine += 1
    assert not model.W_f.any()


def test_4_custom_functions_run_through_numpy():
    with pytest.warns(PerformanceWarning):
        compat.lstm(I, O, H, 1, [lambda x: numpy.tanh(x), "tanh", "softmax"])


def test_5_derivatives_of_custom_functions_are_not_guessed(data):
    with pytest.warns(PerformanceWarning):
        model = compat.lstm(I, O, H, 1, [lambda x: numpy.tanh(x), "tanh", "softmax"])
    with pytest.raises(ValueError, match="afunc_primes must be given"):
        model.back_propagate_through_time(*data)
    with pytest.raises(AttributeError):
        model.afuncs = ["tanh"] * 3


def test_6_the_loss_is_one_of_two_names():
    with pytest.raises(ValueError, match="loss_func must be one of"):
        compat.lstm(I, O, H, loss_func=lambda Os, Y: 0.0)


def test_7_the_global_generator_is_left_alone():
    numpy.random.seed(3)
    wanted = numpy.random.random_sample()
    numpy.random.seed(3)
    compat.lstm(I, O, H, seed=1)
    assert numpy.random.random_sample() == wanted


def test_8_many_sequences_are_independent(data):
    X, _ = data
    model = compat.lstm(I, O, H, seed=1)
    first, second = model.feed_forward([X, X])
    numpy.testing.assert_array_equal(first, second)
    assert not model.S.any()


def test_9_the_callers_list_keeps_its_order(rng):
    numpy.random.seed(0)
    random.seed(0)
    net = compat.NeuralNetwork([3, 2], epochs=1)
    data = [(rng.standard_normal((3, 1)), rng.random((2, 1))) for _ in range(20)]
    order = list(map(id, data))
    net.fit(data)
    assert list(map(id, data)) == order


def test_10_bad_input_raises_at_once():
    with pytest.raises(ValueError, match="3 features"):
        compat.lstm(I, O, H).feed_forward(numpy.zeros((T, I + 1)))
