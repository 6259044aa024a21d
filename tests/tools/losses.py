"""Losses with their twins in the oracle, what they are called with, and how results are compared."""

from typing import Any

import numpy
import pytest

from fastlstm.oracle import losses as plain
from fastlstm.train import CrossEntropy, Huber, SquaredError

DELTA = 0.7
KINDS = {
    "squared error": (SquaredError(), plain.squared_error),
    "Huber": (Huber(DELTA), lambda *arrays: plain.huber(*arrays, DELTA)),
    "labels": (CrossEntropy(), plain.cross_entropy),
    "rows": (CrossEntropy(), plain.cross_entropy),
}
BY_ELEMENT = ["squared error", "Huber"]
TOLERANCE = {"float64": 1e-13, "float32": 2e-6}

kinds = pytest.mark.parametrize("kind", KINDS)
both = pytest.mark.parametrize("dtype", ["float32", "float64"])


def drawn(kind: str, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> tuple[Any, Any]:
    """Outputs of that shape, and targets."""
    rng = numpy.random.default_rng(seed)
    outputs = (2 * rng.standard_normal(shape)).astype(dtype)
    if kind == "labels":
        return outputs, rng.integers(0, shape[-1], shape[:-1])
    weights = rng.random(shape)
    targets = weights / weights.sum(axis=-1, keepdims=True) if kind == "rows" else rng.standard_normal(shape)
    return outputs, targets.astype(dtype)


def weighted(kind: str, weight: Any, **others: Any) -> tuple[Any, Any]:
    """The loss of a kind with weights of classes or outputs, and its twin, of the arguments of a call."""
    if kind == "Huber":
        return Huber(DELTA, weight), lambda y, t, mask, by: plain.huber(y, t, mask, DELTA, weight, by)
    if kind == "squared error":
        return SquaredError(weight), lambda y, t, mask, by: plain.squared_error(y, t, mask, weight, by)
    return CrossEntropy(weight, **others), lambda y, t, mask, by: plain.cross_entropy(y, t, mask, weight, by, **others)


def check(found: Any, wanted: Any, dtype: Any) -> None:
    """A value and a gradient, within the tolerance of a dtype."""
    (value, gradient), (their_value, their_gradient) = found, wanted
    tolerance = TOLERANCE[numpy.dtype(dtype).name]
    assert type(value) is float
    assert value == pytest.approx(their_value, rel=tolerance, nan_ok=True)
    assert gradient.dtype == dtype
    assert gradient.shape == their_gradient.shape
    largest = numpy.abs(their_gradient).max(initial=0)
    numpy.testing.assert_allclose(gradient, their_gradient, rtol=0, atol=tolerance * largest)
