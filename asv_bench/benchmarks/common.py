"""Models, data, and how ratios and the limit are measured."""

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy

import fastlstm
from fastlstm import oracle

IMPLEMENTATIONS = ["fastlstm", "oracle"]
DTYPES = ["float32", "float64"]
SHAPES = [(20, 8, 8, 16, 4), (100, 32, 32, 100, 4), (100, 64, 64, 256, 4), (200, 64, 64, 256, 20)]
"""T, input, output, hidden, K."""
SHAPE = "T, input, output, hidden, K"
OF_ORACLE = "fastlstm time / oracle time"
OF_LIMIT = "limit distance"

LIMIT = 1024
"""Rows and columns of the matrices whose product tells what the machine can do."""

TURN = 0.05
"""Seconds of a turn, about: the first calls find their own threads asleep."""

REST = 0.1
"""Seconds before a turn against a peer, whose threads keep a core busy after a call; ONNX Runtime's do for 50 ms."""


def model(
    implementation: str, shape: tuple[int, ...], dtype: str = "float64", gradient: str = "exact",
    threads: int | None = None,
) -> Any:
    """An LSTM of one implementation for a shape; both have the same parameters. The oracle is always in float64."""
    _, inputs, outputs, hidden, truncate = shape
    if implementation == "oracle":
        return oracle.LSTM(inputs, outputs, hidden, seed=0, bptt_truncate=truncate, gradient=gradient)
    return fastlstm.LSTM(
        inputs, outputs, hidden, seed=0, bptt_truncate=truncate, gradient=gradient, dtype=dtype, n_threads=threads
    )


def data(shape: tuple[int, ...], dtype: str = "float64") -> tuple[Any, Any]:
    """Inputs (T, input), and one-hot targets (T, output)."""
    rng = numpy.random.default_rng(0)
    steps, inputs, outputs = shape[:3]
    x, y = rng.standard_normal((steps, inputs)), numpy.eye(outputs)[rng.integers(0, outputs, steps)]
    return x.astype(dtype), y.astype(dtype)


def library(name: str) -> Any:
    """Import what may not be installed; asv leaves a case out that raises NotImplementedError.

    Only in what needs it, as asv starts a process for each case, and those of fastlstm need not wait for PyTorch.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise NotImplementedError(f"needs {name}") from None


def seconds(function: Callable[[], Any]) -> float:
    """Of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ratio(ours: Callable[[], Any], others: Callable[[], Any], rounds: int = 5, rest: float = 0.0) -> float:
    """Our time over another's, both in this process: they take turns, so that a slow moment hits both.

    A turn is as many calls as take TURN, a thousand at most, `rest` seconds after the last one; the median call counts
    in it, and the median turn in the end.
    """
    both = ours, others
    repeats = [max(1, min(1000, round(TURN / max(1e-9, min(seconds(each), seconds(each)))))) for each in both]

    def turn(function: Callable[[], Any], count: int) -> float:
        time.sleep(rest)
        return statistics.median(seconds(function) for _ in range(count))

    return statistics.median(turn(ours, repeats[0]) / turn(others, repeats[1]) for _ in range(rounds))


def limit_distance(ours: Callable[[], Any], flops: float, dtype: str, rounds: int = 9) -> float:
    """Our time over that of the arithmetic alone, at the speed of NumPy's product of large matrices, taking turns."""
    a = numpy.random.default_rng(0).standard_normal((LIMIT, LIMIT)).astype(dtype)
    return ratio(ours, lambda: a @ a, rounds, REST) * 2 * LIMIT**3 / flops
