"""`train.EarlyStopping` by itself, on validation losses that are made up."""

import math
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from fastlstm import train


def course(stopping: train.EarlyStopping, losses: list[float]) -> tuple[list[bool], Any]:
    """Whether it stops after each epoch, and the parameters in the end; those of an epoch are its number."""
    flat = numpy.zeros(3)
    ours: Any = SimpleNamespace(model=SimpleNamespace(parameters=SimpleNamespace(flat=flat)))
    stops = []
    for epoch, ours.validation_loss in enumerate(losses, 1):
        flat[:] = epoch
        stops.append(stopping.on_epoch(ours))
    stopping.on_end(ours)
    return stops, flat


@pytest.mark.parametrize(("min_delta", "losses", "stops", "best", "epoch"), [
    (0.0, [4.0, 3.0, 2.0, 1.5], [False] * 4, 1.5, 4),
    (0.0, [4.0, 4.0, 3.0, 3.0, 3.0], [False, False, False, False, True], 3.0, 3),
    # Not smaller by more than min_delta, exactly min_delta included: neither counts, nor do many such together.
    (0.5, [4.0, 3.5, 3.75], [False, False, True], 4.0, 1),
    (0.5, [4.0, 3.75, 3.25, 3.0, 2.875], [False, False, False, False, True], 3.25, 3),
    (0.5, [4.0, 3.25, 2.5, 1.75], [False] * 4, 1.75, 4),
    (0.5, [math.nan, 4.0, math.nan, math.nan], [False, False, False, True], 4.0, 2),
])
def test_a_loss_is_smaller_if_it_is_so_by_more_than_min_delta(
    min_delta: float, losses: list[float], stops: list[bool], best: float, epoch: int
) -> None:
    stopping = train.EarlyStopping(2, min_delta)
    found, parameters = course(stopping, losses)
    assert found == stops
    assert stopping.best == best
    numpy.testing.assert_array_equal(parameters, epoch)


def test_it_goes_on_from_its_state() -> None:
    first, second = (train.EarlyStopping(2, 0.5) for _ in range(2))
    course(first, [4.0, 3.75])
    second.load_state(*first.state())
    stops, parameters = course(second, [3.75])
    assert stops == [True]
    assert (second.best, second.waited) == (4.0, 2)
    numpy.testing.assert_array_equal(parameters, 1)
