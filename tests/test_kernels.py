"""The kernels by themselves: accuracy of the activations, memory, threads, and calls from a user's own code."""

import ctypes
import mmap

import numba
import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import LSTM, compiled
from fastlstm.workspace import LIMIT, fresh, kept
from fastlstm_kernels import activations, threads
from tests.helpers import JIT_OFF, flatten


@numba.njit
def sigmoids(x, out):
    activations.sigmoid_row(x, out)


@numba.njit
def activated(code, x, out):
    activations.activate(code, x, out)


@numba.njit
def softmaxes(x, out):
    activations.softmax_row(x, out)


@numba.njit
def spans(workers, rows, out):
    for worker in range(workers):
        out[worker, 0], out[worker, 1] = threads.span(worker, workers, rows)


def spread(dtype):
    """Arguments over the whole range, thick where the functions move."""
    rng = numpy.random.default_rng(0)
    count = 300 if JIT_OFF else 200_000
    lowest, highest = (-300, 300) if dtype == numpy.float64 else (-37, 37)
    tiny = 10.0 ** rng.uniform(lowest, highest, count)
    x = numpy.concatenate([rng.uniform(-40, 40, count), rng.uniform(-800, 800, count), tiny, -tiny])
    return x.astype(dtype)


def ulps(found, wanted):
    """Error in units in the last place of `found`'s dtype, judged in long double."""
    unit = numpy.spacing(numpy.abs(wanted).astype(found.dtype))
    return float(numpy.max(numpy.abs(found.astype(numpy.longdouble) - wanted) / unit))


@pytest.mark.parametrize(("dtype", "most"), [(numpy.float64, 3), (numpy.float32, 1)])
def test_sigmoid_and_tanh_are_accurate(dtype, most):
    x = spread(dtype)
    exact, found = x.astype(numpy.longdouble), numpy.empty_like(x)
    sigmoids(x, found)
    assert ulps(found, 1 / (1 + numpy.exp(-exact.clip(-5000)))) <= most
    assert found.min() >= 0
    assert found.max() <= 1
    activated(activations.TANH, x, found)
    assert ulps(found, numpy.tanh(exact)) <= most
    assert numpy.abs(found).max() <= 1


@pytest.mark.parametrize("dtype", [numpy.float64, numpy.float32])
def test_special_arguments(dtype):
    x = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0], dtype)
    found = numpy.empty_like(x)
    sigmoids(x, found)
    numpy.testing.assert_array_equal(found, [numpy.nan, 1, 0, 0.5, 0.5])
    activated(activations.TANH, x, found)
    numpy.testing.assert_array_equal(found, [numpy.nan, 1, -1, 0, 0])
    assert numpy.signbit(found).tolist()[3:] == [False, True]
    activated(activations.RELU, x, found)
    numpy.testing.assert_array_equal(found, [numpy.nan, numpy.inf, 0, 0, 0])


def test_softmax():
    x, found = numpy.array([1000.0, 1001.0, -2000.0]), numpy.empty(3)
    softmaxes(x, found)
    numpy.testing.assert_allclose(found, [1 / (1 + numpy.e), numpy.e / (1 + numpy.e), 0], rtol=1e-14)


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 37, 128])
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_spans_cover_all_rows_once_in_whole_blocks(rows, workers):
    out = numpy.zeros((workers, 2), numpy.intp)
    spans(workers, rows, out)
    assert out[0, 0] == 0
    assert out[-1, 1] == rows
    assert (out[1:, 0] == out[:-1, 1]).all()
    cuts = out[1:, 0]
    assert ((cuts % threads.BLOCK == 0) | (cuts == rows)).all()


@pytest.mark.parametrize("parallel", [False, True])
def test_kernels_run_inside_a_users_kernel(rng, parallel):
    """A loop of the user's own, compiled, that steps an LSTM without coming back to Python."""
    model = LSTM(3, 2, 5, seed=1)
    X = rng.standard_normal((7, 3))

    @numba.njit(nogil=True, parallel=parallel)
    def run(x, w, u, b, w_o, b_o, outputs):
        size = u.shape[1]
        cells, hidden = numpy.zeros((1, size)), numpy.zeros((2, size))
        offsets, scratch = numpy.array([0, 1]), numpy.empty((1, threads.BLOCK + 2, 4 * size))
        for t in range(x.shape[0]):
            kernels.forward_infer(
                x[t : t + 1], offsets, w, u, b, activations.TANH, activations.TANH, cells, hidden, scratch, 1
            )
            z = numpy.empty((1, b_o.shape[0]))
            kernels.affine_forward(
                hidden[1:], w_o, b_o, activations.SOFTMAX, z, outputs[t : t + 1], 1
            )
            hidden[0] = hidden[1]

    outputs = numpy.empty((7, 2))
    p = model.parameters
    stacked = [p.stacked(kind + "_f", kind + "_hf") for kind in "WUb"]
    run(X, *stacked, model.W_o, model.b_o, outputs)
    numpy.testing.assert_allclose(outputs, model.feed_forward(X), rtol=1e-13)


