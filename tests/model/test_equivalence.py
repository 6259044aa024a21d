"""Every computation of `fastlstm.LSTM` against the oracle, over shapes, dtypes and both gradients."""

import sys

import numpy
import pytest
from hypothesis import given

from fastlstm import LSTM, oracle
from tests.tools.helpers import (
    JIT_OFF,
    LARGEST,
    NAMES,
    assert_matches,
    dtypes,
    flatten,
    gradients,
    lengths,
    one_hot,
    pair,
    sizes,
    strides,
)
from tests.tools.helpers import truncations as truncates


@given(lengths, sizes, sizes, sizes, dtypes)
def test_forward(T, I, O, H, dtype):  # noqa: E741
    rng = numpy.random.default_rng(T + 100 * H)
    ours, twin = pair(I, O, H, seed=1, dtype=dtype)
    X = rng.standard_normal((T, I)).astype(dtype)
    for a, b in zip(ours.feed_forward_and_cache(X), twin.feed_forward_and_cache(X), strict=True):
        assert_matches(a, b, dtype)
    assert not ours.S.any()
    assert_matches(ours.feed_forward(X), twin.feed_forward(X), dtype)
    assert_matches(ours.S, twin.S, dtype)
    assert_matches(ours.h_t, twin.h_t, dtype)
    assert_matches(ours.predict_proba(X), twin.predict_proba(X), dtype)
    ours.reset(), twin.reset()
    assert_matches(ours.predict(X), twin.predict(X), dtype)


@given(lengths, sizes, sizes, sizes, truncates, strides, gradients, dtypes)
def test_back_propagation_through_time(T, I, O, H, truncate, stride, gradient, dtype):  # noqa: E741
    rng = numpy.random.default_rng(T + 100 * H)
    ours, twin = pair(I, O, H, seed=2, bptt_truncate=truncate, bptt_stride=stride, gradient=gradient, dtype=dtype)
    X, Y = rng.standard_normal((T, I)).astype(dtype), one_hot(rng, T, O)
    found, wanted = ours.back_propagate_through_time(X, Y), twin.back_propagate_through_time(X, Y)
    for a, b in zip(flatten(found), flatten(wanted), strict=True):
        assert_matches(a, b, dtype)


OUTPUTS = ["softmax", "tanh", "sigmoid", "relu", "identity"]


