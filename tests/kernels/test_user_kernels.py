"""Kernels called from a user's own compiled code, which never comes back to Python."""

import numba
import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import nn
from fastlstm.engine.vectors import from_vectors
from fastlstm_kernels.activations import TANH
from fastlstm_kernels.pack import panels_shape
from tests.tools import processes
from tests.tools.helpers import JIT_OFF

I, H, T, BATCH = 3, 19, 5, 2  # noqa: E741
ORDER = numpy.array([1, 0, 2, 3])
"""Where f, i, c, hf stand among torch's i, f, g, o."""

compiled = pytest.mark.parametrize(("parallel", "dtype"), [(False, numpy.float32), (True, numpy.float64)])


@pytest.fixture
def layer(dtype):
    return nn.LSTM(I, H, dtype=dtype, seed=0, n_threads=1)


@pytest.fixture
def x(rng, dtype):
    return rng.standard_normal((T, BATCH, I)).astype(dtype)


def weights(layer):
    """W, U and b, and room for their panels."""
    p = layer.parameters
    bias = p["bias_ih_l0"] + p["bias_hh_l0"]
    return p["weight_ih_l0"], p["weight_hh_l0"], bias, numpy.empty(panels_shape(I, H, layer.dtype), layer.dtype)


def scratch(panels, rows):
    """Room for gates and cell states."""
    count, _, width = panels.shape
    return numpy.empty((count, rows, width), panels.dtype), numpy.zeros((count, rows, width // 4), panels.dtype)


@pytest.mark.long
@compiled
def test_an_lstm_is_packed_and_stepped_in_a_users_loop(layer, x, parallel):
    @numba.njit(nogil=True, parallel=parallel)
    def run(x, w, u, b, order, panels, z, cells, hidden, outputs):
        kernels.pack(w, u, b, order, panels, 1)
        for t in range(x.shape[0]):
            kernels.step(x[t], panels, z, cells, hidden, t % 2, 1)
            for n in numba.prange(x.shape[1]):
                for j in range(hidden.shape[2]):
                    outputs[t, n, j] = hidden[1 - t % 2, n, j]

    w, u, b, panels = weights(layer)
    z, cells = scratch(panels, BATCH)
    outputs = numpy.empty((T, BATCH, H), layer.dtype)
    run(x, w, u, b, ORDER, panels, z, cells, numpy.zeros((2, BATCH, H), layer.dtype), outputs)
    wanted, (_, c) = layer(x)
    numpy.testing.assert_array_equal(outputs, wanted)
    numpy.testing.assert_array_equal(from_vectors(cells, H), c[0])


@pytest.mark.long
@compiled
def test_an_lstm_runs_over_a_sequence_in_a_users_function(layer, x, parallel):
    @numba.njit(nogil=True, parallel=parallel)
    def run(x, w, u, b, order, panels, offsets, z, cells, hidden):
        kernels.pack(w, u, b, order, panels, 2)
        mask = numpy.zeros((0, H), hidden.dtype)
        kernels.forward(x, offsets, panels, TANH, TANH, False, mask, z, cells, hidden, hidden, 2)
        return hidden.sum()

    w, u, b, panels = weights(layer)
    z, _ = scratch(panels, T * BATCH)
    cells, hidden = scratch(panels, BATCH)[1], numpy.zeros((BATCH + T * BATCH, H), layer.dtype)
    offsets = numpy.arange(T + 1) * BATCH
    total = run(x.reshape(T * BATCH, I), w, u, b, ORDER, panels, offsets, z, cells, hidden)
    wanted, (_, c) = layer(x)
    assert total == pytest.approx(wanted.sum(), rel=1e-4)
    numpy.testing.assert_array_equal(hidden[BATCH:].reshape(T, BATCH, H), wanted)
    numpy.testing.assert_array_equal(from_vectors(cells, H), c[0])


@pytest.mark.long
@compiled
def test_many_lstms_step_in_a_users_parallel_loop(layer, x, parallel):
    """With one worker a kernel does not enter the threading layer, so that it may run inside a parallel region."""

    @numba.njit(nogil=True, parallel=parallel)
    def run(x, panels, z, cells, hidden):
        for k in numba.prange(x.shape[0]):
            kernels.step(x[k], panels, z[k], cells[k], hidden[k], 0, 1)
            kernels.step(x[k], panels, z[k], cells[k], hidden[k], 1, 1)

    panels = layer.panels()
    z, cells = (numpy.stack([a] * T) for a in scratch(panels, BATCH))
    hidden = numpy.zeros((T, 2, BATCH, H), layer.dtype)
    run(x, panels, z, cells, hidden)
    for k in range(T):
        wanted, (_, c) = layer(x[[k, k]])
        numpy.testing.assert_array_equal(hidden[k, ::-1], wanted)
        numpy.testing.assert_array_equal(from_vectors(cells[k], H), c[0])


def test_panels_are_a_copy_of_the_weights_as_pack_lays_them_out(rng):
    layer = nn.LSTM(I, H, seed=0, n_threads=1)
    w, u, b, panels = weights(layer)
    kernels.pack(w, u, b, ORDER, panels, 1)
    found = layer.panels()
    numpy.testing.assert_array_equal(found, panels, strict=True)
    layer.parameters.flat[:] = 0
    layer(numpy.zeros((1, 1, I)))
    numpy.testing.assert_array_equal(found, panels)


CACHED = """
import numba, numpy
import fastlstm_kernels as kernels
from fastlstm import nn
from fastlstm_kernels.activations import TANH

@numba.njit(nogil=True, cache=True)
def stepped(x, panels, z, cells, hidden):
    for t in range(len(x)):
        kernels.step(x[t], panels, z, cells, hidden, t % 2, 1)

@numba.njit(nogil=True, cache=True)
def at_once(x, offsets, panels, z, cells, hidden, workers):
    mask = numpy.zeros((0, hidden.shape[1]), hidden.dtype)
    kernels.forward(x, offsets, panels, TANH, TANH, False, mask, z, cells, hidden, hidden, workers)

layer, x = nn.LSTM(3, 19, seed=0), numpy.ones((4, 2, 3), numpy.float32)
panels, wanted = layer.panels(), layer(x)[0]
count, _, width = panels.shape
z, cells = numpy.empty((count, 8, width), "f"), numpy.zeros((3, count, 2, width // 4), "f")
two, all_ = numpy.zeros((2, 2, 19), "f"), numpy.zeros((2, 10, 19), "f")
stepped(x, panels, z[:, :2].copy(), cells[0], two)
for workers in (1, 2):
    at_once(x.reshape(8, 3), numpy.arange(5) * 2, panels, z, cells[workers], all_[workers - 1], workers)
print((two[0] == wanted[-1]).all(), *((h[2:].reshape(4, 2, 19) == wanted).all() for h in all_))
print(*(sum(f.stats.cache_hits.values()) for f in (stepped, at_once)))
"""


@pytest.mark.process
@pytest.mark.skipif(JIT_OFF, reason="nothing is compiled")
def test_a_users_compiled_function_is_kept_on_disk(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(CACHED, "utf-8")
    assert [processes.run(script).split() for _ in range(2)] == [["True"] * 3 + ["0"] * 2, ["True"] * 3 + ["1"] * 2]


def test_each_layer_and_direction_of_a_stack_has_panels_of_its_own():
    layer, found = nn.LSTM(I, H, 2, bidirectional=True, seed=0), []
    for k in range(2):
        for reverse in (False, True):
            end = f"l{k}_reverse" if reverse else f"l{k}"
            one = nn.LSTM(layer.parameters[f"weight_ih_{end}"].shape[1], H)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                one.parameters[f"{name}_l0"][...] = layer.parameters[f"{name}_{end}"]
            found.append(layer.panels(k, reverse))
            numpy.testing.assert_array_equal(found[-1], one.panels(), strict=True)
    assert len({panels.tobytes() for panels in found}) == 4


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "message"),
    [
        ({}, (1,), ValueError, "layer must be below num_layers, 1, got 1"),
        ({}, (-1,), ValueError, "layer must be at least 0, got -1"),
        ({}, (0.5,), TypeError, "layer must be an integer, got 0.5"),
        ({}, (0, True), ValueError, "reverse must be False, as the layer has one direction"),
        ({"proj_size": 2}, (), ValueError, "panels are those of a layer without a projection, got one of proj_size 2"),
    ],
)
def test_panels_that_there_are_not(kind, arguments, error, message):
    with pytest.raises(error, match=message):
        nn.LSTM(I, H, **kind).panels(*arguments)
