"""Sharing work: bitwise the same results for any number of threads, and for a sequence alone or in company."""

import sys

import numba
import numpy
import pytest

from fastlstm import LSTM, compat, nn
from fastlstm.model import network
from fastlstm_kernels import threads
from tests.tools.helpers import JIT_OFF, flatten, one_hot
from tests.tools.stacks import LENGTHS, ragged, same
from tests.tools.stacks import run as run_stack

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
shapes = pytest.mark.parametrize(
    ("T", "batch", "I", "H"),
    [(5, 1, 3, 17), (4, 6, 5, 8), (2, 3, 1, 9)] if JIT_OFF
    # Fewer rows than a worker; a tile and a bit; units shared; more rows than one piece of a panel takes.
    else [(5, 1, 3, 17), (4, 7, 5, 37), (3, 2, 3, 163), (3, 101, 2, 33)],
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_work_is_shared_too(monkeypatch):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    monkeypatch.setattr("fastlstm.nn.stepper.LONG", 0)
    if JIT_OFF:
        # The package's `forward` is the kernel.
        monkeypatch.setattr(sys.modules["fastlstm_kernels.threads"], "LONG_STEP", 1)


def inputs(rng, T, batch, I, H, dtype):  # noqa: E741
    """x, the initial state, and gradients at the outputs and at the final state."""
    x, d_output = (rng.standard_normal((T, batch, width)).astype(dtype) for width in (I, H))
    h, c, d_h, d_c = rng.standard_normal((4, 1, batch, H)).astype(dtype)
    return x, (h, c), d_output, (d_h, d_c)


def run(layer, x, state, d_output, d_state):
    """Everything a layer computes that has a row for each sequence; and the gradients of its weights."""
    output, final, tape = layer.forward(x, state)
    inferred, inferred_final = layer(x, state)
    layer.zero_grad()
    d_input, d_initial = layer.backward(tape, d_output, d_state)
    return [output, *final, inferred, *inferred_final, d_input, *d_initial], layer.gradients.flat.copy()


@pytest.mark.parametrize(
    ("batch", "size", "blocks", "workers", "ragged", "by_unit"),
    [
        (1, 128, 8, 2, False, True),  # one sequence
        (1, 16, 1, 2, False, False),  # one block
        (4, 16, 2, 2, False, False),  # too little work to wait for each other
        (32, 128, 8, 2, False, True),  # even shares
        (32, 100, 7, 2, False, False),  # 4 blocks and 3
        (32, 100, 7, 2, True, True),  # the long sequences would be the first worker's
        (4, 136, 9, 2, False, True),  # each would read all weights for 2 rows
        (3, 264, 17, 4, False, True),  # more workers than sequences
        (5, 8, 1, 1, False, True),
    ],
)
def test_who_shares_what(batch, size, blocks, workers, ragged, by_unit, monkeypatch):
    monkeypatch.setattr(sys.modules["fastlstm_kernels.threads"], "LONG_STEP", 6000)
    assert threads.share_units(batch, size, blocks, workers, ragged) == by_unit


@both
@shapes
def test_a_layers_results_are_the_same_for_any_number_of_threads(rng, T, batch, I, H, dtype):  # noqa: E741
    layer, given = nn.LSTM(I, H, dtype=dtype, seed=0), inputs(rng, T, batch, I, H, dtype)
    layer.n_threads = 1
    rows, gradients = run(layer, *given)
    for layer.n_threads in (2, 3, 8):
        others, other_gradients = run(layer, *given)
        numpy.testing.assert_array_equal(other_gradients, gradients)
        for a, b in zip(others, rows, strict=True):
            numpy.testing.assert_array_equal(a, b, strict=True)


@both
@shapes
def test_a_sequence_has_the_same_results_alone_and_in_company(rng, T, batch, I, H, dtype):  # noqa: E741
    layer, (x, state, d_output, d_state) = nn.LSTM(I, H, dtype=dtype, seed=0), inputs(rng, T, batch, I, H, dtype)
    layer.n_threads = 3
    together, _ = run(layer, x, state, d_output, d_state)
    layer.n_threads = 1
    for k in {0, batch // 2, batch - 1}:
        one = slice(k, k + 1)
        alone, _ = run(
            layer, x[:, one], tuple(a[:, one] for a in state), d_output[:, one], tuple(a[:, one] for a in d_state)
        )
        for a, b in zip(alone, together, strict=True):
            numpy.testing.assert_array_equal(a, b[:, one], strict=True)


@both
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "ragged"])
@pytest.mark.parametrize("shape", [
    {"layers": 2, "bidirectional": True, "hidden": 9},
    {"layers": 2, "bidirectional": True, "hidden": 9, "projection": 4},
    {"bidirectional": True, "hidden": 17 if JIT_OFF else 163},
], ids=str)  # fmt: skip
def test_stacks(dtype, lengths, shape):
    rates = {} if "projection" in shape else {"recurrent_dropout": 0.3}
    runs = []
    for workers in (1, 3) if JIT_OFF else (1, 2, 3, 8):
        layer, x, state, _, dy, d_state = ragged(shape, dtype, n_threads=workers, **rates)
        runs.append(run_stack(layer, x, state, lengths, dy, d_state) | {"called": layer(x, state, lengths)[0]})
        same(runs[-1], runs[0])


