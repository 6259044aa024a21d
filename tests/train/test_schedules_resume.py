"""Training with schedules, or with settings that change, that is saved and goes on."""

from pathlib import Path
from typing import Any

import pytest

from fastlstm import train
from fastlstm.train import checkpoint
from fastlstm.train.schedules import CosineDecay, ExponentialDecay, OneCycle, Plateau, Warmup
from tests.tools import streams
from tests.tools.streams import assert_same, chunks

pytest.importorskip("safetensors")

LENGTHS = [5, 2, 4, 3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


def trainer(optimizer: Any) -> train.Trainer:
    return train.Trainer(streams.model(), train.SquaredError(), optimizer, k1=2)


def reloaded(ours: train.Trainer, path: Path, **given: Any) -> train.Trainer:
    ours.save(path)
    return train.Trainer.load(path, **given)


@pytest.mark.parametrize("make", [
    lambda: train.SGD(Warmup(CosineDecay(0.1, 9), 4), OneCycle(0.85, 12, 0.95, 0.95), nesterov=True),
    lambda: train.AdamW(Warmup(CosineDecay(0.1, 9), 4), (OneCycle(0.85, 12, 0.95, 0.95), 0.99)),
    lambda: train.RMSprop(OneCycle(0.01, 12), momentum=Warmup(0.9, 5)),
])
def test_saved_after_any_update(path: Path, make: Any) -> None:
    whole = trainer(make())
    whole.fit(chunks(LENGTHS), epochs=2)
    for stop in range(0, whole.updates + 1, 3):
        ours = trainer(make())
        ours.fit(chunks(LENGTHS), epochs=2, updates=stop)
        ours = reloaded(reloaded(ours, path), path)
        assert repr(ours.optimizer) == repr(whole.optimizer)
        ours.fit(chunks(LENGTHS), epochs=2 - ours.epoch)
        assert_same(ours, whole)


@pytest.mark.parametrize("make", [
    lambda: train.SGD(Plateau(0.1, 0.5, patience=1), Warmup(Plateau(0.9, 0.7, patience=0), 3)),
    lambda: train.Adam(Warmup(Plateau(0.1, 0.5, patience=1), 3), (Plateau(0.9, 0.7, patience=0), 0.99)),
])
def test_a_plateau_goes_on(path: Path, make: Any) -> None:
    """It follows a validation loss that only grows."""
    worse, epochs = [(x, -y) for x, y in chunks([3])], 5

    def run(stop: int | None) -> train.Trainer:
        ours = trainer(make())
        if stop is not None:
            ours.fit(chunks(LENGTHS), epochs=epochs, updates=stop, validation=worse)
            ours = reloaded(ours, path)
        ours.fit(chunks(LENGTHS), epochs=epochs - ours.epoch, validation=worse)
        return ours

    whole = run(None)
    assert all(schedule.state()["value"] < 0.5 for schedule in whole.optimizer.schedules.values())
    for stop in range(0, whole.updates, 5):
        ours = run(stop)
        assert_same(ours, whole)
        for name, schedule in whole.optimizer.schedules.items():
            assert schedule.state() == ours.optimizer.schedules[name].state()


def test_a_plateau_needs_a_validation_loss() -> None:
    ours = trainer(train.SGD(Warmup(Plateau(0.1), 3)))
    with pytest.raises(ValueError, match="the optimizer's schedule follows the validation loss, got no validation"):
        ours.fit(chunks(LENGTHS))
    assert ours.updates == 0


@pytest.mark.parametrize(("make", "words"), [
    (lambda: train.SGD(0.1, lambda updates: 0.9), "momentum"),
    (lambda: train.RMSprop(momentum=lambda updates: 0.9), "momentum"),
    (lambda: train.Adam(0.1, (lambda updates: 0.9, 0.99)), "first of the betas"),
    (lambda: train.AdamW(lambda updates: 0.1), "learning rate"),
])
def test_functions_are_given_again(path: Path, make: Any, words: str) -> None:
    ours, whole = trainer(make()), trainer(make())
    ours.fit(chunks(LENGTHS))
    whole.fit(chunks(LENGTHS), epochs=2)
    ours.save(path)
    with pytest.raises(ValueError, match=f"optimizer must be given: the {words} was a function"):
        train.Trainer.load(path)
    ours = train.Trainer.load(path, optimizer=make())
    ours.fit(chunks(LENGTHS))
    assert_same(ours, whole)


@pytest.mark.parametrize(("make", "changes"), [
    (lambda: train.SGD(0.1), {"momentum": 0.9, "nesterov": True}),
    (lambda: train.SGD(0.1, 0.9), {"momentum": 0.0}),
    (lambda: train.RMSprop(), {"momentum": 0.9, "centered": True, "eps": 1e-3}),
    (lambda: train.RMSprop(momentum=0.9, centered=True), {"momentum": 0.0, "centered": False}),
])
def test_a_setting_changed_since_the_last_step(path: Path, make: Any, changes: Any) -> None:
    whole, ours = trainer(make()), trainer(make())
    for each in (whole, ours):
        each.fit(chunks(LENGTHS), updates=3)
        for name, value in changes.items():
            setattr(each.optimizer, name, value)
    ours = reloaded(ours, path)
    given = make()
    for name, value in changes.items():
        setattr(given, name, value)
    # Settings changed before the file was written, or by the optimizer that it is loaded with, are the same.
    other = trainer(make())
    other.fit(chunks(LENGTHS), updates=3)
    other = reloaded(other, path, optimizer=given)
    for each in (whole, ours, other):
        each.fit(chunks(LENGTHS))
    assert whole.optimizer.arrays.keys() == ours.optimizer.arrays.keys() == other.optimizer.arrays.keys()
    assert_same(ours, whole)
    assert_same(other, whole)


def test_a_schedule_of_another_kind_begins_anew(path: Path) -> None:
    ours = trainer(train.SGD(Plateau(0.1, patience=0), 0.5))
    for loss in (1.0, 2.0):
        ours.optimizer.observe(loss)
    ours.fit(chunks(LENGTHS), validation=chunks([1]))
    given = train.SGD(ExponentialDecay(0.1, 0.9), Plateau(0.9))
    found = reloaded(ours, path, optimizer=given).optimizer
    assert found is given
    assert found.updates == ours.updates
    assert found.schedules["momentum"].state() == Plateau(0.9).state()


def test_files_without_schedules_are_read_still(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = trainer(train.Adam(0.01, (0.8, 0.99)))
    ours.fit(chunks(LENGTHS), validation=chunks([3]))
    ours.save(path)
    arrays, metadata = checkpoint.read(path)
    del metadata["schedules"]
    monkeypatch.setattr(checkpoint, "FORMAT", 1)
    checkpoint.write(path, arrays, metadata)
    monkeypatch.undo()
    given = train.Adam(Plateau(0.01), (0.8, 0.99))
    for loaded in (train.Trainer.load(path), train.Trainer.load(path, optimizer=given)):
        loaded.fit(chunks(LENGTHS), validation=chunks([3]))
        whole = trainer(train.Adam(0.01, (0.8, 0.99)))
        whole.fit(chunks(LENGTHS), epochs=2, validation=chunks([3]))
        assert_same(loaded, whole)
