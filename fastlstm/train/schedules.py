"""Schedules for the learning rate and the momentum of an optimizer, which a checkpoint can hold.

>>> rate = schedules.Warmup(schedules.CosineDecay(0.01, 10_000), 500)
>>> optimizer = fastlstm.train.AdamW(rate)

An optimizer calls them before each step with the number of updates it has done. Where nothing else is said they mirror
`torch.optim.lr_scheduler`, stepped after each update.
"""

import math
import numbers
from collections.abc import Mapping
from typing import Any

from fastlstm import checks, kinds
from fastlstm.train.schedule import Schedule
from fastlstm.train.settings import fraction, number

__all__ = [
    "Constant", "CosineDecay", "ExponentialDecay", "OneCycle", "Plateau", "Schedule", "StepDecay", "Warmup",
    "from_config",
]


class Constant(Schedule):
    """Always the same number.

    Parameters
    ----------
    value : float
        At least 0.
    """

    def __init__(self, value: float) -> None:
        self.value = number("value", value)

    def _at(self, updates: int) -> float:
        return self.value


class StepDecay(Schedule):
    """Multiplied with `factor` every so many updates: ``initial * factor ** (updates // every)``; as PyTorch's StepLR.

    Parameters
    ----------
    initial : float
        At least 0.
    every : int
        Updates, at least 1.
    factor : float
        At least 0 and at most 1.
    """

    def __init__(self, initial: float, every: int, factor: float = 0.1) -> None:
        self.initial, self.every = number("initial", initial), checks.integer("every", every, 1)
        self.factor = _share("factor", factor)

    def _at(self, updates: int) -> float:
        return float(self.initial * self.factor ** (updates // self.every))


class ExponentialDecay(Schedule):
    """Multiplied with `factor` after each update: ``initial * factor ** updates``; as PyTorch's ExponentialLR.

    Parameters
    ----------
    initial : float
        At least 0.
    factor : float
        At least 0 and at most 1.
    """

    def __init__(self, initial: float, factor: float) -> None:
        self.initial, self.factor = number("initial", initial), _share("factor", factor)

    def _at(self, updates: int) -> float:
        return float(self.initial * self.factor**updates)


class CosineDecay(Schedule):
    """Half a wave of a cosine from `initial` to `final`, then `final` (Loshchilov & Hutter 2017, equation 5).

    As PyTorch's CosineAnnealingLR, which rises again after `updates`.

    Parameters
    ----------
    initial : float
        At least 0.
    updates : int
        After how many, at least 1, it is `final`.
    final : float
        At least 0.
    """

    def __init__(self, initial: float, updates: int, final: float = 0.0) -> None:
        self.initial, self.final = number("initial", initial), number("final", final)
        self.updates = checks.integer("updates", updates, 1)

    def _at(self, updates: int) -> float:
        return _between(self.initial, self.final, updates / self.updates)


class Warmup(Schedule):
    """A straight line from `start` to what another schedule begins with, and then that schedule.

    The line as PyTorch's LinearLR; Goyal et al. (2017, section 2.2) tell what it is for.

    Parameters
    ----------
    schedule : float or Schedule
        What comes after the line, counted from its end; a number stays as it is.
    updates : int
        Of the line, at least 1.
    start : float
        At least 0.
    """

    def __init__(self, schedule: float | Schedule, updates: int, start: float = 0.0) -> None:
        self.schedule = schedule if isinstance(schedule, Schedule) else Constant(number("schedule", schedule))
        self.updates, self.start = checks.integer("updates", updates, 1), number("start", start)

    def _at(self, updates: int) -> float:
        if updates >= self.updates:
            return self.schedule(updates - self.updates)
        done = updates / self.updates
        return self.start * (1 - done) + self.schedule(0) * done

    @property
    def needs_losses(self) -> bool:
        """Whether the schedule after the line does."""
        return self.schedule.needs_losses

    def observe(self, loss: float) -> None:
        """Let the schedule after the line learn a validation loss; see `Schedule.observe`."""
        self.schedule.observe(loss)

    def state(self) -> dict[str, Any]:
        """What the schedule after the line has learnt."""
        return self.schedule.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Let the schedule after the line go on from what its `state` gave; see `Schedule.load_state`."""
        self.schedule.load_state(state)


class OneCycle(Schedule):
    """Up to a peak, and down to nearly nothing (Smith & Topin 2019), both as half waves of a cosine.

    As PyTorch's OneCycleLR: the peak is reached ``rise * updates - 1`` updates after the start, the end with the last
    of `updates`. For a momentum, which falls while the rate rises: ``OneCycle(0.85, updates, start=0.95, end=0.95)``.

    Parameters
    ----------
    peak : float
        At least 0.
    updates : int
        Of the whole cycle, at least 1; after it the number stays `end`.
    start : float, optional
        At least 0; a 25th of the peak where it is left out.
    end : float, optional
        At least 0; a 10,000th of the start where it is left out.
    rise : float
        The part of the updates until the peak; at least 0 and below 1.
    """

    def __init__(
        self, peak: float, updates: int, start: float | None = None, end: float | None = None, rise: float = 0.3
    ) -> None:
        self.peak, self.updates = number("peak", peak), checks.integer("updates", updates, 1)
        self.start = self.peak / 25 if start is None else number("start", start)
        self.end = self.start / 1e4 if end is None else number("end", end)
        self.rise = fraction("rise", rise)

    def _at(self, updates: int) -> float:
        top, last = self.rise * self.updates - 1, self.updates - 1
        if top > 0 and updates <= top:
            return _between(self.start, self.peak, updates / top)
        return _between(self.peak, self.end, (updates - top) / (last - top))


class Plateau(Schedule):
    """Multiplied with `factor` when the validation loss no longer falls.

    As PyTorch's ReduceLROnPlateau with mode "min", threshold_mode "abs", which `min_delta` is the threshold of, and
    neither a cooldown nor an eps. It takes the losses of a validation after each epoch, through `observe`.

    Parameters
    ----------
    initial : float
        At least 0.
    factor : float
        At least 0 and below 1.
    patience : int
        Losses in a row, at least 0, that may be no smaller; the next such one reduces the number.
    min_delta : float
        At least 0; a loss is smaller if it is so by more than this.
    minimum : float
        At least 0 and at most `initial`; it never gets smaller than this.

    Attributes
    ----------
    value : float
        What it gives now.
    best : float
        Smallest loss; infinite before there is one.
    waited : int
        Losses since, or since the newest reduction.
    """

    def __init__(
        self, initial: float, factor: float = 0.1, patience: int = 10, min_delta: float = 1e-4, minimum: float = 0.0
    ) -> None:
        self.initial, self.factor = number("initial", initial), fraction("factor", factor)
        self.patience = checks.integer("patience", patience, 0)
        self.min_delta, self.minimum = number("min_delta", min_delta), number("minimum", minimum)
        if self.minimum > self.initial:
            raise ValueError(f"minimum must be at most initial, got {minimum!r} and {initial!r}")
        self.value, self.best, self.waited = self.initial, math.inf, 0

    def _at(self, updates: int) -> float:
        return self.value

    @property
    def needs_losses(self) -> bool:
        """True."""
        return True

    def observe(self, loss: float) -> None:
        """Learn a validation loss, and reduce the number if it is time; see `Schedule.observe`."""
        if not isinstance(loss, numbers.Real):
            raise TypeError(f"loss must be a number, got {loss!r}")
        if loss < self.best - self.min_delta:
            self.best, self.waited = float(loss), 0
        else:
            self.waited += 1
        if self.waited > self.patience:
            self.value, self.waited = max(self.value * self.factor, self.minimum), 0

    def state(self) -> dict[str, Any]:
        """The present number, the smallest loss, and how many came since."""
        return {"value": self.value, "best": self.best, "waited": self.waited}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what another's `state` gave; see `Schedule.load_state`."""
        super().load_state(state)
        self.value, self.waited, self.best = (
            number("value", state["value"]), checks.integer("waited", state["waited"], 0), float(state["best"]),
        )


def from_config(config: Mapping[str, Any]) -> Schedule:
    """A schedule made as another one was.

    Parameters
    ----------
    config : mapping
        From the `config` method of a schedule, or read from JSON.

    Returns
    -------
    Schedule

    Raises
    ------
    TypeError, ValueError
        Something else, an unknown kind, or arguments that the schedule does not take.

    Examples
    --------
    >>> fastlstm.train.schedules.from_config({"kind": "StepDecay", "initial": 0.1, "every": 1000})
    StepDecay(initial=0.1, every=1000, factor=0.1)
    """
    found: Schedule = kinds.made(Schedule, config)
    return found


def _share(name: str, value: Any) -> float:
    """`value` as a float in [0, 1]."""
    found = number(name, value)
    if found > 1:
        raise ValueError(f"{name} must be at most 1, got {value!r}")
    return found


def _between(first: float, second: float, done: float) -> float:
    """A cosine's way from one number to another, of which this part is done; the second where it is more than all."""
    rest = (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return first * rest + second * (1 - rest)
