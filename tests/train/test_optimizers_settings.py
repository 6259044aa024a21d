"""Settings of optimizers that change between steps: checked as by the constructor, with state that starts at zero."""

from typing import Any

import numpy
import pytest

from fastlstm.train import SGD, Adam, AdamW, RMSprop
from tests.train.test_optimizers import close, twin

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
LATE = [
    (SGD, {"momentum": 0.9}), (SGD, {"momentum": 0.8, "nesterov": True}), (RMSprop, {"momentum": 0.9}),
    (RMSprop, {"centered": True}), (RMSprop, {"momentum": 0.5, "centered": True}),
]
late = pytest.mark.parametrize(("kind", "settings"), LATE)


def assign(optimizer: Any, settings: Any) -> None:
    for name, value in settings.items():
        setattr(optimizer, name, value)


def without(settings: Any) -> Any:
    """Settings that need no state, in an order in which they may be assigned."""
    return {name: type(settings[name])() for name in reversed(settings)}


def test_a_momentum_that_comes_late_starts_at_zero() -> None:
    optimizer, parameters, gradients = RMSprop(0.01), numpy.ones(1), numpy.full(1, 0.1)
    optimizer.step(parameters, gradients)
    before = parameters.copy()
    optimizer.momentum = 0.9
    optimizer.step(parameters, gradients)
    numpy.testing.assert_allclose(parameters - before, -0.0709, atol=5e-5)


@both
@late
def test_state_that_comes_and_goes_starts_at_zero_each_time(rng: Any, kind: Any, settings: Any, dtype: Any) -> None:
    optimizer, state = kind(0.01, **({"eps": 1e-3} if kind is RMSprop else {})), {}
    parameters = rng.standard_normal(37).astype(dtype)
    wanted = parameters.astype(numpy.float64)
    for change, count in (({}, 2), (settings, 3), (without(settings), 1), (settings, 2)):
        assign(optimizer, change)
        if change == without(settings):
            state = {name: state[name] for name in state if name == "square_avg"}
            assert list(optimizer.arrays) == list(state)
        for _ in range(count):
            gradients = rng.standard_normal(37).astype(dtype)
            twin(optimizer, wanted, gradients.astype(numpy.float64), state)
            optimizer.step(parameters, gradients)
        close(parameters, wanted, dtype)
        assert list(optimizer.arrays) == list(state)
        for name, kept in optimizer.arrays.items():
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
    optimizer, array = RMSprop(), numpy.ones(3)
    for names in ([], ["grad_avg"], ["square_avg", "exp_avg"]):
        with pytest.raises(ValueError, match=r"must be \['square_avg'\], with or without any of \['grad_avg', 'mom"):
            optimizer.load(1, dict.fromkeys(names, array))
    optimizer.load(1, dict.fromkeys(["momentum_buffer", "square_avg"], array))
    assert list(optimizer.arrays) == ["square_avg"]


def test_a_function_may_bring_state_in_the_middle_of_a_step() -> None:
    def rate(updates: int) -> float:
        optimizer.momentum = 0.5 * (updates % 2)
        return 1.0

    optimizer, parameters = SGD(rate), numpy.zeros(2)
    for wanted in (-1.0, -2.0, -3.0, -4.0):
        optimizer.step(parameters, numpy.ones(2))
        assert (parameters == wanted).all()
    assert list(optimizer.arrays) == ["momentum_buffer"]


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
    optimizer = kind()
    before = repr(optimizer)
    with pytest.raises(error, match=match):
        setattr(optimizer, name, value)
    assert repr(optimizer) == before


def test_good_values_are_kept_as_the_constructor_keeps_them() -> None:
    optimizer = Adam()
    assign(optimizer, {"learning_rate": 1, "betas": [0, 0.5], "clip_norm": 2, "clip_value": 3, "n_threads": 4})
    given = Adam(1, (0.0, 0.5), clip_norm=2.0, clip_value=3.0, n_threads=4)
    assert repr(optimizer) == repr(given)
    assign(optimizer, {"clip_norm": None, "clip_value": None, "n_threads": None})
    assert optimizer.config() == Adam(1, (0, 0.5)).config()
    with pytest.raises(TypeError):
        optimizer.betas[0] = 7  # would go unchecked


def test_momentum_is_not_taken_away_from_nesterov() -> None:
    optimizer = SGD(momentum=0.9, nesterov=True)
    with pytest.raises(ValueError, match="nesterov needs a positive momentum"):
        optimizer.momentum = 0
    assert optimizer.momentum == 0.9
    optimizer.nesterov = 0
    optimizer.momentum = 0
    assert (optimizer.nesterov, optimizer.momentum) == (False, 0.0)


@pytest.mark.parametrize(("make", "match"), [
    (lambda function: SGD(momentum=function), "momentum must be at least 0, got -1"),
    (lambda function: RMSprop(momentum=function), "momentum must be at least 0, got -1"),
    (lambda function: Adam(betas=(function, 0.9)), r"betas\[0\] must be at least 0, got -1"),
])
def test_a_function_that_gives_no_momentum_changes_nothing(make: Any, match: str) -> None:
    optimizer, parameters = make(lambda updates: -updates), numpy.ones(3)
    optimizer.step(parameters, numpy.ones(3))
    kept = [array.copy() for array in (parameters, *optimizer.arrays.values())]
    with pytest.raises(ValueError, match=match):
        optimizer.step(parameters, numpy.ones(3))
    assert optimizer.updates == 1
    for array, before in zip((parameters, *optimizer.arrays.values()), kept, strict=True):
        numpy.testing.assert_array_equal(array, before)