@pytest.mark.parametrize(
    ("gradient", "loss_func", "output"),
    [("exact", "cross_entropy", "softmax")]
    + [("exact", "squared_error", output) for output in OUTPUTS]
    + [("reference", loss_func, output) for loss_func in ("cross_entropy", "squared_error") for output in OUTPUTS],
)
@pytest.mark.parametrize("hidden", ["tanh", "sigmoid", "relu", "identity"])
def test_activations_and_losses(rng, gradient, loss_func, output, hidden):
    ours = LSTM(3, 2, 5, 4, [hidden, "tanh", output], None, 2, loss_func=loss_func, gradient=gradient)
    twin = oracle.LSTM(3, 2, 5, 4, ours.afuncs, ours.afunc_primes, 2, loss_func=loss_func, gradient=gradient)
    X, Y = rng.standard_normal((7, 3)), one_hot(rng, 7, 2)
    found, wanted = ours.back_propagate_through_time(X, Y), twin.back_propagate_through_time(X, Y)
    for a, b in zip(flatten(found), flatten(wanted), strict=True):
        assert_matches(a, b)
    if loss_func == "squared_error" or output in ("softmax", "sigmoid"):
        assert ours.loss_function([X], [Y]) == pytest.approx(twin.loss_function([X], [Y]), rel=1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("truncate", [4, None])
@pytest.mark.parametrize("n", [1, 6, 11 if JIT_OFF else 37])
def test_any_number_of_threads_gives_the_same_bits(rng, threads, truncate, n):
    size = 8 if LARGEST < 37 else 37
    X, Y = rng.standard_normal((n, 9, 5)), rng.standard_normal((n, 9, 3))
    runs = []
    for count in (threads, 1):
        model = LSTM(5, 3, size, 0, bptt_truncate=truncate, n_threads=count)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fastlstm.engine.cores.SHARE", 1)  # however little there is to do
            runs.append([*flatten(model.back_propagate_through_time(X, Y)), model.feed_forward(X)])
    for a, b in zip(*runs, strict=True):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("n", [1, 3])
def test_sharing_one_step_among_threads_gives_the_same_bits(rng, monkeypatch, threads, n):
    """Few sequences and many units: the threads share the units of each step."""
    size = 9 if JIT_OFF else 167
    if JIT_OFF:
        monkeypatch.setattr(sys.modules["fastlstm_kernels.threads"], "LONG_STEP", 1)
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    X = rng.standard_normal((n, 5, 3))
    models = [LSTM(3, 2, size, 0, n_threads=count) for count in (threads, 1)]
    for a, b in zip(*(model.feed_forward_and_cache(X) for model in models), strict=True):
        numpy.testing.assert_array_equal(a, b)
    numpy.testing.assert_array_equal(*(model.feed_forward(X) for model in models))
    assert_matches(models[0].feed_forward(X[0]), oracle.LSTM(3, 2, size, 0).feed_forward(X[0]))


@pytest.mark.parametrize("seed", [0, 7, [1, 2, 3]])
def test_initial_weights_are_the_legacy_generators_bit_for_bit(seed):
    model, draw = LSTM(3, 2, 5, seed), numpy.random.RandomState(seed)
    order = ["W_f", "U_f", "W_i", "U_i", "b_i", "W_c", "U_c", "b_c", "W_hf", "U_hf", "b_hf", "W_o", "b_o"]
    for name in order:
        wanted = draw.uniform(-1.0, 1.0, getattr(model, name).shape)
        numpy.testing.assert_array_equal(getattr(model, name), wanted, strict=True)
    numpy.testing.assert_array_equal(model.b_f, numpy.ones(5), strict=True)
    single = LSTM(3, 2, 5, seed, dtype="float32")
    numpy.testing.assert_array_equal(single.W_f, model.W_f.astype(numpy.float32), strict=True)


def test_no_seed_draws_anew():
    assert not numpy.array_equal(LSTM(3, 2, 5).W_f, LSTM(3, 2, 5).W_f)


@pytest.mark.parametrize("gradient", ["exact", "reference"])
def test_training_follows_the_oracle(rng, gradient):
    ours, twin = pair(3, 2, 5, seed=1, learning_rate=0.1, bptt_truncate=2, gradient=gradient)
    X = [rng.standard_normal((n, 3)) for n in (4, 7, 0, 2)]
    Y = [one_hot(rng, len(x), 2) for x in X]
    assert ours.train(X, Y) is ours
    twin.train(X, Y)
    ours._train(X[:1], Y[:1])
    twin._train(X[:1], Y[:1])
    for name in NAMES:
        assert_matches(getattr(ours, name), getattr(twin, name))
    assert ours.loss_function(X, Y) == pytest.approx(twin.loss_function(X, Y), rel=1e-12)


@pytest.mark.parametrize("bad", [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize("where", ["X", "W_f", "U_c", "b_hf", "W_o"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_and_infinity_go_where_they_go_in_the_oracle(rng, bad, where):
    ours, twin = pair(3, 2, 5, seed=1, bptt_truncate=2)
    X, Y = rng.standard_normal((7, 3)), one_hot(rng, 7, 2)
    if where == "X":
        X[3, 1] = bad
    else:
        getattr(ours, where).flat[1] = bad
        getattr(twin, where).flat[1] = bad
    for a, b in zip(ours.feed_forward_and_cache(X), twin.feed_forward_and_cache(X), strict=True):
        assert_matches(a, b)
    found, wanted = ours.back_propagate_through_time(X, Y), twin.back_propagate_through_time(X, Y)
    for a, b in zip(flatten(found), flatten(wanted), strict=True):
        assert_matches(a, b)


def test_saturated_gates(rng):
    ours, twin = pair(3, 2, 5, seed=1, gradient="reference")
    X, Y = 300 * rng.standard_normal((7, 3)), one_hot(rng, 7, 2)
    for a, b in zip(ours.feed_forward_and_cache(X), twin.feed_forward_and_cache(X), strict=True):
        assert_matches(a, b)
    found, wanted = ours.back_propagate_through_time(X, Y), twin.back_propagate_through_time(X, Y)
    for a, b in zip(flatten(found), flatten(wanted), strict=True):
        # 1 - tanh² of a saturated unit keeps few digits, so elements are judged by the largest of their array.
        assert_matches(a, b, floor=1e-10)
