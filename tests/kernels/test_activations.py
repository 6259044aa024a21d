"""Accuracy of exp, sigmoid and tanh on a sample; ``python -m tests.tools.accuracy`` measures them thoroughly."""

import numba
import numpy
import pytest

from fastlstm_kernels import activations
from fastlstm_kernels.simd import FUSED, Simulator
from tests.tools.accuracy import LARGEST_BITS, NAMES, Record, exact, falls, kernel, numbered, place, sample, ulps
from tests.tools.helpers import JIT_OFF

MOST = {numpy.float32: 4, numpy.float64: 2}
COUNT = 2_000 if JIT_OFF else 1_000_000

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
each = pytest.mark.parametrize("name", NAMES)
wide = pytest.mark.skipif(numpy.finfo(numpy.longdouble).nmant < 63, reason="long double is no wider than float64 here")
fused = pytest.mark.skipif(JIT_OFF or not FUSED, reason="a multiply-add rounds twice here")
judged = pytest.mark.parametrize("dtype", [numpy.float32, pytest.param(numpy.float64, marks=wide)])


@each
@judged
def test_errors_are_a_few_units_in_the_last_place(name, dtype):
    x = sample(name, dtype, COUNT)
    assert ulps(kernel(name, x), exact(name, x)).max() <= MOST[dtype]


@each
def test_errors_over_all_float32_bit_patterns_are_a_few_units_in_the_last_place(name, rng):
    x = numbered(rng.integers(-LARGEST_BITS[numpy.float32] - 1, LARGEST_BITS[numpy.float32] + 1, COUNT), numpy.float32)
    assert ulps(kernel(name, x), exact(name, x)).max() <= MOST[numpy.float32]


@both
def test_sigmoid_and_tanh_stay_in_their_ranges(dtype):
    x = sample("exp", dtype, COUNT)
    assert kernel("sigmoid", x).min() >= 0
    assert kernel("sigmoid", x).max() <= 1
    assert numpy.abs(kernel("tanh", x)).max() <= 1


@fused
@each
@both
@pytest.mark.parametrize("start", [-20.0, -4.0, -1.9444, -0.72, -0.2, -1e-6, 0.3466, 2.0, 9.01])
def test_functions_never_fall_from_a_number_to_the_next(name, dtype, start):
    x = numbered(place(dtype([start])) + numpy.arange(COUNT // 20), dtype)
    places = falls(kernel(name, x))
    assert places.size == 0, f"{places.size} times, first at {x[places[0]]!r}"


@fused
@each
@both
def test_functions_never_fall_over_their_whole_range(name, dtype):
    assert falls(kernel(name, sample(name, dtype, COUNT, seed=1))).size == 0


@both
def test_nan_infinity_and_zero(dtype):
    x = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0], dtype)
    wanted = {"exp": [numpy.nan, numpy.inf, 0, 1, 1], "sigmoid": [numpy.nan, 1, 0, 0.5, 0.5]}
    wanted["tanh"] = [numpy.nan, 1, -1, 0, 0]
    for name in NAMES:
        numpy.testing.assert_array_equal(kernel(name, x), numpy.array(wanted[name], dtype), strict=True)
    assert numpy.signbit(kernel("tanh", x)).tolist()[1:] == [False, True, False, True]


@both
def test_a_nan_stays_in_its_lane(dtype):
    x = numpy.linspace(-2, 2, 37).astype(dtype)
    bad = x.copy()
    bad[[3, 36]] = numpy.nan
    for name in NAMES:
        found = kernel(name, bad)
        assert numpy.flatnonzero(numpy.isnan(found)).tolist() == [3, 36]
        good = numpy.isfinite(bad)
        numpy.testing.assert_array_equal(found[good], kernel(name, x)[good])


@both
def test_smallest_results_are_subnormal_numbers_and_not_zero(dtype):
    least = numpy.finfo(dtype).smallest_subnormal
    x = numpy.array([numpy.log(4 * numpy.float64(least))], dtype)
    assert 3 * least <= kernel("exp", x)[0] <= 5 * least
    assert 3 * least <= kernel("sigmoid", x)[0] <= 5 * least
    numpy.testing.assert_array_equal(kernel("tanh", numpy.array([least, -least])), [least, -least])


