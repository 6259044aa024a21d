"""The error at the output goes back through its activation, against the oracle."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import oracle
from fastlstm.oracle.lstm import loss_of_logits
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


@both
@pytest.mark.parametrize("n", [1, 5, 37])
def test_losses_of_logits(rng, dtype, n):
    logits, targets = (30 * rng.standard_normal((2, T, n))).astype(dtype)
    losses = nothing(T, float)
    kernels.losses_of_logits(logits, targets, losses)
    assert_matches(losses, loss_of_logits(logits.astype(float), targets))


@both
def test_the_class_of_equal_targets_is_the_first_and_that_of_nan_its_own(rng, dtype):
    logits, targets = rng.standard_normal((4, 3)).astype(dtype), numpy.zeros((4, 3), dtype)
    targets[1, 1:], targets[2, 1], targets[3] = 1, numpy.nan, numpy.nan
    losses = nothing(4, float)
    kernels.losses_of_logits(logits, targets, losses)
    assert_matches(losses, loss_of_logits(logits.astype(float), targets))


@both
def test_a_logit_that_is_nan_makes_its_rows_loss_nan(dtype):
    logits, losses = numpy.zeros((2, 3), dtype), nothing(2, float)
    logits[0, 1] = numpy.nan
    kernels.losses_of_logits(logits, numpy.eye(3, dtype=dtype)[:2], losses)
    assert numpy.isnan(losses[0])
    assert losses[1] == pytest.approx(numpy.log(3))
