"""`python -m asv_bench.latency` prints how long one call of a stepper takes; `--write` puts it into docs/latency.md."""

import argparse
import datetime
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
from asv.machine import Machine

from .benchmarks.peers import layer
from .readme import filled, markdown, origin
from .stored import Run
from .tables import Table, times

DOCUMENT = Path(__file__).parents[1] / "docs" / "latency.md"
START = "<!-- latency: written by `python -m asv_bench.latency --write` -->"
END = "<!-- end of latency -->"

INPUTS, HIDDEN = 32, [8, 16, 32, 64, 128, 256]
SIDES = {
    "fastlstm": ("fastlstm", "step"), "ONNX Runtime": ("onnxruntime", "step"),
    "PyTorch's LSTMCell": ("torch", "step"), "PyTorch's LSTM": ("torch", "step_layer"),
}
"""What is compared, and how the benchmarks call the library and its step."""
PACKAGES = "numba", "numpy", "onnxruntime", "torch"

WARM, CALLS, ROUNDS = 500, 5000, 9
QUANTILES = {"median": 0.5, "99 %": 0.99}


def latencies(step: Callable[[], Any]) -> list[float]:
    """The quantiles of single calls, in microseconds, by the clock's own two calls too long."""
    clock, taken = time.perf_counter_ns, []
    for _ in range(WARM):
        step()
    for _ in range(CALLS):
        start = clock()
        step()
        taken.append(clock() - start)
    return [float(value) / 1000 for value in numpy.quantile(taken, list(QUANTILES.values()))]


def measured(side: str) -> list[list[float]]:
    """The latencies of a side in this process, for each number of hidden units; it uses one thread."""
    implementation, method = SIDES[side]
    made = [layer(implementation, "float32", (1, 1, INPUTS, hidden), 1) for hidden in HIDDEN]
    return [latencies(getattr(each, method)) for each in made]


def elsewhere(side: str) -> list[list[float]]:
    """The same in a new process, where no other library has threads."""
    command = [sys.executable, "-m", "asv_bench.latency", "--side", side]
    found: list[list[float]] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def section(found: Mapping[str, Any], run: Run) -> str:
    """What stands in the document between the two comments, for arrays (rounds, sizes, quantiles) of each side."""
    medians = {side: numpy.median(numpy.asarray(rounds), axis=0) for side, rounds in found.items()}
    ours, onnx = medians["fastlstm"][:, 0], medians["ONNX Runtime"][:, 0]
    columns = [(side, quantile) for side in medians for quantile in QUANTILES]
    columns.append(("ONNX Runtime / fastlstm", "median"))
    rows = [
        (
            str(hidden),
            [f"{value:.1f}" for each in medians.values() for value in each[size]] + [times(onnx[size] / ours[size])],
        )
        for size, hidden in enumerate(HIDDEN)
    ]
    return f"{origin(run)}\n\n{markdown(Table('hidden units', columns, rows))}"


def here() -> Run:
    """A run without results, of the present commit, machine and versions."""
    git = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(git, cwd=DOCUMENT.parent, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    versions = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}
    return Run(commit, datetime.datetime.now(datetime.timezone.utc), Machine.get_defaults(), versions, {})


def main(arguments: list[str] | None = None, document: Path = DOCUMENT) -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(prog="python -m asv_bench.latency", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/latency.md too")
    parser.add_argument("--side", choices=SIDES, help="measure only this one, in this process, and print JSON")
    chosen = parser.parse_args(arguments)
    if chosen.side:
        print(json.dumps(measured(chosen.side)))
        return
    found: dict[str, Any] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side, rounds in found.items():
            rounds.append(elsewhere(side))
    text = section(found, here())
    print(text)
    if chosen.write:
        _, new = filled(document, START, END, text)
        document.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
