"""The products that end a way back: gradients of weights and inputs of chunks of steps, by themselves."""

from typing import Any

import numba
import numpy
import pytest

from fastlstm.engine.vectors import into_vectors
from fastlstm_kernels.gradients import SCRATCH, products_phase
from fastlstm_kernels.pack import panels_shape, transpose, transposed_shape
from fastlstm_kernels.phases import SYNC_LINE
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.structs import Batch, Scratch
from tests.tools.helpers import by_row

T, B, I, H = 5, 2, 3, 9  # noqa: E741


@numba.njit
def products(chunk, batch, h_in, d_x, scratch, w, order):  # type: ignore[no-untyped-def]
    work = Scratch(*scratch)
    transpose(w, order, work.transposed_w, 1)
    sync = numpy.zeros((1, SYNC_LINE), numpy.int64)
    products_phase(0, 1, sync, 0, chunk, Batch(*batch), h_in, d_x, work)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("padding", [0.0, numpy.nan])
def test_chunks_add_up_to_the_products_of_all_steps(rng: numpy.random.Generator, dtype: Any, padding: float) -> None:
    kind, order = numpy.dtype(dtype), numpy.arange(4)
    x, h_in = (rng.standard_normal(shape).astype(kind) for shape in ((T * B, I), (B + T * B, H)))
    vector = lanes(kind)
    gates = [into_vectors(rng.standard_normal((T * B, H)).astype(kind), vector) for _ in range(4)]
    dz = numpy.concatenate(gates, axis=2)
    dz[:, 4], x[4] = -0.0, padding  # a row that no error reaches
    w = rng.standard_normal((4 * H, I)).astype(kind)
    transposed = numpy.empty(transposed_shape(I, H, kind), kind)
    d_panels, d_x = numpy.full(panels_shape(I, H, kind), numpy.nan, kind), numpy.full_like(x, numpy.nan)
    offsets = numpy.arange(T + 1) * B
    for begin, end in ((3, 5), (0, 3)):
        part = numpy.ascontiguousarray(dz[:, begin * B : end * B])
        scratch = numpy.full((1, SCRATCH), numpy.nan, kind)
        groups = (transposed, transposed, part, part, part, d_panels, scratch)  # the states are not looked at
        products((begin, end), (x, offsets, offsets, offsets), h_in, d_x, groups, w, order)
    rows, seen = by_row(dz, H), numpy.concatenate((numpy.ones((T * B, 1)), numpy.nan_to_num(x), h_in[: T * B]), axis=1)
    wanted = seen.T @ rows
    tolerance = 1e-5 if kind == numpy.float32 else 1e-13
    numpy.testing.assert_allclose(by_row(d_panels, H), wanted, rtol=0, atol=tolerance * abs(wanted).max())
    numpy.testing.assert_allclose(d_x, rows @ w, rtol=0, atol=tolerance * abs(rows @ w).max())
