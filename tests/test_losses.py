"""The losses of `fastlstm.train` against the oracle, PyTorch and finite differences, and what they do with input."""

import re
from contextlib import nullcontext

import numpy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastlstm import oracle
from fastlstm.oracle import losses as plain
from fastlstm.train import CrossEntropy, Huber, SquaredError, losses
from tests.helpers import JIT_OFF, dtypes, sizes

DELTA = 0.7
KINDS = {
    "squared error": (SquaredError(), plain.squared_error),
    "Huber": (Huber(DELTA), lambda outputs, targets, mask: plain.huber(outputs, targets, mask, DELTA)),
    "labels": (CrossEntropy(), plain.cross_entropy),
    "rows": (CrossEntropy(), plain.cross_entropy),
}
BY_ELEMENT = ["squared error", "Huber"]
TOLERANCE = {"float64": 1e-13, "float32": 2e-6}

kinds = pytest.mark.parametrize("kind", KINDS)
both = pytest.mark.parametrize("dtype", ["float32", "float64"])


def drawn(kind, shape, dtype, seed=0):
    """Outputs of that shape, and targets."""
    rng = numpy.random.default_rng(seed)
    outputs = (2 * rng.standard_normal(shape)).astype(dtype)
    if kind == "labels":
        return outputs, rng.integers(0, shape[-1], shape[:-1])
    weights = rng.random(shape)
    targets = weights / weights.sum(axis=-1, keepdims=True) if kind == "rows" else rng.standard_normal(shape)
    return outputs, targets.astype(dtype)


def check(found, wanted, dtype):
    (value, gradient), (their_value, their_gradient) = found, wanted
    tolerance = TOLERANCE[numpy.dtype(dtype).name]
    assert type(value) is float
    assert value == pytest.approx(their_value, rel=tolerance, nan_ok=True)
    assert gradient.dtype == dtype
    assert gradient.shape == their_gradient.shape
    largest = numpy.abs(their_gradient).max(initial=0)
    numpy.testing.assert_allclose(gradient, their_gradient, rtol=0, atol=tolerance * largest)


