"""`fastlstm.nn.Dense` where its work goes piece by piece, in each dimension, against NumPy."""

import numpy
import pytest

from fastlstm import nn
from fastlstm_kernels import dense
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.tile import WIDTH
from tests.tools.helpers import JIT_OFF, assert_matches

DEPTH, BLOCK, SUMS, PANELS = (8, 24, dense.SUMS, 1) if JIT_OFF else (dense.DEPTH, dense.BLOCK, dense.SUMS, dense.PANELS)


@pytest.fixture(autouse=True)
def small_work_is_shared_and_cut_too(monkeypatch):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    if JIT_OFF:
        for name, value in {"DEPTH": DEPTH, "BLOCK": BLOCK, "PANELS": PANELS}.items():
            monkeypatch.setattr(dense, name, value)


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [
    (5, DEPTH + 1, 3), (5, 2 * DEPTH + 7, 70), (5, 3, DEPTH + 1),  # pieces of weights, forwards and back
    (3 * BLOCK + 1, 3, 5), (BLOCK + 1, DEPTH + 1, 3),  # blocks of rows, of one piece and of several
    (5, SUMS, 3), (DEPTH + 1, SUMS + dense.GROUP + 9, 3),  # sums of gradients: of inputs, of rows
    (5, 3, None), (DEPTH + 1, SUMS + 1, None),  # and of outputs
])  # fmt: skip
def test_outputs_and_gradients_are_numpys(rng, dtype, workers, rows, inputs, outputs):
    outputs = outputs or PANELS * WIDTH * lanes(dtype) + 1
    layer = nn.Dense(inputs, outputs, dtype=dtype, seed=1, n_threads=workers)
    x, dy = (rng.standard_normal((rows, width)).astype(dtype) for width in (inputs, outputs))
    layer.parameters["bias"][:] = rng.standard_normal(outputs)
    layer.gradients.flat[:] = before = rng.standard_normal(layer.gradients.flat.size).astype(dtype)
    y, _, tape = layer.forward(x)
    w = layer.parameters["weight"].astype(float)
    assert_matches(y, x.astype(float) @ w.T + layer.parameters["bias"], dtype, 1e-13)
    assert_matches(layer.backward(tape, dy)[0], dy.astype(float) @ w, dtype, 1e-13)
    sums = [(dy.T.astype(float) @ x).ravel(), dy.sum(axis=0, dtype=float)]
    assert_matches(layer.gradients.flat, before + numpy.concatenate(sums), dtype, 1e-13)