PAGE = mmap.PAGESIZE


class Guarded:
    """Arrays that end where a page begins that may not be touched."""

    def __init__(self):
        self._maps = []

    def take(self, name, shape, dtype):
        size = int(numpy.prod(shape)) * dtype.itemsize
        pages = -(-max(size, 1) // PAGE)
        area = mmap.mmap(-1, (pages + 1) * PAGE)
        self._maps.append(area)
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        assert protect(address + pages * PAGE, PAGE, 0) == 0
        start = pages * PAGE - size
        return numpy.frombuffer(area, numpy.uint8)[start : start + size].view(dtype).reshape(shape)

    def like(self, array):
        guarded = self.take("", array.shape, array.dtype)
        guarded[...] = array
        return guarded


@pytest.mark.skipif(JIT_OFF or not hasattr(mmap, "MAP_PRIVATE"), reason="for compiled code on POSIX")
@pytest.mark.parametrize("dtype", [numpy.float64, numpy.float32])
@pytest.mark.parametrize("truncate", [2, None])
@pytest.mark.parametrize(
    ("lengths", "I", "O", "H"), [([1], 1, 1, 1), ([7], 3, 2, 5), ([37], 17, 3, 37), ([5, 2, 0, 9, 9], 4, 1, 3)]
)
def test_nothing_outside_the_arrays_is_touched(rng, monkeypatch, dtype, truncate, lengths, I, O, H):  # noqa: E741
    """Every array of every LSTM kernel ends at a page that faults; a wrong result would show too."""
    model = LSTM(I, O, H, 0, bptt_truncate=truncate, dtype=dtype, n_threads=3)
    X = [rng.standard_normal((n, I)) for n in lengths]
    Y = [rng.standard_normal((n, O)) for n in lengths]
    wanted = flatten(model.back_propagate_through_time(X, Y))
    guard = Guarded()
    monkeypatch.setattr(compiled, "SHARE", 1)
    monkeypatch.setattr("fastlstm.lstm.kept", guard.take)
    for name in ("forward_record", "forward_infer", "affine_forward", "affine_backward", "truncated_backward",
                 "full_backward", "output_delta"):
        monkeypatch.setattr(kernels, name, _with_guards(getattr(kernels, name), guard))
    found = flatten(model.back_propagate_through_time(X, Y))
    for a, b in zip(found[:-1], wanted[:-1], strict=True):
        numpy.testing.assert_array_equal(a, b)
    model.feed_forward(X)


def _with_guards(kernel, guard):
    """Call a kernel on guarded copies of its arrays, and bring back what it wrote."""

    def call(*args):
        copies = [guard.like(a) if isinstance(a, numpy.ndarray) else a for a in args]
        kernel(*copies)
        for a, c in zip(args, copies, strict=True):
            if isinstance(a, numpy.ndarray):
                a[...] = c

    return call


def test_working_arrays_are_kept_unless_large():
    dtype = numpy.dtype(numpy.float64)
    first = kept("test", (3, 5), dtype)
    assert numpy.shares_memory(first, kept("test", (2, 4), dtype))
    large = (LIMIT // 8 + 1,)
    assert not numpy.shares_memory(kept("test", large, dtype), kept("test", large, dtype))
    assert not numpy.shares_memory(fresh("test", (3, 5), dtype), first)


@pytest.mark.parametrize(
    ("n_threads", "flops", "wanted"), [(4, 0, 1), (4, compiled.SHARE, 1), (4, 3 * compiled.SHARE, 3), (2, 1 << 40, 2)]
)
def test_threads_are_woken_for_enough_work(n_threads, flops, wanted):
    assert compiled.workers(n_threads, flops) == wanted
    assert compiled.workers(None, 1 << 60) == numba.get_num_threads()