@given(
    st.sampled_from(list(KINDS)), st.sampled_from([0, 1, 3, 8]), st.sampled_from([0, 1, 2, 7]), sizes, dtypes,
    st.sampled_from([None, "rows", "elements"]), st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip
@example("squared error", 3, 2, 2500, numpy.float32, "rows", 0.5)  # rows of more than a piece
@example("Huber", 3, 1, 2500, numpy.float64, "elements", 0.5)
@example("labels", 2, 1, 2500, numpy.float32, None, 1.0)
@example("rows", 2, 1, 2500, numpy.float32, None, 1.0)
@example("squared error", 700, 3, 1, numpy.float32, "rows", 0.9)  # more rows than a piece
def test_values_and_gradients_are_the_oracles(kind, T, batch, n, dtype, masked, share):
    loss, twin = KINDS[kind]
    outputs, targets = drawn(kind, (T, batch, n), dtype)
    elements = masked == "elements" and kind in BY_ELEMENT
    mask = numpy.random.default_rng(1).random(outputs.shape if elements else (T, batch)) < share if masked else None
    whole = outputs.astype(numpy.float64), targets if kind == "labels" else targets.astype(numpy.float64)
    check(loss(outputs, targets, mask), twin(*whole, mask), dtype)


@kinds
def test_gradients_are_those_of_finite_differences(kind):
    loss, _ = KINDS[kind]
    outputs, targets = drawn(kind, (2, 3, 5), "float64")
    mask = numpy.array([[True, False, True], [True, True, False]])
    wanted = oracle.finite_difference(lambda: loss(outputs, targets, mask)[0], outputs)
    numpy.testing.assert_allclose(loss(outputs, targets, mask)[1], wanted, rtol=0, atol=1e-9)


@kinds
@both
@pytest.mark.parametrize("n", [1, 3, 17, 37])
@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_torchs(rng, kind, dtype, n, masked):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
    outputs, targets = drawn(kind, (5, 4, n), dtype)
    mask = rng.random((5, 4)) < 0.5 if masked else None
    rows = slice(None) if mask is None else torch.from_numpy(mask)
    leaf = torch.from_numpy(outputs).double().requires_grad_()
    theirs = leaf[rows].reshape(-1, n)
    wanted = torch.from_numpy(targets)[rows]
    wanted = wanted.reshape(-1) if kind == "labels" else wanted.double().reshape(-1, n)
    if kind in ("labels", "rows"):
        value = torch.nn.functional.cross_entropy(theirs, wanted)
    elif kind == "Huber":
        value = torch.nn.functional.huber_loss(theirs, wanted, reduction="sum", delta=DELTA) / len(theirs)
    else:
        value = torch.nn.functional.mse_loss(theirs, wanted, reduction="sum") / (2 * len(theirs))
    value.backward()
    check(KINDS[kind][0](outputs, targets, mask), (value.item(), leaf.grad.numpy()), dtype)


@kinds
@both
def test_targets_behind_a_mask_do_not_matter(rng, kind, dtype):
    loss, _ = KINDS[kind]
    outputs, targets = drawn(kind, (5, 4, 3), dtype)
    masks = [rng.random(shape) < 0.5 for shape in ((5, 4), *([(5, 4, 3)] if kind in BY_ELEMENT else []))]
    for mask in masks:
        value, gradient = loss(outputs, targets, mask)
        spoilt, spoilt_outputs = targets.copy(), outputs.copy()
        spoilt[~mask] = -7 if kind == "labels" else numpy.nan
        spoilt_outputs[~mask] = numpy.nan
        other, other_gradient = loss(spoilt_outputs, spoilt, mask)
        assert other == value
        numpy.testing.assert_array_equal(other_gradient, gradient)
        assert not gradient[~mask].any()


@kinds
@both
@pytest.mark.parametrize("shape", [(5, 4, 3), (0, 4, 3), (5, 0, 3)])
def test_without_any_target_the_value_is_nan_and_the_gradient_zero(kind, dtype, shape):
    outputs, targets = drawn(kind, shape, dtype)
    value, gradient = KINDS[kind][0](outputs, targets, numpy.zeros(shape[:-1], bool))
    assert numpy.isnan(value)
    numpy.testing.assert_array_equal(gradient, numpy.zeros(shape, dtype), strict=True)


@pytest.mark.parametrize("kind", BY_ELEMENT)
def test_a_mask_of_rows_is_one_of_their_elements(rng, kind):
    loss, _ = KINDS[kind]
    outputs, targets = drawn(kind, (5, 4, 3), "float64")
    mask = rng.random((5, 4)) < 0.5
    by_element = numpy.repeat(mask[..., None], 3, axis=-1)
    check(loss(outputs, targets, by_element), loss(outputs, targets, mask), "float64")


@both
@pytest.mark.parametrize("n", [1, 3, 17])
def test_labels_are_one_hot_rows(dtype, n):
    outputs, labels = drawn("labels", (5, 4, n), dtype)
    rows = numpy.eye(n)[labels]
    check(CrossEntropy()(outputs, labels), CrossEntropy()(outputs, rows), dtype)
    for kind in (numpy.int8, numpy.uint64, ">i4"):
        assert CrossEntropy()(outputs, labels.astype(kind))[0] == CrossEntropy()(outputs, labels)[0]


@both
@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_huge_logits_do_not_overflow(dtype, scale):
    outputs = numpy.array([[scale, 0, -scale], [-scale, scale, 0], [scale, scale, scale]], dtype)
    labels = numpy.array([0, 0, 2])
    wanted = (0 + 2 * float(dtype_of(scale, dtype)) + numpy.log(3)) / 3
    gradients = numpy.array([[0, 0, 0], [-1, 1, 0], [1 / 3, 1 / 3, -2 / 3]]) / 3
    check(CrossEntropy()(outputs, labels), (wanted, gradients), dtype)
    check(CrossEntropy()(outputs, numpy.eye(3)[labels]), (wanted, gradients), dtype)


def dtype_of(number, dtype):
    return numpy.dtype(dtype).type(number)


@both
def test_a_class_ruled_out_by_its_logit(dtype):
    outputs = numpy.array([[-numpy.inf, 1.0, 1.0]], dtype)
    for targets in (numpy.array([1]), numpy.array([[0.0, 1.0, 0.0]])):
        check(CrossEntropy()(outputs, targets), (numpy.log(2), numpy.array([[0, -0.5, 0.5]])), dtype)
    for targets in (numpy.array([0]), numpy.array([[1.0, 0.0, 0.0]])):
        assert CrossEntropy()(outputs, targets)[0] == numpy.inf


@kinds
@both
def test_not_a_number_is_passed_on(kind, dtype):
    outputs, targets = drawn(kind, (5, 4, 17), dtype)
    for place in (0, 15, 16):
        spoilt = outputs.copy()
        spoilt[2, 1, place] = numpy.nan
        value, gradient = KINDS[kind][0](spoilt, targets)
        assert numpy.isnan(value)
        assert numpy.isnan(gradient[2, 1, place])
        if kind != "labels":
            spoilt = targets.copy()
            spoilt[2, 1, place] = numpy.nan
            assert numpy.isnan(KINDS[kind][0](outputs, spoilt)[0])


@pytest.mark.parametrize("kind", BY_ELEMENT)
def test_infinite_errors(kind):
    value, gradient = KINDS[kind][0](numpy.array([[numpy.inf], [-numpy.inf]]), numpy.zeros((2, 1)))
    assert value == numpy.inf
    slope = DELTA if kind == "Huber" else numpy.inf
    numpy.testing.assert_array_equal(gradient, [[slope / 2], [-slope / 2]])


def test_a_delta_beyond_float32_leaves_the_squared_error():
    outputs, targets = drawn("Huber", (5, 4, 3), "float32")
    value, gradient = Huber(1e300)(outputs, targets)
    wanted, wanted_gradient = SquaredError()(outputs, targets)
    assert value == wanted
    numpy.testing.assert_array_equal(gradient, wanted_gradient)


def test_the_sum_of_float32_losses_is_one_of_float64():
    outputs = numpy.full((30000, 1), 0.1, numpy.float32)
    wanted = 0.5 * float(outputs[0, 0]) ** 2
    # The narrower a vector, the more float32 terms has a lane; in float32 alone the sum is wrong by 7e-6 and more.
    assert SquaredError()(outputs, numpy.zeros((30000, 1)))[0] == pytest.approx(wanted, rel=1e-6)
    labels = numpy.zeros(30000 if not JIT_OFF else 300, int)
    value, _ = CrossEntropy()(numpy.zeros((len(labels), 2), numpy.float32), labels)
    assert value == pytest.approx(numpy.log(2), rel=1e-12)


@kinds
@both
@pytest.mark.parametrize("shape", [(37, 5, 3), (9, 1, 1), (3, 2, 1500)])
def test_any_number_of_workers_gives_the_same_bits(rng, monkeypatch, kind, dtype, shape):
    if JIT_OFF and shape[2] > 1000:
        shape = (3, 2, 1030)
    outputs, targets = drawn(kind, shape, dtype)
    for mask in (None, rng.random(shape[:-1]) < 0.5):
        found = []
        for workers in (1, 2, 3, 8):
            monkeypatch.setattr(losses, "borrowed", lambda *_, workers=workers: nullcontext(workers))
            found.append(KINDS[kind][0](outputs, targets, mask))
        for value, gradient in found[1:]:
            assert value == found[0][0]
            numpy.testing.assert_array_equal(gradient, found[0][1])


@kinds
@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (2, 3, 1)])
def test_any_number_of_axes(kind, shape):
    loss, twin = KINDS[kind]
    outputs, targets = drawn(kind, (*shape, 4), "float64")
    check(loss(outputs, targets), twin(outputs, numpy.asarray(targets), None), "float64")
    assert loss(outputs, targets, numpy.ones(shape, bool))[0] == loss(outputs, targets)[0]


