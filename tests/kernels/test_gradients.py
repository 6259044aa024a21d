"""Weight gradients of chunks of steps, by the kernel that forms them alone."""

from typing import Any

import numpy
import pytest

from fastlstm.engine.vectors import by_row, into_vectors
from fastlstm_kernels import pack_transposed, weight_gradients
from fastlstm_kernels.gradients import SCRATCH
from fastlstm_kernels.pack import panels_shape, transposed_shape
from fastlstm_kernels.simd import lanes

T, B, I, H = 5, 2, 3, 9  # noqa: E741


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("padding", [0.0, numpy.nan])
def test_chunks_add_up_to_the_products_of_all_steps(rng: numpy.random.Generator, dtype: Any, padding: float) -> None:
    kind, order = numpy.dtype(dtype), numpy.arange(4)
    x, fed = (rng.standard_normal(shape).astype(kind) for shape in ((T * B, I), (B + T * B, H)))
    vector = lanes(kind)
    gates = [into_vectors(rng.standard_normal((T * B, H)).astype(kind), vector) for _ in range(4)]
    dz = numpy.concatenate(gates, axis=2)
    dz[:, 4], x[4] = -0.0, padding  # a row that no error reaches
    w = rng.standard_normal((4 * H, I)).astype(kind)
    transposed = numpy.empty(transposed_shape(I, H, kind), kind)
    pack_transposed(w, order, transposed, 1)
    sums, d_x = numpy.full(panels_shape(I, H, kind), numpy.nan, kind), numpy.full_like(x, numpy.nan)
    offsets = numpy.arange(T + 1) * B
    for begin, end in ((3, 5), (0, 3)):
        part = numpy.ascontiguousarray(dz[:, begin * B : end * B])
        scratch = numpy.full((1, SCRATCH), numpy.nan, kind)
        weight_gradients(begin, end, offsets, x, fed, part, transposed, sums, d_x, scratch, 1)
    rows, seen = by_row(dz, H), numpy.concatenate((numpy.ones((T * B, 1)), numpy.nan_to_num(x), fed[: T * B]), axis=1)
    wanted = seen.T @ rows
    tolerance = 1e-5 if kind == numpy.float32 else 1e-13
    numpy.testing.assert_allclose(by_row(sums, H), wanted, rtol=0, atol=tolerance * abs(wanted).max())
    numpy.testing.assert_allclose(d_x, rows @ w, rtol=0, atol=tolerance * abs(rows @ w).max())
