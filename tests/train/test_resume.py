"""Training that stops, is saved, and goes on: to the last bit as if it had not stopped."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy
import pytest

from fastlstm import nn, train
from fastlstm.train import checkpoint
from tests.tools import processes, streams
from tests.tools.helpers import JIT_OFF
from tests.tools.streams import Shuffled, assert_same, chunks, trainer

pytest.importorskip("safetensors")

LENGTHS = [5, 2, 4]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


class Noise(train.Callback):
    """Adds noise to the weights, and remembers what it has added."""

    def __init__(self) -> None:
        self.total, self.last = 0.0, numpy.zeros(0)

    def on_update(self, trainer: train.Trainer) -> None:
        self.last = 0.01 * trainer.rng.standard_normal(trainer.model.parameters.flat.size)
        self.total += float(self.last.sum())
        trainer.model.parameters.flat[:] += self.last + 1e-3 * self.total

    def state(self) -> Any:
        return {"total": self.total}, {"last": self.last}

    def load_state(self, values: Any, arrays: Any) -> None:
        self.total, self.last = values["total"], arrays["last"]


def resets() -> list[Any]:
    marks = [None, numpy.array([True, False]), numpy.array([True, True])]
    return [(*chunk, mark) for chunk, mark in zip(chunks(LENGTHS), marks, strict=True)]


DATA = {
    "list": lambda: resets(),
    "chunks": lambda: train.Chunks(*streams.arrays(11), 4),
    "function": lambda: Shuffled(resets()),
}


@pytest.mark.long
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("settings", [{}, {"k1": 2}, {"k1": 2, "k2": 5}])
def test_saved_after_any_update(path: Path, data: str, settings: Any) -> None:
    make, validation = DATA[data], chunks([3])
    whole = trainer(seed=5, **settings)
    whole.fit(make(), epochs=2, validation=validation, callbacks=[Noise()])
    for stop in range(0, whole.updates + 1, 4 if JIT_OFF else 1):
        ours = trainer(seed=5, **settings)
        ours.fit(make(), epochs=2, updates=stop, validation=validation, callbacks=[Noise()], checkpoint=path)
        ours = train.Trainer.load(path)
        ours.save(path)  # before it goes on: nothing is lost
        ours = train.Trainer.load(path)
        ours.fit(make(), epochs=2 - ours.epoch, validation=validation, callbacks=[Noise()])
        assert_same(ours, whole)
        assert ours.history["seconds"][-1] > 0


@pytest.mark.parametrize("settings", [{"k1": 3}, {"k1": 2, "k2": 5}])
def test_dropout_goes_on(path: Path, settings: Any) -> None:
    def make() -> train.Trainer:
        lstm = nn.LSTM(streams.INPUTS, 4, 2, dropout=0.4, recurrent_dropout=0.3, dtype="float64", seed=1)
        model = nn.Sequential(lstm, nn.Dense(4, streams.OUTPUTS, dtype="float64", seed=2))
        return train.Trainer(model, train.SquaredError(), train.Adam(0.01), **settings)

    whole, validation = make(), chunks([3])
    whole.fit(chunks(LENGTHS), epochs=2, validation=validation)
    for stop in range(1, whole.updates, 6 if JIT_OFF else 1):
        ours = make()
        ours.fit(chunks(LENGTHS), epochs=2, updates=stop, validation=validation, checkpoint=path)
        ours = train.Trainer.load(path)
        ours.fit(chunks(LENGTHS), epochs=2 - ours.epoch, validation=validation)
        assert_same(ours, whole)


def test_a_stream_is_gone_through_again(path: Path) -> None:
    def stream() -> Any:
        while True:
            yield from chunks(LENGTHS)

    whole, ours = trainer(k1=2), trainer(k1=2)
    whole.fit(stream(), updates=19)
    for _ in range(4):
        ours.fit(stream(), updates=min(5, 19 - ours.updates), checkpoint=path)
        ours = train.Trainer.load(path)
    assert_same(ours, whole)


@pytest.mark.parametrize("every", [None, 1, 4])
def test_when_checkpoints_are_written(path: Path, every: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = []
    write = train.Trainer.save

    def save(self: train.Trainer, path: Any) -> None:
        updates.append(self.updates)
        write(self, path)

    monkeypatch.setattr(train.Trainer, "save", save)
    trainer().fit(chunks(LENGTHS), epochs=3, checkpoint=path, checkpoint_every=every)
    assert updates == {None: [3, 6, 9], 1: [*range(1, 10), 9], 4: [4, 8, 9]}[every]


@pytest.mark.parametrize("model", [
    nn.LSTM(streams.INPUTS, streams.OUTPUTS, bias=False, seed=0, n_threads=1),
    nn.LSTM(streams.INPUTS, streams.OUTPUTS, 2, dropout=0.4, recurrent_dropout=0.3, forget_bias=1.0, seed=0),
    nn.Dense(streams.INPUTS, streams.OUTPUTS, seed=0),
    nn.Sequential(nn.Sequential(nn.LSTM(streams.INPUTS, 4, seed=0)), nn.Dense(4, streams.OUTPUTS, seed=0)),
])
@pytest.mark.parametrize("settings", [{}, {"k2": 7}, {"truncate": 2, "stride": 2}])
def test_all_that_a_trainer_is_made_of(path: Path, model: Any, settings: Any) -> None:
    optimizer = train.RMSprop(0.02, momentum=0.5, centered=True, clip_norm=1.0)
    ours = train.Trainer(model, train.Huber(0.7), optimizer, seed=3, **settings)
    ours.fit(chunks(LENGTHS, dtype=numpy.float32), updates=2)
    ours.save(path)
    loaded = train.Trainer.load(path)
    assert_same(loaded, ours)
    for name in ("model", "loss", "optimizer"):
        assert getattr(loaded, name).config() == getattr(ours, name).config()
    for name in ("k1", "k2", "truncate", "stride", "stopped", "last_loss"):
        assert getattr(loaded, name) == getattr(ours, name)
    for each in (ours, loaded):
        each.fit(chunks(LENGTHS, dtype=numpy.float32))
    assert_same(loaded, ours)
    names = set(checkpoint.read(path)[0])
    assert {f"model.{name}" for name in model.parameters} <= names


def test_a_new_trainer_and_one_before_its_first_update(path: Path) -> None:
    trainer(k1=2, k2=3).save(path)
    ours, other = train.Trainer.load(path), trainer(k1=2, k2=3)
    for each in (ours, other):
        each.fit(chunks(LENGTHS))
    assert_same(ours, other)


def test_callbacks_go_on_by_their_kind(path: Path) -> None:
    ours, one, two, other = trainer(), Noise(), Noise(), train.EarlyStopping(3)
    ours.fit(chunks(LENGTHS), callbacks=[one, other, two, train.Callback()], validation=chunks([2]))
    ours.save(path)
    first, second, third, stopping = Noise(), Noise(), Noise(), train.EarlyStopping(9)
    ours = train.Trainer.load(path)
    given = [train.Callback(), stopping, first, second, third]
    ours.fit(chunks([1]), updates=0, callbacks=given, validation=chunks([2]))
    assert [each.total for each in (first, second, third)] == [one.total, two.total, 0.0]
    assert (stopping.best, stopping.waited, stopping.patience) == (other.best, other.waited, 9)
    later = Noise()
    ours.fit(chunks([1]), updates=0, callbacks=[later])
    assert later.total == 0.0


def test_learning_rates_that_no_file_can_hold(path: Path) -> None:
    def rate(updates: int) -> float:
        return 0.1 / (1 + updates)

    def make() -> train.Trainer:
        return train.Trainer(streams.model(), train.SquaredError(), train.Adam(rate))

    whole, ours = make(), make()
    whole.fit(chunks(LENGTHS))
    ours.fit(chunks(LENGTHS), updates=2, checkpoint=path)
    with pytest.raises(ValueError, match="optimizer must be given: the learning rate was a function"):
        train.Trainer.load(path)
    with pytest.raises(ValueError, match="optimizer must be a Adam, as the one in the file, got SGD"):
        train.Trainer.load(path, optimizer=train.SGD())
    ours = train.Trainer.load(path, optimizer=train.Adam(rate))
    ours.fit(chunks(LENGTHS))
    assert_same(ours, whole)


def test_what_cannot_be_saved(path: Path) -> None:
    def own(outputs: Any, targets: Any, mask: Any) -> Any:
        return train.SquaredError()(outputs, targets, mask)

    ours = train.Trainer(streams.model(), own, train.SGD())
    for call in (lambda: ours.save(path), lambda: ours.fit(chunks([2]), checkpoint=path)):
        with pytest.raises(TypeError, match="loss must be an object of a subclass of Loss to be saved, got <fun"):
            call()
    assert ours.updates == 0
    ours.fit(chunks([2]))
    assert ours.updates == 1


def test_files_that_are_no_trainer(path: Path) -> None:
    checkpoint.write(path, {}, {"kind": "else"})
    with pytest.raises(ValueError, match="no checkpoint of a trainer"):
        train.Trainer.load(path)
    trainer().save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="truncated or damaged"):
        train.Trainer.load(path)


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_a_process_of_its_own(path: Path, number: int) -> None:
    """During an update it waits for its end, and while data are waited for it acts at once; then all goes on."""
    child = processes.start("""
