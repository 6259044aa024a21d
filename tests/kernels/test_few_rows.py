"""A dense layer on a few rows, with the weights as they are: bit for bit what it does to them among many."""

import numba
import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm_kernels.activations import TANH
from fastlstm_kernels.dense import FEW_ROWS, dense_scratch
from fastlstm_kernels.few_rows import add_products
from fastlstm_kernels.simd import Place
from fastlstm_kernels.tile import Rows
from tests.tools.helpers import JIT_OFF
from tests.tools.loops import both

MANY = FEW_ROWS + 3


def forward(x, w, b):
    args, out = numpy.full((2, len(x), len(w)), numpy.nan, x.dtype)
    kernels.dense_forward(x, w, b, TANH, args, out, numpy.empty((2, dense_scratch(x.dtype)), x.dtype), 2)
    return args, out


def backward(delta, x, w, start):
    d_w, d_b, d_x = start[0].copy(), start[1].copy(), numpy.full_like(x, numpy.nan)
    scratch = numpy.empty((2, dense_scratch(x.dtype)), x.dtype)
    kernels.dense_backward(delta, x, w, d_w, d_b, d_x, scratch, 2)
    return d_w, d_b, d_x


@both
@pytest.mark.parametrize("rows", [1, 2, FEW_ROWS])
@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [(3, 9), (17, 2)] if JIT_OFF else [(1, 1), (3, 9), (8, 16), (17, 2), (16, 64), (64, 65), (259, 40), (5, 131)],
)
def test_bit_for_bit(rng, dtype, rows, inputs, outputs):
    w, b = rng.standard_normal((outputs, inputs)).astype(dtype), rng.standard_normal(outputs).astype(dtype)
    x, delta = (rng.standard_normal((MANY, n)).astype(dtype) for n in (inputs, outputs))
    for few, many in zip(forward(x[:rows], w, b), forward(x, w, b), strict=True):
        numpy.testing.assert_array_equal(few, many[:rows])
    delta[rows:] = 0  # rows that add nothing
    start = rng.standard_normal(w.shape).astype(dtype), rng.standard_normal(outputs).astype(dtype)
    few, many = backward(delta[:rows], x[:rows], w, start), backward(delta, x, w, start)
    for one, other in zip(few[:2], many[:2], strict=True):
        numpy.testing.assert_array_equal(one, other)
    numpy.testing.assert_array_equal(few[2], many[2][:rows])
    numpy.testing.assert_allclose(few[0] - start[0], delta[:rows].T @ x[:rows], rtol=1e-4, atol=1e-4)


@both
def test_a_row_that_no_error_reaches_may_hold_anything(rng, dtype):
    x, w = rng.standard_normal((3, 5)).astype(dtype), rng.standard_normal((4, 5)).astype(dtype)
    delta, start = rng.standard_normal((3, 4)).astype(dtype), (numpy.zeros_like(w), numpy.zeros(4, dtype))
    delta[1] = 0
    expected = backward(delta[::2].copy(), x[::2].copy(), w, start)
    x[1] = numpy.nan
    d_w, d_b, d_x = backward(delta, x, w, start)
    numpy.testing.assert_array_equal(d_w, expected[0])
    numpy.testing.assert_array_equal(d_b, expected[1])
    numpy.testing.assert_array_equal(d_x[::2], expected[2])
    assert (d_x[1] == 0).all()


@numba.njit
def products(rows, w, x, z):
    depth, width = w.shape[1], z.shape[1]
    one, other = Rows(Place(w, 0), depth), Rows(Place(x, 0), depth)
    add_products(rows, 1, depth, one, depth, other, Rows(Place(z, 0), width), 1, 2)


@both
@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_no_other_rows_are_touched(rng, dtype, rows):
    """A step of padding alone has none."""
    w, x = rng.standard_normal((2, 11)).astype(dtype), rng.standard_normal((6, 11)).astype(dtype)
    before = rng.standard_normal((6, 32)).astype(dtype)
    z = before.copy()
    products(rows, w, x, z)
    before[:rows, :2] += x[:rows] @ w.T
    numpy.testing.assert_allclose(z, before, rtol=1e-4 if dtype == numpy.float32 else 1e-12, atol=1e-5)
    numpy.testing.assert_array_equal(z[rows:], before[rows:])
    numpy.testing.assert_array_equal(z[:, 2:], before[:, 2:])
