"""Loops along rows, of any number of columns, at any place in an array."""

import numba
import numpy
import pytest

from fastlstm_kernels.rows import copy_rows, fold_row, times_rows
from fastlstm_kernels.simd import Backend, Int, Pointer, operation

WIDE, AT = 50, 3
columns = pytest.mark.parametrize("columns", [0, 1, 3, 15, 16, 17, 33, 40])
both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])


@numba.njit
def copied(rows, columns, a, out):
    copy_rows(rows, columns, a, AT, a.shape[1], out, AT, out.shape[1])


@numba.njit
def multiplied(rows, columns, a, b, out):
    times_rows(rows, columns, a, AT, a.shape[1], b, AT, b.shape[1], out, AT, out.shape[1])


@operation
def _sum(v: Backend, n: Int, a: Pointer, sums: Pointer) -> None:
    v.store(sums, fold_row(v, n, v.fill(0.0), [a], lambda total, offset, mask, x: total + x))


@numba.njit
def summed(n, a, sums):
    _sum(n, a, AT, sums, 0)


@both
@columns
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_columns_beside_those_asked_for_stay_as_they_are(rng, dtype, columns, rows):
    a, b = rng.standard_normal((2, 5, WIDE)).astype(dtype)
    place = slice(0, rows), slice(AT, AT + columns)
    for run, given, value in ((copied, [a], a), (multiplied, [a, b], a * b)):
        out = numpy.full_like(a, 7)
        run(rows, columns, *given, out)
        wanted = numpy.full_like(a, 7)
        wanted[place] = value[place]
        numpy.testing.assert_array_equal(out, wanted)


@both
@columns
def test_a_fold_sees_each_element_once_and_nothing_behind_them(rng, dtype, columns):
    a, sums = numpy.full(WIDE + AT, numpy.nan, dtype), numpy.full(16, numpy.nan, dtype)
    a[AT : AT + columns] = rng.integers(-9, 9, columns)
    summed(columns, a, sums)
    assert numpy.nansum(sums) == numpy.nansum(a)
