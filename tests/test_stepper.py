"""`fastlstm.nn.Stepper`: the layer frame by frame."""

import re
import tracemalloc

import numpy
import pytest

from fastlstm import nn
from tests.helpers import JIT_OFF

SIZES = [1, 5, 17] if JIT_OFF else [1, 17, 37, 64]
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def drawn(layer, batch, steps=9):
    """An input (steps, batch, input), and a state of the stepper's form."""
    rng = numpy.random.default_rng([batch, layer.hidden_size])
    x = rng.standard_normal((steps, batch, layer.input_size)).astype(layer.dtype)
    return x, tuple(rng.standard_normal((2, batch, layer.hidden_size)).astype(layer.dtype))


@pytest.fixture
def layer():
    return nn.LSTM(3, 5, dtype="float64", seed=1)


@pytest.fixture
def step(layer):
    """A stepper of two rows that has gone some steps."""
    stepper = layer.stepper(2)
    for x in drawn(layer, 2)[0]:
        stepper(x)
    return stepper


@dtypes
@pytest.mark.parametrize("batch", [1, 3, 17])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("inputs", [1, 17])
def test_steps_are_bit_for_bit_one_call_of_the_layer(dtype, batch, size, inputs):
    layer = nn.LSTM(inputs, size, dtype=dtype, seed=1)
    x, (h, c) = drawn(layer, batch)
    y, (h_n, c_n), _ = layer.forward(x, (h[None], c[None]))
    step = layer.stepper(batch)
    step.state = h, c
    for t in range(len(x)):
        numpy.testing.assert_array_equal(step(x[t]), y[t], strict=True)
    numpy.testing.assert_array_equal(step.state[0], h_n[0], strict=True)
    numpy.testing.assert_array_equal(step.state[1], c_n[0], strict=True)


def test_it_starts_from_zero(layer):
    x, _ = drawn(layer, 1)
    numpy.testing.assert_array_equal(layer.stepper()(x[0]), layer(x[:1])[0][0])
    assert not any(part.any() for part in layer.stepper(2).state)


def test_without_biases(layer):
    bare = nn.LSTM(3, 5, bias=False, dtype="float64", seed=1)
    x, _ = drawn(bare, 2)
    numpy.testing.assert_array_equal(bare.stepper(2)(x[0]), bare(x[:1])[0][0])


def test_steppers_are_independent(layer):
    x, _ = drawn(layer, 2)
    a, b = layer.stepper(2), layer.stepper(2)
    a(x[0])
    numpy.testing.assert_array_equal(a(x[1]), layer(x[:2])[0][1])
    numpy.testing.assert_array_equal(b(x[0]), layer(x[:1])[0][0])


def test_it_keeps_the_parameters_it_was_made_with(layer):
    x, _ = drawn(layer, 2)
    step, wanted = layer.stepper(2), layer(x[:1])[0][0]
    layer.parameters.flat[:] = 0
    numpy.testing.assert_array_equal(step(x[0]), wanted)


def test_a_state_set_is_a_state_got(layer):
    step, (_, state) = layer.stepper(2), drawn(layer, 2)
    step.state = state
    for a, b in zip(step.state, state, strict=True):
        numpy.testing.assert_array_equal(a, b, strict=True)


def test_a_state_put_back_repeats_the_steps(layer, step):
    x, _ = drawn(layer, 2)
    held = step.state
    first = [step(row).copy() for row in x]
    step.state = held
    numpy.testing.assert_array_equal([step(row).copy() for row in x], first)


def test_the_state_is_a_copy_both_ways(layer, step):
    given = step.state
    wanted = [part.copy() for part in given]
    for part in given:
        part[:] = 7
    numpy.testing.assert_array_equal(step.state, wanted)
    step.state = given
    for part in given:
        part[:] = 8
    assert all((part == 7).all() for part in step.state)


@pytest.mark.parametrize("rows", [None, 1, [0, 2], (0, 2), slice(1, 3), numpy.array([True, False, True])], ids=repr)
def test_reset_sets_its_rows_to_zero_and_no_others(layer, rows):
    step, (x, state) = layer.stepper(3), drawn(layer, 3)
    step.state = state
    step(x[0])
    wanted = numpy.stack(step.state)
    step.reset(rows)
    chosen = slice(None) if rows is None else list(rows) if isinstance(rows, tuple) else rows
    wanted[:, chosen] = 0
    numpy.testing.assert_array_equal(step.state, wanted)