@both
@pytest.mark.parametrize("gradient", ["exact", "reference"])
@pytest.mark.parametrize(("truncate", "stride"), [(0, 1), (3, 1), (0, 4), (2, 3), (None, 1)])
def test_a_model_on_ragged_lists(rng, dtype, truncate, stride, gradient):
    """Any number of threads, and, for what belongs to one sequence, alone or in company."""
    lengths = [5, 0, 3] if JIT_OFF else [9, 0, 4, 21, 9, 1, 7]
    X, Y = [rng.standard_normal((n, 3)).astype(dtype) for n in lengths], [one_hot(rng, n, 2) for n in lengths]
    model = LSTM(3, 2, 9 if JIT_OFF else 19, 0, bptt_truncate=truncate, bptt_stride=stride,
                 gradient=gradient, dtype=dtype)
    found = []
    for model.n_threads in (1, 2, 3, 8):
        *groups, d_x = model.back_propagate_through_time(X, Y)
        found.append([*flatten([*groups, None])[:-1], *d_x, *model.feed_forward(X)])
        for a, b in zip(found[0], found[-1], strict=True):
            numpy.testing.assert_array_equal(a, b, strict=True)
    for k, (x, y) in enumerate(zip(X, Y, strict=True)):
        model.reset()
        numpy.testing.assert_array_equal(model.feed_forward(x), found[0][k - len(X)])
        # What is too short to be truncated goes back in one sweep when alone, which sums in another order.
        if truncate is None or truncate < (len(x) - 1) // stride * stride:
            numpy.testing.assert_array_equal(model.back_propagate_through_time(x, y)[-1], found[0][k - 2 * len(X)])


@both
def test_a_stepper_steps_as_the_layer_runs(rng, dtype):
    T, batch, I, H = (3, 2, 3, 9) if JIT_OFF else (5, 7, 3, 37)  # noqa: E741
    layer, x = nn.LSTM(I, H, dtype=dtype, seed=0, n_threads=1), rng.standard_normal((T, batch, I)).astype(dtype)
    output, (h, c) = layer(x)
    for layer.n_threads in (1, 2, 3, 8):
        step = layer.stepper(batch)
        for row, wanted in zip(x, output, strict=True):
            numpy.testing.assert_array_equal(step(row), wanted, strict=True)
        numpy.testing.assert_array_equal(step.state, [h, c])


def test_a_dense_network_trains_the_same_with_any_number_of_threads(rng, monkeypatch):
    data = [(rng.standard_normal((5, 1)), rng.random((3, 1))) for _ in range(5 if JIT_OFF else 37)]
    weights = []
    for workers in (1, 2, 3, 8):
        monkeypatch.setattr(network, "useful", lambda *_, workers=workers: workers)
        numpy.random.seed(0)
        net = compat.NeuralNetwork([5, 19, 3], mini_batch_size=len(data), epochs=1, learning_rate=1)
        monkeypatch.setattr(network.random, "shuffle", lambda order: None)
        net.fit(data)
        weights.append(net.weights[1:])
    for others in weights[1:]:
        for a, b in zip(others, weights[0], strict=True):
            numpy.testing.assert_array_equal(a, b, strict=True)


