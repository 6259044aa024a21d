"""The public kernels by themselves: their names and docstrings, and the layout of packed weights."""

import inspect

import numba
import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm_kernels.pack import add_from_panels, panels_shape, transpose, transposed_shape
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.structs import Gradients

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
shapes = pytest.mark.parametrize(("inputs", "size"), [(1, 1), (3, 5), (17, 37), (40, 16)])
ORDER = numpy.array([1, 0, 2, 3])


def python(kernel):
    return getattr(kernel, "py_func", kernel)


@pytest.mark.parametrize("name", kernels.__all__)
def test_a_kernels_docstring_names_every_argument(name):
    function = python(getattr(kernels, name))
    headings = [line.split(" : ")[0] for line in inspect.getdoc(function).splitlines() if not line.startswith(" ")]
    assert set(inspect.signature(function).parameters) <= {n for line in headings for n in line.split(", ")}


def test_every_public_kernel_is_listed():
    assert kernels.__all__ == sorted(kernels.__all__)
    found = {name for name, value in vars(kernels).items() if callable(value) and not name.startswith("_")}
    assert found == set(kernels.__all__)


@numba.njit
def transposed(matrix, order, panels, workers):
    transpose(matrix, order, panels, workers)


@numba.njit
def unpacked(panels, order, d_w, d_u, d_b, workers):
    add_from_panels(panels, order, Gradients(d_w, d_u, d_b, d_b[:0]), workers)


def weights(rng, inputs, size, dtype):
    w, u, b = (rng.standard_normal((4 * size, *rest)).astype(dtype) for rest in ((inputs,), (size,), ()))
    return w, u, b


def gates_of(array, size):
    """The rows of weights of the gates f, i, c, hf."""
    return [array[place * size : (place + 1) * size] for place in ORDER]


@both
@shapes
@pytest.mark.parametrize("workers", [1, 3])
def test_panels_hold_the_four_gates_of_the_same_units_side_by_side(rng, dtype, inputs, size, workers):
    given = weights(rng, inputs, size, dtype)
    panels, vector = numpy.full(panels_shape(inputs, size, dtype), numpy.nan, dtype), lanes(dtype)
    kernels.pack(*given, ORDER, panels, workers)
    wanted = numpy.zeros_like(panels)
    for g in range(4):
        w, u, b = (gates_of(a, size)[g] for a in given)
        for unit in range(size):
            p = unit // vector
            column = g * min(vector, size - p * vector) + unit % vector
            wanted[p, :, column] = [b[unit], *w[unit], *u[unit]]
    numpy.testing.assert_array_equal(panels, wanted)


@both
@shapes
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("gates", [3, 4])
def test_transposed_panels_hold_rows_of_the_matrix(rng, dtype, inputs, size, workers, gates):
    given, vector = weights(rng, inputs, size, dtype), lanes(dtype)
    for matrix in given[:2]:
        panels = numpy.full(transposed_shape(matrix.shape[1], size, dtype, gates), numpy.nan, dtype)
        transposed(matrix, ORDER, panels, workers)
        wanted = numpy.zeros((panels.shape[1], panels.shape[0] * panels.shape[2]), dtype)
        for g, rows in enumerate(gates_of(matrix, size)[:gates]):
            for unit in range(size):
                k = (unit // vector * gates + g) * vector + unit % vector
                wanted[1 + k, : matrix.shape[1]] = rows[unit]
        numpy.testing.assert_array_equal(numpy.concatenate(list(panels), axis=1), wanted)


@both
@shapes
@pytest.mark.parametrize("workers", [1, 3])
def test_gradients_come_back_from_panels_and_are_added(rng, dtype, inputs, size, workers):
    given, vector = weights(rng, inputs, size, dtype), lanes(dtype)
    panels = numpy.full(panels_shape(inputs, size, dtype), numpy.nan, dtype)
    for g in range(4):
        w, u, b = (gates_of(a, size)[g] for a in given)
        for unit in range(size):
            panels[unit // vector, :, g * vector + unit % vector] = [b[unit], *w[unit], *u[unit]]
    before = [rng.integers(-9, 9, a.shape).astype(dtype) for a in given]
    sums = [a.copy() for a in before]
    unpacked(panels, ORDER, *sums, workers)
    for found, start, added in zip(sums, before, given, strict=True):
        numpy.testing.assert_array_equal(found, start + added)
