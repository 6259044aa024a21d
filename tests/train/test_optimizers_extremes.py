"""Gradients whose squares leave the range of their dtype, and settings that float32 cannot hold."""

import math
from typing import Any

import numpy
import pytest

from fastlstm.train import SGD, Adam, AdamW, RMSprop, clipping, precision
from tests.train.test_optimizers import several_blocks_and_workers, twin  # noqa: F401 (a fixture for all tests)

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
RTOL = {numpy.float32: 1e-6, numpy.float64: 1e-14}


@pytest.mark.parametrize(("dtype", "unit"), [
    (numpy.float32, 1e19), (numpy.float32, 8e37), (numpy.float32, 1e-25), (numpy.float32, 1e-19),
    (numpy.float64, 1e200), (numpy.float64, 2e307), (numpy.float64, 1e-200), (numpy.float64, 1e-320),
])
def test_the_norm_of_large_and_of_small_gradients(dtype: Any, unit: float) -> None:
    parameters, gradients = numpy.zeros(2, dtype), numpy.array([3 * unit, -4 * unit], dtype)
    norm = SGD(1.0, clip_norm=1.0).step(parameters, gradients)
    assert norm == pytest.approx(math.hypot(*gradients), rel=RTOL[dtype], abs=0)
    wanted = [-0.6, 0.8] if unit > 1 else -gradients
    # Denormal numbers may count as zero in a step.
    numpy.testing.assert_allclose(parameters, wanted, rtol=RTOL[dtype], atol=numpy.finfo(dtype).tiny)