@each
@both
def test_the_simulator_agrees_within_two_units(name, dtype):
    if dtype == numpy.float32 and not (JIT_OFF or FUSED):
        pytest.skip("the simulator rounds a multiply-add once, this host twice")
    x = sample(name, dtype, min(COUNT, 50_000))
    with numpy.errstate(all="ignore"):
        simulated = getattr(activations, name)(Simulator(dtype), x)
    finite = numpy.isfinite(simulated)
    compiled = kernel(name, x)
    numpy.testing.assert_array_equal(compiled[~finite], simulated[~finite])
    unit = numpy.spacing(numpy.abs(simulated[finite]))
    assert (numpy.abs(compiled[finite] - simulated[finite]) <= 2 * unit).all()


@both
def test_relu_keeps_nan(dtype):
    x = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0, 2.5, -2.5], dtype)
    numpy.testing.assert_array_equal(_activated(activations.RELU, x), [numpy.nan, numpy.inf, 0, 0, 0, 2.5, 0])
    numpy.testing.assert_array_equal(_activated(activations.IDENTITY, x), x)


def _activated(code, x):
    found = numpy.empty_like(x)
    activated(code, x, found)
    return found


@numba.njit
def activated(code, x, out):
    activations.activate(code, x.shape[0], x, 0, out, 0)


@numba.njit
def multiplied_by_slopes(code, values, out):
    activations.times_slope(code, out.shape[0], values, 0, out, 0)


@numba.njit
def softmaxes(n, x, out):
    for k in range(x.shape[0]):
        activations.softmax(n, x, k * n, out, k * n)


@both
def test_slopes_are_formed_from_values(dtype, rng):
    values = rng.uniform(-1, 1, 37).astype(dtype)
    wanted = {
        activations.TANH: 1 - values * values, activations.SIGMOID: values * (1 - values),
        activations.SOFTMAX: values * (1 - values), activations.RELU: values > 0, activations.IDENTITY: values * 0 + 1,
    }
    for code, slopes in wanted.items():
        found = numpy.full(37, 3, dtype)
        multiplied_by_slopes(code, values, found)
        numpy.testing.assert_allclose(found, dtype(3) * slopes, rtol=4 * numpy.finfo(dtype).eps)


@both
def test_softmax(dtype, rng):
    x = rng.standard_normal((3, 37)).astype(dtype)
    x[1] *= 1000
    found, wanted = numpy.empty_like(x), numpy.exp(x - x.max(axis=1, keepdims=True), dtype=numpy.float64)
    softmaxes(37, x, found)
    wanted /= wanted.sum(axis=1, keepdims=True)
    numpy.testing.assert_allclose(found, wanted, rtol=100 * numpy.finfo(dtype).eps, atol=numpy.finfo(dtype).tiny)


@both
def test_softmax_of_a_row_with_a_nan_is_nan_alone(dtype):
    x = numpy.array([[1, 2, 3], [1, numpy.nan, 3], [numpy.nan, 2, 3]], dtype)
    found = numpy.empty_like(x)
    softmaxes(3, x, found)
    assert numpy.isnan(found).all(axis=1).tolist() == [False, True, True]
    assert found[0].sum() == pytest.approx(1)


@wide
@pytest.mark.skipif(JIT_OFF, reason="takes in thousands of numbers at a time")
def test_the_thorough_measurement_sees_what_it_should(monkeypatch):
    """A function that is wrong, out of range and falling at one argument only."""
    x, honest = sample("tanh", numpy.float64, 10_000), kernel
    worst = x[5000]
    monkeypatch.setattr("tests.tools.accuracy.kernel", lambda name, x: honest(name, x) - numpy.where(x == worst, 3, 0))
    record = Record("tanh")
    record.see(x[:5000])
    record.see(x[5000:])
    assert record.where == worst
    assert record.most > 1e10
    assert record.lowest < -1
    assert record.fallen == 1
    assert record.fall_where == (x[4999], worst)
