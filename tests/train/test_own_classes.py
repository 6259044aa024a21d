"""Losses, optimizers, schedules and layers of one's own: a subclass is all that it takes to train and to be saved."""

import re
from pathlib import Path
from typing import Any

import numpy
import pytest

from fastlstm import nn, train
from fastlstm.train import schedules
from tests.tools.streams import assert_same, chunks


class LogCosh(train.Loss):
    """Σ log cosh(scale · e) / scale, a mean over rows."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(
        self, outputs: Any, targets: Any, mask: Any = None, sample_weight: Any = None
    ) -> tuple[float, Any]:
        error = self.scale * (outputs - targets)
        rows = error.size // error.shape[-1]
        value = float(numpy.log(numpy.cosh(error)).sum() / self.scale / rows)
        return value, (numpy.tanh(error) / rows).astype(outputs.dtype)


class SignSGD(train.Optimizer):
    """Steps of one size; Bernstein et al. 2018."""

    def __init__(self, learning_rate: Any = 0.01) -> None:
        super().__init__(learning_rate, 0.0, None, None, None)

    def step(self, parameters: Any, gradients: Any) -> None:
        rate = self.learning_rate
        parameters -= (rate(self.updates) if callable(rate) else rate) * numpy.sign(gradients)
        self.updates += 1


class Halving(schedules.Schedule):
    """Half as much every so many updates."""

    def __init__(self, initial: float, every: int) -> None:
        self.initial, self.every = initial, every

    def __call__(self, updates: int) -> float:
        return self.initial * 0.5 ** (updates // self.every)


class Wide(nn.Dense):
    """A dense layer of twice the width."""

    def __init__(self, input_size: int, half: int, dtype: Any = "float32", seed: Any = None) -> None:
        self.half = half
        super().__init__(input_size, 2 * half, dtype=dtype, seed=seed)


def own() -> train.Trainer:
    model = nn.Sequential(nn.LSTM(3, 5, seed=1, dtype="float64"), Wide(5, 1, "float64", seed=2))
    return train.Trainer(model, LogCosh(2.0), SignSGD(Halving(0.01, 2)))


def test_a_trainer_of_ones_own_classes_goes_on_from_a_file(tmp_path: Path) -> None:
    data, path = chunks([4, 4, 4, 4]), tmp_path / "own.safetensors"
    whole = own()
    whole.fit(data)
    whole.fit(data)
    part = own()
    part.fit(data)
    part.save(path)
    rest = train.Trainer.load(path)
    assert [type(each) for each in (rest.model.layers[1], rest.loss, rest.optimizer)] == [Wide, LogCosh, SignSGD]
    assert rest.optimizer.config() == part.optimizer.config()
    rest.fit(data)
    assert_same(rest, whole)


def test_a_class_that_is_defined_again_takes_its_place(tmp_path: Path) -> None:
    def define() -> type[Any]:
        class Again(train.SquaredError):
            pass

        return Again

    first, second = define(), define()
    trainer = train.Trainer(nn.Dense(3, 2), second(), train.SGD())
    trainer.save(tmp_path / "again.safetensors")
    assert type(train.Trainer.load(tmp_path / "again.safetensors").loss) is second
    with pytest.raises(TypeError, match=r"a class with a name of its own .*, got Again, which is that of"):
        train.Trainer(nn.Dense(3, 2), first(), train.SGD()).save(tmp_path / "first.safetensors")


def test_the_name_of_another_class_is_no_name_for_a_file(tmp_path: Path) -> None:
    class Huber(train.SquaredError):
        pass

    class _Hidden(train.SquaredError):
        pass

    for kind, message in ((Huber, "Huber, which is that of fastlstm.train.losses.Huber"), (_Hidden, "begins with _")):
        trainer = train.Trainer(nn.Dense(3, 2), kind(), train.SGD())
        with pytest.raises(TypeError, match=message):
            trainer.save(tmp_path / "x.safetensors")
    trainer = train.Trainer(nn.Dense(3, 2), train.Huber(), train.SGD())
    trainer.save(tmp_path / "x.safetensors")
    assert type(train.Trainer.load(tmp_path / "x.safetensors").loss) is train.Huber


def test_a_class_that_is_not_known_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own().save(tmp_path / "own.safetensors")
    monkeypatch.delitem(train.Loss._family, "LogCosh")
    with pytest.raises(ValueError, match=re.escape("that has been defined by now, derived from Loss; got 'LogCosh'")):
        train.Trainer.load(tmp_path / "own.safetensors")
