"""`fastlstm.nn.Stepper`: layers frame by frame."""

import copy
import pickle
import re
import tracemalloc

import numpy
import pytest

from fastlstm import nn
from tests.tools.helpers import JIT_OFF
from tests.tools.stacks import close

SIZES = [1, 5, 17] if JIT_OFF else [1, 17, 37, 64]
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def drawn(layer, batch, steps=9):
    """An input (steps, batch, input), and a state."""
    rng = numpy.random.default_rng([batch, layer.hidden_size])
    x = rng.standard_normal((steps, batch, layer.input_size)).astype(layer.dtype)
    sizes = layer.output_size, layer.hidden_size
    return x, tuple(rng.standard_normal((layer.num_layers, batch, n)).astype(layer.dtype) for n in sizes)


@pytest.fixture(params=[{}, {"num_layers": 3}, {"num_layers": 2, "proj_size": 2}], ids=str)
def layer(request):
    return nn.LSTM(3, 5, dtype="float64", seed=1, **request.param)


@pytest.fixture
def step(layer):
    """A stepper of two rows that has gone some steps."""
    stepper = layer.stepper(2)
    for x in drawn(layer, 2)[0]:
        stepper(x)
    return stepper


def assert_steps(layer, batch):
    """Steps from a state, of which some have been pickled and copied in between, are one call of the layer."""
    x, state = drawn(layer, batch)
    y, final, _ = layer.forward(x, state)
    step = layer.stepper(batch)
    step.state = state
    for t in range(len(x)):
        if t in (2, 3):
            step = pickle.loads(pickle.dumps(step)) if t == 2 else copy.deepcopy(step)
        numpy.testing.assert_array_equal(step(x[t]), y[t], strict=True)
    assert_same(step.state, final)


@dtypes
@pytest.mark.parametrize("batch", [1, 3, 17])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("inputs", [1, 17])
def test_steps_are_bit_for_bit_one_call_of_the_layer(dtype, batch, size, inputs):
    assert_steps(nn.LSTM(inputs, size, dtype=dtype, seed=1), batch)


@dtypes
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("projection", [0, 4])
@pytest.mark.parametrize("layers", [1, 3])
def test_steps_of_stacks_and_projections(dtype, batch, size, projection, layers):
    assert_steps(nn.LSTM(5, size, layers, proj_size=projection, dtype=dtype, seed=1, bias=layers == 1), batch)


def assert_same(state, wanted):
    for ours, part in zip(state, wanted, strict=True):
        numpy.testing.assert_array_equal(ours, part, strict=True)


def test_it_starts_from_zero(layer):
    x, _ = drawn(layer, 1)
    numpy.testing.assert_array_equal(layer.stepper()(x[0]), layer(x[:1])[0][0])
    assert not any(part.any() for part in layer.stepper(2).state)


def test_a_bidirectional_layer_has_none():
    with pytest.raises(ValueError, match="bidirectional"):
        nn.LSTM(3, 5, bidirectional=True).stepper()


def test_nothing_is_dropped():
    x = numpy.ones((2, 3), numpy.float32)
    layers = (nn.LSTM(3, 5, 2, dropout=rate, recurrent_dropout=rate, seed=1) for rate in (0, 0.5))
    numpy.testing.assert_array_equal(*(layer.stepper(2)(x) for layer in layers), strict=True)


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
    assert_same(step.state, state)


def test_a_state_put_back_repeats_the_steps(layer, step):
    x, _ = drawn(layer, 2)
    held = step.state
    first = [step(row).copy() for row in x]
    step.state = held
    again = [step(row).copy() for row in x]
    if layer.proj_size:  # a projection that is set meets the weights in another order of summation
        close(again, first, "float64")
    else:
        numpy.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda step: pickle.loads(pickle.dumps(step))])
def test_a_copy_goes_on_by_itself(layer, step, clone):
    x, _ = drawn(layer, 2)
    output = step(x[0])
    twin, held = clone(step), output.copy()
    first = [twin(row).copy() for row in x]
    numpy.testing.assert_array_equal(output, held)
    numpy.testing.assert_array_equal([step(row).copy() for row in x], first)
    assert_same(step.state, twin.state)


