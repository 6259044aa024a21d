"""Settings of optimisers that change between steps: checked as by the constructor, with state that starts at zero."""

from typing import Any

import numpy
import pytest

from fastlstm.train import SGD, Adam, AdamW, RMSprop
from tests.test_optimisers import close, twin

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
LATE = [
    (SGD, {"momentum": 0.9}), (SGD, {"momentum": 0.8, "nesterov": True}), (RMSprop, {"momentum": 0.9}),
    (RMSprop, {"centered": True}), (RMSprop, {"momentum": 0.5, "centered": True}),
]
late = pytest.mark.parametrize(("kind", "settings"), LATE)


def assign(optimiser: Any, settings: Any) -> None:
    for name, value in settings.items():
        setattr(optimiser, name, value)


def without(settings: Any) -> Any:
    """Settings that need no state, in an order in which they may be assigned."""
    return {name: type(settings[name])() for name in reversed(settings)}


def test_a_momentum_that_comes_late_starts_at_zero() -> None:
    optimiser, parameters, gradients = RMSprop(0.01), numpy.ones(1), numpy.full(1, 0.1)
    optimiser.step(parameters, gradients)
    before = parameters.copy()
    optimiser.momentum = 0.9
    optimiser.step(parameters, gradients)
    numpy.testing.assert_allclose(parameters - before, -0.0709, atol=5e-5)


@both
@late
def test_state_that_comes_and_goes_starts_at_zero_each_time(rng: Any, kind: Any, settings: Any, dtype: Any) -> None:
    optimiser, state = kind(0.01, **({"eps": 1e-3} if kind is RMSprop else {})), {}
    parameters = rng.standard_normal(37).astype(dtype)
    wanted = parameters.astype(numpy.float64)
    for change, count in (({}, 2), (settings, 3), (without(settings), 1), (settings, 2)):
        assign(optimiser, change)
        if change == without(settings):
            state = {name: state[name] for name in state if name == "square_avg"}
            assert list(optimiser.arrays) == list(state)
        for _ in range(count):
            gradients = rng.standard_normal(37).astype(dtype)
            twin(optimiser, wanted, gradients.astype(numpy.float64), state)
            optimiser.step(parameters, gradients)
        close(parameters, wanted, dtype)
        assert list(optimiser.arrays) == list(state)
        for name, kept in optimiser.arrays.items():
            close(kept, state[name], dtype)


@late
@pytest.mark.parametrize("comes", [True, False])
def test_other_settings_go_on_from_loaded_state(rng: Any, kind: Any, settings: Any, comes: bool) -> None:
    before, after = ({}, settings) if comes else (settings, without(settings))
    through, parameters = kind(0.01, **before), rng.standard_normal(5)
    for gradients in rng.standard_normal((3, 5)):
        through.step(parameters, gradients)
    saved = dict(through.arrays)
    assign(through, after)
    resumed, other, gradients = kind(0.01, **after), parameters.copy(), rng.standard_normal(5)
    resumed.load(through.updates, saved)
    assert list(resumed.arrays) == list(through.arrays)
    through.step(parameters, gradients)
    resumed.step(other, gradients)
    numpy.testing.assert_array_equal(other, parameters)


def test_state_that_is_not_of_the_kind_is_refused() -> None:
    optimiser, array = RMSprop(), numpy.ones(3)
    for names in ([], ["grad_avg"], ["square_avg", "exp_avg"]):
        with pytest.raises(ValueError, match=r"must be \['square_avg'\], with or without any of \['grad_avg', 'mom"):
            optimiser.load(1, dict.fromkeys(names, array))
    optimiser.load(1, dict.fromkeys(["momentum_buffer", "square_avg"], array))
    assert list(optimiser.arrays) == ["square_avg"]


