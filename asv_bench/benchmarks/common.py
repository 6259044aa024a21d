"""Models, data and the one way in which a ratio is measured."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy

import fastlstm
from fastlstm import oracle

IMPLEMENTATIONS = ["fastlstm", "oracle"]
SHAPES = [(100, 32, 32, 100, 4), (100, 64, 64, 256, 4), (200, 64, 64, 256, 20)]
"""T, input, output, hidden, K."""


def model(implementation: str, shape: tuple[int, ...], gradient: str = "exact") -> Any:
    """An LSTM of one implementation for a shape; both have the same parameters."""
    _, inputs, outputs, hidden, truncate = shape
    kind = fastlstm.LSTM if implementation == "fastlstm" else oracle.LSTM
    return kind(inputs, outputs, hidden, seed=0, bptt_truncate=truncate, gradient=gradient)


def data(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Inputs (T, input), and one-hot targets (T, output)."""
    rng = numpy.random.default_rng(0)
    steps, inputs, outputs = shape[:3]
    return rng.standard_normal((steps, inputs)), numpy.eye(outputs)[rng.integers(0, outputs, steps)]


def ratio(ours: Callable[[], Any], oracles: Callable[[], Any], rounds: int = 5) -> float:
    """Our time over the oracle's, both in this process: they take turns, so that a slow moment hits both.

    Each turn of ours is repeated for as long as the oracle's lasts, up to 50 times; the median turn counts.
    """

    def seconds(function: Callable[[], Any]) -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    ours(), oracles()
    ratios = []
    for _ in range(rounds):
        slow = seconds(oracles)
        repeats = max(1, min(50, int(slow / max(seconds(ours), 1e-9))))
        ratios.append(statistics.median(seconds(ours) for _ in range(repeats)) / slow)
    return statistics.median(ratios)
