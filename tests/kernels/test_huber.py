"""Huber's loss, its kernels called as they are: against the oracle, and elements without a target."""

from typing import Any

import numpy
from hypothesis import given
from hypothesis import strategies as st

import fastlstm_kernels as kernels
from fastlstm.oracle.losses import huber
from fastlstm_kernels.loss import SCRATCH, piece_sums
from tests.tools.helpers import assert_matches, dtypes

shapes = st.tuples(st.sampled_from([0, 1, 5, 13, 300]), st.sampled_from([1, 2, 3, 8, 17]))
deltas = st.sampled_from([0.5, 1.0, numpy.inf])
workers = st.sampled_from([1, 3])


def drawn(shape: Any, dtype: Any) -> tuple[Any, Any, Any]:
    """Outputs, targets, and a generator for more."""
    rng = numpy.random.default_rng(shape)
    outputs, targets = rng.standard_normal((2, *shape)).astype(dtype)
    return outputs, targets, rng


def tolerance(dtype: Any) -> float:
    return 1e-5 if dtype == numpy.float32 else 1e-12


@given(shapes, deltas, dtypes, workers, st.booleans())
def test_rows_or_elements_that_have_a_target(shape, delta, dtype, workers, by_row):
    outputs, targets, rng = drawn(shape, dtype)
    mask = rng.random(shape[:1] if by_row else shape) < 0.7
    group = shape[1] if by_row else 1
    value, slopes = huber(outputs, targets, mask, delta)
    rows = numpy.count_nonzero(mask if by_row else mask.any(axis=1))  # which the oracle's mean is taken of
    outputs[~mask] = numpy.nan
    sums = numpy.full(piece_sums(mask.size, group), numpy.nan)
    gradient = numpy.full(outputs.size, numpy.nan, dtype)
    scratch = numpy.empty((workers, SCRATCH), dtype)
    kernels.huber_loss(
        outputs.ravel(), targets.ravel(), mask.ravel(), group, delta, 2.0, scratch, sums, gradient, workers
    )
    numpy.testing.assert_allclose(sums.sum(), value * rows if rows else 0, rtol=tolerance(dtype), atol=1e-12)
    assert_matches(gradient.reshape(shape), 2 * slopes * rows, dtype)


@given(shapes, deltas, dtypes, workers, st.booleans())
def test_weights_of_elements_or_rows(shape, delta, dtype, workers, by_row):
    outputs, targets, rng = drawn(shape, dtype)
    weights = rng.uniform(0.5, 2, (shape[0], 1) if by_row else shape)
    features = numpy.where(rng.random(shape[1]) < 0.3, 0, rng.uniform(0.5, 2, shape[1]))
    value, slopes = huber(outputs, targets, None, delta, features, weights)
    total = numpy.where(features > 0, weights, 0).max(axis=1).sum()  # which the oracle's mean is divided by
    targets[:, features == 0] = numpy.nan
    sums, gradient = numpy.full(shape[0], numpy.nan), numpy.full_like(outputs, numpy.nan)
    kernels.weighted_huber_loss(outputs, targets, weights, features, delta, sums, gradient, workers)
    numpy.testing.assert_allclose(sums.sum(), value * total if total else 0, rtol=tolerance(dtype), atol=1e-12)
    assert_matches(gradient, slopes * total, dtype)
