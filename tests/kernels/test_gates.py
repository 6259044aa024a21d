"""One step of one vector of units by itself, both ways, against the formulas; and units that there are not."""

from typing import Any

import numba
import numpy
import pytest

from fastlstm import nn
from fastlstm.oracle.activations import sigmoid, sigmoid_prime
from fastlstm_kernels.activations import TANH
from fastlstm_kernels.gates import FACTORS, Errors, Forward, cell_backward, cell_factors, cell_forward
from fastlstm_kernels.simd import Backend, Int, Place, Pointer, lanes, operation
from tests.tools.helpers import assert_matches
from tests.tools.loops import both


@operation
def cells(v: Backend, rows: Int, units: Int, z: Pointer, s_prev: Pointer, s: Pointer, h: Pointer) -> None:
    cell_forward(v, TANH, TANH, rows, units, z, s_prev, s, h, v.lanes)


@numba.njit
def forwards(rows, units, z, s_prev, s, h):
    cells(rows, units, z, 0, s_prev, 0, s, 0, h, 0)


@numba.njit
def backwards(rows, units, gates, s_prev, s, given, delta_h, delta_s, dz):
    forward = Forward(Place(gates, 0), Place(s_prev, 0), Place(s, 0))
    errors = Errors(Place(given, 0), units, Place(delta_h, 0), Place(delta_s, 0), Place(dz, 0))
    cell_backward(TANH, TANH, rows, units, forward, errors)


@numba.njit
def common(rows, gates, s_prev, s, factors):
    cell_factors(TANH, TANH, rows, Forward(Place(gates, 0), Place(s_prev, 0), Place(s, 0)), factors, 0)


def step(z: Any, s_prev: Any) -> tuple[Any, Any, Any]:
    """Gates, cell state and hidden state of pre-activations (4, rows, lanes)."""
    f, i, c, hf = sigmoid(z[0]), sigmoid(z[1]), numpy.tanh(z[2]), sigmoid(z[3])
    s = f * s_prev + i * c
    return numpy.stack((f, i, c, hf)), s, hf * numpy.tanh(s)


def drawn(rng: numpy.random.Generator, dtype: Any, rows: int) -> tuple[Any, Any]:
    """Pre-activations (rows, 4, lanes) and cell states (rows, lanes)."""
    z = rng.standard_normal((rows, 4, lanes(dtype))).astype(dtype)
    return z, rng.standard_normal((rows, lanes(dtype))).astype(dtype)


@both
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("missing", [0, 1, 3])
def test_a_step_forwards(rng: numpy.random.Generator, dtype: Any, rows: int, missing: int) -> None:
    dtype = numpy.dtype(dtype)
    z, s_prev = drawn(rng, dtype, rows)
    units, s, h = lanes(dtype) - missing, numpy.full_like(s_prev, numpy.nan), numpy.full_like(s_prev, 7)
    gates, wanted_s, wanted_h = step(z.astype(float).transpose(1, 0, 2), s_prev.astype(float))
    z.reshape(rows, -1)[:, : 4 * units] = z[:, :, :units].reshape(rows, -1)
    forwards(rows, units, z, s_prev, s, h)
    z, gates = z[:, :, :units], gates[:, :, :units]
    s, wanted_s = s[:, :units], wanted_s[:, :units]
    assert_matches(z, gates.transpose(1, 0, 2), dtype)
    assert_matches(s, wanted_s, dtype)
    assert_matches(h[:, :units], wanted_h[:, :units], dtype)
    assert (h[:, units:] == 7).all(), "hidden states that there are not"


@both
def test_a_step_back(rng: numpy.random.Generator, dtype: Any) -> None:
    dtype, rows = numpy.dtype(dtype), 3
    z, s_prev = drawn(rng, dtype, rows)
    gates, s, _ = step(z.astype(float).transpose(1, 0, 2), s_prev.astype(float))
    given, delta_h, delta_s = (rng.standard_normal((rows, lanes(dtype))).astype(dtype) for _ in range(3))
    at_h = given.astype(float) + delta_h
    at_s = delta_s + at_h * gates[3] * (1 - numpy.tanh(s) ** 2)
    f, i, c, _ = gates
    raw = z.astype(float).transpose(1, 0, 2)
    wanted = numpy.stack((
        at_s * s_prev * sigmoid_prime(raw[0]), at_s * c * sigmoid_prime(raw[1]),
        at_s * i * (1 - numpy.tanh(raw[2]) ** 2), at_h * numpy.tanh(s) * sigmoid_prime(raw[3]),
    ))  # fmt: skip
    kept, states = numpy.ascontiguousarray(gates.transpose(1, 0, 2), dtype), s.astype(dtype)
    wide = numpy.zeros((rows, 4 * lanes(dtype)), dtype)
    wide[:, : lanes(dtype)] = delta_h
    dz, after = numpy.full((rows, 4, lanes(dtype)), numpy.nan, dtype), delta_s.copy()
    backwards(rows, lanes(dtype), kept, s_prev, states, given, wide, after, dz)
    assert_matches(dz, wanted.transpose(1, 0, 2), dtype)
    assert_matches(after, at_s * f, dtype)
    factors = numpy.full((rows, FACTORS, lanes(dtype)), numpy.nan, dtype)
    common(rows, kept, s_prev, states, factors)
    through = [at_s] * 3 + [at_h]
    for found, value, error in zip(factors.transpose(1, 0, 2), wanted, through, strict=False):
        assert_matches(found * error.astype(dtype), value, dtype, floor=1e-12)


@both
@pytest.mark.parametrize("truncate", [None, 2])
@pytest.mark.parametrize("size", [3, 19])
def test_infinite_errors_do_not_come_back_from_units_that_there_are_not(
    dtype: Any, truncate: int | None, size: int
) -> None:
    """Infinity times a weight of zero is NaN, which must stay in the lanes behind the last unit."""
    layer = nn.LSTM(2, size, dtype=dtype, seed=0)
    layer.parameters.flat[:] = abs(layer.parameters.flat)
    y, _, tape = layer.forward(numpy.ones((3, 1, 2)), (numpy.ones((1, 1, size)), numpy.ones((1, 1, size))))
    delta = numpy.zeros_like(y)
    delta[-1] = numpy.inf
    d_x, states = layer.backward(tape, delta, truncate=truncate)
    assert all((numpy.asarray(found) == numpy.inf).all() for found in (d_x, *states))
