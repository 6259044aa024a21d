"""Cross-entropy row by row, called as it is: against the oracle, and rows without a target."""

from typing import Any

import numpy
from hypothesis import given
from hypothesis import strategies as st

import fastlstm_kernels as kernels
from fastlstm.oracle.losses import cross_entropy
from fastlstm_kernels.loss import SCRATCH
from tests.tools.helpers import assert_matches, dtypes

widths = st.sampled_from([1, 2, 3, 8, 17, 37])
counts = st.sampled_from([0, 1, 5, 13])
workers = st.sampled_from([1, 3])


def results(outputs: Any, workers: int) -> tuple[Any, Any, Any]:
    """Scratch, losses and gradient, to be written."""
    gradient = numpy.full_like(outputs, numpy.nan)
    return numpy.empty((workers, SCRATCH), outputs.dtype), numpy.full(len(outputs), numpy.nan), gradient


def expected(outputs: Any, targets: Any, mask: Any, scale: Any) -> tuple[Any, Any]:
    """Loss and scaled gradient of each row, by the oracle, one by one; zero where there is no target."""
    losses, gradient = numpy.zeros(len(outputs)), numpy.zeros(outputs.shape)
    for n in numpy.flatnonzero(mask):
        losses[n], gradient[n] = cross_entropy(outputs[n], targets[n])
    return losses, gradient * scale.astype(float)[:, None]


def drawn(n: int, width: int, dtype: Any, by_row: bool) -> tuple[Any, Any, Any]:
    """Logits, a mask, and what gradients are multiplied with."""
    rng = numpy.random.default_rng(n * width)
    outputs = (4 * rng.standard_normal((n, width))).astype(dtype)
    return outputs, rng.random(n) < 0.7, rng.uniform(0.5, 2, n if by_row else 1).astype(dtype)


@given(counts, widths, dtypes, workers, st.booleans())
def test_labels(n, width, dtype, workers, by_row):
    outputs, mask, scale = drawn(n, width, dtype, by_row)
    labels = numpy.random.default_rng(width).integers(0, width, n)
    losses, gradient = expected(outputs, labels, mask, scale)
    outputs[~mask], labels[~mask] = numpy.nan, -9
    scratch, found, slopes = results(outputs, workers)
    kernels.label_cross_entropy(outputs, labels, mask, scale, scratch, found, slopes, workers)
    numpy.testing.assert_allclose(found, losses, rtol=1e-5 if dtype == numpy.float32 else 1e-12, atol=1e-15)
    assert_matches(slopes, gradient, dtype)


@given(counts, widths, dtypes, workers, st.booleans(), st.booleans())
def test_rows_of_weights(n, width, dtype, workers, by_row, weighted):
    outputs, mask, scale = drawn(n, width, dtype, by_row)
    rng = numpy.random.default_rng(width)
    targets = rng.uniform(0, 1, (n, width)).astype(dtype)
    classes = numpy.where(rng.random(width) < 0.3, 0, rng.uniform(0.5, 2, width)) if weighted else numpy.empty(0)
    products = targets * classes if weighted else targets
    losses, gradient = expected(outputs, products, mask, scale)
    outputs[~mask] = targets[~mask] = numpy.nan
    if weighted:
        targets[:, classes == 0] = numpy.nan
    scratch, found, slopes = results(outputs, workers)
    kernels.cross_entropy(outputs, targets, mask, classes, scale, scratch, found, slopes, workers)
    numpy.testing.assert_allclose(found, losses, rtol=1e-5 if dtype == numpy.float32 else 1e-11, atol=1e-14)
    assert_matches(slopes, gradient, dtype)


@given(st.sampled_from([1.0, 40.0, 100.0, 700.0]), dtypes)
def test_a_label_that_is_nearly_certain_keeps_its_digits(ahead, dtype):
    outputs = numpy.array([[ahead, 0.0, 0.0]], dtype)
    scratch, found, slopes = results(outputs, 1)
    labels, scale = numpy.array([0]), numpy.ones(1, dtype)
    kernels.label_cross_entropy(outputs, labels, numpy.ones(1, bool), scale, scratch, found, slopes, 1)
    least = 1e-35 if dtype == numpy.float32 else 1e-15  # below, float32's exponentials are denormal
    numpy.testing.assert_allclose(found, numpy.log1p(2 * numpy.exp(-ahead)), rtol=1e-5, atol=least)
