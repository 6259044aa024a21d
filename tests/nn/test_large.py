"""Layers against the oracle where a panel of weights is cut along the common dimension, and rows into pieces."""

import numpy
import pytest

from fastlstm_kernels import tile
from tests.tools.helpers import JIT_OFF, assert_matches, flatten, one_hot, pair
from tests.tools.stacks import Case, by_oracle, close, gradients_match, masks, run

both = pytest.mark.parametrize("dtype", ["float32", "float64"])
# A unit more than 4 panels' vectors are cut at; two panels of recurrent weights and a unit; in several ways at once.
units = pytest.mark.parametrize("size", [17] if JIT_OFF else [65, 129, 200])
INPUTS = 9 if JIT_OFF else 70
BATCH, STEPS = (5, 3) if JIT_OFF else (23, 6)


@pytest.fixture(autouse=True)
def small_work_is_shared_and_cut_too(monkeypatch):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    if JIT_OFF:
        monkeypatch.setattr(tile, "CHUNK", 2 * tile.ROWS)
        monkeypatch.setattr(tile, "PANEL_BYTES", tile.PANEL_BYTES // 16)


@both
@units
def test_a_model_runs_as_the_oracle_does(rng, size, dtype):
    ours, twin = pair(INPUTS, 67, size, 0, dtype=numpy.dtype(dtype), n_threads=2)
    X = rng.standard_normal((STEPS, INPUTS)).astype(dtype)
    for a, b in zip(ours.feed_forward_and_cache(X), twin.feed_forward_and_cache(X), strict=True):
        assert_matches(a, b, dtype)
    assert_matches(ours.feed_forward(X), twin.feed_forward(X), dtype)


@pytest.mark.long
@both
@units
@pytest.mark.parametrize("gradient", ["exact", "reference"])
@pytest.mark.parametrize("window", [(None, 1), (0, 1), (2, 1), (1, 2)], ids=str)
@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_models_gradients_are_the_oracles(rng, size, dtype, gradient, window, n_threads):
    ours, twin = pair(
        INPUTS, 67, size, 0, bptt_truncate=window[0], bptt_stride=window[1], gradient=gradient,
        dtype=numpy.dtype(dtype), n_threads=n_threads,
    )  # fmt: skip
    X, Y = rng.standard_normal((STEPS, INPUTS)).astype(dtype), one_hot(rng, STEPS, 67)
    found, wanted = ours.back_propagate_through_time(X, Y), twin.back_propagate_through_time(X, Y)
    for a, b in zip(flatten(found), flatten(wanted), strict=True):
        assert_matches(a, b, dtype)


def layer_and_data(size, dtype, options=None, **shape):
    """A layer, and a ragged batch for it."""
    wide = {"layers": 1, "bidirectional": False, "projection": 0} | shape
    case = Case(
        3, dtype, INPUTS, size, bias=True, batch_first=False, steps=STEPS, batch=BATCH, lengths=None, state=True,
        d_state=True, **wide,
    )  # fmt: skip
    x, state, dy, d_state = case.given()
    lengths = numpy.random.default_rng(4).integers(0, STEPS, BATCH, endpoint=True)
    return case.layer(**options or {}), x, state, lengths, dy, d_state


# The models above are of either dtype at every size; the oracle's gradients of a stack take it seconds.
@pytest.mark.parametrize(("shape", "dtype"), [
    ({"size": 9, "bidirectional": True}, "float32"), ({"size": 17, "layers": 2}, "float64"),
    ({"size": 9, "projection": 5}, "float32"), ({"size": 9, "projection": 5}, "float64"),
] if JIT_OFF else [
    ({"size": 65, "layers": 2, "bidirectional": True}, "float64"), ({"size": 129, "bidirectional": True}, "float32"),
    ({"size": 200, "layers": 2}, "float64"), ({"size": 129, "projection": 66}, "float32"),
    ({"size": 129, "projection": 66}, "float64"),
], ids=str)  # fmt: skip
@pytest.mark.long
def test_a_layer_and_its_gradients_are_the_oracles(shape, dtype):
    layer, x, state, lengths, *_ = given = layer_and_data(dtype=dtype, **shape)
    wanted = by_oracle(layer, x, state, lengths)
    layer.n_threads = 1
    found = run(*given)
    for name, value in wanted.items():
        close(found[name], value, dtype, name)
    gradients_match(found, *given)
    for layer.n_threads in (2, 8):  # the first share units, the last sequences
        for name, value in run(*given).items():
            numpy.testing.assert_array_equal(value, found[name], name)


@pytest.mark.long
@both
@pytest.mark.parametrize("n_threads", [1, 8])
def test_gradients_of_layers_that_drop_states_are_the_oracles(dtype, n_threads):
    rates = {"dropout": 0.3, "recurrent_dropout": 0.4, "n_threads": n_threads}
    layer, x, state, lengths, *_ = given = layer_and_data(9 if JIT_OFF else 129, dtype, rates, layers=2)
    before = layer.generator.bit_generator.state
    found = run(*given)
    layer.generator.bit_generator.state = before
    gradients_match(found, *given, **masks(layer.forward(x, state, lengths)[2]))
