"""Losses of numbers that are huge, tiny, infinite or none."""

import numpy
import pytest

from fastlstm.oracle import losses as plain
from fastlstm.train import CrossEntropy, Huber, SquaredError
from tests.tools.helpers import JIT_OFF
from tests.tools.losses import BY_ELEMENT, DELTA, KINDS, both, check, drawn, kinds


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


def rows_of(*errors, n=1):
    """float32 outputs (-1, n), to be compared with zeros."""
    outputs = numpy.array(errors, numpy.float32).reshape(-1, n)
    return outputs, numpy.zeros_like(outputs)


def exactly(loss, outputs, targets, *weights):
    """The float32 loss, and what it is in float64."""
    with numpy.errstate(under="ignore", over="ignore"):
        value, gradient = loss(outputs.astype(float), numpy.asarray(targets), *weights)
        return loss(outputs, targets, *weights), (value, gradient.astype(numpy.float32))


SIZES = [
    (3e19,), (1e-25, 2e-25), (3e19, 1e-25), (3e38, -3e38), (1e-18,), (1.2e-14,) * 300, (1e-21,) * 5000 + (1e-17,),
    (2e19,) * 20, (0.0, 1e-23), (0.0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize("errors", SIZES, ids=[str(errors[:3]) for errors in SIZES])
@pytest.mark.parametrize(
    "loss", [SquaredError(), Huber(0.7), Huber(1e-30), Huber(1e25), Huber(3e38), Huber(1e-42), Huber(4e38)], ids=str
)
def test_squares_that_float32_has_no_room_for_are_those_of_float64(loss, errors):
    found, wanted = exactly(loss, *rows_of(*errors))
    assert found[0] == pytest.approx(wanted[0], rel=2e-6, abs=0)
    least = float(numpy.finfo(numpy.float32).tiny)  # denormal gradients count as zero
    numpy.testing.assert_allclose(found[1], wanted[1], rtol=1e-6, atol=least)


@pytest.mark.parametrize("errors", SIZES, ids=[str(errors[:3]) for errors in SIZES])
def test_the_oracle_computes_in_float64(errors):
    outputs, targets = rows_of(*errors)
    value, gradient = plain.squared_error(outputs, targets)
    assert value == pytest.approx(SquaredError()(outputs.astype(float), targets)[0], rel=1e-12, abs=0)
    assert gradient.dtype == float
    value, _ = plain.cross_entropy(numpy.array([[-3e38, 3e38]], numpy.float32), numpy.array([0]))
    assert value == pytest.approx(6e38, rel=1e-6)


def test_errors_beyond_float32_have_gradients_within_it():
    outputs = numpy.full((4, 1), 3e38, numpy.float32)
    value, gradient = SquaredError()(outputs, -outputs)
    assert value == pytest.approx(1.8e77, rel=1e-6)
    numpy.testing.assert_allclose(gradient, numpy.full((4, 1), 1.5e38), rtol=1e-6)


@pytest.mark.parametrize("by", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("scaled", ["weight", "sample_weight"])
def test_weights_of_any_size_are_those_of_float64(by, scaled):
    outputs, targets = rows_of(1e-10, 2.0, 3e12, -1.0)
    loss = SquaredError([by]) if scaled == "weight" else SquaredError()
    weights = (None, numpy.array([1, 2, 3, 4]) * (by if scaled == "sample_weight" else 1))
    (value, gradient), wanted = exactly(loss, outputs, targets, *weights)
    assert value == pytest.approx(wanted[0], rel=1e-6)
    numpy.testing.assert_allclose(gradient, wanted[1], rtol=1e-6, atol=1.2e-38)


def test_only_the_piece_that_needs_it_is_summed_again():
    outputs = numpy.concatenate([numpy.ones(256), [1e20], numpy.ones(255), numpy.zeros(256)])[:, None]
    value, gradient = SquaredError()(outputs.astype(numpy.float32), numpy.zeros_like(outputs))
    assert value == pytest.approx(0.5e40 / 768, rel=1e-6)
    numpy.testing.assert_allclose(gradient, outputs / 768, rtol=1e-6)


LOGITS = [
    (0, 3e38), (3e38, 0), (-3e38, 3e38), (-3e38, 3e38, 1e38), (3e38, 3e38), (0, 4), (0, 5), (0, 12, -3), (0, 15, 0),
    (0, 17), (-200, 0, 1), (1e-30, 0),
]  # fmt: skip


@pytest.mark.parametrize("logits", LOGITS, ids=str)
def test_logits_that_float32_has_no_room_for_are_those_of_float64(logits):
    outputs, n = numpy.array([logits], numpy.float32), len(logits)
    rows = [*numpy.eye(n)[:2], numpy.full(n, 1 / n), numpy.full(n, 3e38)]
    for targets in ([0], [1], *(row[None].astype(numpy.float32) for row in rows)):
        found, wanted = exactly(CrossEntropy(), outputs, targets)
        assert found[0] == pytest.approx(wanted[0], rel=2e-6, abs=0)
        numpy.testing.assert_allclose(found[1], wanted[1], rtol=2e-6, atol=2e-38)


@both
def test_confident_rows_keep_the_digits_of_their_loss(dtype):
    outputs = numpy.array([[14.0, 0.0], [0.0, 14.0]], dtype)
    loss, other = numpy.log1p(numpy.exp(-14)), 1 / (1 + numpy.exp(14)) / 2
    for targets in (numpy.array([0, 1]), numpy.eye(2)):
        value, gradient = CrossEntropy()(outputs, targets)
        assert value == pytest.approx(loss, rel=1e-6)
        numpy.testing.assert_allclose(gradient, [[-other, other], [other, -other]], rtol=1e-6)


@kinds
@both
@pytest.mark.parametrize("wrong", [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize("shape", [(40, 3), (5, 4, 3), (300, 2, 1)])
def test_whatever_stands_behind_a_mask_is_not_seen(rng, kind, dtype, wrong, shape):
    outputs, targets = drawn(kind, shape, dtype)
    for mask in [rng.random(s) < 0.5 for s in (shape[:-1], *([shape] if kind in BY_ELEMENT else []))]:
        value, gradient = KINDS[kind][0](outputs, targets, mask)
        spoilt, spoilt_targets = outputs.copy(), targets.copy()
        spoilt[~mask] = wrong
        spoilt_targets[~mask] = 10**9 if kind == "labels" else wrong
        other, other_gradient = KINDS[kind][0](spoilt, spoilt_targets, mask)
        assert numpy.isfinite(value)
        assert other == value
        numpy.testing.assert_array_equal(other_gradient, gradient)
        assert not gradient[~mask].any()


@both
def test_a_row_that_expects_nothing_has_no_loss(dtype):
    outputs = numpy.array([[numpy.nan, 1.0], [0.0, 0.0]], dtype)
    value, gradient = CrossEntropy()(outputs, numpy.array([[0.0, 0.0], [1.0, 0.0]]))
    assert value == pytest.approx(numpy.log(2) / 2)  # but counts
    numpy.testing.assert_array_equal(gradient, [[0, 0], [-0.25, 0.25]])
