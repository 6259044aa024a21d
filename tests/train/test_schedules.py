"""Schedules: their numbers, what a file holds of them, and optimizers that use them."""

import json
import math
from typing import Any

import numpy
import pytest

from fastlstm.train import SGD, Adam, AdamW, RMSprop
from fastlstm.train.schedules import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    OneCycle,
    Plateau,
    Schedule,
    StepDecay,
    Warmup,
    from_config,
)

EACH = [
    Constant(0.1), StepDecay(0.1, 3, 0.5), ExponentialDecay(0.1, 0.9), CosineDecay(0.1, 7, 0.01), OneCycle(0.1, 10),
    OneCycle(0.85, 10, 0.95, 0.95, 0.4), Plateau(0.1, 0.5, 2, 0.01, 0.02), Warmup(0.1, 4),
    Warmup(Warmup(CosineDecay(0.1, 5), 2, 0.2), 3, 0.05), Warmup(Plateau(0.1), 3),
]
each = pytest.mark.parametrize("schedule", EACH, ids=repr)


def values(schedule: Any, count: int = 12) -> list[float]:
    return [schedule(updates) for updates in range(count)]


@pytest.mark.parametrize(("schedule", "wanted"), [
    (Constant(2), [2, 2, 2]),
    (StepDecay(1, 2), [1, 1, 0.1, 0.1, 0.01]),
    (StepDecay(1, 1, 0), [1, 0, 0]),
    (ExponentialDecay(2, 0.5), [2, 1, 0.5]),
    (CosineDecay(1, 4), [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0, 0, 0]),
    (CosineDecay(0.5, 2, 1.5), [0.5, 1, 1.5, 1.5]),
    (Warmup(1, 4), [0, 0.25, 0.5, 0.75, 1, 1]),
    (Warmup(ExponentialDecay(1, 0.5), 2, 3), [3, 2, 1, 0.5, 0.25]),
    (OneCycle(1, 7, 0.2, 0, rise=3 / 7), [0.2, 0.6, 1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0, 0]),
    (OneCycle(25, 2, rise=0.5), [25, 1e-4, 1e-4]),
    (OneCycle(1, 2, end=0, rise=0), [0.5, 0, 0]),
    (OneCycle(1, 1, end=0.5), [0.5, 0.5]),
])
def test_numbers(schedule: Any, wanted: list[float]) -> None:
    assert values(schedule, len(wanted)) == pytest.approx(wanted, rel=1e-14, abs=1e-16)


def test_a_plateau_falls_when_the_loss_does_not() -> None:
    schedule = Plateau(1, 0.1, patience=1, min_delta=0.5, minimum=0.05)
    for loss, wanted in [
        (4, 1), (3.5, 1), (3.4, 1), (numpy.float32(3), 1), (math.nan, 0.1), (math.inf, 0.1), (2, 0.1), (9, 0.1),
        (9, 0.05), (9, 0.05), (9, 0.05),
    ]:
        schedule.observe(loss)
        assert schedule(7) == pytest.approx(wanted)
    assert schedule.best == 2


def test_a_plateau_refuses_what_is_no_loss() -> None:
    schedule = Plateau(1)
    with pytest.raises(TypeError, match="loss must be a number, got '3'"):
        schedule.observe("3")  # type: ignore[arg-type]
    assert schedule.state() == Plateau(1).state()


@each
def test_one_made_of_a_file_is_the_same(schedule: Any) -> None:
    found = from_config(json.loads(json.dumps(schedule.config())))
    assert type(found) is type(schedule)
    assert repr(found) == repr(schedule)
    assert found.config() == schedule.config()
    assert values(found) == values(schedule)
    assert values(eval(repr(schedule))) == values(schedule)


@each
def test_what_it_has_learnt_goes_on(schedule: Any) -> None:
    made, other = from_config(schedule.config()), from_config(schedule.config())
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0):
        made.observe(loss)
    other.load_state(json.loads(json.dumps(made.state())))
    for _ in range(9):
        assert values(other) == values(made)
        for one in (made, other):
            one.observe(2.0)
    assert made.needs_losses == bool(made.state()) == (values(made) != values(schedule))


@each
def test_state_of_another_kind_changes_nothing(schedule: Any) -> None:
    before = schedule.state()
    with pytest.raises(ValueError, match="state must have"):
        schedule.load_state({"other": 1})
    assert schedule.state() == before


@pytest.mark.parametrize("state", [
    {"value": -1, "best": 1.0, "waited": 0}, {"value": 1, "best": 1.0, "waited": -1},
])
def test_a_state_that_none_can_have_changes_nothing(state: Any) -> None:
    schedule = Plateau(1)
    with pytest.raises(ValueError, match="must be at least 0"):
        schedule.load_state(state)
    assert schedule.state() == Plateau(1).state()


