"""A sequence through the array kernels as a user would call them, on arrays of one's own that hold NaN at first."""


import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import oracle
from fastlstm_kernels.activations import IDENTITY, RELU, SIGMOID, SOFTMAX, TANH
from fastlstm_kernels.gates import FACTORS
from fastlstm_kernels.gradients import SCRATCH
from fastlstm_kernels.pack import blocks, panels_shape, transposed_shape
from fastlstm_kernels.phases import BOARD
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.truncated import BLOCK, TILE
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
    """A run over one sequence from zero state, and its oracle, whose errors are `delta_out` at the hidden states."""

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
        self.x, self.delta_out = (rng.standard_normal((T, n)).astype(dtype) for n in (INPUTS, size))
        self.twin, self.w, self.u, self.order = twin, w, u, numpy.arange(4)
        self.offsets, self.mask = numpy.arange(T + 1), nothing((0, size), dtype)
        self.panels = nothing(panels_shape(INPUTS, size, dtype), dtype)
        kernels.pack(w, u, b, self.order, self.panels, workers)
        self.board = numpy.full((workers, BOARD), -7)
        count = blocks(size, dtype)
        self.gates = nothing((count, T, 4 * lanes(dtype)), dtype)
        self.cells = nothing((count, 1 + T, lanes(dtype)), dtype)
        self.hidden = nothing((1 + T, size), dtype)
        self.cells[:, 0], self.hidden[0] = 0, 0
        kernels.forward(
            self.x, self.offsets, self.panels, *self.codes, True, self.mask, self.gates, self.cells, self.hidden,
            self.hidden, self.board, workers,
        )

    def back(self, form, *first):
        """Gradients of W, U and b, of the inputs, and at the initial state."""
        dtype, count, width = self.dtype, *self.gates.shape[::2]
        transposed = []
        for matrix in (self.u, self.w):
            transposed.append(nothing(transposed_shape(matrix.shape[1], self.size, dtype), dtype))
            kernels.pack_transposed(matrix, self.order, transposed[-1], self.workers)
        delta_h = numpy.zeros((len(transposed[0]), 1, width), dtype)
        delta_s = numpy.zeros((count, 1, width // 4), dtype)
        initial = delta_h.copy(), delta_s.copy()
        sums, d_x = nothing(self.panels.shape, dtype), nothing(self.x.shape, dtype)
        scratch = nothing((self.workers, SCRATCH), dtype)
        common = self.offsets, *first, *transposed, *self.codes, self.mask, self.x, self.gates, self.cells, self.hidden
        if form == "truncated":
            rows = max(TILE, BLOCK)
            kernels.truncated_backward(
                *common, self.delta_out, delta_h, delta_s, *initial,
                nothing((self.workers, len(delta_h), rows, width), dtype),
                nothing((self.workers, count, rows, width // 4), dtype),
                nothing((count, T, FACTORS * width // 4), dtype), nothing(self.gates.shape, dtype),
                nothing((self.workers, count, rows, width), dtype), sums, d_x, scratch, self.board, self.workers,
            )
        else:
            kernels.backward(
                *common, self.delta_out, delta_h, delta_s, nothing((count, 2, width), dtype), sums, d_x, scratch,
                self.board, self.workers,
            )
        gradients = [numpy.zeros_like(self.w), numpy.zeros_like(self.u), numpy.zeros(4 * self.size, dtype)]
        kernels.unpack(sums, self.order, *gradients, self.workers)
        return [*gradients, d_x]

    def wanted(self):
        """What `back` gives, by the oracle."""
        outputs = self.twin.feed_forward_and_cache(self.x.astype(float))[-2]
        *gates, _, d_x = self.twin.back_propagate_through_time(self.x.astype(float), outputs - self.delta_out)
        return [*(numpy.concatenate(each) for each in zip(*gates, strict=True)), d_x]
