"""Every public kernel on arrays beside pages that may not be touched; ``python -m tests.tools.guarded end`` runs it.

Also with the cores taken by somebody else, which must make no difference to any bit.

A program of its own, since what it looks for kills the process. It prints each kernel and the shapes of its arrays
before it calls it, so that the last line tells what went wrong.
"""

import ctypes
import functools
import mmap
import random
import sys
import warnings
from typing import Any

import numba
import numpy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import fastlstm_kernels as kernels
from fastlstm import LSTM, compat, nn
from fastlstm.engine import cores, linear, overlap, workspace
from fastlstm.nn import stepper
from fastlstm.train import SGD, Adam, CrossEntropy, Huber, RMSprop, SquaredError
from fastlstm_kernels import claim
from fastlstm_kernels.activations import TANH
from fastlstm_kernels.gate_methods import FORGET

PAGE = mmap.PAGESIZE


class Guards:
    """Gives arrays that end, or begin, where a page ends, or begins, that has a forbidden one behind and before it."""

    def __init__(self, side: str) -> None:
        self._side = side
        self._protect = ctypes.CDLL(None, use_errno=True).mprotect
        self._protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def copy(self, array: Any) -> Any:
        """The same array elsewhere; its memory goes back when the last view of it does."""
        room = -(-array.nbytes // PAGE) * PAGE
        area = mmap.mmap(-1, room + 2 * PAGE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        for forbidden in (address, address + PAGE + room):
            if self._protect(forbidden, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        start = PAGE + (room - array.nbytes if self._side == "end" else 0)
        guarded = numpy.frombuffer(area, numpy.uint8)[start : start + array.nbytes]
        guarded = guarded.view(array.dtype).reshape(array.shape)
        guarded[...] = array
        return guarded


class Watch:
    """Stands before each kernel; while `guards` is set, calls go to guarded copies of the arrays."""

    def __init__(self) -> None:
        self.guards: Guards | None = None
        for name in kernels.__all__:
            kernel = getattr(kernels, name)
            modules = [m for n, m in sys.modules.items() if n.split(".")[0] == "fastlstm"] + [kernels]
            for module in modules:
                for attribute in [a for a, value in vars(module).items() if value is kernel]:
                    setattr(module, attribute, self._before(name, kernel))
            for kind in {value for module in modules for value in vars(module).values() if isinstance(value, type)}:
                for attribute in [a for a, value in vars(kind).items() if getattr(value, "__func__", None) is kernel]:
                    setattr(kind, attribute, staticmethod(self._before(name, kernel)))

    def _before(self, name: str, kernel: Any) -> Any:
        if name == "compiled_step":  # it makes a kernel
            return lambda *sizes: self._watched(name, called(kernel(*sizes)))
        return self._watched(name, kernel)

    def _watched(self, name: str, kernel: Any) -> Any:
        def call(*args: Any) -> None:
            if self.guards is None:
                kernel(*args)
                return
            if name == "layer_forward":
                self._forward(*args)
            copies = self._called(name, kernel, args)
            for array, copy in zip(arrays_of(args), arrays_of(copies), strict=True):
                # A changed one only: the caller may have given two views of one array.
                if array.tobytes() != copy.tobytes():
                    array[...] = copy

        call.kernel = kernel  # type: ignore[attr-defined]
        return call

    def _called(self, name: str, kernel: Any, args: Any) -> Any:
        given = {id(a): a for a in arrays_of(args)}  # one that is given twice is one still
        copies = replaced(args, {key: self.guards.copy(a) for key, a in given.items()})  # type: ignore[union-attr]
        print(name, *replaced(args, {key: a.shape for key, a in given.items()}), flush=True)
        kernel(*copies)
        return copies

    # The kernels that other kernels call, and no class, on what those are given.

    def _forward(self, weights: Any, batch: Any, states: Any, tape: Any, panels: Any, *rest: Any) -> None:
        (w, u, b, _, order, *codes), (x, offsets, *_), (record, workers) = weights, batch, rest
        b = b if b.size else numpy.zeros(len(w), w.dtype)
        self._alone("pack", w, u, b, order, panels, workers)
        self._alone("forward", x, offsets, panels, *codes, record, tape[4], *tape[:4], workers)

    def _alone(self, name: str, *args: Any) -> None:
        self._called(name, getattr(kernels, name).kernel, args)


@functools.cache
def called(advance: Any) -> Any:
    """A kernel for compiled code only, to be called from Python."""
    return numba.njit(lambda x, panels, c, h, now: advance(x, panels, c, h, now))


def arrays_of(args: Any) -> Any:
    """The arrays among arguments, and in tuples among them."""
    for a in args:
        if isinstance(a, tuple):
            yield from arrays_of(a)
        elif isinstance(a, numpy.ndarray):
            yield a


def replaced(args: Any, others: dict[int, Any]) -> Any:
    """Arguments with others for those arrays."""
    return tuple(replaced(a, others) if isinstance(a, tuple) else others.get(id(a), a) for a in args)


def scratch(size: int) -> Any:
    """Scratch full of NaN, or, in the run to compare with, of zeros: a result that depends on it would differ."""
    return numpy.full(size, 0xFF if watch.guards else 0, numpy.uint8)


def results(
    dtype: Any, workers: int, inputs: int, size: int, outputs: int, lengths: list[int], truncate: int | None,
    stride: int,
) -> list[Any]:
    """What all classes compute, each array of it."""
    rng = numpy.random.default_rng(0)
    numba.set_num_threads(workers)
    model = LSTM(inputs, outputs, size, 0, bptt_truncate=truncate, bptt_stride=stride, dtype=dtype,
                 n_threads=workers)
    X, Y = ([rng.standard_normal((n, width)) for n in lengths] for width in (inputs, outputs))
    *groups, d_x = model.back_propagate_through_time(X, Y)
    found = [array for group in groups for array in group] + d_x + model.feed_forward(X)
    found.append(model.loss_function(X, Y))
    found += [*model.feed_forward_and_cache(X[0]), *model.back_propagate_through_time(X[0], Y[0])[0]]
    for gate in ("forget", "input", "candidate", "hidden_filter"):
        vectors = rng.standard_normal((4 if gate == "hidden_filter" else 5, size)).astype(dtype)
        sums = tuple(numpy.zeros(shape, dtype) for shape in ((size, inputs), (size, size), (size,)))
        getattr(model, f"back_prop_{gate}_gate")(*vectors, rng.standard_normal(inputs), sums, None)
        found += [*sums, vectors[1]]
    x = rng.standard_normal((max(*lengths, 1), len(lengths), inputs)).astype(dtype)
    output, *others = stack_results(x, lengths, size, truncate, stride, workers)
    found += [output, *others]
    parameters, gradient = rng.standard_normal((2, inputs * size)).astype(dtype)
    for optimizer in (
        SGD(clip_norm=1.0), SGD(momentum=0.5, nesterov=True), Adam(), RMSprop(), RMSprop(momentum=0.5, centered=True)
    ):
        optimizer.n_threads = workers
        optimizer.step(parameters, gradient)
        found += [parameters.copy(), *optimizer.arrays.values()]
    found += dense_results(rng, output, outputs, workers)
    numpy.random.seed(0)  # both of these decide a network's training
    random.seed(0)
    network = compat.NeuralNetwork([inputs, size, outputs], mini_batch_size=5, epochs=1)
    network.fit([(rng.standard_normal((inputs, 1)), rng.random((outputs, 1))) for _ in range(len(lengths) + 3)])
    network.predict(rng.standard_normal((inputs, 1)))
    for nabla in network._back_prop(rng.standard_normal((inputs, 1)), rng.random((outputs, 1))):
        found += nabla
    return [*found, *network.weights, *part_results(rng, dtype, workers, inputs, size)]


def part_results(rng: numpy.random.Generator, dtype: Any, workers: int, inputs: int, size: int) -> list[Any]:
    """Of the kernels that classes only call together with others."""
    x, (a, b, argument, delta, h, d_b, delta_h) = rng.standard_normal(inputs), rng.standard_normal((7, size))
    d_w, (u, d_u) = rng.standard_normal((size, inputs)), rng.standard_normal((2, size, size))
    x, a, b, argument, delta, h, d_b, delta_h, d_w, u, d_u = found = [
        array.astype(dtype) for array in (x, a, b, argument, delta, h, d_b, delta_h, d_w, u, d_u)
    ]
    kernels.gate_delta(FORGET, TANH, a, b, argument, delta)
    kernels.add_gate_gradients(delta, h, x, u, d_w, d_u, d_b, delta_h, True)
    sizes, rows = numpy.array([inputs, size]), 3
    parameters, gradients = rng.standard_normal((2, size * (inputs + 1))).astype(dtype)
    zs, activations, errors = rng.standard_normal((3, rows * (inputs + size))).astype(dtype)
    work = linear.scratch(workers, numpy.dtype(dtype))
    kernels.network_forward(sizes, parameters, rows, zs, activations, work, workers)
    kernels.network_backward(sizes, parameters, rows, activations, errors, gradients, work, workers)
    return [*found, zs, activations, errors, gradients]


def stack_results(
    x: Any, lengths: list[int], size: int, truncate: int | None, stride: int, workers: int
) -> list[Any]:
    """Layers in both directions that drop states, a chain of two, and one that projects, on x (T, batch, input)."""
    found: list[Any] = []
    for kind, truncation in (
        ({"num_layers": 2, "bidirectional": True, "recurrent_dropout": 0.5}, (truncate, stride)),
        # What is dropped stands between the layers, so that neither is given a view of the other's arrays.
        ({"num_layers": 2, "dropout": 0.5, "recurrent_dropout": 0.5}, ()),
        ({"proj_size": size // 2}, ()),  # 0, which is none, for a single unit
    ):
        layer = nn.LSTM(x.shape[2], size, **kind, dtype=x.dtype, seed=0, n_threads=workers)  # type: ignore[arg-type]
        output, state, tape = layer.forward(x, None, lengths)
        d_input, d_state = layer.backward(tape, output, state, *truncation)
        found += [output, *state, d_input, *d_state, layer.gradients.flat]
        if "dropout" not in kind:
            found.append(layer(x, state, lengths)[0])
    one, row = nn.LSTM(x.shape[2], size, dtype=x.dtype, seed=0), numpy.ones(x.shape[2], x.dtype)
    c, h = numpy.ones(size, x.dtype), numpy.ones((2, size), x.dtype)
    one.compiled_step()(row, one.panels(), c, h, 0)
    step = layer.stepper(x.shape[1])
    return [*found, c, h, *(step(row).copy() for row in x), *step.state]


def dense_results(rng: numpy.random.Generator, x: Any, outputs: int, workers: int) -> list[Any]:
    """A dense layer on x (T, batch, k), and the losses of its outputs."""
    layer = nn.Dense(x.shape[-1], outputs, dtype=x.dtype, seed=0, n_threads=workers)
    found: list[Any] = []
    for rows in (numpy.resize(x, (2000, x.shape[-1])), x):  # several blocks of them; a few
        output, _, tape = layer.forward(rows)
        found += [output, layer.backward(tape, output)[0], layer.gradients.flat.copy()]
    targets, labels = rng.random(output.shape), rng.integers(0, outputs, output.shape[:-1])
    rows, elements = rng.random(output.shape[:-1]) < 0.7, rng.random(output.shape) < 0.7
    for mask in (None, rows, elements):
        found += [*Huber()(output, targets, mask), *SquaredError()(output, targets, mask)]
    for mask in (None, rows):
        found += [*CrossEntropy()(output, targets, mask), *CrossEntropy()(output, labels, mask)]
    weight = rng.random(outputs) + 0.1
    found += SquaredError()(output * 1e-30, 0 * targets)
    for by in (None, rows * rng.random(rows.shape), elements * rng.random(elements.shape)):
        found += [*Huber(weight=weight)(output, targets, None, by), *SquaredError()(output, targets, None, by)]
    for by in (None, rows * rng.random(rows.shape)):
        for wanted in (targets, labels):
            found += [*CrossEntropy(weight)(output, wanted, None, by), *CrossEntropy()(output * 40, wanted, None, by)]
    return found


sizes = st.sampled_from([1, 3, 17, 37])


@settings(
    max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    st.sampled_from([numpy.float32, numpy.float64]), st.sampled_from([1, 2, 3]), sizes, sizes, sizes,
    st.lists(st.sampled_from([0, 1, 2, 5]), min_size=1, max_size=9), st.sampled_from([0, 1, 3, None]),
    st.sampled_from([1, 2, 3]),
)  # fmt: skip
@example(numpy.float32, 3, 3, 163, 5, [4], None, 1)  # workers share the units of a step
@example(numpy.float64, 2, 259, 131, 3, [3, 2], 1, 1)  # panels in more than one piece
@example(numpy.float32, 1, 3, 17, 3, [310], None, 1)  # products of more rows than go together
@example(numpy.float64, 3, 1, 3, 1, [40] * 11, 3, 1)  # more windows and sequences than go together
@example(numpy.float32, 2, 3, 17, 1, [37, 40, 2], 5, 4)  # windows that begin behind the end of a sequence
@example(numpy.float32, 3, 37, 37, 3, [1], None, 1)  # one step, with weights that are not packed
@example(numpy.float64, 2, 17, 24, 3, [1, 0, 1, 1], 1, 1)
@example(numpy.float32, 1, 3, 17, 3, [0, 0], None, 1)  # a step of padding alone
@example(numpy.float64, 1, 3, 131, 259, [3], 1, 1)  # dense layers of several pieces, both ways
def check(
    dtype: Any, workers: int, inputs: int, size: int, outputs: int, lengths: list[int], truncate: int | None,
    stride: int,
) -> None:
    case = dtype, workers, inputs, size, outputs, lengths, truncate, stride
    runs = []
    # Guarded first: there a fault shows where it happens. Where the cores are taken, one worker does the work of all.
    for guards, held in ((True, claim.FREE), (True, claim.TAKEN), (False, claim.FREE)):
        watch.guards, claim.flag.value = Guards(sys.argv[1]) if guards else None, held
        workspace.workspace._rooms.clear()
        runs.append(results(*case))
    for guarded, alone, plain in zip(*runs, strict=True):
        numpy.testing.assert_array_equal(guarded, plain)
        numpy.testing.assert_array_equal(alone, plain)


if __name__ == "__main__":
    warnings.simplefilter("error")
    watch = Watch()
    workspace._bytes, workspace.SMALL, cores.SHARE, stepper.LONG = scratch, 0, 1, 0
    overlap.following_pays, overlap.TURN = lambda *_: True, 2  # type: ignore[assignment]
    check()
