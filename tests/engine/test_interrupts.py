"""Ctrl-C at any moment leaves objects that can be used on, with the same results."""

from typing import Any

import numpy
import pytest

from fastlstm import nn
from fastlstm.engine import choice
from fastlstm.engine.choice import TRIES, Choice
from tests.tools.helpers import JIT_OFF
from tests.tools.interrupts import interrupted_anywhere, monitored


@pytest.mark.long
@monitored
def test_choosing_goes_on(monkeypatch):
    """Interrupted while it learns, uses what it has learnt, meets a stall, or tries again."""
    monkeypatch.setattr(choice, "CALLS", 2)
    monkeypatch.setattr(choice, "COST", 0.5)

    def calls(count: int, stall: int = -1) -> list[int]:
        found = []
        for k in range(count):
            found.append(chosen.workers(2))
            chosen.took(2e-3 if k == stall else 1e-4 / found[-1])
        return found

    def story() -> None:
        nonlocal chosen
        chosen = Choice(lambda n: True)
        calls(2 * TRIES + 20, stall=2 * TRIES + 1)

    chosen, interruptions = Choice(lambda n: True), 0
    for _ in interrupted_anywhere(story):
        interruptions += 1
        assert calls(60)[-30:].count(2) > 15
    assert interruptions > 500


def layer_calls(lstm: nn.LSTM, x: Any) -> Any:
    def infer() -> Any:
        return lstm(x)[0]

    def train() -> Any:
        lstm.zero_grad()
        y, _, tape = lstm.forward(x)
        return [lstm.backward(tape, y), lstm.gradients.flat.copy()]

    return infer, train


@pytest.mark.long
@monitored
@pytest.mark.skipif(JIT_OFF, reason="thousands of calls")
@pytest.mark.parametrize("kind", [{}, {"num_layers": 2}, {"bidirectional": True}, {"proj_size": 2}])
def test_a_layer_goes_on(monkeypatch, kind):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    x = numpy.random.default_rng(0).standard_normal((5, 3, 4), numpy.float32)
    lstm = nn.LSTM(4, 6, seed=0, n_threads=2, **kind)
    for call in layer_calls(lstm, x):
        wanted, interruptions = call(), 0
        for _ in interrupted_anywhere(call):
            interruptions += 1
            numpy.testing.assert_equal(call(), wanted)
        assert interruptions > 100
