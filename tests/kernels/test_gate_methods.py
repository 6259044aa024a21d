"""Single gates by themselves, against the oracle's formulas."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import oracle
from fastlstm.engine.vectors import from_vectors
from fastlstm_kernels.gate_methods import CANDIDATE, FORGET, HIDDEN_FILTER, INPUT
from fastlstm_kernels.pack import blocks
from fastlstm_kernels.simd import lanes
from tests.tools.helpers import assert_matches, by_row
from tests.tools.loops import CODES, both, nothing


@both
@pytest.mark.parametrize("n", [1, 5, 37])
@pytest.mark.parametrize("code", [name for name in CODES if name != "softmax"])
def test_the_delta_of_each_gate(rng, dtype, n, code):
    a, b, argument = rng.standard_normal((3, n)).astype(dtype)
    slope = getattr(oracle.activations, code + "_prime")(argument.astype(float))
    by_sigmoid = oracle.activations.sigmoid_prime(argument.astype(float))
    for gate, wanted in [
        (FORGET, a * b * by_sigmoid), (INPUT, a * b * by_sigmoid), (CANDIDATE, a * b * slope),
        (HIDDEN_FILTER, a * by_sigmoid),
    ]:  # fmt: skip
        delta = nothing(n, dtype)
        kernels.gate_delta(gate, CODES[code], a, b, argument, delta)
        assert_matches(delta, wanted, dtype)


@both
@pytest.mark.parametrize("carry", [True, False])
def test_a_gates_gradients_are_added(rng, dtype, carry):
    delta, h, x, u = (rng.standard_normal(shape).astype(dtype) for shape in (4, 4, 3, (4, 4)))
    before = [rng.standard_normal(shape).astype(dtype) for shape in ((4, 3), (4, 4), 4, 4)]
    after = [a.copy() for a in before]
    kernels.add_gate_gradients(delta, h, x, u, *after, carry)
    added = numpy.outer(delta, x), numpy.outer(delta, h), delta, delta @ u if carry else 0
    for found, start, more in zip(after, before, added, strict=True):
        assert_matches(found, start.astype(float) + more, dtype)


@both
@pytest.mark.parametrize("gate", [FORGET, INPUT, CANDIDATE, HIDDEN_FILTER])
def test_a_gates_step_is_its_delta_and_its_gradients(rng, dtype, gate):
    a, b, argument, h = rng.standard_normal((4, 4)).astype(dtype)
    x, u = (rng.standard_normal(shape).astype(dtype) for shape in (3, (4, 4)))
    apart = [rng.standard_normal(shape).astype(dtype) for shape in ((4, 3), (4, 4), 4, 4)]
    together, delta = [array.copy() for array in apart], nothing(4, dtype)
    kernels.gate_delta(gate, CODES["tanh"], a, b, argument, delta)
    kernels.add_gate_gradients(delta, h, x, u, *apart, True)
    kernels.gate_step(gate, CODES["tanh"], True, a, b, argument, h, x, u, *together)
    for found, wanted in zip(together, apart, strict=True):
        numpy.testing.assert_array_equal(found, wanted)


@both
def test_a_gates_step_may_take_its_gradient_from_what_it_changes(rng, dtype):
    a, argument, h = rng.standard_normal((3, 4)).astype(dtype)
    x, u = (rng.standard_normal(shape).astype(dtype) for shape in (3, (4, 4)))
    sums = [numpy.zeros(shape, dtype) for shape in ((4, 3), (4, 4), 4)]
    one, other = ([array.copy() for array in (*sums, a)] for _ in range(2))
    kernels.gate_step(HIDDEN_FILTER, CODES["tanh"], True, a, a, argument, h, x, u, *one)
    kernels.gate_step(HIDDEN_FILTER, CODES["tanh"], True, other[3], a, argument, h, x, u, *other)
    for found, wanted in zip(other, one, strict=True):
        numpy.testing.assert_array_equal(found, wanted)


@both
@pytest.mark.parametrize("size", [1, 8, 19])
def test_rows_of_a_run(rng, dtype, size):
    vector, rows, batch = lanes(dtype), 5, 2
    count = blocks(size, dtype)
    z, gates = rng.standard_normal((2, count, rows, 4 * vector)).astype(dtype)
    cells = rng.standard_normal((count, batch + rows, vector)).astype(dtype)
    hidden = rng.standard_normal((batch + rows, size)).astype(dtype)
    found = nothing((10, rows, size), dtype)
    kernels.run_rows(z, gates, cells, hidden, found)
    wanted = [part[:, g * size : (g + 1) * size] for g in range(4) for part in (by_row(z, size), by_row(gates, size))]
    numpy.testing.assert_array_equal(found[:8], wanted)
    numpy.testing.assert_array_equal(found[8], hidden[batch:])
    numpy.testing.assert_array_equal(found[9], from_vectors(cells[:, batch:], size))
