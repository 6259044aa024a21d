"""The walk of elementwise losses, with formulas that are not Huber's: a loss is those and a class."""

from typing import Any, ClassVar

import numpy
import pytest

from fastlstm.train.elementwise import Elementwise
from fastlstm_kernels.jit import jit
from fastlstm_kernels.loss import Elements, Numbers, each_piece, each_weighted_row, sum_errors
from fastlstm_kernels.simd import Backend, Int, Pointer, operation
from fastlstm_kernels.threads import share


def _tilted(v: Backend, error: Any, quantile: Any) -> Any:
    slope = v.select(error > 0.0, 1.0 - quantile, v.select(error < 0.0, 0.0 - quantile, 0.0))
    return slope * error, slope


@jit(device=True, inline=True)
def _exactly_tilted(error, quantile):
    slope = 1 - quantile if error > 0 else -quantile
    return slope * error, slope if error != 0 else 0.0


@operation
def _pinball(v: Backend, n: Int, outputs: Pointer, targets: Pointer, gradient: Pointer, found: Pointer) -> None:
    sum_errors(v, n, outputs, targets, gradient, found, _tilted)


@jit(device=True)
def _worker(worker, workers, elements, numbers, scratch, sums):
    each_piece(worker, workers, _pinball, _exactly_tilted, elements, numbers, scratch, sums)


@jit()
def pinball_loss(outputs, targets, mask, group, quantile, scale, scratch, sums, gradient, workers):
    elements = Elements(outputs, targets, mask, group, gradient)
    share(_worker, (elements, Numbers(quantile, scale), scratch, sums), workers)


@jit(device=True)
def _weighted_worker(worker, workers, outputs, targets, weights, features, quantile, sums, gradient):
    each_weighted_row(worker, workers, _exactly_tilted, outputs, targets, weights, features, quantile, sums, gradient)


@jit()
def weighted_pinball_loss(outputs, targets, weights, features, quantile, sums, gradient, workers):
    share(_weighted_worker, (outputs, targets, weights, features, quantile, sums, gradient), workers)


class Pinball(Elementwise):
    """Errors above count 1 - quantile times, those below quantile times."""

    _kernel: ClassVar = staticmethod(pinball_loss)
    _weighted_kernel: ClassVar = staticmethod(weighted_pinball_loss)

    def __init__(self, quantile: float, weight: Any = None) -> None:
        super().__init__(weight)
        self.quantile = quantile

    def _setting(self) -> float:
        return self.quantile


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("unit", [1.0, 1e-30])
@pytest.mark.parametrize("weighted", [False, True])
def test_another_loss_is_two_formulas_and_a_class(rng, dtype, unit, weighted):
    outputs, targets = (unit * rng.standard_normal((2, 50, 7))).astype(dtype)
    targets[3, 2] = outputs[3, 2]
    mask = rng.random(50) > 0.3
    weight = numpy.where(rng.random(50) > 0.5, rng.random(50), 0) if weighted else None
    outputs[~mask] = numpy.nan
    counts = numpy.where(mask, 1.0 if weight is None else weight, 0)
    error = numpy.where(counts[:, None] > 0, outputs.astype(float) - targets, 0)
    slopes = numpy.where(error > 0, 0.7, numpy.where(error < 0, -0.3, 0)) * counts[:, None] / counts.sum()
    value, gradient = Pinball(0.3)(outputs, targets, mask, weight)
    assert value == pytest.approx((slopes * error).sum(), rel=1e-6 if dtype == "float32" else 1e-13)
    assert gradient.dtype == dtype
    numpy.testing.assert_allclose(gradient, slopes, rtol=1e-6)