def test_a_function_may_bring_state_in_the_middle_of_a_step() -> None:
    def rate(updates: int) -> float:
        optimiser.momentum = 0.5 * (updates % 2)
        return 1.0

    optimiser, parameters = SGD(rate), numpy.zeros(2)
    for wanted in (-1.0, -2.0, -3.0, -4.0):
        optimiser.step(parameters, numpy.ones(2))
        assert (parameters == wanted).all()
    assert list(optimiser.arrays) == ["momentum_buffer"]


@pytest.mark.parametrize(("kind", "name", "value", "error", "match"), [
    (SGD, "learning_rate", -1, ValueError, "learning_rate must be at least 0, got -1"),
    (SGD, "momentum", -1, ValueError, "momentum must be at least 0, got -1"),
    (RMSprop, "momentum", "fast", TypeError, "momentum must be a number"),
    (SGD, "weight_decay", float("nan"), ValueError, "weight_decay must be finite"),
    (Adam, "clip_norm", 0, ValueError, "clip_norm must be positive"),
    (AdamW, "clip_value", -1, ValueError, "clip_value must be positive"),
    (SGD, "n_threads", 0, ValueError, "n_threads must be at least 1"),
    (Adam, "eps", -1, ValueError, "eps must be at least 0"),
    (RMSprop, "alpha", 1, ValueError, "alpha must be below 1"),
    (Adam, "betas", (0.9, 1.0), ValueError, r"betas\[1\] must be below 1"),
    (AdamW, "betas", 0.9, TypeError, "betas must be two numbers"),
    (SGD, "nesterov", True, ValueError, "nesterov needs a positive momentum"),
])
def test_a_bad_value_is_refused_later_too(kind: Any, name: str, value: Any, error: Any, match: str) -> None:
    optimiser = kind()
    before = repr(optimiser)
    with pytest.raises(error, match=match):
        setattr(optimiser, name, value)
    assert repr(optimiser) == before


def test_good_values_are_kept_as_the_constructor_keeps_them() -> None:
    optimiser = Adam()
    assign(optimiser, {"learning_rate": 1, "betas": [0, 0.5], "clip_norm": 2, "clip_value": 3, "n_threads": 4})
    given = Adam(1, (0.0, 0.5), clip_norm=2.0, clip_value=3.0, n_threads=4)
    assert repr(optimiser) == repr(given)
    assign(optimiser, {"clip_norm": None, "clip_value": None, "n_threads": None})
    assert optimiser.config() == Adam(1, (0, 0.5)).config()
    with pytest.raises(TypeError):
        optimiser.betas[0] = 7  # would go unchecked


def test_momentum_is_not_taken_away_from_nesterov() -> None:
    optimiser = SGD(momentum=0.9, nesterov=True)
    with pytest.raises(ValueError, match="nesterov needs a positive momentum"):
        optimiser.momentum = 0
    assert optimiser.momentum == 0.9
    optimiser.nesterov = 0
    optimiser.momentum = 0
    assert (optimiser.nesterov, optimiser.momentum) == (False, 0.0)


@pytest.mark.parametrize(("make", "match"), [
    (lambda function: SGD(momentum=function), "momentum must be at least 0, got -1"),
    (lambda function: RMSprop(momentum=function), "momentum must be at least 0, got -1"),
    (lambda function: Adam(betas=(function, 0.9)), r"betas\[0\] must be at least 0, got -1"),
])
def test_a_function_that_gives_no_momentum_changes_nothing(make: Any, match: str) -> None:
    optimiser, parameters = make(lambda updates: -updates), numpy.ones(3)
    optimiser.step(parameters, numpy.ones(3))
    kept = [array.copy() for array in (parameters, *optimiser.arrays.values())]
    with pytest.raises(ValueError, match=match):
        optimiser.step(parameters, numpy.ones(3))
    assert optimiser.updates == 1
    for array, before in zip((parameters, *optimiser.arrays.values()), kept, strict=True):
        numpy.testing.assert_array_equal(array, before)