import sys, time
from fastlstm import train
from tests.tools import streams

class Slow(train.SquaredError):
    def __call__(self, *given):
        if ours.updates == 2:
            say("updating")
            time.sleep(0.3)
        return super().__call__(*given)

def say(word):
    print(word, flush=True)

def stream():
    for n in range(4):
        if n == 3:
            say("waiting")
            time.sleep(100)
        yield streams.chunks([2] * 4)[n]

ours = train.Trainer(streams.model(), Slow(), train.Adam(0.01))
data = stream()
ours.fit(data)
assert (ours.interrupted, ours.updates) == (True, 3)
ours.loss = train.SquaredError()
ours.fit(data, checkpoint=sys.argv[1])
assert (ours.interrupted, ours.updates) == (True, 3)
ours = train.Trainer.load(sys.argv[1])
ours.fit(streams.chunks([2] * 4), checkpoint=sys.argv[1])
assert not ours.interrupted
say("done")
""", str(path))
    try:
        for word in ("updating", "waiting"):
            assert child.stdout.readline() == word + "\n", child.stderr.read()
            began = time.perf_counter()
            child.send_signal(number)
        assert processes.finish(child) == "done\n"
        assert time.perf_counter() - began < 50
    finally:
        child.kill()
    whole = trainer()
    whole.fit(chunks([2] * 4))
    assert_same(train.Trainer.load(path), whole)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children")
def test_kills() -> None:
    count = 1 if JIT_OFF else 4
    said = processes.run("import sys; from tests.tools import kills; print(kills.run(int(sys.argv[1]), 7))", str(count))
    assert "as the one that was left alone" in said
