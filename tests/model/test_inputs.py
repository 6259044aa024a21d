"""Input that is awkward but valid gives the right answer; bad input raises and changes nothing."""

import numpy
import pytest

from fastlstm import LSTM
from tests.tools.helpers import assert_matches, flatten, one_hot, pair

T, I, O, H = 7, 3, 2, 5  # noqa: E741


def read_only(a):
    b = a.copy()
    b.flags.writeable = False
    return b


def unaligned(a):
    raw = numpy.zeros(a.nbytes + 1, numpy.uint8)[1:]
    b = raw.view(a.dtype).reshape(a.shape)
    b[...] = a
    assert not b.flags.aligned
    return b


AWKWARD = {
    "strided": lambda a: numpy.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: numpy.ascontiguousarray(a[::-1])[::-1],
    "Fortran order": numpy.asfortranarray,
    "read-only": read_only,
    "unaligned": unaligned,
    "float32": lambda a: a.astype(numpy.float32),
    "integers": lambda a: a.astype(int),
    "small integers": lambda a: a.astype(numpy.int8),
    "booleans": lambda a: a.astype(bool),
    "byte-swapped": lambda a: a.astype(">f8"),
    "long double": lambda a: a.astype(numpy.longdouble),
    "nested lists": lambda a: a.tolist(),
    "tuples": lambda a: tuple(map(tuple, a.tolist())),
    "list of rows": list,
}


@pytest.mark.parametrize("kind", AWKWARD)
@pytest.mark.parametrize("dtype", [numpy.float64, numpy.float32])
def test_awkward_but_valid(rng, kind, dtype):
    ours, twin = pair(I, O, H, seed=1, bptt_truncate=2, dtype=dtype)
    X, Y = numpy.round(3 * rng.standard_normal((T, I))), one_hot(rng, T, O)
    x, y = AWKWARD[kind](X), AWKWARD[kind](Y)
    seen = numpy.asarray(x, numpy.float64)
    assert_matches(ours.feed_forward(x), twin.feed_forward(seen), dtype)
    found, wanted = ours.back_propagate_through_time(x, y), twin.back_propagate_through_time(seen, Y)
    for a, b in zip(flatten(found), flatten(wanted), strict=True):
        assert_matches(a, b, dtype)
    assert ours.loss_function([x], [y]) == pytest.approx(twin.loss_function([seen], [Y]), rel=1e-5)
    numpy.testing.assert_array_equal(numpy.asarray(x, float), seen)  # input is only read


@pytest.mark.parametrize("steps", [0, 1])
def test_no_step_and_one_step(rng, steps):
    ours, twin = pair(I, O, H, seed=1)
    X, Y = rng.standard_normal((steps, I)), one_hot(rng, steps, O)
    assert_matches(ours.predict(X), twin.predict(X))
    for a, b in zip(
        flatten(ours.back_propagate_through_time(X, Y)), flatten(twin.back_propagate_through_time(X, Y)), strict=True
    ):
        assert_matches(a, b)


BAD_X = [
    (numpy.zeros(I), ValueError, r"X must have shape \(T, 3\).*got \(3,\)"),
    (numpy.zeros((1, 1, T, I)), ValueError, r"got \(1, 1, 7, 3\)"),
    (5.0, ValueError, r"got \(\)"),
    (numpy.zeros((T, I + 1)), ValueError, r"3 features.*got \(7, 4\)"),
    (numpy.zeros((2, T, I + 1)), ValueError, r"3 features.*got \(2, 7, 4\)"),
    ([[1.0, 2.0, 3.0], [1.0, 2.0]], ValueError, "regular shape"),
    ([[[1.0, 2.0, 3.0], [1.0, 2.0]], [[1.0, 2.0, 3.0]]], ValueError, "regular shape"),
    ([numpy.zeros((2, I)), numpy.zeros((2, I + 1))], ValueError, r"X\[1\] must have shape \(T, 3\), got \(2, 4\)"),
    ([numpy.zeros((2, I)), numpy.zeros(I)], ValueError, r"X\[1\]"),
    (numpy.full((T, I), "1"), TypeError, "real numbers, got dtype <U1"),
    (numpy.zeros((T, I), object), TypeError, "got dtype object"),
    (numpy.zeros((T, I), complex), TypeError, "got dtype complex128"),
    (numpy.zeros((T, I), "M8[s]"), TypeError, "got dtype datetime64"),
    (None, TypeError, "got dtype object"),
    ([], ValueError, r"got \(0,\)"),
]