@pytest.mark.parametrize(("make", "error", "match"), [
    (lambda: Constant(-1), ValueError, "value must be at least 0, got -1"),
    (lambda: Constant("a"), TypeError, "value must be a number"),
    (lambda: StepDecay(-1, 2), ValueError, "initial must be at least 0"),
    (lambda: StepDecay(1, 0), ValueError, "every must be at least 1"),
    (lambda: StepDecay(1, 2.5), TypeError, "every must be an integer"),
    (lambda: StepDecay(1, 2, 1.5), ValueError, "factor must be at most 1, got 1.5"),
    (lambda: ExponentialDecay(1, -1), ValueError, "factor must be at least 0"),
    (lambda: CosineDecay(1, 0), ValueError, "updates must be at least 1"),
    (lambda: CosineDecay(1, 2, math.nan), ValueError, "final must be finite"),
    (lambda: Warmup(-1, 2), ValueError, "schedule must be at least 0"),
    (lambda: Warmup(lambda updates: 1.0, 2), TypeError, "schedule must be a number"),
    (lambda: Warmup(1, 0), ValueError, "updates must be at least 1"),
    (lambda: Warmup(1, 2, -1), ValueError, "start must be at least 0"),
    (lambda: OneCycle(-1, 9), ValueError, "peak must be at least 0"),
    (lambda: OneCycle(1, 0), ValueError, "updates must be at least 1"),
    (lambda: OneCycle(1, 9, -1), ValueError, "start must be at least 0"),
    (lambda: OneCycle(1, 9, end=-1), ValueError, "end must be at least 0"),
    (lambda: OneCycle(1, 9, rise=1), ValueError, "rise must be below 1"),
    (lambda: Plateau(1, 1), ValueError, "factor must be below 1"),
    (lambda: Plateau(1, patience=-1), ValueError, "patience must be at least 0"),
    (lambda: Plateau(1, min_delta=-1), ValueError, "min_delta must be at least 0"),
    (lambda: Plateau(1, minimum=2), ValueError, "minimum must be at most initial, got 2 and 1"),
    (lambda: Constant(1)(-1), ValueError, "updates must be at least 0"),
    (lambda: CosineDecay(1, 2)(0.5), TypeError, "updates must be an integer"),
    (lambda: from_config([]), TypeError, "config must be a mapping, got list"),
    (lambda: from_config({"kind": "Cosine"}), ValueError, "known Schedule, got 'Cosine', known are Constant, "),
    (lambda: from_config({"kind": "Constant", "initial": 1}), TypeError, "initial"),
])
def test_bad_arguments(make: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_the_base_class_is_no_schedule() -> None:
    with pytest.raises(NotImplementedError):
        Schedule()(0)


@pytest.mark.parametrize(("kind", "settings"), [
    (SGD, {"momentum": OneCycle(0.5, 8, 0.9, 0.9)}), (SGD, {"momentum": Warmup(0.9, 4), "nesterov": True}),
    (Adam, {"betas": (OneCycle(0.85, 8, 0.95, 0.95), 0.99)}), (AdamW, {"betas": [ExponentialDecay(0.9, 0.5), 0.9]}),
    (RMSprop, {"momentum": CosineDecay(0.9, 5, 0.1), "centered": True}),
])
def test_a_step_takes_the_numbers_of_its_schedules(rng: Any, kind: Any, settings: Any) -> None:
    rate = Warmup(CosineDecay(0.1, 6, 0.01), 3, 0.02)
    ours = kind(rate, **settings)
    ours_parameters, parameters = numpy.ones((2, 5))
    (name, given), *rest = settings.items()
    twin = kind(0.02, **{name: 0.5 if name == "momentum" else (0.5, given[1]), **dict(rest)})
    for updates in range(10):
        twin.learning_rate = rate(updates)
        # 0 would be no momentum at all.
        now = max(given(updates), 1e-300) if name == "momentum" else (given[0](updates), given[1])
        setattr(twin, name, now)
        gradients = rng.standard_normal(5)
        ours.step(ours_parameters, gradients)
        twin.step(parameters, gradients)
        numpy.testing.assert_allclose(ours_parameters, parameters, rtol=1e-14)


def test_functions_are_called_with_the_updates_done() -> None:
    asked: list[Any] = []

    def give(updates: int) -> float:
        asked.append(updates)
        return 0.5

    for optimizer in (SGD(1.0, give), RMSprop(momentum=give), Adam(betas=(give, 0.9))):
        for _ in range(3):
            optimizer.step(numpy.ones(2), numpy.ones(2))
        assert asked == [0, 1, 2]
        asked.clear()


def test_an_optimizer_tells_of_its_schedules() -> None:
    rate, momentum, function = Constant(0.1), Warmup(Plateau(0.9, patience=0), 2), lambda updates: 0.5
    for optimizer, wanted, needs in (
        (SGD(rate, momentum), {"learning_rate": rate, "momentum": momentum}, True),
        (RMSprop(0.1, momentum=momentum), {"momentum": momentum}, True),
        (Adam(rate, (momentum, 0.9)), {"learning_rate": rate, "betas[0]": momentum}, True),
        (AdamW(rate, (function, 0.9)), {"learning_rate": rate}, False),
        (SGD(function), {}, False),
    ):
        assert optimizer.schedules == wanted
        assert optimizer.needs_losses == needs


def test_an_optimizer_passes_losses_on() -> None:
    optimizer = SGD(Plateau(1.0, 0.5, patience=0), Warmup(Plateau(0.9, 0.1, patience=0), 1))
    for loss in (1.0, 2.0):
        optimizer.observe(loss)
    assert [schedule(1) for schedule in optimizer.schedules.values()] == [0.5, pytest.approx(0.09)]
    parameters = numpy.zeros(1)
    optimizer.step(parameters, numpy.ones(1))
    assert parameters == -0.5


def test_what_json_can_hold_of_an_optimizer() -> None:
    rate = StepDecay(0.1, 2)
    found = json.loads(json.dumps(Adam(rate, (Constant(0.9), 0.99)).config()))
    assert found["learning_rate"] == {"kind": "StepDecay", "initial": 0.1, "every": 2, "factor": 0.1}
    assert found["betas"] == [{"kind": "Constant", "value": 0.9}, 0.99]
    assert SGD(momentum=lambda updates: 0.9).config()["momentum"] is None
    assert Adam(betas=(lambda updates: 0.9, 0.99)).config()["betas"] == [None, 0.99]
    assert repr(SGD(rate)).startswith("SGD(learning_rate=StepDecay(initial=0.1, every=2, factor=0.1), momentum=0.0,")