@both
@pytest.mark.parametrize("clip_value", [None, 0.5])
def test_the_norm_of_long_gradients_of_all_magnitudes(
    rng: Any, dtype: Any, clip_value: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipping, "PIECE", 1000)
    highest = 300 if dtype == numpy.float64 else 34
    for exponent in (-highest, -highest // 2, 0, highest // 2, highest):
        unit = 10.0**exponent
        gradients = (unit * rng.standard_normal(2 * clipping.BLOCK + 37) ** 5).astype(dtype)
        gradients[0] = 0  # the largest may be negative, or in the last piece
        cut = gradients if clip_value is None else numpy.clip(gradients, -clip_value * unit, clip_value * unit)
        limit = None if clip_value is None else clip_value * unit
        norm = SGD(clip_norm=1.0, clip_value=limit).step(numpy.zeros_like(gradients), gradients)
        assert norm == pytest.approx(math.hypot(*cut.tolist()), rel=10 * RTOL[dtype], abs=0)


def test_many_squares_that_are_lost_are_missed_beside_one_that_is_not() -> None:
    gradients = numpy.full(10_000, 1e-19, numpy.float32)
    gradients[7] = 1e-17
    norm = SGD(clip_norm=1.0).step(numpy.zeros_like(gradients), gradients)
    assert norm == pytest.approx(math.hypot(*gradients.tolist()), rel=1e-6, abs=0)


@pytest.mark.parametrize(("gradients", "clip_norm", "wanted"), [
    (numpy.full(10_000, 3e38, numpy.float32), 1.0, -0.01),
    (numpy.array([3e18, -4e18], numpy.float32), 1e-21, [-6e-22, 8e-22]),
    (numpy.array([1e308, 1e308]), 1.0, -math.sqrt(0.5)),
])
def test_the_factor_may_be_too_small_for_a_kernel(gradients: Any, clip_norm: float, wanted: Any) -> None:
    parameters, given = numpy.zeros_like(gradients), gradients.copy()
    SGD(1.0, clip_norm=clip_norm).step(parameters, gradients)
    numpy.testing.assert_allclose(parameters, numpy.broadcast_to(wanted, parameters.shape), rtol=1e-6)
    numpy.testing.assert_array_equal(gradients, given)


def test_a_small_factor_comes_after_clip_value() -> None:
    parameters, gradients = numpy.zeros(3, numpy.float32), numpy.array([3e38, -3e38, numpy.inf], numpy.float32)
    norm = SGD(1.0, clip_norm=1e-3, clip_value=1e37).step(parameters, gradients)
    assert norm == pytest.approx(1e37 * math.sqrt(3))
    numpy.testing.assert_allclose(parameters, numpy.array([-1, 1, -1]) * 1e-3 / math.sqrt(3), rtol=1e-6)


@both
def test_numbers_that_are_none_stay_so_beside_large_ones(dtype: Any) -> None:
    most = numpy.finfo(dtype).max
    parameters = numpy.zeros(3, dtype)
    assert SGD(1.0, clip_norm=1.0).step(parameters, numpy.array([numpy.inf, most, 0], dtype)) == math.inf
    numpy.testing.assert_array_equal(parameters, [numpy.nan, 0, 0])
    assert math.isnan(SGD(1.0, clip_norm=1.0).step(parameters, numpy.array([numpy.nan, numpy.inf, most], dtype)))
    assert numpy.isnan(parameters).all()


@both
def test_the_norm_of_nothing_is_zero(dtype: Any) -> None:
    for size in (0, 3):
        assert SGD(clip_norm=1.0).step(numpy.ones(size, dtype), numpy.zeros(size, dtype)) == 0.0


@pytest.mark.parametrize(("kind", "settings", "parameter", "gradient"), [
    (SGD, {"learning_rate": 1e-40}, 0.0, 1e38),
    (SGD, {"learning_rate": 1e-39, "momentum": 0.9}, 0.0, 1e38),
    (SGD, {"learning_rate": 1e-3, "momentum": 1e-40, "nesterov": True}, 0.0, 1e38),
    (SGD, {"learning_rate": 1e39}, 0.0, 1e-5),
    (SGD, {"learning_rate": 1e39}, 1.0, 0.0),
    (SGD, {"learning_rate": 1.0, "weight_decay": 1e-40}, 1e38, 1e-2),
    (SGD, {"learning_rate": 1e-3, "weight_decay": 1e39}, 1e-5, 0.0),
    (Adam, {"learning_rate": 1e38}, 0.0, 1.0),
    (AdamW, {"learning_rate": 1.0, "weight_decay": 1e39}, 1e-30, 0.0),
    (AdamW, {"learning_rate": 1e39, "weight_decay": 0.0}, 1.0, 0.0),
    (Adam, {"learning_rate": 1e-3, "eps": 1e-18}, 0.0, 1e-19),
    (Adam, {"learning_rate": 1e-3, "eps": 0.0}, 0.0, 1e-20),
    (RMSprop, {"learning_rate": 1e-3, "eps": 1e-18}, 0.0, 1e-19),
    (RMSprop, {"learning_rate": 1e-3, "eps": 0.0, "momentum": 0.9}, 0.0, 1e-20),
    (RMSprop, {"learning_rate": 1e-40, "eps": 1e-8, "alpha": 0.0}, 0.0, 1.0),
    (RMSprop, {"learning_rate": 1.0, "eps": 1e39, "centered": True}, 1.0, 1e9),
])
def test_a_step_is_right_where_float32_has_no_such_numbers(
    kind: Any, settings: Any, parameter: float, gradient: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "PIECE", 2)
    optimizer, state = kind(**settings), {}
    parameters, gradients = (numpy.full(3, value, numpy.float32) for value in (parameter, gradient))
    wanted = parameters.astype(numpy.float64)
    twin(optimizer, wanted, gradients.astype(numpy.float64), state)
    optimizer.step(parameters, gradients)
    assert list(optimizer.arrays) == list(state)
    for ours, theirs in zip((parameters, *optimizer.arrays.values()), (wanted, *state.values()), strict=True):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-45)  # the smallest number of all


def test_what_is_too_large_for_float32_becomes_infinite() -> None:
    parameters = numpy.array([1e38, 0.0], numpy.float32)
    SGD(1.0, weight_decay=1e39).step(parameters, numpy.zeros_like(parameters))
    numpy.testing.assert_array_equal(parameters, [-numpy.inf, 0])