LAYOUTS = {
    "Fortran order": numpy.asfortranarray,
    "every other element": lambda a: numpy.repeat(a, 2, axis=-1)[..., ::2],
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": lambda a: numpy.frombuffer(b"." + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "nested lists": lambda a: a.tolist(),
}


@kinds
@pytest.mark.parametrize("changed", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_gives_the_same_bits(rng, kind, changed):
    loss, _ = KINDS[kind]
    outputs, targets = drawn(kind, (5, 4, 3), "float64")
    mask = rng.random((5, 4)) < 0.5
    value, gradient = loss(outputs, targets, mask)
    other, other_gradient = loss(changed(outputs), changed(targets), changed(mask))
    assert other == value
    numpy.testing.assert_array_equal(other_gradient, gradient, strict=True)


@kinds
def test_arguments_are_not_modified_and_the_gradient_is_a_new_array(kind):
    loss, _ = KINDS[kind]
    outputs, targets = drawn(kind, (5, 4, 3), "float32")
    given = outputs.copy(), targets.copy(), numpy.ones((5, 4), bool)
    for array in given:
        array.flags.writeable = False
    _, gradient = loss(*given)
    numpy.testing.assert_array_equal(given[0], outputs)
    numpy.testing.assert_array_equal(given[1], targets)
    kept = gradient.copy()
    assert not any(numpy.shares_memory(gradient, array) for array in given)
    loss(2 * outputs, targets)
    numpy.testing.assert_array_equal(gradient, kept)


def zeros(*shape, dtype=float):
    return numpy.zeros(shape, dtype)


Y = zeros(5, 4, 3)
BAD = [
    (Huber(), (Y.astype(numpy.float16), Y), TypeError, "outputs must be of float32 or float64, got float16"),
    (Huber(), (Y.astype(int), Y), TypeError, "outputs must be of float32 or float64, got int64"),
    (Huber(), (Y + 0j, Y), TypeError, "outputs must hold real numbers, got dtype complex128"),
    (Huber(), (0.5, 0.5), ValueError, "outputs must have shape (..., n) with n at least 1, got ()"),
    (Huber(), (zeros(5, 0), zeros(5, 0)), ValueError, "with n at least 1, got (5, 0)"),
    (SquaredError(), (Y, Y[..., 0]), ValueError, "targets must have shape (5, 4, 3), got (5, 4)"),
    (SquaredError(), (Y, Y + 0j), TypeError, "targets must hold real numbers, got dtype complex128"),
    (SquaredError(), (Y, Y, Y), TypeError, "mask must be of bool, got dtype float64"),
    (SquaredError(), (Y, Y, Y[0] == 0), ValueError, "mask must have shape (5, 4) or (5, 4, 3), got (4, 3)"),
    (CrossEntropy(), (Y, Y[0]), ValueError, "labels of shape (5, 4) or rows of shape (5, 4, 3), got shape (4, 3)"),
    (CrossEntropy(), (Y, Y[..., 0]), TypeError, "must be integer labels, got dtype float64"),
    (CrossEntropy(), (Y, Y[..., 0] == 0), TypeError, "must be integer labels, got dtype bool"),
    (CrossEntropy(), (Y, zeros(5, 4, dtype=int) + 3), ValueError, "targets must be labels from 0 to 2, got 3"),
    (CrossEntropy(), (Y, zeros(5, 4, dtype=int) - 1), ValueError, "targets must be labels from 0 to 2, got -1"),
    (CrossEntropy(), (Y, zeros(5, 4, dtype="u8") - 1), ValueError, "from 0 to 2, got 18446744073709551615"),
    (CrossEntropy(), (Y, Y, Y == 0), ValueError, "mask must have shape (5, 4), got (5, 4, 3)"),
]


@pytest.mark.parametrize(("loss", "arguments", "error", "message"), BAD, ids=[message for *_, message in BAD])
def test_bad_input(loss, arguments, error, message):
    with numpy.errstate(over="ignore"), pytest.raises(error, match=re.escape(message)):
        loss(*arguments)


@pytest.mark.parametrize(
    ("delta", "error", "message"),
    [
        (0, ValueError, "delta must be positive, got 0"),
        (-1.0, ValueError, "delta must be positive, got -1.0"),
        (numpy.inf, ValueError, "delta must be finite, got inf"),
        ("1", TypeError, "delta must be a number, got '1'"),
    ],
)
def test_bad_deltas(delta, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Huber(delta)


def test_configs_and_representations():
    assert [loss.config() for loss in (SquaredError(), CrossEntropy(), Huber(2))] == [
        {"kind": "SquaredError"}, {"kind": "CrossEntropy"}, {"kind": "Huber", "delta": 2.0}
    ]  # fmt: skip
    assert [repr(loss) for loss in (SquaredError(), CrossEntropy(), Huber(2))] == [
        "SquaredError()", "CrossEntropy()", "Huber(2.0)"
    ]  # fmt: skip
