"""Truncated back-propagation through time: its definition, written out with whole runs, and its special cases."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlstm import LSTM, nn
from tests.tools.helpers import JIT_OFF, LARGEST, dtypes, sizes, strides

batches = st.sampled_from([1, 2, 3, 8, 17] if not JIT_OFF else [1, 3])
lengths = st.sampled_from([n for n in (0, 1, 2, 7, 33) if n <= LARGEST])
truncations = st.sampled_from([0, 1, 3, 16, 40])
TOLERANCE = {numpy.float32: 1e-5, numpy.float64: 1e-12}


def problem(T, batch, inputs, size, dtype):
    rng = numpy.random.default_rng((T, batch, inputs, size))
    layer = nn.LSTM(inputs, size, dtype=dtype, seed=1)
    x, dy = (rng.standard_normal((T, batch, n)).astype(dtype) for n in (inputs, size))
    state, d_state = (tuple(rng.standard_normal((2, 1, batch, size)).astype(dtype)) for _ in range(2))
    return layer, x, dy, state, d_state


def gradients(layer, x, dy, state, d_state, **truncation):
    """Of the inputs, the initial states and the parameters."""
    layer.zero_grad()
    _, _, tape = layer.forward(x, state)
    dx, d_initial = layer.backward(tape, dy, d_state, **truncation)
    return [dx, *d_initial, layer.gradients.flat.copy()]


def literal(layer, x, dy, state, d_state, truncate, stride):
    """Group by group, each one a run of its own from a state that counts as a constant."""
    T = len(x)
    sums = [numpy.zeros_like(a) for a in (x, *state, layer.gradients.flat)]
    layer.zero_grad()
    for first in range(0, T, stride):
        begin, end = max(0, first - truncate), min(T, first + stride)
        before = layer(x[:begin], state)[1]
        _, _, tape = layer.forward(x[begin:end], before)
        errors = dy[begin:end].copy()
        errors[: first - begin] = 0
        dx, d_initial = layer.backward(tape, errors, d_state if end == T else None)
        sums[0][begin:end] += dx
        if begin == 0:
            sums[1] += d_initial[0]
            sums[2] += d_initial[1]
    if T == 0:
        sums[1:3] = d_state
    sums[3] = layer.gradients.flat.copy()
    return sums


def assert_same(found, wanted, dtype):
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        numpy.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * numpy.abs(b).max(initial=1e-3))


@given(lengths, batches, sizes, sizes, truncations, strides, dtypes)
def test_every_window_is_a_run_from_a_constant_state(T, batch, inputs, size, truncate, stride, dtype):
    given = problem(T, batch, inputs, size, dtype)
    assert_same(gradients(*given, truncate=truncate, stride=stride), literal(*given, truncate, stride), dtype)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_many_windows_share_a_store_in_several_turns(monkeypatch, threads):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    monkeypatch.setattr("fastlstm.engine.workspace.DEPTH", 5)
    monkeypatch.setattr("fastlstm.engine.workspace.BYTES_AT_ONCE", 1)
    layer, *given = problem(23 if JIT_OFF else 79, 2, 3, 5, numpy.float64)
    layer.n_threads = threads
    found = gradients(layer, *given, truncate=5, stride=2)
    assert_same(found, literal(layer, *given, 5, 2), numpy.float64)
    layer.n_threads = 1
    for a, b in zip(found, gradients(layer, *given, truncate=5, stride=2), strict=True):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("lengths", [(8, 8, 8, 8, 3), (20, 10, 10, 10, 10)], ids=str)
def test_windows_of_sequences_that_outlast_others(rng, stride, lengths):
    """Their rows lie closer together once the others have ended, in the middle of a group perhaps."""
    model = LSTM(2, 1, 2, 0, bptt_truncate=1, bptt_stride=stride, n_threads=1)
    X, Y = ([rng.standard_normal((n, width)) for n in lengths] for width in (2, 1))
    d_x = model.back_propagate_through_time(X, Y)[-1]
    for x, y, found in zip(X, Y, d_x, strict=True):
        numpy.testing.assert_array_equal(model.back_propagate_through_time(x, y)[-1], found)


@pytest.mark.parametrize("stride", [1, 4, 12, 50])
@pytest.mark.parametrize("truncate", [None, 12, 50])
def test_windows_that_reach_the_beginning_are_the_full_gradient(truncate, stride):
    given = problem(12, 2, 3, 5, numpy.float64)
    assert_same(gradients(*given, truncate=truncate, stride=stride), gradients(*given), numpy.float64)


def test_one_group_is_the_full_gradient():
    given = problem(12, 2, 3, 5, numpy.float64)
    assert_same(gradients(*given, truncate=0, stride=12), gradients(*given), numpy.float64)


def test_stride_without_reach_is_the_chunked_form():
    """k1 = k2: the state is carried from chunk to chunk, and the gradient is cut at their edges."""
    layer, x, dy, state, _ = problem(12, 2, 3, 5, numpy.float64)
    found = gradients(layer, x, dy, state, None, truncate=0, stride=4)
    layer.zero_grad()
    for begin in range(0, 12, 4):
        chunk = slice(begin, begin + 4)
        _, state, tape = layer.forward(x[chunk], state)
        dx, _ = layer.backward(tape, dy[chunk])
        numpy.testing.assert_allclose(found[0][chunk], dx, rtol=1e-12)
    numpy.testing.assert_allclose(found[3], layer.gradients.flat, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"truncate": -1}, ValueError, "truncate must be at least 0, got -1"),
        ({"truncate": 1.5}, TypeError, "truncate must be an integer, got 1.5"),
        ({"truncate": 1, "stride": 0}, ValueError, "stride must be at least 1, got 0"),
        ({"stride": True}, TypeError, "stride must be an integer, got True"),
    ],
)
def test_bad_windows(arguments, error, message):
    layer, x, dy, state, _ = problem(3, 2, 3, 5, numpy.float64)
    _, _, tape = layer.forward(x, state)
    with pytest.raises(error, match=message):
        layer.backward(tape, dy, **arguments)
    assert not layer.gradients.flat.any()
