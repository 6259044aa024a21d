"""The register tile against NumPy: products of every shape, cut in each dimension, from and to any place."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy
import pytest

from fastlstm_kernels import tile
from fastlstm_kernels.arrays import intp
from fastlstm_kernels.simd import VECTOR_BYTES, Place, lanes
from fastlstm_kernels.tile import ROWS, WIDTH, Left, Panels, Result, multiply
from tests.tools.helpers import JIT_OFF

CHUNK, DEPTH = (2 * ROWS, 8) if JIT_OFF else (tile.CHUNK, tile.PANEL_BYTES // (WIDTH * VECTOR_BYTES))
"""Rows, and steps along the common dimension, behind which a product is cut; in either dtype."""

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
begins = pytest.mark.parametrize("overwrite", [True, False], ids=["overwrite", "added"])
BEHIND = 3
"""Elements, or rows, around everything, which no product may look at or change."""


@pytest.fixture(autouse=True)
def interpreted_products_are_cut_early(monkeypatch):
    if JIT_OFF:
        monkeypatch.setattr(tile, "CHUNK", CHUNK)
        monkeypatch.setattr(tile, "PANEL_BYTES", DEPTH * WIDTH * VECTOR_BYTES)


@numba.njit
def call(a, rows, b, columns, overwrite, c):
    left, panels, result = Left(Place(*a[0]), *a[1:]), Panels(Place(*b[0]), *b[1:]), Result(Place(*c[0]), *c[1:])
    multiply(left, rows, panels, columns, intp(overwrite), result)


def surrounded(x, axes):
    """With NaN around, along the first so many axes."""
    room = [(BEHIND, BEHIND)] * axes + [(0, 0)] * (x.ndim - axes)
    return numpy.ascontiguousarray(numpy.pad(x, room, constant_values=numpy.nan))


@dataclass
class Product:
    """Arrays for a product of three panels."""

    a: Any
    b: Any
    c: Any
    inner: int
    columns: int

    def run(self, overwrite: bool, rows: tuple[int, int], panels: tuple[int, int], turned: bool = False) -> Any:
        """The result, where some rows and some panels have been computed; `turned` for a column-major `a`."""
        (first_row, last_row), outer = rows, self.a.shape[1] // self.inner
        many, width, count = len(self.a), self.b.shape[2], len(self.b)
        laid = self.a.reshape(many, outer, self.inner)
        # (row, o, k), or (o, k, row): each as far apart as it may be.
        laid = surrounded(laid.transpose(1, 2, 0) if turned else laid, 3)
        b, c = surrounded(self.b, 2), surrounded(self.c, 2)
        steps = [step // laid.itemsize for step in laid.strides]
        a_outer, a_k, a_row = steps if turned else (steps[1], steps[2], steps[0])
        a_at = BEHIND * sum(steps) + first_row * a_row
        b_panel, c_panel = b[0].size, c[0].size
        call(
            ((laid.reshape(-1), a_at), a_row, a_k, outer, a_outer, self.inner), last_row - first_row,
            ((b.reshape(-1), BEHIND * b_panel + (BEHIND + 1) * width), b_panel, *panels), self.columns, overwrite,
            ((c.reshape(-1), BEHIND * c_panel + (BEHIND + first_row) * width), width, c_panel),
        )
        place = slice(BEHIND, BEHIND + count), slice(BEHIND, BEHIND + many)
        result = c[place].copy()
        c[place] = numpy.nan
        assert numpy.isnan(c).all()
        return result


def drawn(dtype, rows, outer, inner, columns, whole=True):
    """Arrays of whole numbers, whose products no order of summation rounds, or of any."""
    rng = numpy.random.default_rng((rows, outer, inner))
    shapes = (rows, outer * inner), (3, 1 + outer * inner, WIDTH * lanes(dtype)), (3, rows, WIDTH * lanes(dtype))
    a, b, c = (rng.integers(-3, 4, s) if whole else rng.standard_normal(s) for s in shapes)
    return Product(a.astype(dtype), b.astype(dtype), c.astype(dtype), inner, columns)


def wanted(product, overwrite):
    a, b, c = (x.astype(float) for x in (product.a, product.b, product.c))
    return (b[:, :1] if overwrite else c) + a @ b[:, 1:]


def columns(dtype, vectors):
    """Of three panels, the last of which has so many vectors of any use, and of the last of these one lane."""
    return (2 * WIDTH + vectors - 1) * lanes(dtype) + 1


@both
@begins
@pytest.mark.parametrize("rows", [
    *range(1, 2 * ROWS + 2), CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + ROWS + 1, 2 * CHUNK + 1,
])  # fmt: skip
@pytest.mark.parametrize("vectors", [1, 3, 4])
def test_any_number_of_rows_and_columns(dtype, overwrite, rows, vectors):
    product = drawn(dtype, rows, 1, 5, columns(dtype, vectors))
    found, whole = product.run(overwrite, (0, rows), (0, 3)), wanted(product, overwrite)
    numpy.testing.assert_array_equal(found[:2], whole[:2])
    count = vectors * lanes(dtype)
    numpy.testing.assert_array_equal(found[2, :, :count], whole[2, :, :count])


@both
@begins
@pytest.mark.parametrize("turned", [False, True], ids=["by row", "by column"])
@pytest.mark.parametrize(("outer", "inner"), [
    (1, 1), (1, DEPTH - 1), (1, DEPTH), (1, DEPTH + 1), (1, 2 * DEPTH + 3),  # cut along the inner dimension
    (4, DEPTH // 4), (5, DEPTH // 4), (9, DEPTH // 4), (DEPTH + 1, 1), (3, DEPTH // 2 + 1),  # along the outer one
    (2, DEPTH), (2, DEPTH + 1), (3, 2 * DEPTH + 1),  # along both
])  # fmt: skip
def test_any_length_of_the_common_dimension(dtype, overwrite, turned, outer, inner):
    product = drawn(dtype, 7, outer, inner, 3 * WIDTH * lanes(dtype))
    numpy.testing.assert_array_equal(product.run(overwrite, (0, 7), (0, 3), turned), wanted(product, overwrite))


@both
@begins
@pytest.mark.parametrize("panels", [(0, 1), (1, 2), (0, 2), (2, 3), (1, 3), (1, 1)])
def test_other_panels_stay_as_they_are(dtype, overwrite, panels):
    product = drawn(dtype, CHUNK + 1, 3, DEPTH // 2 + 1, 3 * WIDTH * lanes(dtype))
    found, taken = product.run(overwrite, (0, CHUNK + 1), panels), slice(*panels)
    product.c[taken] = wanted(product, overwrite)[taken]
    numpy.testing.assert_array_equal(found, product.c)


@both
@begins
@pytest.mark.parametrize("rows", [(0, 1), (2, 9), (5, 5), (3, CHUNK + 5)])
def test_other_rows_stay_as_they_are(dtype, overwrite, rows):
    product = drawn(dtype, CHUNK + 5, 2, 3, 3 * WIDTH * lanes(dtype))
    found, taken = product.run(overwrite, rows, (0, 3)), slice(*rows)
    product.c[:, taken] = wanted(product, overwrite)[:, taken]
    numpy.testing.assert_array_equal(found, product.c)


@both
@begins
@pytest.mark.parametrize(("outer", "inner"), [(1, 2 * DEPTH + 3), (9, DEPTH // 4)])
def test_an_element_has_the_same_bits_whatever_is_computed_with_it(dtype, overwrite, outer, inner):
    """It is one sum in rising order, begun once: by rows, by panels and by single vectors."""
    rows = CHUNK + ROWS + 1
    product = drawn(dtype, rows, outer, inner, columns(dtype, 1), whole=False)
    whole, first = product.run(overwrite, (0, rows), (0, 3)), lanes(dtype)
    close = 10 * outer * inner * numpy.finfo(dtype).eps
    numpy.testing.assert_allclose(whole[:2], wanted(product, overwrite)[:2], rtol=0, atol=close)
    for cut in (1, 4, 5, CHUNK - 1):
        parts = [product.run(overwrite, of, (0, 3))[:, slice(*of)] for of in ((0, cut), (cut, rows))]
        together = numpy.concatenate(parts, axis=1)
        numpy.testing.assert_array_equal(together[:2], whole[:2])
        numpy.testing.assert_array_equal(together[2, :, :first], whole[2, :, :first])
    for p in range(3):
        count = first if p == 2 else None
        alone = product.run(overwrite, (0, rows), (p, p + 1))
        numpy.testing.assert_array_equal(alone[p, :, :count], whole[p, :, :count])
