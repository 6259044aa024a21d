"""The step that is made for a layer's sizes, against `step`, which the oracle vouches for."""

import numba
import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import nn
from tests.tools import processes
from tests.tools.helpers import JIT_OFF


@numba.njit
def by_step(x, panels, z, cells, hidden):
    y = numpy.empty((x.shape[0], hidden.shape[2]), x.dtype)
    for t in range(x.shape[0]):
        kernels.step(x[t : t + 1], panels, z, cells, hidden, t % 2, 1)
        y[t] = hidden[1 - t % 2, 0]
    return y


def compiled(advance):
    @numba.njit
    def run(x, panels, c, h):
        y = numpy.empty((x.shape[0], h.shape[1]), x.dtype)
        for t in range(x.shape[0]):
            advance(x[t], panels, c, h, t % 2)
            y[t] = h[1 - t % 2]
        return y

    return run


@pytest.mark.long
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize(
    ("inputs", "size"),
    [(1, 1), (3, 9)] if JIT_OFF else [(1, 1), (0, 3), (3, 8), (2, 12), (1, 16), (5, 25), (1, 37), (64, 64), (3, 129)],
)
def test_it_is_bit_for_bit_a_step_of_one_row(rng, dtype, inputs, size):
    layer, x = nn.LSTM(max(inputs, 1), size, dtype=dtype, seed=0), rng.standard_normal((6, inputs)).astype(dtype)
    panels = numpy.delete(layer.panels(), () if inputs else 1, axis=1)
    blocks, _, width = panels.shape
    start = rng.standard_normal((3, size)).astype(dtype)
    cells, hidden = numpy.zeros((blocks, 1, width // 4), dtype), numpy.zeros((2, 1, size), dtype)
    cells.reshape(-1)[:size], hidden[0, 0] = start[:2]
    wanted = by_step(x, panels, numpy.zeros((blocks, 1, width), dtype), cells, hidden)
    c, h = start[0].copy(), start[1:].copy()
    y = compiled(kernels.compiled_step(inputs, size))(x, panels, c, h)
    numpy.testing.assert_array_equal(y, wanted)
    numpy.testing.assert_array_equal(c, cells.reshape(-1)[:size])
    numpy.testing.assert_array_equal(h, hidden[:, 0])


def test_layers_of_the_same_sizes_share_one():
    assert nn.LSTM(2, 3, seed=0).compiled_step() is nn.LSTM(2, 3, seed=1).compiled_step()
    stack = nn.LSTM(2, 3, 2, bidirectional=True)
    assert [stack.compiled_step(k) for k in range(2)] == [kernels.compiled_step(2, 3), kernels.compiled_step(6, 3)]
    with pytest.raises(ValueError, match="layer must be below num_layers, 2, got 2"):
        stack.compiled_step(2)
    with pytest.raises(ValueError, match="a layer without a projection, got one of proj_size 1"):
        nn.LSTM(2, 3, proj_size=1).compiled_step()


@pytest.mark.long
@pytest.mark.parametrize(
    "shapes", [((3,), (1, 7, 64), (4,), (2, 4)), ((2,), (1, 8, 64), (4,), (2, 4)), ((2,), (1, 7, 64), (3,), (2, 4)),
               ((2,), (1, 7, 64), (4,), (2, 5))],
)  # fmt: skip
def test_arrays_of_other_sizes_are_refused(shapes):
    x, panels, c, h = (numpy.ones(shape, numpy.float32) for shape in shapes)
    with pytest.raises(ValueError, match="the step was compiled for 2 inputs and 4 units"):
        compiled(kernels.compiled_step(2, 4))(x[None], panels, c, h)
    assert (c == 1).all()
    assert (h == 1).all()


KEPT = """
import sys, numba, numpy
from fastlstm import nn

layer = nn.LSTM(2, int(sys.argv[1]), seed=0)
advance, panels = layer.compiled_step(), layer.panels()

@numba.njit(cache=True)
def run(x, panels, c, h):
    advance(x, panels, c, h, 0)

h = numpy.zeros((2, layer.hidden_size), "f")
try:
    run(numpy.ones(2, "f"), panels, numpy.zeros(layer.hidden_size, "f"), h)
    print((h[1] == layer(numpy.ones((1, 1, 2), "f"))[0]).all(), sum(run.stats.cache_hits.values()))
except ValueError as error:
    print(error)
"""


@pytest.mark.process
@pytest.mark.skipif(JIT_OFF, reason="nothing is compiled")
def test_code_that_was_kept_from_a_layer_of_other_sizes_says_so(tmp_path):
    """Numba keeps a function under the types of its arguments, which do not tell sizes."""
    script = tmp_path / "script.py"
    script.write_text(KEPT, "utf-8")
    found = [processes.run(script, size).strip() for size in ("8", "8", "9")]
    assert found == ["True 0", "True 1", "the step was compiled for 2 inputs and 8 units"]