def test_the_state_is_a_copy_both_ways(layer, step):
    given = step.state
    wanted = [part.copy() for part in given]
    for part in given:
        part[:] = 7
    assert_same(step.state, wanted)
    step.state = given
    for part in given:
        part[:] = 8
    assert all((part == 7).all() for part in step.state)


@pytest.mark.parametrize("rows", [None, 1, [0, 2], (0, 2), slice(1, 3), numpy.array([True, False, True])], ids=repr)
def test_reset_sets_its_rows_to_zero_and_no_others(layer, rows):
    step, (x, state) = layer.stepper(3), drawn(layer, 3)
    step.state = state
    step(x[0])
    wanted = step.state
    step.reset(rows)
    chosen = slice(None) if rows is None else list(rows) if isinstance(rows, tuple) else rows
    for part in wanted:
        assert part.all()
        part[:, chosen] = 0
    assert_same(step.state, wanted)


@pytest.mark.parametrize("after", ["steps", "a state was set"])
def test_reset_rows_start_anew_and_the_others_go_on(layer, step, after):
    x, state = drawn(layer, 2)
    if after == "a state was set":
        step.state = state
    twin, fresh = copy.deepcopy(step), layer.stepper(2)
    step.reset(0)
    for row in x:
        numpy.testing.assert_array_equal(step(row), [fresh(row)[0], twin(row)[1]])


@pytest.mark.parametrize("rows", [2, [0, 5], numpy.array([True]), "first", 0.5], ids=repr)
def test_resetting_rows_that_do_not_exist_changes_nothing(step, rows):
    before = step.state
    with pytest.raises(IndexError):
        step.reset(rows)
    assert_same(step.state, before)


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
    assert_same(step.state, before)


H, C = numpy.zeros((3, 2, 4)), numpy.zeros((3, 2, 5))


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (numpy.zeros((2, 3, 2, 5)), TypeError, "state must be a tuple of two arrays, hidden and cell, got ndarray"),
        ((H,), TypeError, "state must be a tuple of two arrays"),
        ((H, H), ValueError, "state[1] must have shape (3, 2, 5), got (3, 2, 4)"),
        ((C, C), ValueError, "state[0] must have shape (3, 2, 4), got (3, 2, 5)"),
        ((H[0], C[0]), ValueError, "state[0] must have shape (3, 2, 4), got (2, 4)"),
        ((H, C + 0j), TypeError, "state[1] must hold real numbers"),
    ],
)
def test_a_bad_state_leaves_the_state(state, error, message):
    layer = nn.LSTM(3, 5, 3, proj_size=4, dtype="float64", seed=1)
    step, (x, _) = layer.stepper(2), drawn(layer, 2)
    step(x[0])
    before = step.state
    with pytest.raises(error, match=re.escape(message)):
        step.state = state
    assert_same(step.state, before)


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


@pytest.mark.parametrize("shape", [{}, {"num_layers": 2}, {"proj_size": 4}, {"num_layers": 2, "proj_size": 4}])
def test_an_output_may_be_the_next_input(shape):
    layer = nn.LSTM(4, 6 if "proj_size" in shape else 4, **shape, dtype="float64", seed=1)
    step, twin = layer.stepper(2), layer.stepper(2)
    outputs = [numpy.ones((2, 4))] * 2
    for k in range(6):
        x = outputs[-1 - k % 2]  # the one that this step overwrites, too
        wanted = twin(x.copy()).copy()
        outputs.append(step(x))
        numpy.testing.assert_array_equal(outputs[-1], wanted)


def test_setting_the_state_leaves_the_outputs_alone(layer, step):
    x, state = drawn(layer, 2)
    before, output = step(x[0]), step(x[1])
    held = before.copy(), output.copy()
    step.reset(0)
    step.state = state
    numpy.testing.assert_array_equal((before, output), held)


@pytest.mark.long
@pytest.mark.skipif(JIT_OFF, reason="Python allocates at every step")
@dtypes
@pytest.mark.parametrize("size", [37, 700])  # the larger one is shared among threads
@pytest.mark.parametrize("shape", [{}, {"num_layers": 2}, {"num_layers": 2, "proj_size": 30}], ids=str)
def test_a_step_allocates_nothing(dtype, size, shape):
    layer = nn.LSTM(3, size, **shape, dtype=dtype, seed=1)
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
    assert peak - before < 3000, "less than the state of 700 units: frames of Python calls and views of arrays"
