"""Dropout of `fastlstm.nn.LSTM`, between layers and on the way to the next step."""

import copy
import pickle

import numpy
import pytest

from fastlstm import nn, oracle
from fastlstm.engine.dropout import mask
from tests.tools.helpers import JIT_OFF
from tests.tools.stacks import LENGTHS, WIDE, by_oracle, close, masks, ragged, run, same

RATES = [
    {"dropout": 0.4}, {"recurrent_dropout": 0.4}, {"dropout": 0.3, "recurrent_dropout": 0.6},
    {"dropout": 1.0}, {"recurrent_dropout": 1.0},
]  # fmt: skip
rates = pytest.mark.parametrize("rates", RATES, ids=str)
SHAPES = [{"layers": 2}, {"layers": 3, "bidirectional": True, "bias": False}]
stacked = pytest.mark.parametrize("shape", SHAPES, ids=str)
kinds = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "ragged"])


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@rates
@pytest.mark.parametrize("shape", SHAPES if JIT_OFF else [*SHAPES, {"layers": 2, "hidden": 163}], ids=str)
@kinds
def test_outputs_and_states_are_the_oracles(shape, rates, lengths, dtype):
    layer, x, state, *_ = ragged(shape, dtype, **rates)
    y, (h, c), tape = layer.forward(x, state, lengths)
    drawn = masks(tape)
    assert list(drawn) == [{"dropout": "between", "recurrent_dropout": "recurrent"}[name] for name in rates]
    for name, value in by_oracle(layer, x, state, lengths, **drawn).items():
        close({"y": y, "h_n": h, "c_n": c}[name], value, dtype, name)


@pytest.mark.long
@pytest.mark.parametrize("options", [*RATES[:3], {"dropout": 0.5, "proj_size": 1}], ids=str)
@kinds
def test_gradients_are_those_of_the_oracle(options, lengths):
    """Element by element, to rounding: the oracle takes a complex step."""
    layer = nn.LSTM(1, 2, 2, bidirectional=True, dtype="float64", seed=1, **options)
    size = layer.output_size // 2
    rng, lengths = numpy.random.default_rng(1), lengths and [2, 0, 3]
    x, dy = rng.standard_normal((3, 3, 1)), rng.standard_normal((3, 3, 2 * size))
    state, (d_h, d_c) = rng.standard_normal((2, 2, 4, 3, 2))
    state, d_h = (state[0][..., :size], state[1]), d_h[..., :size]
    _, _, tape = layer.forward(x, state, lengths)
    dx, (d_h_0, d_c_0) = layer.backward(tape, dy, (d_h, d_c))
    moved = {name: value.astype(complex) for name, value in layer.parameters.items()}
    moved |= {"x": x.astype(complex), "h": state[0].astype(complex), "c": state[1].astype(complex)}

    def loss():
        y, h, c = oracle.stacked_lstm(moved, moved["x"], moved["h"], moved["c"], lengths, **masks(tape))
        return (y * dy).sum() + (h * d_h).sum() + (c * d_c).sum()

    for name, gradient in {"x": dx, "h": d_h_0, "c": d_c_0, **layer.gradients}.items():
        close(gradient, oracle.complex_step(loss, moved[name]), "float64", name)


@rates
@stacked
@kinds
def test_a_call_drops_nothing(shape, rates, lengths):
    layer, x, state, *_ = ragged(shape, **rates)
    before, plain = layer.generator.bit_generator.state, ragged(shape)[0]
    numpy.testing.assert_array_equal(layer(x, state, lengths)[0], plain(x, state, lengths)[0], strict=True)
    assert layer.generator.bit_generator.state == before


@kinds
def test_rates_of_zero_are_no_dropout(lengths):
    shape = {"layers": 2, "bidirectional": True}
    layer, x, state, _, dy, d_state = ragged(shape, dropout=0, recurrent_dropout=0.0)
    before = layer.generator.bit_generator.state
    same(run(layer, x, state, lengths, dy, d_state), run(ragged(shape)[0], x, state, lengths, dy, d_state))
    assert layer.generator.bit_generator.state == before


def test_everything_is_dropped_at_a_rate_of_one():
    layer, *given, _ = ragged({"layers": 2}, dropout=1)
    found = run(layer, *given, None)
    assert not found["dx"].any()
    assert not layer.gradients["weight_ih_l1"].any()
    assert layer.gradients["weight_hh_l1"].any()
    alone = run(*ragged({"layers": 1}, recurrent_dropout=1))
    assert not alone["weight_hh_l0"].any()
    assert not alone["dh_0"][:, [k for k, length in enumerate(LENGTHS) if length]].any()
    assert alone["dc_0"].all()
    assert numpy.isfinite(alone["y"]).all()


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("rate", [0, 0.25, 0.9, 1])
def test_a_mask_keeps_the_mean(rate, dtype):
    drawn = mask(numpy.random.default_rng(0), (40, 1000), rate, numpy.dtype(dtype))
    assert drawn.dtype == dtype
    values = {0: {1}, 0.25: {0, dtype(1 / 0.75)}, 0.9: {0, dtype(1 / (1 - 0.9))}, 1: {0}}
    assert set(numpy.unique(drawn)) == values[rate]
    if rate < 1:
        assert abs(drawn.mean(dtype=float) - 1) < 5 * (rate / (1 - rate) / drawn.size) ** 0.5 + 1e-7


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_masks(rate):
    """Zeros as often as they should be, and else what keeps the mean; drawn anew for each place and each call."""
    size, steps, batch = (30, 2, 3) if JIT_OFF else (100, 6, 20)
    layer = nn.LSTM(1, size, 3, dropout=rate, bidirectional=True, recurrent_dropout=rate, seed=1)
    found = [masks(layer.forward(numpy.zeros((steps, batch, 1)))[2]) for _ in range(2)]
    alike = rate**2 + (1 - rate) ** 2  # how often two masks agree
    for name, shape in {"between": (2, steps, batch, 2 * size), "recurrent": (6, batch, size)}.items():
        one, two = (numpy.array(each[name]) for each in found)
        assert one.shape == shape
        assert one.dtype == numpy.float32
        assert set(numpy.unique(one)) == {0, numpy.float32(1 / (1 - rate))}
        zero = one == 0
        assert abs(zero.mean() - rate) < 5 * numpy.sqrt(rate * (1 - rate) / zero.size)
        for other in (two == 0, *(numpy.roll(zero, 1, axis) for axis in range(zero.ndim))):
            assert abs((zero == other).mean() - alike) < 10 * numpy.sqrt(alike * (1 - alike) / zero.size)


