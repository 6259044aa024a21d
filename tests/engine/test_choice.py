"""How many workers calls use: on simulated machines, whose times for each number are known."""

from collections.abc import Callable
from itertools import repeat

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm import nn
from fastlstm.engine.choice import CALLS, COST, CREDIT, SHORT, TRIES, Choice, candidates
from fastlstm_kernels.simd import lanes


def simulated(chosen: Choice, most: int, calls: int, takes: Callable[[int], float]) -> list[tuple[int, float]]:
    """The numbers of some calls, and what each took."""
    found = []
    for _ in range(calls):
        if chosen.rests():
            found.append((1, takes(1)))
            continue
        n = chosen.workers(most)
        found.append((n, takes(n)))
        chosen.took(found[-1][1])
    return found


def seconds(found: list[tuple[int, float]]) -> float:
    return sum(took for _, took in found)


@pytest.mark.parametrize(("most", "wanted"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (16, [1, 2, 4, 8, 16])])
def test_candidates(most, wanted):
    assert candidates(most) == wanted


@pytest.mark.parametrize("most", [2, 3, 8, 16])
@pytest.mark.parametrize("best", [1, 2, 8])
def test_the_fastest_is_used_after_a_few_tries(most, best):
    chosen = Choice(lambda n: True)
    takes = {n: 1e-4 * (1 + abs(n - best)) for n in candidates(most)}
    first = simulated(chosen, most, (TRIES + 1) * len(takes), takes.__getitem__)
    assert {n for n, _ in first} == set(takes)
    wanted = min(takes, key=takes.__getitem__)
    assert {n for n, _ in simulated(chosen, most, CALLS // 2, takes.__getitem__)} == {wanted}
    later = simulated(chosen, most, 20_000, takes.__getitem__)
    assert seconds(later) < (1 + 1.5 * COST) * len(later) * takes[wanted]


@pytest.mark.parametrize(("most", "takes"), [(2, 0.13), (16, 0.05), (16, 10.0)])
def test_long_calls_are_not_tried_with_few_workers_for_nothing(most, takes):
    """A call on 16 cores takes up to 16 times as long on one."""
    chosen = Choice(lambda n: True)
    found = simulated(chosen, most, 2000, lambda n: takes * most / n)
    for calls in 5, 20, 200, 2000:
        assert seconds(found[:calls]) < (1 + 2 * COST) * calls * takes
    assert len({n for n, _ in found}) > 1


@pytest.mark.parametrize(("shared", "wanted"), [({2, 4}, 4), ({2}, 2), (set(), 8)])
def test_what_shares_the_work_comes_first(shared, wanted):
    assert Choice(shared.__contains__).workers(8) == wanted


def test_what_the_first_calls_meet_is_left_out():
    """Code that is compiled, and memory that is touched for the first time."""
    chosen, cold = Choice(lambda n: True), {1: 1.0, 2: 3.0}
    simulated(chosen, 2, 2 * (TRIES + 1), lambda n: cold.pop(n, 1e-4 * n))
    assert {n for n, _ in simulated(chosen, 2, CALLS // 2, lambda n: 1e-4 * n)} == {1}


def test_a_machine_that_changes_is_noticed():
    chosen = Choice(lambda n: True)
    simulated(chosen, 2, 1000, lambda n: 1e-4 / n)
    assert chosen.workers(2) == 2
    simulated(chosen, 2, 3000, lambda n: 1e-4 * n)
    assert chosen.workers(2) == 1
    simulated(chosen, 2, 20_000, lambda n: 1e-4 / n)
    assert chosen.workers(2) == 2


def test_a_process_that_was_stopped_is_no_company():
    """By Ctrl-Z, say: minutes need not be paid for by hours with fewer workers."""
    chosen = Choice(lambda n: True)
    simulated(chosen, 2, 100, lambda n: 1e-3 / n)
    chosen.took(600.0)
    found = simulated(chosen, 2, 20_000, lambda n: 1e-3 / n)
    assert seconds(found[: [n for n, _ in found].index(2)]) < 1.1 * 0.2 / COST


def test_small_calls_of_one_worker_are_seldom_timed():
    chosen, timed = Choice(lambda n: True), []
    for _ in range(20_000):
        if chosen.rests():
            continue
        n = chosen.workers(2)
        timed.append(n)
        chosen.took({1: 3e-5, 2: 4e-5}[n])
    assert timed.count(1) < 0.5 * 20_000
    assert 2 in timed[len(timed) // 2 :]


def company(often: float) -> Callable[[int], float]:
    """Two cores and a process that keeps one busy: a call of two workers sometimes waits for a turn of 16 ms."""
    rng = numpy.random.default_rng(0)
    return lambda n: 4e-4 if n == 1 else 2.5e-4 + (16e-3 if rng.random() < often else 0)


@pytest.mark.parametrize("often", [0.02, 0.1, 0.5, 1.0])
def test_beside_others_one_worker_does_it(often):
    chosen, takes = Choice(lambda n: True), company(often)
    simulated(chosen, 2, 2 * TRIES, takes)
    found = simulated(chosen, 2, 20_000, takes)
    assert seconds(found) < 1.1 * len(found) * takes(1)


@pytest.mark.parametrize(("often", "stall"), [(0.02, 1.5e-3), (0.005, 3e-3), (0.0005, 16e-3)])
def test_a_stall_now_and_then_costs_less_than_fewer_workers(often, stall):
    chosen, rng = Choice(lambda n: True), numpy.random.default_rng(0)
    takes = {1: lambda: 4e-4, 2: lambda: 2.5e-4 + (stall if rng.random() < often else 0)}
    found = simulated(chosen, 2, 40_000, lambda n: takes[n]())
    assert seconds(found) < 1.06 * len(found) * (2.5e-4 + often * stall)


def test_after_a_loss_fewer_go_on_for_longer_if_there_was_another_lately():
    chosen, takes = Choice(lambda n: True), {n: 1e-3 / n for n in candidates(4)}
    loss = 20e-3

    def pause():
        """Seconds from a loss until four are back."""
        assert chosen.workers(4) == 4
        chosen.took(loss)
        assert chosen.workers(4) == 2
        waited = 0.0
        while chosen.workers(4) != 4 or chosen._queue:
            waited += simulated(chosen, 4, 1, takes.__getitem__)[0][1]
        return waited

    def keep(time):
        simulated(chosen, 4, int(time / takes[4]), takes.__getitem__)

    for _ in range(2):
        keep(loss / COST)  # and a credit for it
        pauses = [pause() for _ in range(4)]
        numpy.testing.assert_allclose(pauses[0], SHORT * (loss - CREDIT) / COST, atol=0.02)
        numpy.testing.assert_allclose(pauses[1:], loss / COST * numpy.array([0.5, 1, 1]), rtol=0.2)


def test_noise_is_no_stall():
    """A call of some microseconds may take ten times as long for once."""
    chosen = Choice(lambda n: True)
    simulated(chosen, 2, 50, lambda n: 2e-5 / n)
    chosen.took(2e-4)
    assert chosen.workers(2) == 2


def test_other_limits_are_learnt_anew():
    chosen = Choice(lambda n: True)
    simulated(chosen, 8, 100, lambda n: 1e-4 / n)
    assert {n for n, _ in simulated(chosen, 2, 100, lambda n: 1e-4 / n)} == {1, 2}
    assert chosen.workers(2) == 2


def test_a_layer_uses_what_was_fastest(monkeypatch):
    """And its results do not tell how many it was."""
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    used, forward = [], kernels.layer_forward

    def noted(*arguments):
        used.append(arguments[-1])
        forward(*arguments)

    monkeypatch.setattr(kernels, "layer_forward", noted)
    slow = {1: 1e-4, 2: 5e-5, 3: 2e-4}
    times = (value for _ in repeat(None) for value in [lambda: 0.0, lambda: slow[used[-1]]])
    monkeypatch.setattr("fastlstm.engine.level.perf_counter", lambda: next(times)())
    lstm, x = nn.LSTM(3, 40, seed=0, n_threads=3), numpy.ones((4, 5, 3), numpy.float32)
    outputs = [lstm(x)[0] for _ in range(3 * (TRIES + 1) + CALLS // 2)]
    assert set(used[: 3 * (TRIES + 1)]) == {1, 2, 3}
    assert set(used[3 * (TRIES + 1) :]) == {2}
    for output in outputs:
        numpy.testing.assert_array_equal(output, outputs[0])


def test_a_sequence_is_shared_by_as_many_as_have_units(monkeypatch):
    """The first guess for 128 units on 16 cores, where 8 vectors of units are too few for all."""
    monkeypatch.setattr("fastlstm.engine.cores._count", lambda: 16)
    monkeypatch.setattr("fastlstm.engine.cores.own_cores", lambda: 16)
    first, forward = [], kernels.layer_forward

    def noted(*arguments):
        first.append(arguments[-1])
        forward(*arguments[:-1], 1)

    monkeypatch.setattr(kernels, "layer_forward", noted)
    nn.LSTM(64, 128, seed=0)(numpy.ones((20, 1, 64), numpy.float32))
    assert 4 <= first[0] <= 128 // lanes(numpy.dtype(numpy.float32))
