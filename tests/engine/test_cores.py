"""How many workers a call gets, and the scratch arrays it works in."""

import threading

import numba
import numpy
import pytest

from fastlstm.engine import cores
from fastlstm.engine.workspace import ALIGNMENT, LIMIT, SMALL, Together, empty, workspace
from fastlstm_kernels import claim


@pytest.mark.parametrize(
    ("n_threads", "flops", "wanted"),
    [(4, 0, 1), (4, cores.SHARE, 1), (4, 3 * cores.SHARE, 3), (2, 1 << 40, 2), (1, 1 << 40, 1), (8, 1 << 40, 8)],
)
def test_threads_are_woken_for_enough_work(n_threads, flops, wanted):
    assert cores.useful(n_threads, flops) == wanted


def test_without_a_number_numbas_is_the_most():
    assert cores.useful(None, 1 << 60) == min(numba.get_num_threads(), cores.own_cores())
    assert cores.useful(None, 0) == 1


def test_the_first_to_ask_starts_numbas_threads(monkeypatch):
    monkeypatch.delattr(cores.parallel, "_get_num_threads", raising=False)
    monkeypatch.setattr("numba.get_num_threads", lambda: 5)
    monkeypatch.setattr(cores, "own_cores", lambda: 8)
    assert cores.available() == 5


@pytest.mark.parametrize(("numbas", "own", "wanted"), [(16, 2, 2), (2, 16, 2)])
def test_a_call_takes_no_more_by_default(monkeypatch, numbas, own, wanted):
    monkeypatch.setattr(cores, "_is_single", lambda: False)
    monkeypatch.setattr(cores, "_count", lambda: numbas)
    monkeypatch.setattr(cores, "own_cores", lambda: own)
    assert cores.available() == wanted
    assert cores.available(9) == 9  # who asks for more gets it


def test_a_threading_layer_for_one_thread_is_left_to_other_threads(monkeypatch):
    monkeypatch.setattr(cores, "_is_single", lambda: True)
    stop, found = threading.Event(), []
    assert cores.useful(4, 1 << 40) == 4
    others = [
        threading.Thread(target=stop.wait), threading.Thread(target=lambda: found.append(cores.useful(4, 1 << 40)))
    ]
    for thread in others:
        thread.start()
    others[1].join()
    assert cores.useful(4, 1 << 40) == 1
    stop.set()
    others[0].join()
    assert found == [1]
    assert cores.useful(4, 1 << 40) == 4


@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_which_threading_layer_is_for_one_thread(monkeypatch, layer):
    monkeypatch.setattr("numba.threading_layer", lambda: layer)
    assert cores._is_single.__wrapped__() == (layer == "workqueue")


@pytest.fixture
def flag():
    """That of the claim, which is free afterwards."""
    yield claim.flag
    claim.flag.value = claim.FREE


@pytest.mark.parametrize("before", [claim.FREE, claim.TAKEN, claim.NEVER])
@pytest.mark.parametrize("used", [True, False])
def test_a_forked_child_of_a_process_that_used_threads_works_alone(monkeypatch, flag, before, used):
    """And so does a child of such a child; another one does not wait for what its parent had taken."""
    monkeypatch.setattr(claim.parallel, "_is_initialized", used)
    flag.value = before
    claim._in_child()
    alone = used or before == claim.NEVER
    assert flag.value == (claim.NEVER if alone else claim.FREE)
    assert cores.useful(4, 1 << 40) == (1 if alone else 4)


def test_a_child_that_must_not_use_the_layer_does_not_count_its_threads(monkeypatch, flag):
    flag.value = claim.NEVER
    monkeypatch.setattr(cores, "_count", lambda: pytest.fail("counted"))
    assert cores.available() == 1


def test_working_arrays_are_kept_unless_large():
    dtype = numpy.dtype(numpy.float64)
    first = workspace.array("test", (3, 5), dtype)
    assert numpy.shares_memory(first, workspace.array("test", (2, 4), dtype))
    assert not numpy.shares_memory(first, workspace.array("other", (3, 5), dtype))
    large = (LIMIT // 8 + 1,)
    assert not numpy.shares_memory(workspace.array("test", large, dtype), workspace.array("test", large, dtype))
    assert not numpy.shares_memory(empty((3, 5), dtype), first)


@pytest.mark.parametrize(
    ("name", "shape"), [("", (SMALL,)), ("", (3, SMALL)), ("test", (1,)), ("test", (3, 5)), ("test", (700,))]
)
def test_working_arrays_are_aligned(name, shape):
    dtype = numpy.dtype(numpy.float32)
    array = workspace.array(name, shape, dtype) if name else empty(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.ctypes.data % ALIGNMENT == 0


@pytest.mark.parametrize("shapes", [((2, 3), (1,)), ((SMALL, 3), (0, 2), (5, 7), (SMALL,))])
def test_arrays_that_live_together_lie_apart(shapes):
    arrays = Together(shapes, numpy.dtype(numpy.float64)).new()
    assert tuple(array.shape for array in arrays) == shapes
    for k, array in enumerate(arrays):
        array[...] = k
    assert all((array == k).all() for k, array in enumerate(arrays))
    if sum(array.size for array in arrays) >= SMALL:
        assert all(array.ctypes.data % ALIGNMENT == 0 for array in arrays)