@pytest.mark.parametrize(("X", "error", "message"), BAD_X)
def test_bad_inputs(X, error, message):
    model = LSTM(I, O, H, seed=1)
    model.feed_forward(numpy.ones((2, I)))
    before = model.parameters.flat.copy(), model.S.copy(), model.h_t.copy()
    Y = numpy.zeros((T, O))
    calls = [
        lambda: model.feed_forward(X),
        lambda: model.predict(X),
        lambda: model.feed_forward_and_cache(X),
        lambda: model.back_propagate_through_time(X, Y),
        lambda: model.train(X, [Y]),
        lambda: model.loss_function(X, [Y]),
    ]
    for call in calls:
        with pytest.raises(error, match=message):
            call()
    for a, b in zip((model.parameters.flat, model.S, model.h_t), before, strict=True):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (numpy.zeros((T, I)), numpy.zeros((T - 1, O)), "Y must have 7 time steps like X, got 6"),
        (numpy.zeros((T, I)), numpy.zeros((T, O + 1)), "Y must have 2 features"),
        (numpy.zeros((T, I)), numpy.zeros(T), "Y must have shape"),
        (numpy.zeros((T, I)), numpy.zeros((1, T, O)), "Y must be one sequence like X, got a 3-D array"),
        (numpy.zeros((2, T, I)), numpy.zeros((T, O)), "Y must be a 3-D array like X, got one sequence"),
        (numpy.zeros((2, T, I)), numpy.zeros((3, T, O)), "Y must hold 2 sequences like X, got 3"),
        ([numpy.zeros((2, I)), numpy.zeros((3, I))], numpy.zeros((2, 3, O)), r"Y\[0\] must have 2 time steps"),
    ],
)
def test_targets_must_fit_the_inputs(X, Y, message):
    with pytest.raises(ValueError, match=message):
        LSTM(I, O, H, seed=1).back_propagate_through_time(X, Y)


def test_training_checks_everything_first(rng):
    model = LSTM(I, O, H, seed=1)
    before = model.parameters.flat.copy()
    good = rng.standard_normal((T, I)), one_hot(rng, T, O)
    with pytest.raises(ValueError, match=r"Y\[1\]"):
        model.train([good[0], good[0]], [good[1], good[1][1:]])
    with pytest.raises(ValueError, match="X must hold sequences"):
        model.train(*good)
    numpy.testing.assert_array_equal(model.parameters.flat, before)


def test_one_step_takes_a_vector():
    model = LSTM(I, O, H, seed=1)
    with pytest.raises(ValueError, match=r"x must have shape \(3,\), got \(1, 3\)"):
        model.compute_layer(numpy.zeros((1, I)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size must be at least 1, got 0"),
        ({"output_size": -1}, ValueError, "output_size must be at least 1, got -1"),
        ({"hidden_size": 2.0}, TypeError, "hidden_size must be an integer, got 2.0"),
        ({"hidden_size": True}, TypeError, "hidden_size must be an integer, got True"),
        ({"hidden_size": "5"}, TypeError, "hidden_size must be an integer"),
        ({"bptt_stride": 0}, ValueError, "bptt_stride must be at least 1"),
        ({"bptt_truncate": -1}, ValueError, "bptt_truncate must be at least 0"),
        ({"bptt_truncate": 1.5}, TypeError, "bptt_truncate must be an integer"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate must be a number"),
        ({"learning_rate": numpy.nan}, ValueError, "learning_rate must be finite"),
        ({"learning_rate": None}, TypeError, "learning_rate must be a number"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
        ({"dtype": int}, TypeError, "dtype must be float32 or float64"),
        ({"dtype": None}, TypeError, "dtype must be float32 or float64"),
        ({"dtype": "nonsense"}, TypeError, "dtype must be float32 or float64"),
        ({"gradient": "approximate"}, ValueError, "gradient must be one of 'exact', 'reference'"),
        ({"loss_func": "hinge"}, ValueError, "loss_func must be one of"),
        ({"loss_func": "cross_entropy", "afuncs": ["tanh"] * 3}, ValueError, "needs a softmax output"),
        ({"afuncs": ["tanh", "tanh"]}, ValueError, "three functions"),
        ({"afuncs": "tanh"}, ValueError, "three functions"),
        ({"afuncs": ["tanh", "tanh", "swish"]}, ValueError, "afuncs must name one of"),
        ({"afuncs": ["tanh", "tanh", 3]}, TypeError, "names or callables"),
        ({"afunc_primes": ["tanh", "tanh", "tanh"]}, TypeError, "afunc_primes must hold callables"),
    ],
)
def test_bad_settings(arguments, error, message):
    settings = {"input_size": I, "output_size": O, "hidden_size": H} | arguments
    with pytest.raises(error, match=message):
        LSTM(**settings)


def test_settings_are_checked_when_they_change():
    model = LSTM(I, O, H, numpy.int64(1), bptt_truncate=numpy.int8(3))
    for name, value in (("bptt_truncate", -1), ("learning_rate", numpy.inf), ("n_threads", 0)):
        with pytest.raises(ValueError, match=name):
            setattr(model, name, value)
    assert (model.bptt_truncate, model.learning_rate, model.n_threads) == (3, 0.005, None)
