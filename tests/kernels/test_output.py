"""The error at the output goes back through its activation, against the oracle."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import oracle
from fastlstm_kernels.output import ELEMENTWISE, ERROR, JACOBIAN
from tests.tools.helpers import assert_matches
from tests.tools.loops import CODES, T, both, nothing


@both
@pytest.mark.parametrize("n", [1, 5, 37])
@pytest.mark.parametrize("name", CODES)
def test_the_error_goes_back_through_the_output(rng, dtype, n, name):
    arguments, targets = rng.standard_normal((2, T, n)).astype(dtype)
    outputs = getattr(oracle.activations, name)(arguments.astype(float)).astype(dtype)
    error = outputs.astype(float) - targets
    wanted = {
        ERROR: error, ELEMENTWISE: error * getattr(oracle.activations, name + "_prime")(arguments.astype(float)),
    }
    if name == "softmax":
        jacobian = oracle.activations.softmax_jacobian(arguments.astype(float))
        wanted = {ERROR: error, JACOBIAN: numpy.einsum("tj,tjk->tk", error, jacobian)}
    for form, value in wanted.items():
        delta = nothing((T, n), dtype)
        kernels.output_delta(form, CODES[name], outputs, targets, delta)
        assert_matches(delta, value, dtype)
