"""Array kernels called as a user would, on arrays of one's own, against the oracle; what they overwrite holds NaN."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import oracle
from fastlstm.vectors import by_row, from_vectors
from fastlstm_kernels.activations import IDENTITY, RELU, SIGMOID, SOFTMAX, TANH
from fastlstm_kernels.backward import SCRATCH
from fastlstm_kernels.gates import CANDIDATE, FACTORS, FORGET, HIDDEN_FILTER, INPUT
from fastlstm_kernels.output import ELEMENTWISE, ERROR, JACOBIAN
from fastlstm_kernels.pack import blocks, panels_shape, transposed_shape
from fastlstm_kernels.phases import BOARD
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.truncated import BLOCK, TILE
from tests.helpers import JIT_OFF, assert_matches

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
sizes = pytest.mark.parametrize("size", [1, 9] if JIT_OFF else [1, 16, 37, 81])
T, INPUTS = 5, 3
CODES = {"identity": IDENTITY, "tanh": TANH, "sigmoid": SIGMOID, "relu": RELU, "softmax": SOFTMAX}


def functions(*names):
    """Activations, and their derivatives."""
    return tuple([getattr(oracle.activations, name + end) for name in names] for end in ("", "_prime"))


def nothing(shape, dtype):
    return numpy.full(shape, numpy.nan, dtype)


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


codes = pytest.mark.parametrize("codes", [("tanh", "tanh"), ("sigmoid", "relu"), ("relu", "identity")], ids=str)


@both
@sizes
@codes
@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_keeps_gates_cells_and_hidden_states(rng, dtype, size, codes, workers):
    loop = Loop(rng, dtype, size, codes, workers, None, 1)
    F_args, Fs, I_args, Is, C_args, Cs, Hf_args, Hfs, Hs, _, _, Ss = loop.twin.feed_forward_and_cache(
        loop.x.astype(float)
    )
    assert_matches(by_row(loop.gates, size), numpy.concatenate([Fs, Is, Cs, Hfs], axis=1), dtype)
    assert_matches(from_vectors(loop.cells, size)[1:], Ss[:T], dtype)
    assert_matches(loop.hidden[1:], Hs[:T], dtype)
    z = nothing(loop.gates.shape, dtype)
    kernels.preactivations(loop.x, loop.offsets, loop.panels, z, loop.hidden, workers)
    assert_matches(by_row(z, size), numpy.concatenate([F_args, I_args, C_args, Hf_args], axis=1), dtype)


@both
@sizes
@codes
@pytest.mark.parametrize("workers", [1, 3])
def test_a_sweep_back_gives_all_gradients(rng, dtype, size, codes, workers):
    loop = Loop(rng, dtype, size, codes, workers, None, 1)
    for found, value in zip(loop.back("whole"), loop.wanted(), strict=True):
        assert_matches(found, value, dtype)


@both
@sizes
@codes
@pytest.mark.parametrize(("truncate", "stride"), [(0, 1), (2, 1), (1, 2)])
def test_windows_give_truncated_gradients(rng, dtype, size, codes, truncate, stride):
    loop = Loop(rng, dtype, size, codes, 1, truncate, stride)
    for found, value in zip(loop.back("truncated", truncate, stride), loop.wanted(), strict=True):
        assert_matches(found, value, dtype)
