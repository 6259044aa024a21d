"""SIGTERM ends a training as Ctrl-C does; and what has handlers of its own is left alone."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fastlstm import train
from fastlstm.train.interrupts import DEFAULTS, Interrupts
from tests.tools.layers import forks
from tests.tools.streams import assert_same, chunks, trainer

both = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def default_handlers() -> Any:
    """Each test begins with them, and leaves them."""
    before = {number: signal.signal(number, handler) for number, handler in DEFAULTS.items()}
    yield
    after = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert after == DEFAULTS


def interrupting(action: Any) -> Any:
    """The data of one epoch, with an action in the middle."""
    given = chunks([2] * 4)
    yield from given[:2]
    action()
    yield from given[2:]


@both
def test_during_an_update_it_waits_for_its_end(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("safetensors")
    ours, other, path, calls = trainer(), trainer(), tmp_path / "run.safetensors", []
    compute = train.SquaredError.__call__

    def pressed(self: Any, *given: Any) -> Any:
        calls.append(given)
        if len(calls) == 3:
            signal.raise_signal(number)
        return compute(self, *given)

    monkeypatch.setattr(train.SquaredError, "__call__", pressed)
    stream = interrupting(lambda: None)
    ours.fit(stream, checkpoint=path)
    assert (ours.interrupted, ours.updates) == (True, 3)
    again = train.Trainer.load(path)
    ours.fit(stream)
    again.fit(chunks([2] * 4))
    other.fit(chunks([2] * 4))
    for one in (ours, again):
        assert not one.interrupted
        assert_same(one, other)


@both
def test_while_data_are_waited_for_it_acts_at_once(number: int) -> None:
    """A generator that would never go on by itself."""
    cleaned = []

    def blocked(rng: Any) -> Any:
        try:
            yield from chunks([2] * 4)[:2]
            threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
            time.sleep(100)
        finally:
            cleaned.append(True)

    ours, other, began = trainer(), trainer(), time.perf_counter()
    ours.fit(blocked)
    assert time.perf_counter() - began < 50
    assert (ours.interrupted, ours.updates, cleaned) == (True, 2, [True])
    ours.fit(lambda rng: chunks([2] * 4))
    other.fit(chunks([2] * 4))
    assert_same(ours, other)


@both
def test_another_one_while_the_training_ends_changes_nothing(number: int, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("safetensors")
    ours, other, path = trainer(), trainer(), tmp_path / "run.safetensors"
    save = train.Trainer.save

    def pressed(self: Any, path: Any) -> None:
        for each in DEFAULTS:
            signal.raise_signal(each)
        save(self, path)
        for each in DEFAULTS:
            signal.raise_signal(each)

    monkeypatch.setattr(train.Trainer, "save", pressed)
    ours.fit(interrupting(lambda: signal.raise_signal(number)), checkpoint=path)
    assert (ours.interrupted, ours.updates) == (True, 2)
    again = train.Trainer.load(path)
    again.fit(chunks([2] * 4))
    other.fit(chunks([2] * 4))
    assert_same(again, other)


@both
def test_each_is_held_where_the_other_has_a_handler_of_its_own(number: int) -> None:
    (other,) = set(DEFAULTS) - {number}
    seen: list[int] = []

    def own(number: int, frame: Any) -> None:
        seen.append(number)

    signal.signal(other, own)
    try:
        ours = trainer()
        ours.fit(lambda rng: interrupting(lambda: signal.raise_signal(other)))
        assert (ours.interrupted, ours.updates, seen) == (False, 4, [other])
        ours.fit(lambda rng: interrupting(lambda: signal.raise_signal(number)), epochs=2)
        assert (ours.interrupted, ours.updates, seen) == (True, 6, [other])
        assert signal.getsignal(other) is own
        assert signal.getsignal(number) == DEFAULTS[number]
    finally:
        signal.signal(other, DEFAULTS[other])


def test_an_ignored_one_stays_ignored() -> None:
    for number in DEFAULTS:
        signal.signal(number, signal.SIG_IGN)
    try:
        for number in DEFAULTS:
            ours = trainer()
            ours.fit(interrupting(lambda number=number: signal.raise_signal(number)))
            assert (ours.interrupted, ours.updates) == (False, 4)
            assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        for number, handler in DEFAULTS.items():
            signal.signal(number, handler)


def test_other_threads_leave_the_handlers_alone() -> None:
    found: list[Any] = []

    def look() -> None:
        with Interrupts():
            found.extend(signal.getsignal(number) for number in DEFAULTS)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == list(DEFAULTS.values())


@forks
def test_a_child_forked_meanwhile_ends_by_sigterm() -> None:
    """As the workers of a pool, which is closed so."""
    ours, theirs = os.pipe()
    with Interrupts() as held:
        child = os.fork()
        if not child:
            os.write(theirs, b"ready")
            for _ in range(1000):  # a signal just before a pause is seen after it
                time.sleep(0.1)
            os._exit(0)
        os.read(ours, 5)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGTERM
        assert not held.pending
    for end in (ours, theirs):
        os.close(end)


def test_a_childs_sigterm_has_its_default_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above sees from without."""
    raised: list[Any] = []
    with Interrupts() as held:
        monkeypatch.setattr(signal, "raise_signal", lambda number: raised.append((number, signal.getsignal(number))))
        monkeypatch.setattr(os, "getpid", lambda: 0)
        held._handle(signal.SIGTERM, None)
        assert raised == [(signal.SIGTERM, signal.SIG_DFL)]
