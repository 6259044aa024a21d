"""Phases: every part is done once, and none before the phase before it has ended, whoever comes when."""

import threading
import time

import numba
import numpy
import pytest

from fastlstm_kernels import threads
from fastlstm_kernels.phases import SYNC_LINE, finish, next_part, next_turn
from tests.tools.helpers import JIT_OFF

PHASES = 7


@numba.njit(nogil=True)
def walk(worker, workers, sync, times, early):
    """Go through all phases; count each part, and the parts that find the phase before them unfinished."""
    for phase in range(times.shape[0]):
        part = next_part(sync, worker, workers, phase)
        while part >= 0:
            if phase > 0:
                for other in range(workers):
                    early[worker] += times[phase - 1, other] == 0
            times[phase, part] += 1
            finish(sync, part, phase)
            part = next_part(sync, worker, workers, phase)


def records(workers):
    sync = numpy.zeros((workers, SYNC_LINE), numpy.int64)
    return sync, numpy.zeros((PHASES, workers), int), numpy.zeros(workers, int)


def start_and_join(late, work, arguments):
    """A thread for each of several arguments, some time after the one before; all must end."""
    workers = [threading.Thread(target=work, args=each) for each in arguments]
    for worker in workers:
        worker.start()
        time.sleep(late)
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive()


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("backwards", [False, True])
def test_one_thread_may_run_all_workers_one_after_another(workers, backwards):
    sync, times, early = records(workers)
    order = range(workers)
    for worker in reversed(order) if backwards else order:
        walk(worker, workers, sync, times, early)
    assert (times == 1).all()
    assert not early.any()


@pytest.mark.long
@pytest.mark.skipif(JIT_OFF, reason="only compiled code takes a part in one indivisible step")
@pytest.mark.parametrize("late", [0.0, 0.02])
def test_threads_do_every_part_once_and_in_order(late):
    walk(0, 1, *records(1))  # compiled before the threads start
    for _ in range(20):
        sync, times, early = records(3)
        start_and_join(late, walk, [(k, 3, sync, times, early) for k in range(3)])
        assert (times == 1).all()
        assert not early.any()


@numba.njit(nogil=True)
def wait(sync):
    return next_part(sync, 0, 2, 0)


@numba.njit
def take_other(sync):
    return next_part(sync, 1, 2, 0)


@numba.njit
def end(sync, part):
    finish(sync, part, 0)


def test_a_part_that_another_has_taken_is_waited_for():
    sync = numpy.zeros((2, SYNC_LINE), numpy.int64)
    assert (take_other(sync), wait(sync)) == (1, 0)
    end(sync, 0)
    end(numpy.zeros((2, SYNC_LINE), numpy.int64), 1)  # compiled before the clock starts
    clock = threading.Timer(0.1, end, (sync, 1))
    clock.start()
    assert wait(sync) == -1
    clock.join()
    assert wait(sync) == -1


@numba.njit(nogil=True)
def alternate(worker, workers, chained, sync, times, early):
    """Take all turns of two layers; count each, and those that find the ones before them undone."""
    turns = times.shape[0]
    turn = next_turn(sync, worker, workers, turns, chained)
    while turn >= 0:
        k, layer = turn // 2, turn % 2
        if k > 0:
            early[worker] += times[k - 1, layer] == 0
        if chained and layer == 1:
            early[worker] += times[k, 0] == 0
        times[k, layer] += 1
        finish(sync, layer, k)
        turn = next_turn(sync, worker, workers, turns, chained)


@pytest.mark.parametrize("workers", [[0], [0, 1], [1, 0]])
@pytest.mark.parametrize("chained", [False, True])
def test_turns_of_two_layers_are_taken_once_and_in_order_by_one_thread(workers, chained):
    sync, times, early = records(2)
    for worker in workers:
        alternate(worker, len(workers), chained, sync, times, early)
    assert (times == 1).all()
    assert not early.any()


@pytest.mark.long
@pytest.mark.skipif(JIT_OFF, reason="only compiled code takes a turn in one indivisible step")
@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("late", [0.0, 0.02])
def test_turns_of_two_layers_are_taken_once_and_in_order_by_threads(late, chained):
    alternate(0, 1, chained, *records(2))  # compiled before the threads start
    for _ in range(20):
        sync, times, early = records(2)
        start_and_join(late, alternate, [(k, 2, chained, sync, times, early) for k in (1, 0)])
        assert (times == 1).all()
        assert not early.any()


@numba.njit
def first_turn(sync, chained):
    return next_turn(sync, 1, 2, 1, chained)


def test_the_second_layer_waits_for_the_first_where_they_are_chained():
    # Nobody comes for the first layer, so whoever has the second does it, before the second or after.
    assert [first_turn(numpy.zeros((2, SYNC_LINE), numpy.int64), chained) for chained in (True, False)] == [0, 1]


@numba.njit(nogil=True)
def turn_of_first(sync):
    return next_turn(sync, 0, 2, 1, True)


def test_a_turn_that_another_has_taken_is_waited_for():
    sync, other = numpy.zeros((2, SYNC_LINE), numpy.int64), numpy.zeros((2, SYNC_LINE), numpy.int64)
    assert (turn_of_first(other), first_turn(sync, True)) == (0, 0)
    end(other, 0)  # compiled before the clock starts
    clock = threading.Timer(0.1, end, (sync, 0))
    clock.start()
    assert turn_of_first(sync) == 1
    clock.join()


def test_hosts_without_the_x86_control_register_run_as_they_are(monkeypatch):
    monkeypatch.setattr(threads, "_X86", False)
    ran = []
    threads._flushing(None, lambda: ran.append(True))
    assert ran == [True]
