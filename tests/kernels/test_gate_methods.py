"""Single gates by themselves, against the oracle's formulas."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import oracle
from fastlstm_kernels.gate_methods import CANDIDATE, FORGET, HIDDEN_FILTER, INPUT
from tests.tools.helpers import assert_matches
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
