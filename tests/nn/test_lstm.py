"""`fastlstm.nn.LSTM` against the oracle and finite differences, and what it does with its input."""

import copy
import pickle

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlstm import nn, oracle
from tests.tools.helpers import JIT_OFF, LARGEST, lengths, sizes

GATES = ["i", "f", "c", "hf"]
"""The oracle's names of the gates, in torch's order."""

NAMES = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]


def close(ours, wanted, tolerance=1e-12):
    """Same shape, and values within the tolerance of the largest."""
    wanted = numpy.asarray(wanted)
    assert ours.shape == wanted.shape
    numpy.testing.assert_allclose(ours, wanted, rtol=0, atol=tolerance * numpy.abs(wanted).max(initial=0))


def oracle_of(layer):
    """The oracle with the layer's weights."""
    twin = oracle.LSTM(layer.input_size, 1, layer.hidden_size, 0)
    w_ih, w_hh, b_ih, b_hh = (numpy.split(layer.parameters[name].astype(numpy.float64), 4) for name in NAMES)
    for k, g in enumerate(GATES):
        setattr(twin, "W_" + g, w_ih[k])
        setattr(twin, "U_" + g, w_hh[k])
        setattr(twin, "b_" + g, b_ih[k] + b_hh[k])
    return twin


def drawn(rng, layer, T, batch):
    """An input, and initial states."""
    h, c = rng.standard_normal((2, 1, batch, layer.hidden_size)).astype(layer.dtype)
    return rng.standard_normal((T, batch, layer.input_size)).astype(layer.dtype), (h, c)


@given(lengths, sizes, sizes, st.sampled_from([1, 2, 5]))
def test_outputs_and_states_are_the_oracles(T, I, H, batch):  # noqa: E741
    rng, layer = numpy.random.default_rng(T + 100 * H), nn.LSTM(I, H, dtype="float64", seed=1)
    x, (h_0, c_0) = drawn(rng, layer, T, batch)
    y, (h_n, c_n) = layer(x, (h_0, c_0))
    for b in range(batch):
        twin = oracle_of(layer)
        twin.h_t, twin.S = h_0[0, b], c_0[0, b]
        hidden = []
        for t in range(T):
            twin.compute_layer(x[t, b])
            hidden.append(twin.h_t)
        close(y[:, b], numpy.reshape(hidden, (T, H)))
        close(h_n[0, b], twin.h_t)
        close(c_n[0, b], twin.S)


@given(lengths, sizes, sizes)
def test_gradients_are_the_oracles(T, I, H):  # noqa: E741
    rng, layer = numpy.random.default_rng(T + 100 * H), nn.LSTM(I, H, dtype="float64", seed=1)
    twin, x = oracle_of(layer), rng.standard_normal((T, I))
    twin.bptt_truncate, twin.loss_func = None, "squared_error"
    twin.afuncs[2], twin.afunc_primes[2] = oracle.activations.identity, oracle.activations.identity_prime
    wanted = rng.standard_normal((T, 1))
    y, _, tape = layer.forward(x)
    error = y @ twin.W_o.T + twin.b_o - wanted
    dx, _ = layer.backward(tape, error @ twin.W_o)
    d_f, d_i, d_c, d_hf, _, d_x = twin.back_propagate_through_time(x, wanted)
    close(dx, d_x)
    for k, name in enumerate(["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"]):
        close(layer.gradients[name], numpy.concatenate([gate[k] for gate in (d_i, d_f, d_c, d_hf)]))
    close(layer.gradients["bias_hh_l0"], layer.gradients["bias_ih_l0"])


