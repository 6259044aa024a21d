"""A small project with made-up asv results, written by asv's own classes; the tests of the dashboard read them."""

import itertools
import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.machine import Machine
from asv.results import Results
from asv.runner import BenchmarkResult

DTYPES = ["float32", "float64"]
SHAPES = [(100, 1, 32, 100), (1000, 1, 64, 256), (50, 32, 64, 64), (100, 32, 128, 256), (100, 64, 512, 512)]
MODELS = [(100, 32, 32, 100, 4), (100, 64, 64, 256, 4), (200, 64, 64, 256, 20)]
AGAINST_PEERS = [["torch", "onnxruntime"], DTYPES, SHAPES]
LAYER_NAMES = ["peer", "dtype", "T, batch, input, hidden"]
MODEL_NAMES = ["dtype", "T, input, output, hidden, K"]
STACKS, RAGGED = [(100, 32, 128, 128, 2, 2), (50, 8, 512, 512, 4, 1)], [(500, 32, 128, 128, 1, 1)]
STACK_NAMES = ["dtype", "T, batch, input, hidden, layers, directions"]
UNIT, ORACLE, LIMIT = "fastlstm time / peer time", "fastlstm time / oracle time", "limit distance"
TORCH = "fastlstm time / torch time"

SUITE: dict[str, tuple[str, str, list[str], list[list[Any]]]] = {
    "layer.LayerRatio.track_training": ("layer training", UNIT, LAYER_NAMES, AGAINST_PEERS),
    "layer.LayerRatio.track_forward": ("layer forward", UNIT, LAYER_NAMES, AGAINST_PEERS),
    "layer.FrameRatio.track_step": (
        "frame step",
        UNIT,
        ["peer", "dtype", "input, hidden"],
        [["torch", "onnxruntime"], DTYPES, [(8, 16), (32, 64), (64, 256)]],
    ),
    "layer.Limit.track_forward": ("forward, limit", LIMIT, LAYER_NAMES[1:], [DTYPES, SHAPES]),
    "layer.Limit.track_training": ("training, limit", LIMIT, LAYER_NAMES[1:], [DTYPES, SHAPES]),
    "lstm.Ratio.track_forward": ("LSTM forward against the oracle", ORACLE, MODEL_NAMES, [DTYPES, MODELS]),
    "lstm.Ratio.track_truncated_bptt": ("LSTM truncated BPTT", ORACLE, MODEL_NAMES, [DTYPES, MODELS]),
    "network.NetworkRatio.track_fit": ("dense network, an epoch", ORACLE, ["layers"], [[(64, 32, 10)]]),
    "streaming.StreamingRatio.track_training": (
        "training on a stream <of any length>",
        TORCH,
        ["batch", "hidden"],
        [[1, 32], [64]],
    ),
    "stack.StackRatio.track_forward": ("stack forward", TORCH, STACK_NAMES, [DTYPES, STACKS]),
    "stack.StackRatio.track_training": ("stack training", TORCH, STACK_NAMES, [DTYPES, STACKS]),
    "stack.RaggedRatio.track_packed": ("ragged training", TORCH, STACK_NAMES, [["float32"], RAGGED]),
    "stack.RaggedRatio.track_padded": ("padded", "ragged time / padded time", STACK_NAMES, [["float32"], RAGGED]),
    "start.Start.track_import": ("import", "seconds", [], []),
}
"""For each benchmark its name to a reader, its unit, and its parameters."""


def value(name: str, params: tuple[Any, ...], commit: int) -> float:
    """A ratio that nobody measured, with gaps where a peer cannot do something, and better from commit to commit."""
    if "onnxruntime" in params and ("float64" in params or name.endswith("training")):
        return math.nan
    if name.startswith("start"):
        return 0.45
    if name.startswith("layer.Limit"):
        return 1.1 + 200 / sum(params[-1])
    progress = 0.75 + 0.25 * commit / 7
    if name.startswith("lstm"):
        hidden, truncate = params[-1][3:]
        return (3 - 0.02 * truncate + hidden / 200) / (120 if "bptt" in name else 30) / progress
    size = params[-1][-1] if isinstance(params[-1], tuple) else params[-1]
    gain = (4 if "float64" in params else 1) * (1.6 if name.endswith("training") else 1)
    return 1 / (1 + gain * 40 / size) / (0.9 if "onnxruntime" in params else 1)


def project(folder: Path, commits: int = 8) -> Path:
    """Make a repository with a commit for each set of results, and return its `asv.conf.json`."""

    def git(*arguments: str, date: str = "") -> str:
        environment = {**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "asv.conf.json"
    config.write_text(
        json.dumps(
            {
                "version": 1,
                "project": "fastlstm",
                "project_url": "../index.html",
                "repo": ".",
                "branches": ["main"],
                "results_dir": "results",
                "html_dir": "html",
            }
        )
    )
    git("init", "--quiet", "--initial-branch=main")
    settings = Config.load(str(config))
    settings.results_dir = str(folder / "results")
    benchmarks = [
        {
            "name": name,
            "pretty_name": pretty,
            "unit": unit,
            "param_names": names,
            "params": [[repr(param) for param in params] for params in choices],
            "version": "1",
            "type": "track",
            "code": "",
        }
        for name, (pretty, unit, names, choices) in SUITE.items()
    ]
    Benchmarks(settings, benchmarks).save()
    machine = Machine()
    machine.__dict__.update(
        machine="bench", os="Linux 6.1", arch="x86_64", cpu="A processor <1 GHz>", num_cpu="2", ram="25769803776"
    )
    machine.save(settings.results_dir)
    for commit in range(commits):
        date = f"2026-01-{commit + 1:02}T12:00:00Z"
        git("commit", "--quiet", "--allow-empty", f"--message={commit}", date=date)
        head, seconds = git("log", "-1", "--format=%H %at").split()
        versions = {"numba": "0.61.0", "numpy": "2.1.0", "pip+torch": "2.13.0"}
        params = {**machine.__dict__, "python": "3.11", **versions}
        results = Results(params, versions, head, 1000 * int(seconds), "3.11", "virtualenv-py3.11", {})
        for benchmark in benchmarks:
            choices = SUITE[benchmark["name"]][3]
            values = [value(benchmark["name"], params, commit) for params in itertools.product(*choices)]
            nothing = [None] * len(values)
            results.add_result(benchmark, BenchmarkResult(values, nothing, nothing, 0, "", None))
        results.save(settings.results_dir)
    return config