def test_reset_rows_start_anew_and_the_others_go_on(layer, step):
    x, _ = drawn(layer, 2)
    h, c = step.state
    step.reset(0)
    h[0] = c[0] = 0
    numpy.testing.assert_array_equal(step(x[0]), layer(x[:1], (h[None], c[None]))[0][0])


@pytest.mark.parametrize("rows", [2, [0, 5], numpy.array([True]), "first", 0.5], ids=repr)
def test_resetting_rows_that_do_not_exist_changes_nothing(step, rows):
    before = step.state
    with pytest.raises(IndexError):
        step.reset(rows)
    numpy.testing.assert_array_equal(step.state, before)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (numpy.zeros(3), ValueError, "input must have shape (2, 3), got (3,)"),
        (numpy.zeros((1, 3)), ValueError, "input must have shape (2, 3), got (1, 3)"),
        (numpy.zeros((2, 4), numpy.float32), ValueError, "input must have shape (2, 3), got (2, 4)"),
        (numpy.zeros((2, 3), complex), TypeError, "input must hold real numbers, got dtype complex128"),
        (None, TypeError, "input must hold real numbers, got dtype object"),
    ],
)
def test_bad_input_leaves_the_state(step, x, error, message):
    before = step.state
    with pytest.raises(error, match=re.escape(message)):
        step(x)
    numpy.testing.assert_array_equal(step.state, before)


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (numpy.zeros((2, 2, 5)), TypeError, "state must be a tuple of two arrays, hidden and cell, got ndarray"),
        ((numpy.zeros((2, 5)),), TypeError, "state must be a tuple of two arrays"),
        ((numpy.zeros((2, 5)), numpy.zeros((2, 4))), ValueError, "state[1] must have shape (2, 5), got (2, 4)"),
        ((numpy.zeros((1, 2, 5)),) * 2, ValueError, "state[0] must have shape (2, 5), got (1, 2, 5)"),
        ((numpy.zeros((2, 5)), numpy.zeros((2, 5), complex)), TypeError, "state[1] must hold real numbers"),
    ],
)
def test_a_bad_state_leaves_the_state(step, state, error, message):
    before = step.state
    with pytest.raises(error, match=re.escape(message)):
        step.state = state
    numpy.testing.assert_array_equal(step.state, before)


@pytest.mark.parametrize(("batch", "error"), [(0, ValueError), (1.0, TypeError), (None, TypeError)])
def test_bad_batch_sizes(layer, batch, error):
    with pytest.raises(error, match="batch_size must be"):
        layer.stepper(batch)


@pytest.mark.parametrize(
    "changed",
    [
        numpy.asfortranarray,
        lambda x: numpy.repeat(x, 2, axis=-1)[:, ::2],
        lambda x: x.astype(">f8"),
        lambda x: x.astype(numpy.longdouble),
        lambda x: x.tolist(),
    ],
    ids=["Fortran order", "every other element", "big-endian", "long double", "nested lists"],
)
def test_any_input_that_holds_the_same_numbers_gives_the_same_bits(layer, changed):
    x, _ = drawn(layer, 2)
    numpy.testing.assert_array_equal(layer.stepper(2)(changed(x[0])), layer.stepper(2)(x[0]))


def test_an_output_lasts_until_the_step_after_the_next(layer, step):
    x, _ = drawn(layer, 2)
    output = step(x[0])
    held = output.copy()
    step(x[1])
    numpy.testing.assert_array_equal(output, held)
    assert numpy.shares_memory(step(x[2]), output)


def test_setting_the_state_leaves_the_outputs_alone(layer, step):
    x, state = drawn(layer, 2)
    before, output = step(x[0]), step(x[1])
    held = before.copy(), output.copy()
    step.reset(0)
    step.state = state
    numpy.testing.assert_array_equal((before, output), held)


@pytest.mark.skipif(JIT_OFF, reason="Python allocates at every step")
@dtypes
@pytest.mark.parametrize("size", [37, 700])  # the larger one is shared among threads
def test_a_step_allocates_nothing(dtype, size):
    layer = nn.LSTM(3, size, dtype=dtype, seed=1)
    step, (x, _) = layer.stepper(2), drawn(layer, 2)
    row = x[0]
    for _ in range(3):
        step(row)
    tracemalloc.start()
    try:
        step(row)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(300):
            step(row)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 300, "less than a byte a step"
    assert peak - before < 2000, "less than a row of the state, besides the frames of Python calls"