def test_gradients_are_those_of_finite_differences(rng):
    layer = nn.LSTM(3, 5, dtype="float64", seed=1)
    x, (h_0, c_0) = drawn(rng, layer, 4, 2)
    dy, dh, dc = rng.standard_normal((4, 2, 5)), *rng.standard_normal((2, 1, 2, 5))

    def loss():
        y, (h_n, c_n) = layer(x, (h_0, c_0))
        return (y * dy).sum() + (h_n * dh).sum() + (c_n * dc).sum()

    _, _, tape = layer.forward(x.copy(), (h_0, c_0))
    dx, (dh_0, dc_0) = layer.backward(tape, dy, (dh, dc))
    found = [(x, dx), (h_0, dh_0), (c_0, dc_0), *zip(layer.parameters.values(), layer.gradients.values(), strict=True)]
    for value, gradient in found:
        wanted = numpy.empty_like(value)
        for index in numpy.ndindex(value.shape):
            kept = value[index]
            ends = []
            for step in (1e-6, -1e-6):
                value[index] = kept + step
                ends.append(loss())
            value[index] = kept
            wanted[index] = (ends[0] - ends[1]) / 2e-6
        close(gradient, wanted, 1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_calling_and_forward_give_the_same_bits(rng, dtype):
    layer = nn.LSTM(3, LARGEST, dtype=dtype, seed=1)
    x, state = drawn(rng, layer, 9, 7)
    y, (h, c) = layer(x, state)
    y_kept, (h_kept, c_kept), _ = layer.forward(x, state)
    for a, b in ((y, y_kept), (h, h_kept), (c, c_kept)):
        numpy.testing.assert_array_equal(a, b, strict=True)
    assert y.dtype == h.dtype == c.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sequence_in_two_calls_gives_the_same_bits(rng, dtype):
    layer = nn.LSTM(3, LARGEST, dtype=dtype, seed=1)
    x, state = drawn(rng, layer, 9, 3)
    whole, last = layer(x, state)
    first, between = layer(x[:4], state)
    second, end = layer(x[4:], between)
    numpy.testing.assert_array_equal(numpy.concatenate((first, second)), whole)
    numpy.testing.assert_array_equal(end, last)


def test_no_state_is_a_state_of_zeros(rng):
    layer = nn.LSTM(3, 5, seed=1)
    x, _ = drawn(rng, layer, 4, 2)
    zeros = numpy.zeros((1, 2, 5), numpy.float32)
    numpy.testing.assert_array_equal(layer(x)[0], layer(x, (zeros, zeros))[0])


def test_without_steps_the_state_and_its_gradient_pass_through(rng):
    layer = nn.LSTM(3, 5, dtype="float64", seed=1)
    x, state = drawn(rng, layer, 0, 2)
    y, final, tape = layer.forward(x, state)
    assert y.shape == (0, 2, 5)
    numpy.testing.assert_array_equal(final, state)
    dx, d_state = layer.backward(tape, y, state)
    assert dx.shape == (0, 2, 3)
    numpy.testing.assert_array_equal(d_state, state)
    assert not layer.gradients.flat.any()


def test_an_empty_batch_gives_empty_results():
    layer = nn.LSTM(3, 5, seed=1)
    y, (h, c), tape = layer.forward(numpy.zeros((4, 0, 3)))
    assert (y.shape, h.shape, c.shape) == ((4, 0, 5), (1, 0, 5), (1, 0, 5))
    assert layer.backward(tape, y)[0].shape == (4, 0, 3)
    assert not layer.gradients.flat.any()


def test_batch_first_is_the_transpose(rng):
    layer, turned = nn.LSTM(3, 5, dtype="float64", seed=1), nn.LSTM(3, 5, batch_first=True, dtype="float64", seed=1)
    x, state = drawn(rng, layer, 4, 2)
    dy = rng.standard_normal((4, 2, 5))
    y, final, tape = layer.forward(x, state)
    y_turned, final_turned, tape_turned = turned.forward(x.swapaxes(0, 1), state)
    numpy.testing.assert_array_equal(y_turned, y.swapaxes(0, 1), strict=True)
    numpy.testing.assert_array_equal(final_turned, final)
    dx, d_state = layer.backward(tape, dy)
    dx_turned, d_state_turned = turned.backward(tape_turned, dy.swapaxes(0, 1))
    numpy.testing.assert_array_equal(dx_turned, dx.swapaxes(0, 1), strict=True)
    numpy.testing.assert_array_equal(d_state_turned, d_state)
    numpy.testing.assert_array_equal(turned.gradients.flat, layer.gradients.flat)


@pytest.mark.parametrize("batch_first", [False, True])
def test_without_a_batch_axis_it_is_a_batch_of_one(rng, batch_first):
    layer = nn.LSTM(3, 5, batch_first=batch_first, dtype="float64", seed=1)
    x, (h, c), axis = rng.standard_normal((4, 3)), rng.standard_normal((2, 1, 5)), 0 if batch_first else 1
    dy = rng.standard_normal((4, 5))
    y, final, tape = layer.forward(x, (h, c))
    y_one, final_one, tape_one = layer.forward(numpy.expand_dims(x, axis), (h[:, None], c[:, None]))
    numpy.testing.assert_array_equal(y, y_one.squeeze(axis), strict=True)
    for a, b in zip(final, final_one, strict=True):
        numpy.testing.assert_array_equal(a, b[:, 0], strict=True)
    dx, d_state = layer.backward(tape, dy, final)
    dx_one, d_state_one = layer.backward(tape_one, numpy.expand_dims(dy, axis), final_one)
    numpy.testing.assert_array_equal(dx, dx_one.squeeze(axis), strict=True)
    for a, b in zip(d_state, d_state_one, strict=True):
        numpy.testing.assert_array_equal(a, b[:, 0], strict=True)


def test_without_biases_they_count_as_zero(rng):
    bare, full = nn.LSTM(3, 5, bias=False, dtype="float64", seed=1), nn.LSTM(3, 5, dtype="float64", seed=1)
    assert list(bare.parameters) == NAMES[:2]
    full.load_state_dict({**bare.state_dict(), "bias_ih_l0": numpy.zeros(20), "bias_hh_l0": numpy.zeros(20)})
    x, state = drawn(rng, bare, 4, 2)
    results = []
    for layer in (bare, full):
        y, _, tape = layer.forward(x, state)
        results.append((y, layer.backward(tape, y)[0], *(layer.gradients[name] for name in NAMES[:2])))
    for a, b in zip(*results, strict=True):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_number_of_threads_gives_the_same_bits(rng, monkeypatch, threads, batch, dtype):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)  # however little there is to do
    monkeypatch.setattr("fastlstm.nn.stepper.LONG", 1)
    runs = []
    for count in (threads, 1):
        layer = nn.LSTM(3, 5 if JIT_OFF else 167, dtype=dtype, seed=1, n_threads=count)
        x, state = drawn(numpy.random.default_rng(1), layer, 5, batch)
        y, final, tape = layer.forward(x, state)
        dx, d_state = layer.backward(tape, y, final)
        runs.append([y, *final, dx, *d_state, layer.gradients.flat, layer(x, state)[0], layer.stepper(batch)(x[0])])
    for a, b in zip(*runs, strict=True):
        numpy.testing.assert_array_equal(a, b)


