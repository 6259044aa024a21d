"""How much memory calls take beyond what they return; NumPy tells `tracemalloc` of every array."""

import tracemalloc

import pytest

import fastlstm
from fastlstm import nn
from fastlstm.engine import workspace
from tests.tools.helpers import JIT_OFF

WORKERS = 2
SCRATCH = WORKERS << 21
"""2 MB for each."""

both = pytest.mark.parametrize("dtype", ["float32", "float64"])
compiled = pytest.mark.skipif(JIT_OFF, reason="arrays of this size take compiled kernels")


def taken(call):
    """Most bytes that a call holds at a time, its result among them, and the result."""
    workspace.workspace._rooms.clear()
    call()  # imports, compilation
    workspace.workspace._rooms.clear()
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()
        workspace.workspace._rooms.clear()


@pytest.mark.long
@compiled
@both
@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [(8, 1), (8, 2), (1, 63), (8, 64), (8, 65), (500, 1000), (100_000, 1), (1, 100_000)],
    ids=str,
)
def test_a_dense_layer_takes_its_result_and_little_more(rng, dtype, inputs, outputs):
    rows = 1 + 2_000_000 // (inputs + outputs)
    layer = nn.Dense(inputs, outputs, dtype=dtype, seed=0, n_threads=WORKERS)
    x, dy = (rng.standard_normal((rows, width)).astype(dtype) for width in (inputs, outputs))
    tape = layer.forward(x)[2]
    for call in (lambda: layer(x), lambda: layer.backward(tape, dy)):
        most, (result, _) = taken(call)
        assert most <= result.nbytes + SCRATCH


@compiled
def test_a_models_output_layer_takes_its_result_and_little_more(rng):
    model, x = fastlstm.LSTM(1, 1, 4, seed=0, n_threads=WORKERS), rng.standard_normal((100_000, 1))
    most, outputs = taken(lambda: model.feed_forward(x))
    assert most <= (4 + 1) * outputs.nbytes + SCRATCH


@pytest.mark.long
@compiled
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(
    ("shape", "hidden", "steps", "most"),
    [
        ({}, 64, 4000, 2.4),
        ({}, 32, 16000, 2.4),  # narrow ones, of which each runs at the same time as the one above it
        # Inputs in reverse order, and hidden states before they are projected, of one layer at a time.
        ({"bidirectional": True}, 64, 4000, 3.5),
        ({"proj_size": 32}, 64, 12000, 6.5),
        ({"proj_size": 32, "bidirectional": True}, 64, 6000, 8.5),
    ],
    ids=str,
)
def test_six_layers_hold_no_more_than_a_layer_and_the_one_above_it(rng, shape, hidden, steps, most, ragged):
    layer = nn.LSTM(16, hidden, 6, **shape, seed=0, n_threads=WORKERS)
    batch = 4 if hidden == 64 else 1
    x = rng.standard_normal((steps, batch, 16)).astype("float32")
    lengths = [steps, *(steps // 2 for _ in range(batch - 1))] if ragged else None
    bytes_taken, (output, _) = taken(lambda: layer(x, None, lengths))
    packed = x.nbytes + 40 * steps * batch if ragged else 0  # the inputs as rows, and where those are
    assert bytes_taken <= most * output.nbytes + packed


@compiled
def test_layers_in_turn_take_the_outputs_of_two_and_little_more(rng):
    model = nn.Sequential(*(nn.LSTM(64, 64, seed=0, n_threads=WORKERS) for _ in range(5)), nn.Dense(64, 64, seed=0))
    x = rng.standard_normal((4000, 4, 64)).astype("float32")
    most, (output, _) = taken(lambda: model(x))
    assert most <= 2.1 * output.nbytes + SCRATCH
