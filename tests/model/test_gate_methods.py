"""Each gate method on its own, with whatever arrays it is given."""

import numpy
import pytest

from fastlstm import LSTM, PerformanceWarning
from tests.tools.helpers import assert_matches, pair

H, I = 5, 3  # noqa: E741
METHODS = ["forget", "input", "candidate", "hidden_filter"]


def arguments(rng, gate, dtype=numpy.float64):
    """delta_s_t, delta_h_t, the gate's own, H, X, gradients, dLdX."""
    own = 1 if gate == "hidden_filter" else 2
    vectors = [rng.standard_normal(H).astype(dtype) for _ in range(2 + own + 1)]
    gradients = tuple(rng.standard_normal(s).astype(dtype) for s in ((H, I), (H, H), (H,)))
    return [*vectors, rng.standard_normal(I).astype(dtype), gradients, numpy.zeros(I)]


def copied(args):
    return [tuple(a.copy() for a in arg) if isinstance(arg, tuple) else arg.copy() for arg in args]


def changed(args):
    """The arrays that a gate method changes."""
    return [args[1], *args[-2]]


@pytest.mark.parametrize("gradient", ["exact", "reference"])
@pytest.mark.parametrize("gate", METHODS)
@pytest.mark.parametrize("custom", [False, True])
def test_against_the_oracle(rng, gradient, gate, custom):
    if custom:
        with pytest.warns(PerformanceWarning):
            ours = LSTM(I, 2, H, 1, [lambda x: numpy.tanh(x)] * 2 + ["softmax"], [tanh_prime] * 3, gradient=gradient)
        twin = pair(I, 2, H, seed=1, gradient=gradient)[1]
    else:
        ours, twin = pair(I, 2, H, seed=1, gradient=gradient)
    args = arguments(rng, gate)
    theirs = copied(args)
    assert getattr(ours, f"back_prop_{gate}_gate")(*args) is None
    getattr(twin, f"back_prop_{gate}_gate")(*theirs)
    for a, b in zip(changed(args), changed(theirs), strict=True):
        assert_matches(a, b)
    assert not args[-1].any()


def tanh_prime(x):
    return 1 - numpy.tanh(x) ** 2


@pytest.mark.parametrize("gate", METHODS)
def test_reference_loses_the_hidden_filters_share(rng, gate):
    ours, _ = pair(I, 2, H, seed=1, gradient="reference")
    args = arguments(rng, gate)
    before = args[1].copy()
    getattr(ours, f"back_prop_{gate}_gate")(*args)
    assert numpy.array_equal(before, args[1]) == (gate == "hidden_filter")


@pytest.mark.parametrize("gate", METHODS)
def test_buffers_of_any_layout_are_added_to_in_place(rng, gate):
    ours, twin = pair(I, 2, H, seed=1)
    args = arguments(rng, gate)
    theirs = copied(args)
    dW, dU, db = args[-2]
    args[-2] = (numpy.asfortranarray(dW), dU.astype(">f8"), numpy.repeat(db, 2)[::2])
    args[1] = args[1].astype(numpy.float32)
    theirs[1] = args[1].astype(numpy.float64)
    getattr(ours, f"back_prop_{gate}_gate")(*args)
    getattr(twin, f"back_prop_{gate}_gate")(*theirs)
    numpy.testing.assert_allclose(args[1], theirs[1], rtol=1e-6)
    for a, b in zip(args[-2], theirs[-2], strict=True):
        numpy.testing.assert_allclose(a, b, rtol=1e-10)


def test_gates_make_up_a_window_of_one_step(rng):
    """The four methods, put together, are `back_propagate_through_time` at K = 0."""
    model = LSTM(I, 2, H, 1, bptt_truncate=0)
    X, Y = rng.standard_normal((1, I)), numpy.array([[0.0, 1.0]])
    F_args, _, I_args, Is, C_args, Cs, Hf_args, Hfs, _, _, Os, Ss = (a[0] for a in model.feed_forward_and_cache(X))
    delta_h = (Os - Y[0]) @ model.W_o
    delta_s = delta_h * Hfs * tanh_prime(Ss)
    zero, at_filter, unused = numpy.zeros(H), delta_h * numpy.tanh(Ss), numpy.zeros(I)
    *groups, _ = model.init_gradients(Os[None] - Y, numpy.zeros((2, H)))
    model.back_prop_hidden_filter_gate(delta_s, at_filter, Hf_args, zero, X[0], groups[3], unused)
    model.back_prop_candidate_gate(delta_s, numpy.zeros(H), Is, C_args, zero, X[0], groups[2], unused)
    model.back_prop_input_gate(delta_s, numpy.zeros(H), Cs, I_args, zero, X[0], groups[1], unused)
    model.back_prop_forget_gate(delta_s, numpy.zeros(H), zero, F_args, zero, X[0], groups[0], unused)
    whole = model.back_propagate_through_time(X, Y)
    for ours, wanted in zip(groups, whole[:4], strict=True):
        for a, b in zip(ours, wanted, strict=True):
            numpy.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_init_gradients(rng):
    ours, twin = pair(I, 2, H, seed=1)
    delta, Hs = rng.standard_normal((4, 2)), rng.standard_normal((5, H))
    for group, wanted in zip(ours.init_gradients(delta, Hs), twin.init_gradients(delta, Hs), strict=True):
        for a, b in zip(group, wanted, strict=True):
            assert_matches(a, b)
    assert_matches(ours.compute_error_vector(delta, 2 * delta), -delta)


@pytest.mark.parametrize("gate", METHODS)
@pytest.mark.parametrize(
    ("position", "value", "error"),
    [
        (0, numpy.zeros(H + 1), ValueError),
        (0, ["a"] * H, TypeError),
        (1, numpy.zeros(H + 1), ValueError),
        (1, [0.0] * H, TypeError),
        (1, numpy.zeros(H, int), TypeError),
        (-3, numpy.zeros(I + 1), ValueError),
        (-2, (numpy.zeros((H, I)), numpy.zeros((H, H))), ValueError),
        (-2, (numpy.zeros((I, H)), numpy.zeros((H, H)), numpy.zeros(H)), ValueError),
    ],
)
def test_bad_arguments_change_nothing(rng, gate, position, value, error):
    ours, _ = pair(I, 2, H, seed=1)
    args = arguments(rng, gate)
    args[position] = value
    before = copied([numpy.asarray(args[1], float), *args[-2]])
    with pytest.raises(error, match=r"got|three"):
        getattr(ours, f"back_prop_{gate}_gate")(*args)
    for a, b in zip([args[1], *args[-2]], before, strict=True):
        numpy.testing.assert_array_equal(a, b)


def test_read_only_buffers_are_refused(rng):
    args = arguments(rng, "forget")
    args[-2][0].flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        LSTM(I, 2, H, 1).back_prop_forget_gate(*args)
