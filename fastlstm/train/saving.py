"""A trainer as a checkpoint, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from fastlstm import nn
from fastlstm.checks import Array
from fastlstm.train import checkpoint, schedules
from fastlstm.train.callbacks import Callback
from fastlstm.train.losses import CrossEntropy, Huber, SquaredError
from fastlstm.train.optimizers import SGD, Adam, AdamW, RMSprop
from fastlstm.train.states import pack, unpack

if TYPE_CHECKING:
    from fastlstm.train.trainer import Trainer

CallbackState: TypeAlias = tuple[str, Mapping[str, Any], Mapping[str, Array]]
"""A callback's class, and what its `state` gave."""

MODELS = {kind.__name__: kind for kind in (nn.LSTM, nn.Dense, nn.Sequential)}
LOSSES = {kind.__name__: kind for kind in (CrossEntropy, Huber, SquaredError)}
OPTIMIZERS = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop)}
FUNCTIONS = {"learning_rate": "learning rate", "momentum": "momentum", "betas": "first of the betas"}
"""Settings of optimizers that may be functions, which no file can hold; for messages."""
PLACE = "epoch", "chunk", "step", "updates", "steps", "seconds", "last_loss", "validation_loss", "stopped"
"""Attributes of a trainer, saved and set as they are."""


def check(trainer: Trainer) -> None:
    """Raise unless a file can hold the trainer.

    Raises
    ------
    TypeError, ModuleNotFoundError
        As `Trainer.save`.
    """
    checkpoint.require()
    for name, value, kinds in (
        ("model", trainer.model, MODELS), ("loss", trainer.loss, LOSSES), ("optimizer", trainer.optimizer, OPTIMIZERS)
    ):
        if type(value) not in kinds.values():
            raise TypeError(f"{name} must be a {' or '.join(kinds)} to be saved, got {type(value).__name__}")


def save(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Write a trainer; see `Trainer.save`."""
    check(trainer)
    arrays: dict[str, Array] = {}

    def put(name: str, given: Mapping[str, Array]) -> None:
        arrays.update({f"{name}.{key}": array for key, array in given.items()})

    put("model", trainer.model.parameters)
    put("optimizer", trainer.optimizer.arrays)
    history, rows = trainer.history.state()
    put("history", rows)
    window = None
    if trainer._window is not None:
        window, kept = trainer._window.state()
        put("window", kept)
    states = [(type(each).__name__, *each.state()) for each in trainer.callbacks] or trainer._callback_states
    for k, (_, _, given) in enumerate(states):
        put(f"callbacks.{k}", given)
    checkpoint.write(path, arrays, {
        "kind": "Trainer",
        "model": trainer.model.config(), "loss": trainer.loss.config(), "optimizer": trainer.optimizer.config(),
        "trainer": {name: getattr(trainer, name) for name in ("k1", "k2", "truncate", "stride")},
        "place": {name: getattr(trainer, name) for name in PLACE},
        "optimizer_updates": trainer.optimizer.updates,
        "schedules": {name: schedule.state() for name, schedule in trainer.optimizer.schedules.items()},
        "state": pack(trainer.state, "state", arrays),
        "batch": trainer._batch, "window": window, "history": history,
        "rng": trainer.rng.bit_generator.state, "epoch_seed": trainer._seed,
        "generators": [generator.bit_generator.state for generator in trainer.model.generators()],
        "callbacks": [{"kind": kind, "values": values} for kind, values, _ in states],
    })


def load(kind: type[Trainer], path: str | os.PathLike[str], optimizer: Any) -> Trainer:
    """Read a trainer; see `Trainer.load`."""
    arrays, found = checkpoint.read(path)
    if found.get("kind") != "Trainer":
        raise ValueError(f"{path} is no checkpoint of a trainer")

    def get(name: str) -> dict[str, Array]:
        return {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(name + ".")}

    model = nn.from_config(found["model"])
    model.load_state_dict(get("model"))
    for generator, state in zip(model.generators(), found["generators"], strict=True):
        generator.bit_generator.state = state
    trainer = kind(
        model, _made(LOSSES, found["loss"]), _optimizer(found["optimizer"], optimizer), **found["trainer"]
    )
    trainer.optimizer.load(found["optimizer_updates"], get("optimizer"))
    for name, schedule in trainer.optimizer.schedules.items():
        state = found.get("schedules", {}).get(name, {})
        if state.keys() == schedule.state().keys():  # else the optimizer was given with another schedule
            schedule.load_state(state)
    for name in PLACE:
        setattr(trainer, name, found["place"][name])
    trainer.state = unpack(found["state"], arrays)
    trainer._batch = None if found["batch"] is None else tuple(found["batch"])
    if trainer._window is not None:
        trainer._window.load_state(found["window"], get("window"))
    trainer.history.load_state(found["history"], get("history"))
    trainer.rng.bit_generator.state, trainer._seed = found["rng"], found["epoch_seed"]
    trainer._callback_states = [
        (each["kind"], each["values"], get(f"callbacks.{k}")) for k, each in enumerate(found["callbacks"])
    ]
    return trainer


def resume(states: Sequence[CallbackState], callbacks: Sequence[Callback]) -> None:
    """Let callbacks go on from the states of others of their kinds, in their order."""
    left = list(states)
    for callback in callbacks:
        for k, (kind, values, arrays) in enumerate(left):
            if kind == type(callback).__name__:
                callback.load_state(values, arrays)
                del left[k]
                break


def _made(kinds: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    arguments = dict(config)
    return kinds[arguments.pop("kind")](**arguments)


def _optimizer(config: Mapping[str, Any], given: Any) -> Any:
    if given is None:
        for name, words in FUNCTIONS.items():
            value = config.get(name, 0.0)
            if value is None or (isinstance(value, list) and None in value):
                raise ValueError(f"optimizer must be given: the {words} was a function, which no file can hold")
        return _made(OPTIMIZERS, {name: _scheduled(value) for name, value in config.items()})
    if type(given).__name__ != config["kind"]:
        raise ValueError(f"optimizer must be a {config['kind']}, as the one in the file, got {given!r}")
    return given


def _scheduled(value: Any) -> Any:
    """A setting, of what JSON held of it."""
    if isinstance(value, Mapping):
        return schedules.from_config(value)
    return [_scheduled(each) for each in value] if isinstance(value, list) else value