@numba.njit
def spans(workers, rows, block, out):
    for worker in range(workers):
        out[worker, 0], out[worker, 1] = threads.span(worker, workers, rows, block)


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 37, 128])
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("block", [1, 4])
def test_spans_cover_all_rows_once_in_whole_blocks(rows, workers, block):
    out = numpy.zeros((workers, 2), numpy.intp)
    spans(workers, rows, block, out)
    assert out[0, 0] == 0
    assert out[-1, 1] == rows
    assert (out[1:, 0] == out[:-1, 1]).all()
    assert all(cut % block == 0 or cut == rows for cut in out[1:, 0])
    blocks = -(-(out[:, 1] - out[:, 0]) // block)
    assert blocks.max() - blocks.min() <= 1


@numba.njit
def halve(worker, workers, x, out):
    first, last = threads.span(worker, workers, x.shape[0])
    for k in range(first, last):
        out[k] = x[k] / 2


@numba.njit
def shared_halves(x, out, workers):
    threads.share(halve, (x, out), workers)


@numba.njit(parallel=True)
def parallel_halves(x, out):
    for k in numba.prange(x.shape[0]):
        out[k] = x[k] / 2


def least(dtype):
    """The smallest normal number, many times; half of it is denormal."""
    return numpy.full(1000, numpy.finfo(dtype).tiny)


@both
@pytest.mark.parametrize("workers", [1, 3])
def test_denormal_numbers_live_on_after_a_kernel(rng, dtype, workers):
    layer = nn.LSTM(3, 9, dtype=dtype, seed=0, n_threads=workers)
    x, half = rng.standard_normal((2, 5, 3)).astype(dtype), numpy.zeros(1000, dtype)
    output, _, tape = layer.forward(x)
    layer.backward(tape, output)
    assert (least(dtype) / 2).all()
    parallel_halves(least(dtype), half)  # in all threads
    assert half.all()


@pytest.mark.long
@pytest.mark.skipif(JIT_OFF or not threads._X86, reason="compiled code on x86 does so")
@both
@pytest.mark.parametrize("workers", [1, 3])
def test_denormal_numbers_are_zero_while_a_worker_runs(dtype, workers):
    half = numpy.ones(1000, dtype)
    shared_halves(least(dtype), half, workers)
    assert not half.any()
    assert (least(dtype) / 2).all()
    shared_halves(4 * least(dtype), half, workers)
    numpy.testing.assert_array_equal(half, 2 * least(dtype))


@both
def test_open_gates_add_one_a_step(dtype):
    """Saturated both ways: i, f, g and o are exactly 1."""
    layer = nn.LSTM(1, 9, dtype=dtype, seed=0)
    layer.parameters["bias_ih_l0"][:] = 1000
    output, (_, c) = layer(numpy.zeros((5, 3, 1), dtype))
    assert (c == 5).all()
    wanted = numpy.tanh(numpy.arange(1.0, 6)).astype(dtype)[:, None, None]
    numpy.testing.assert_allclose(output, numpy.broadcast_to(wanted, (5, 3, 9)), rtol=2 * numpy.finfo(dtype).eps)


@both
def test_closed_gates_give_nothing_and_take_no_gradient(rng, dtype):
    layer = nn.LSTM(2, 9, dtype=dtype, seed=0)
    layer.parameters["bias_ih_l0"][:] = -1000
    x, state, d_output, d_state = inputs(rng, 4, 3, 2, 9, dtype)
    output, (_, c), tape = layer.forward(x, state)
    d_input, d_initial = layer.backward(tape, d_output, d_state)
    for zero in (output, c, d_input, *d_initial, layer.gradients.flat):
        assert not zero.any()


@both
@pytest.mark.parametrize("scale", [90, 700, 1e30])
def test_saturated_inputs(rng, dtype, scale):
    """Gates that are nearly 0 (denormal where the input is -90 in float32, -700 in float64) or 1, as by NumPy."""
    layer, H = nn.LSTM(1, 8, dtype=dtype, seed=0), 8
    layer.parameters.flat[:] = 0
    signs = rng.choice([-1.0, 1.0], 4 * H)
    layer.parameters["weight_ih_l0"][:, 0] = signs
    c0 = rng.standard_normal((1, 1, H)).astype(dtype)
    output, (_, c) = layer(numpy.full((1, 1, 1), scale, dtype), (numpy.zeros_like(c0), c0))
    i, f, g, o = signs.reshape(4, H)
    wanted = (f > 0) * c0[0, 0] + (i > 0) * g
    numpy.testing.assert_allclose(c[0, 0], wanted, rtol=1e-6, atol=1e-30)
    numpy.testing.assert_allclose(output[0, 0], (o > 0) * numpy.tanh(wanted), rtol=1e-6, atol=1e-30)


