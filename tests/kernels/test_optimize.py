"""Steps of optimizers on flat arrays, called as they are: against the oracle, block by block, in place."""

from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastlstm_kernels as kernels
from fastlstm.oracle import optimizers as oracle
from fastlstm_kernels import optimize
from fastlstm_kernels.optimize import BLOCK, CENTRED, MOMENTUM, MOVING, NESTEROV, PLAIN
from fastlstm_kernels.simd import lanes
from tests.tools.helpers import JIT_OFF, assert_matches, dtypes

LENGTHS = [0, 1, 7, 16, 37, *([] if JIT_OFF else [BLOCK - 1, 2 * BLOCK + 5])]
RATE, DECAY, EPS, MOVE, KEEP = 0.01, 0.3, 1e-3, 0.9, 0.95
PLAINLY = numpy.inf, 1.0, DECAY
"""No clipping, but weight decay."""

workers = st.sampled_from([1, 2, 5])


def drawn(count: int, n: int, dtype: Any) -> Any:
    """Arrays of n elements, and one in the middle of NaN that must stay."""
    room = numpy.random.default_rng(n).uniform(0.1, 2, (count, n + 2)).astype(dtype)
    room[:, 0] = room[:, -1] = numpy.nan
    return room


def compared(run: Any, twin: Any, count: int, n: int, dtype: Any) -> None:
    """`run` and the oracle's `twin` on parameters, gradients, and what is kept; nothing beside them changes."""
    room = drawn(count, n, dtype)
    given = room.copy()
    ours, theirs = [row[1:-1] for row in room], [row[1:-1].astype(float) for row in given]
    run(*ours)
    twin(*theirs)
    for mine, expected in zip(ours, theirs, strict=True):
        assert_matches(mine, expected, dtype)
    assert numpy.isnan(room[:, [0, -1]]).all()
    numpy.testing.assert_array_equal(ours[1], given[1, 1:-1])


@pytest.mark.parametrize("form", [PLAIN, MOMENTUM, NESTEROV])
@given(n=st.sampled_from(LENGTHS), dtype=dtypes, workers=workers)
def test_sgd(form, n, dtype, workers):
    rates = numpy.array([*PLAINLY, -RATE, MOVE], dtype)

    def run(parameters, gradients, *momenta):
        kernels.sgd_step(form, rates, parameters, gradients, *(momenta or [gradients[:0]]), workers)

    def twin(parameters, gradients, *momenta):
        state = {"momentum_buffer": momenta[0]} if momenta else {}
        oracle.sgd(parameters, gradients, state, RATE, MOVE * (form != PLAIN), form == NESTEROV, DECAY)
        if momenta:
            momenta[0][:] = state["momentum_buffer"]

    compared(run, twin, 2 + (form != PLAIN), n, dtype)


@given(n=st.sampled_from(LENGTHS), dtype=dtypes, workers=workers, updates=st.sampled_from([0, 4]))
def test_adam(n, dtype, workers, updates):
    beta1, beta2, t = 0.8, 0.9, updates + 1
    own = optimize.AdamRates(
        -RATE / (1 - beta1**t), EPS, 1.0, beta1, 1 - beta1, beta2, 1 - beta2, (1 - beta2**t) ** -0.5
    )
    rates = numpy.array([*PLAINLY, *own], dtype)

    def twin(parameters, gradients, means, squares):
        state = {"exp_avg": means, "exp_avg_sq": squares}
        oracle.adam(parameters, gradients, state, updates, RATE, (beta1, beta2), EPS, DECAY, False)
        means[:], squares[:] = state["exp_avg"], state["exp_avg_sq"]

    compared(lambda *arrays: kernels.adam_step(rates, *arrays, workers), twin, 4, n, dtype)


@pytest.mark.parametrize("form", [0, CENTRED, MOVING, CENTRED + MOVING])
@given(n=st.sampled_from(LENGTHS), dtype=dtypes, workers=workers)
def test_rmsprop(form, n, dtype, workers):
    rates = numpy.array([*PLAINLY, *optimize.RMSpropRates(-RATE, EPS, KEEP, 1 - KEEP, MOVE)], dtype)
    names = ["grad_avg"] * bool(form & CENTRED) + ["momentum_buffer"] * bool(form & MOVING)

    def spread_out(gradients, squares, others):
        squares += 5  # more than the square of any mean
        return dict(zip(names, others, strict=True))

    def run(parameters, gradients, squares, *others):
        found = spread_out(gradients, squares, others)
        kept = [found.get(name, squares[:0]) for name in ("grad_avg", "momentum_buffer")]
        kernels.rmsprop_step(form, rates, parameters, gradients, squares, *kept, workers)

    def twin(parameters, gradients, squares, *others):
        state = {**spread_out(gradients, squares, others), "square_avg": squares}
        oracle.rmsprop(
            parameters, gradients, state, RATE, KEEP, EPS, DECAY, MOVE * bool(form & MOVING), bool(form & CENTRED)
        )
        squares[:] = state["square_avg"]
        for name, array in zip(names, others, strict=True):
            array[:] = state[name]

    compared(run, twin, 3 + len(names), n, dtype)


@given(n=st.sampled_from(LENGTHS), dtype=dtypes, workers=workers, limit=st.sampled_from([0.5, numpy.inf]))
def test_squares_of_a_gradient(n, dtype, workers, limit):
    gradients = drawn(1, n, dtype)[0, 1:-1] * numpy.resize([1, -1], n).astype(dtype)
    sums = numpy.full((-(-n // BLOCK), lanes(numpy.dtype(dtype))), numpy.nan, dtype)
    kernels.gradient_squares(numpy.array([limit], dtype), gradients, sums, workers)
    cut = numpy.clip(gradients.astype(float), -limit, limit)
    assert float(sums.sum(dtype=float)) == pytest.approx((cut**2).sum(), rel=1e-5 if dtype == numpy.float32 else 1e-13)
    one = numpy.empty_like(sums)
    kernels.gradient_squares(numpy.array([limit], dtype), gradients, one, 1)
    numpy.testing.assert_array_equal(sums, one)


def test_a_gradient_is_cut_off_then_scaled():
    parameters, gradients = numpy.zeros(3), numpy.array([5.0, -5.0, numpy.nan])
    rates = numpy.array([2.0, 0.5, 0.0, -1.0, 0.0])
    kernels.sgd_step(PLAIN, rates, parameters, gradients, parameters[:0], 1)
    numpy.testing.assert_array_equal(parameters, [-1, 1, numpy.nan])
