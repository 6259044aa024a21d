"""A trainer as a checkpoint, and back."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from fastlstm import kinds, nn
from fastlstm.checks import Array
from fastlstm.nn.layer import Layer
from fastlstm.train import checkpoint
from fastlstm.train.callbacks import Callback
from fastlstm.train.loss import Loss
from fastlstm.train.optimizer import Optimizer
from fastlstm.train.states import pack, unpack

if TYPE_CHECKING:
    from fastlstm.train.trainer import Trainer

CallbackState: TypeAlias = tuple[str, Mapping[str, Any], Mapping[str, Array]]
"""A callback's class, and what its `state` gave."""

FAMILIES: dict[str, type[Any]] = {"model": Layer, "loss": Loss, "optimizer": Optimizer}
"""Attributes of a trainer that a file holds by their kinds, and what they must be for that."""

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
    for name in FAMILIES:
        _described(trainer, name)


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
        **{name: _described(trainer, name) for name in FAMILIES},
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
        model, kinds.made(Loss, found["loss"]), _optimizer(found["optimizer"], optimizer), **found["trainer"]
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


def _described(trainer: Trainer, name: str) -> dict[str, Any]:
    """Of which kind an attribute is, and how another one is made; as JSON holds it."""
    value, family = getattr(trainer, name), FAMILIES[name]
    if not isinstance(value, family):
        raise TypeError(f"{name} must be an object of a subclass of {family.__name__} to be saved, got {value!r}")
    found = kinds.described(value)
    try:
        json.dumps(found)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must have a config that JSON can hold to be saved: {error}; got {found}") from None
    return found


def _optimizer(config: Mapping[str, Any], given: Any) -> Any:
    if given is None:
        functions = list(_functions(config))
        if functions:
            raise ValueError(f"optimizer must be given: the {functions[0]} was a function, which no file can hold")
        return kinds.made(Optimizer, config)
    if type(given).__name__ != config["kind"]:
        raise ValueError(f"optimizer must be a {config['kind']}, as the one in the file, got {given!r}")
    return given


def _functions(config: Mapping[str, Any]) -> Iterator[str]:
    """Arguments of an optimizer that were functions, of which a file holds None, in words."""
    parameters = inspect.signature(kinds.named(Optimizer, config["kind"])).parameters
    for name, value in config.items():
        if value is None and name in parameters and parameters[name].default is not None:
            yield name.replace("_", " ")
        elif isinstance(value, list) and None in value:
            yield f"{'first' if value[0] is None else 'another'} of the {name}"