def test_one_mask_for_all_steps_of_a_sequence():
    """A unit without a way to the next step never hears of itself, one with it always does."""
    layer = nn.LSTM(1, 20, recurrent_dropout=0.5, bias=False, dtype="float64", seed=1)
    layer.parameters.flat[:] = 0
    layer.parameters["weight_hh_l0"][40:60] = 9 * numpy.eye(20)  # the candidate is the unit itself
    state = numpy.ones((1, 3, 20)), numpy.zeros((1, 3, 20))
    y, _, tape = layer.forward(numpy.zeros((5, 3, 1)), state)
    kept = masks(tape)["recurrent"][0] > 0
    assert 0 < kept.mean() < 1
    numpy.testing.assert_array_equal(y != 0, numpy.broadcast_to(kept, y.shape))


@rates
def test_the_seed_decides(rates):
    def go():
        layer, x, state, lengths, *_ = ragged({"layers": 2}, **rates)
        return [layer.forward(x, state, lengths)[0] for _ in range(3)]

    first, again = go(), go()
    for a, b in zip(first, again, strict=True):
        numpy.testing.assert_array_equal(a, b, strict=True)
    if 1.0 not in rates.values():
        assert not numpy.array_equal(first[0], first[1])


def test_rates_do_not_change_the_initial_parameters():
    plain = ragged({"layers": 2})[0]
    for rates in RATES:
        numpy.testing.assert_array_equal(ragged({"layers": 2}, **rates)[0].parameters.flat, plain.parameters.flat)


@rates
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_drops_the_same_and_on_its_own(rates, clone):
    layer, x, state, lengths, *_ = ragged({"layers": 2}, **rates)
    layer.forward(x, state, lengths)
    twin, wanted = clone(layer), [layer.forward(x, state, lengths)[0] for _ in range(2)]
    for value in wanted:
        numpy.testing.assert_array_equal(twin.forward(x, state, lengths)[0], value, strict=True)


def test_one_tape_serves_two_backward_calls():
    layer, x, state, lengths, dy, d_state = ragged({"layers": 2, "bidirectional": True}, **RATES[2])
    _, _, tape = layer.forward(x, state, lengths)
    first = layer.backward(tape, dy, d_state)[0]
    once = layer.gradients.flat.copy()
    layer.forward(x, state, lengths)
    layer.zero_grad()
    numpy.testing.assert_array_equal(layer.backward(tape, dy, d_state)[0], first)
    numpy.testing.assert_array_equal(layer.gradients.flat, once)


def test_a_single_layer_has_nothing_to_drop_between():
    with pytest.warns(UserWarning, match="dropout drops outputs of layers that have another above them"):
        layer = nn.LSTM(3, WIDE, dropout=0.5, seed=1)
    x = numpy.ones((2, 1, 3))
    numpy.testing.assert_array_equal(layer.forward(x)[0], layer(x)[0])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("truncate", "stride"), [(0, 1), (2, 1), (1, 3)])
def test_windows_are_runs_from_a_constant_state(monkeypatch, truncate, stride, threads):
    """As `test_truncated` has it for layers that drop nothing; some sequences at a time, or all together."""
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    layer, x, state, _, dy, _ = ragged({}, recurrent_dropout=0.4, n_threads=threads)
    kept = layer.generator.bit_generator.state

    def run_again(x, state):
        layer.generator.bit_generator.state = kept  # the same mask, whatever the number of steps
        return layer.forward(x, state)

    dx, _ = layer.backward(run_again(x, state)[2], dy, truncate=truncate, stride=stride)
    found, total = layer.gradients.flat.copy(), numpy.zeros_like(x)
    layer.zero_grad()
    for first in range(0, len(x), stride):
        begin, end = max(0, first - truncate), min(len(x), first + stride)
        _, before, _ = run_again(x[:begin], state)
        errors = dy[begin:end].copy()
        errors[: first - begin] = 0
        total[begin:end] += layer.backward(run_again(x[begin:end], before)[2], errors)[0]
    close(dx, total, "float64")
    close(found, layer.gradients.flat, "float64")


@kinds
def test_steps_go_back_in_several_turns(monkeypatch, lengths):
    layer, x, state, _, dy, d_state = ragged({"bidirectional": True}, recurrent_dropout=0.4)
    kept = layer.generator.bit_generator.state
    at_once = run(layer, x, state, lengths, dy, d_state)
    monkeypatch.setattr("fastlstm.engine.workspace.DEPTH", 5)
    monkeypatch.setattr("fastlstm.engine.workspace.BYTES_AT_ONCE", 1)
    layer.generator.bit_generator.state = kept
    for name, value in run(layer, x, state, lengths, dy, d_state).items():
        close(value, at_once[name], "float64", name)


def test_layers_of_different_seeds_drop_different_things():
    drawn = {nn.LSTM(1, 1, seed=seed).generator.integers(1 << 62) for seed in range(200)}
    assert len(drawn) == 200
