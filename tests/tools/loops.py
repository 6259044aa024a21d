"""A sequence through the array kernels as a user would call them, on arrays of one's own that hold NaN at first."""


import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import oracle
from fastlstm_kernels.activations import IDENTITY, RELU, SIGMOID, SOFTMAX, TANH
from fastlstm_kernels.gates import FACTORS
from fastlstm_kernels.gradients import SCRATCH
from fastlstm_kernels.pack import blocks, panels_shape, transposed_shape
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.truncated import WINDOW_ROWS, WINDOW_SEQUENCES
from tests.tools.helpers import JIT_OFF

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
sizes = pytest.mark.parametrize("size", [1, 9] if JIT_OFF else [1, 16, 37, 81])
codes = pytest.mark.parametrize("codes", [("tanh", "tanh"), ("sigmoid", "relu"), ("relu", "identity")], ids=str)
T, INPUTS = 5, 3
CODES = {"identity": IDENTITY, "tanh": TANH, "sigmoid": SIGMOID, "relu": RELU, "softmax": SOFTMAX}


def functions(*names):
    """Activations, and their derivatives."""
    return tuple([getattr(oracle.activations, name + end) for name in names] for end in ("", "_prime"))


def nothing(shape, dtype):
    return numpy.full(shape, numpy.nan, dtype)


class Loop:
    """A run over one sequence from zero state, and its oracle, whose errors are `d_y` at the hidden states."""

    def __init__(self, rng, dtype, size, codes, workers, truncate, stride):
        self.dtype, self.size, self.workers, self.codes = dtype, size, workers, [CODES[name] for name in codes]
        twin = oracle.LSTM(
            INPUTS, size, size, 0, *functions(*codes, "identity"), truncate, bptt_stride=stride,
            loss_func="squared_error",
        )  # fmt: skip
        twin.W_o, twin.b_o = numpy.eye(size), numpy.zeros(size)
        w, u, b = (
            numpy.concatenate([getattr(twin, f"{kind}_{g}") for g in ("f", "i", "c", "hf")]).astype(dtype) / 4
            for kind in "WUb"
        )
        for k, g in enumerate(("f", "i", "c", "hf")):
            for kind, values in zip("WUb", (w, u, b), strict=True):
                setattr(twin, f"{kind}_{g}", values[k * size : (k + 1) * size].astype(float))
        self.x, self.d_y = (rng.standard_normal((T, n)).astype(dtype) for n in (INPUTS, size))
        self.twin, self.offsets = twin, numpy.arange(T + 1)
        self.panels = nothing(panels_shape(INPUTS, size, dtype), dtype)
        self.weights = (w, u, b, b[:0], numpy.arange(4), *self.codes)
        self.batch = (self.x, self.offsets, numpy.array([T]), numpy.array([0]))
        count, mask = blocks(size, dtype), numpy.empty((0, size), dtype)
        self.gates = nothing((count, T, 4 * lanes(dtype)), dtype)
        self.cells = nothing((count, 1 + T, lanes(dtype)), dtype)
        self.hidden = nothing((1 + T, size), dtype)
        self.tape = (self.gates, self.cells, self.hidden, self.hidden, mask)
        none = numpy.empty((0, 0, 0), dtype)
        self.states = (none, none, nothing((1, 1, size), dtype), nothing((1, 1, size), dtype), 0)
        kernels.layer_forward(self.weights, self.batch, self.states, self.tape, self.panels, True, workers)

    def back(self, *window):
        """Gradients of W, U and b, and of the inputs; with K and the stride truncated."""
        dtype, count, width, workers = self.dtype, *self.gates.shape[::2], self.workers
        w, u, b = self.weights[:3]
        transposed = [nothing(transposed_shape(m.shape[1], self.size, dtype), dtype) for m in (u, w)]
        states = [nothing((len(transposed[0]), 1, width), dtype), nothing((count, 1, width // 4), dtype)]
        scratch = (
            *transposed, *states, nothing((count, T if window else 2, width), dtype),
            nothing(self.panels.shape, dtype), nothing((workers, SCRATCH), dtype),
        )
        d_x, no_states = nothing(self.x.shape, dtype), self.states[:2]
        deltas = (self.d_y, d_x, *no_states, *(nothing((1, 1, self.size), dtype) for _ in range(2)), 0)
        gradients = tuple(numpy.zeros_like(a) for a in (w, u, b, b[:0]))
        run = self.weights, self.batch, self.tape, deltas, gradients, scratch
        if window:
            rows = max(WINDOW_ROWS, WINDOW_SEQUENCES)
            kernels.layer_truncated_backward(*run, (
                *window, *(nothing(a.shape, dtype) for a in states),
                nothing((workers, len(transposed[0]), rows, width), dtype),
                nothing((workers, count, rows, width // 4), dtype),
                nothing((count, T, FACTORS * width // 4), dtype),
                nothing((workers, count, rows, width), dtype),
            ), workers)  # fmt: skip
        else:
            kernels.layer_backward(*run, workers)
        return [*gradients[:3], d_x]

    def wanted(self):
        """What `back` gives, by the oracle."""
        outputs = self.twin.feed_forward_and_cache(self.x.astype(float))[-2]
        *gates, _, d_x = self.twin.back_propagate_through_time(self.x.astype(float), outputs - self.d_y)
        return [*(numpy.concatenate(each) for each in zip(*gates, strict=True)), d_x]