def test_one_tape_serves_two_backward_calls_and_gradients_add_up(rng):
    layer = nn.LSTM(3, 5, dtype="float64", seed=1)
    x, state = drawn(rng, layer, 4, 2)
    dy = rng.standard_normal((4, 2, 5))
    _, final, tape = layer.forward(x, state)
    first = layer.backward(tape, dy, final)
    once = layer.gradients.flat.copy()
    second = layer.backward(tape, dy, final)
    numpy.testing.assert_array_equal(second[0], first[0])
    numpy.testing.assert_array_equal(second[1], first[1])
    close(layer.gradients.flat, 2 * once, 1e-15)
    layer.zero_grad()
    assert not layer.gradients.flat.any()
    layer.backward(tape, dy, final)
    numpy.testing.assert_array_equal(layer.gradients.flat, once)


def test_two_tapes_do_not_disturb_each_other(rng):
    layer = nn.LSTM(3, 5, dtype="float64", seed=1)
    (x, state), (other, _) = drawn(rng, layer, 4, 2), drawn(rng, layer, 6, 3)
    y, _, tape = layer.forward(x, state)
    wanted = layer.backward(tape, y)
    layer.zero_grad()
    y, _, tape = layer.forward(x, state)
    layer.backward((between := layer.forward(other))[2], between[0])
    found = layer.backward(tape, y)
    numpy.testing.assert_array_equal(found[0], wanted[0])
    numpy.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize("shape", [{}, {"num_layers": 2, "bidirectional": True, "proj_size": 2}], ids=str)
def test_a_copy_is_independent_and_the_same(rng, clone, shape):
    layer = nn.LSTM(3, 5, **shape, seed=1)
    x, _ = drawn(rng, layer, 4, 2)
    twin, wanted = clone(layer), layer(x)[0]
    layer.parameters.flat[:] = 0
    numpy.testing.assert_array_equal(twin(x)[0], wanted)
