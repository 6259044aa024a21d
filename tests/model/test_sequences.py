"""Many sequences in one call: 3-D arrays, lists, ragged lists."""

from collections import Counter

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastlstm_kernels
from fastlstm import LSTM, PerformanceWarning
from tests.tools.helpers import assert_matches, dtypes, flatten, gradients, lengths, one_hot, pair, truncations

I, O, H = 3, 2, 5  # noqa: E741


def sequences(rng, steps):
    return [rng.standard_normal((n, I)) for n in steps], [one_hot(rng, n, O) for n in steps]


@pytest.mark.long
@given(st.lists(lengths, min_size=1, max_size=9), truncations, gradients, dtypes)
def test_ragged_lists(steps, truncate, gradient, dtype):
    X, Y = sequences(numpy.random.default_rng(len(steps)), steps)
    X = [x.astype(dtype) for x in X]
    ours, twin = pair(I, O, H, seed=1, bptt_truncate=truncate, gradient=gradient, dtype=dtype)
    found = ours.back_propagate_through_time(X, Y)
    alone = [flatten(twin.back_propagate_through_time(x, y)) for x, y in zip(X, Y, strict=True)]
    for k, a in enumerate(flatten(found)[:-1]):
        assert_matches(a, sum(one[k] for one in alone), dtype)
    for a, one in zip(found[-1], alone, strict=True):
        assert_matches(a, one[-1], dtype)
    for outputs, x in zip(ours.feed_forward(X), X, strict=True):
        twin.reset()
        assert_matches(outputs, twin.feed_forward(x), dtype)
    caches = ours.feed_forward_and_cache(X)
    for k, x in enumerate(X):
        for a, b in zip(caches, twin.feed_forward_and_cache(x), strict=True):
            assert_matches(a[k], b, dtype)


@pytest.mark.parametrize(("n", "T"), [(1, 4), (6, 1), (4, 7), (9, 3), (3, 0), (0, 4)])
def test_three_dimensional_arrays(rng, n, T):
    X, Y = rng.standard_normal((n, T, I)), rng.random((n, T, O))
    ours, twin = pair(I, O, H, seed=1, bptt_truncate=2)
    found = ours.back_propagate_through_time(X, Y)
    alone = [flatten(twin.back_propagate_through_time(x, y)) for x, y in zip(X, Y, strict=True)]
    assert found[-1].shape == X.shape
    for k, a in enumerate(flatten(found)[:-1]):
        assert_matches(a, sum((one[k] for one in alone), numpy.zeros_like(a)))
    outputs, predictions, caches = ours.feed_forward(X), ours.predict(X), ours.feed_forward_and_cache(X)
    assert outputs.shape == predictions.shape == (n, T, O)
    for k, x in enumerate(X):
        assert_matches(found[-1][k], alone[k][-1])
        twin.reset()
        assert_matches(outputs[k], twin.feed_forward(x))
        for a, b in zip(caches, twin.feed_forward_and_cache(x), strict=True):
            assert_matches(a[k], b)


def test_sequences_are_independent_and_leave_the_state(rng):
    X, _ = sequences(rng, [4, 2])
    model = LSTM(I, O, H, seed=1)
    model.feed_forward(X[0])
    S, h = model.S.copy(), model.h_t.copy()
    model.feed_forward(X)
    numpy.testing.assert_array_equal(model.S, S)
    numpy.testing.assert_array_equal(model.h_t, h)
    model.reset()
    assert_matches(model.feed_forward(X)[1], model.feed_forward(X[1]))


def test_a_list_gives_lists_and_an_array_an_array(rng):
    X, Y = sequences(rng, [3, 3])
    model = LSTM(I, O, H, seed=1)
    for value, kind in ((X, list), (tuple(X), list), (numpy.stack(X), numpy.ndarray)):
        assert isinstance(model.feed_forward(value), kind)
        assert isinstance(model.predict(value), kind)
        assert isinstance(model.back_propagate_through_time(value, Y)[-1], kind)
    nested = [x.tolist() for x in X]
    assert isinstance(model.feed_forward(nested), numpy.ndarray)
    ragged = [nested[0], nested[1][:2]]
    of_rows = [list(X[0]), list(X[1][:2])]
    for value in (ragged, of_rows, [ragged[0], of_rows[1]]):
        assert [o.shape for o in model.feed_forward(value)] == [(3, O), (2, O)]


@pytest.mark.parametrize(("truncate", "sweep"), [(1, "layer_truncated_backward"), (None, "layer_backward")])
def test_a_batch_is_one_call_of_each_kernel(rng, monkeypatch, truncate, sweep):
    calls = []
    for name in fastlstm_kernels.__all__:
        kernel = getattr(fastlstm_kernels, name)
        monkeypatch.setattr(
            fastlstm_kernels, name, lambda *a, name=name, kernel=kernel: (calls.append(name), kernel(*a))
        )
    X, Y = sequences(rng, [4, 7, 2])
    LSTM(I, O, H, seed=1, bptt_truncate=truncate).back_propagate_through_time(X, Y)
    assert Counter(calls) == {"layer_forward": 1, "dense_forward": 1, "output_delta": 1, "dense_backward": 1, sweep: 1}


def test_loss_of_many_sequences(rng):
    ours, twin = pair(I, O, H, seed=1)
    X, Y = sequences(rng, [4, 0, 2])
    assert ours.loss_function(X, Y) == pytest.approx(twin.loss_function(X, Y), rel=1e-12)
    for nothing in (([], []), (X[1:2], Y[1:2]), (numpy.zeros((0, 3, I)), numpy.zeros((0, 3, O)))):
        assert numpy.isnan(ours.loss_function(*nothing))
    before = ours.parameters.flat.copy()
    ours.train([], [])
    numpy.testing.assert_array_equal(ours.parameters.flat, before)


def test_custom_activations_take_sequences_too(rng):
    with pytest.warns(PerformanceWarning):
        custom = LSTM(I, O, H, 1, [lambda x: numpy.tanh(x), "tanh", "softmax"], [lambda x: 1 - numpy.tanh(x) ** 2] * 3)
    known = LSTM(I, O, H, 1)
    X, Y = sequences(rng, [4, 0, 2])
    for a, b in zip(custom.feed_forward(X), known.feed_forward(X), strict=True):
        assert_matches(a, b)
    found, wanted = custom.back_propagate_through_time(X, Y), known.back_propagate_through_time(X, Y)
    for a, b in zip(flatten(found)[:-1], flatten(wanted)[:-1], strict=True):
        assert_matches(a, b)
    for a, b in zip(found[-1], wanted[-1], strict=True):
        assert_matches(a, b)
    with pytest.warns(PerformanceWarning):
        single = LSTM(I, O, H, 1, [lambda x: numpy.tanh(x), "tanh", "softmax"], dtype="f4")
    nothing = single.feed_forward(numpy.zeros((0, 3, I)))
    assert nothing.shape == (0, 3, O)
    assert nothing.dtype == numpy.float32
