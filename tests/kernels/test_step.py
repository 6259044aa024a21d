"""One time step by itself, against the oracle."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import oracle
from fastlstm.engine.vectors import from_vectors, into_vectors
from fastlstm_kernels.pack import panels_shape
from fastlstm_kernels.simd import lanes
from tests.tools.helpers import JIT_OFF, assert_matches

INPUTS, ORDER = 4, numpy.array([1, 0, 2, 3])


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("size", [1, 9] if JIT_OFF else [1, 16, 25, 29, 37, 129])
@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("now", [0, 1])
def test_a_step_from_any_state(rng, dtype, size, batch, workers, now):
    kind = numpy.dtype(dtype)
    w, u = (rng.standard_normal((4 * size, n)).astype(kind) / 3 for n in (INPUTS, size))
    b, x = rng.standard_normal(4 * size).astype(kind), rng.standard_normal((batch, INPUTS)).astype(kind)
    h, c = (rng.standard_normal((batch, size)).astype(kind) for _ in range(2))
    panels = numpy.full(panels_shape(INPUTS, size, kind), numpy.nan, kind)
    kernels.pack(w, u, b, ORDER, panels, workers)
    cells, hidden = into_vectors(c, lanes(kind)), numpy.full((2, batch, size), numpy.nan, kind)
    hidden[now] = h
    z = numpy.full((len(panels), batch, panels.shape[2]), numpy.nan, kind)
    kernels.step(x, panels, z, cells, hidden, now, workers)
    gates = (x @ w.T.astype(float) + h @ u.T.astype(float) + b).reshape(batch, 4, size)
    i, f, o = (oracle.activations.sigmoid(gates[:, k]) for k in (0, 1, 3))
    wanted = f * c + i * numpy.tanh(gates[:, 2])
    assert_matches(from_vectors(cells, size), wanted, kind)
    assert_matches(hidden[1 - now], o * numpy.tanh(wanted), kind)
    numpy.testing.assert_array_equal(hidden[now], h)
