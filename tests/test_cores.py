"""How many workers a call gets, and the scratch arrays it works in."""

import numba
import numpy
import pytest

from fastlstm import cores
from fastlstm.workspace import ALIGNMENT, LIMIT, SMALL, fresh, kept


@pytest.mark.parametrize(
    ("n_threads", "flops", "wanted"),
    [(4, 0, 1), (4, cores.SHARE, 1), (4, 3 * cores.SHARE, 3), (2, 1 << 40, 2), (1, 1 << 40, 1), (8, 1 << 40, 8)],
)
def test_threads_are_woken_for_enough_work(n_threads, flops, wanted):
    with cores.borrowed(n_threads, flops) as workers:
        assert workers == wanted


def test_without_a_number_numbas_is_the_most():
    with cores.borrowed(None, 1 << 60) as workers:
        assert workers == numba.get_num_threads()
    with cores.borrowed(None, 0) as workers:
        assert workers == 1


def test_a_second_call_at_the_same_time_gets_one_worker():
    with cores.borrowed(4, 1 << 40) as first:
        with cores.borrowed(4, 1 << 40) as second, cores.borrowed(4, 0) as small:
            assert (first, second, small) == (4, 1, 1)
        with cores.borrowed(4, 1 << 40) as third:
            assert third == 1
    with cores.borrowed(4, 1 << 40) as later:
        assert later == 4


def test_cores_come_back_after_an_error():
    def fail():
        with cores.borrowed(4, 1 << 40):
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    with cores.borrowed(4, 1 << 40) as workers:
        assert workers == 4


@pytest.mark.parametrize(("used", "wanted"), [(True, 1), (False, 4)])
def test_a_forked_child_of_a_process_that_used_threads_works_alone(monkeypatch, used, wanted):
    monkeypatch.setattr(cores, "_alone", False)
    monkeypatch.setattr(cores, "_taken", cores._taken)
    monkeypatch.setattr(cores.parallel, "_is_initialized", used)
    with cores.borrowed(4, 1 << 40):  # the child must not wait for what its parent has taken
        cores._before_fork()
        cores._in_child()
    with cores.borrowed(4, 1 << 40) as workers:
        assert workers == wanted


def test_working_arrays_are_kept_unless_large():
    dtype = numpy.dtype(numpy.float64)
    first = kept("test", (3, 5), dtype)
    assert numpy.shares_memory(first, kept("test", (2, 4), dtype))
    assert not numpy.shares_memory(first, kept("other", (3, 5), dtype))
    large = (LIMIT // 8 + 1,)
    assert not numpy.shares_memory(kept("test", large, dtype), kept("test", large, dtype))
    assert not numpy.shares_memory(fresh("test", (3, 5), dtype), first)


@pytest.mark.parametrize(
    ("take", "shape"), [(fresh, (SMALL,)), (fresh, (3, SMALL)), (kept, (1,)), (kept, (3, 5)), (kept, (700,))]
)
def test_working_arrays_are_aligned(take, shape):
    array = take("test", shape, numpy.dtype(numpy.float32))
    assert array.shape == shape
    assert array.dtype == numpy.float32
    assert array.ctypes.data % ALIGNMENT == 0


def test_a_child_that_must_not_use_the_layer_does_not_count_its_threads(monkeypatch):
    monkeypatch.setattr(cores, "_alone", True)
    monkeypatch.setattr("numba.get_num_threads", lambda: pytest.fail("counted"))
    assert cores.available() == 1
