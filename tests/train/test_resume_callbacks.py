"""Trainings with callbacks that end, by whatever, and go on: as if they had not ended."""

from pathlib import Path
from typing import Any

import numpy
import pytest

from fastlstm import train
from tests.tools.streams import assert_same, chunks, trainer, weights

pytest.importorskip("safetensors")

DATA, VALIDATION = chunks([4, 4, 4]), [(x, -y) for x, y in chunks([3])]  # it gets worse: the first epoch is the best
EPOCHS = 3


def stopping() -> train.EarlyStopping:
    return train.EarlyStopping(9)


def whole(**settings: Any) -> train.Trainer:
    ours = trainer(k1=2, **settings)
    ours.fit(DATA, epochs=EPOCHS, validation=VALIDATION, callbacks=[stopping()])
    return ours


@pytest.mark.long
@pytest.mark.parametrize("cut", range(1, 18))
@pytest.mark.parametrize("through", ["file", "callback", "object"])
def test_early_stopping_goes_on_after_any_update(tmp_path: Path, cut: int, through: str) -> None:
    """The best parameters, which the model has in between, are not those that the training goes on from."""
    expected = whole()
    ours, callback = trainer(k1=2), stopping()
    ours.fit(DATA, epochs=EPOCHS, updates=cut, validation=VALIDATION, callbacks=[callback], checkpoint=tmp_path / "run")
    if through == "file":
        ours, callback = train.Trainer.load(tmp_path / "run"), stopping()
    elif through == "callback":
        values, arrays = callback.state()
        callback = stopping()
        callback.load_state(values, arrays)
    ours.fit(DATA, epochs=EPOCHS - ours.epoch, validation=VALIDATION, callbacks=[callback])
    assert_same(ours, expected)


def test_early_stopping_goes_on_after_epochs_too(tmp_path: Path) -> None:
    expected, path = whole(), tmp_path / "run"
    ours = trainer(k1=2)
    for _ in range(EPOCHS):
        ours.fit(DATA, validation=VALIDATION, callbacks=[stopping()], checkpoint=path)
        ours = train.Trainer.load(path)
    assert_same(ours, expected)
    assert ours.history["validation"].argmin() == 0


def test_parameters_put_in_place_of_the_best_are_gone_on_from() -> None:
    ours, callback = trainer(), stopping()
    ours.fit(DATA, epochs=2, validation=VALIDATION, callbacks=[callback])
    ours.model.parameters.flat[:] = 0.25
    ours.fit(DATA, updates=0, validation=VALIDATION, callbacks=[Seen(), callback])
    assert Seen.first == 0.25


class Seen(train.Callback):
    first = 0.0

    def on_end(self, trainer: train.Trainer) -> None:
        Seen.first = float(weights(trainer)[0])


class Saver(train.Callback):
    """Saves at a place in the training, and counts what it has seen before."""

    def __init__(self, path: Path, when: str, at: int) -> None:
        self.path, self.when, self.at, self.seen = path, when, at, 0

    def _see(self, trainer: train.Trainer, when: str, count: int) -> None:
        if (when, count) == (self.when, self.at):
            trainer.save(self.path)
        self.seen += 1

    def on_update(self, trainer: train.Trainer) -> None:
        self._see(trainer, "update", trainer.updates)

    def on_epoch(self, trainer: train.Trainer) -> None:
        self._see(trainer, "epoch", trainer.epoch)

    def on_end(self, trainer: train.Trainer) -> None:
        self._see(trainer, "end", 0)


class Stop(train.Callback):
    """Counts, and stops after an update or an epoch."""

    def __init__(self, updates: int = -1, epochs: int = -1) -> None:
        self.stops, self.total = (updates, epochs), 0

    def on_update(self, trainer: train.Trainer) -> bool:
        self.total += 1
        return trainer.updates == self.stops[0]

    def on_epoch(self, trainer: train.Trainer) -> bool:
        self.total += 100
        return trainer.epoch == self.stops[1]

    def state(self) -> Any:
        return {"total": self.total}, {}

    def load_state(self, values: Any, arrays: Any) -> None:
        self.total = values["total"]


@pytest.mark.parametrize("first", [True, False])
def test_a_file_saved_by_a_callback_has_what_the_others_did(tmp_path: Path, first: bool) -> None:
    saver, counting = Saver(tmp_path / "run", "epoch", 2), Stop()
    early = train.EarlyStopping(4)
    callbacks = [saver, counting, early] if first else [counting, early, saver]
    ours = trainer()
    ours.fit(DATA, epochs=9, validation=VALIDATION, callbacks=callbacks)
    assert (ours.epoch, ours.stopped, counting.total) == (5, True, 515)
    found, later, other = train.Trainer.load(tmp_path / "run"), Stop(), train.EarlyStopping(4)
    found.fit(DATA, epochs=9 - found.epoch, validation=VALIDATION, callbacks=[later, other])
    assert_same(ours, found)
    assert (found.epoch, other.waited, later.total) == (5, 4, 515)


@pytest.mark.parametrize(("when", "at", "stop"), [
    ("update", 2, Stop(updates=2)), ("epoch", 1, Stop(epochs=1)), ("end", 0, Stop(updates=4)),
])
def test_a_file_saved_by_a_callback_knows_that_another_has_stopped_the_training(
    tmp_path: Path, when: str, at: int, stop: Stop
) -> None:
    saver = Saver(tmp_path / "run", when, at)
    trainer().fit(DATA, epochs=9, callbacks=[saver, stop])
    assert train.Trainer.load(tmp_path / "run").stopped


def test_a_file_saved_at_the_end_has_the_best_parameters(tmp_path: Path) -> None:
    ours = trainer()
    saver = Saver(tmp_path / "run", "end", 0)
    ours.fit(DATA, epochs=2, validation=VALIDATION, callbacks=[saver, stopping()])
    numpy.testing.assert_array_equal(weights(train.Trainer.load(tmp_path / "run")), weights(ours))


def test_a_callback_that_fails_is_not_made_up_for_later(tmp_path: Path) -> None:
    class Broken(train.Callback):
        def on_epoch(self, trainer: train.Trainer) -> None:
            raise RuntimeError("broken")

    ours, late = trainer(), Stop()
    with pytest.raises(RuntimeError, match="broken"):
        ours.fit(DATA, callbacks=[Broken(), late])
    ours.save(tmp_path / "run")
    assert late.total == 3
