"""What `asv run` has stored, read with asv's own classes."""

import ast
import datetime
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.machine import Machine
from asv.results import Results, iter_results
from asv.util import UserError

CONFIG = Path(__file__).with_name("asv.conf.json")


@dataclass(frozen=True)
class Case:
    """A measured value and the parameters it belongs to, by name."""

    params: dict[str, Any]
    value: float


@dataclass(frozen=True)
class Run:
    """What one machine measured of one commit."""

    commit: str
    date: datetime.datetime
    machine: dict[str, str]
    versions: dict[str, str]
    """Of Python, and of what asv installed beside the project, from `matrix` in its configuration."""
    cases: dict[str, list[Case]]
    """By the name of the benchmark."""


@dataclass(frozen=True)
class Stored:
    """The runs of the machine that measured the newest commit, oldest first, and what asv says of each benchmark."""

    runs: list[Run]
    benchmarks: dict[str, dict[str, Any]]


def load(config: Path = CONFIG) -> Stored:
    """Read the results that an `asv.conf.json` speaks of."""
    settings = Config.load(str(config))
    settings.results_dir = str(config.parent / settings.results_dir)
    try:
        benchmarks = Benchmarks.load(settings)
    except UserError as error:
        raise SystemExit(str(error)) from None
    found: dict[tuple[str, str], Run] = {}
    # Files of one commit are those of several environments: the newest counts where they overlap.
    for results in sorted(iter_results(settings.results_dir), key=lambda results: (results.date, _started(results))):
        run = _run(results, benchmarks)
        key = run.machine["machine"], run.commit
        earlier = found.pop(key, run)
        found[key] = Run(run.commit, run.date, run.machine, run.versions, {**earlier.cases, **run.cases})
    if not found:
        raise SystemExit(f"no results in {settings.results_dir}: `asv run` writes them")
    runs = list(found.values())
    name = runs[-1].machine["machine"]
    return Stored([run for run in runs if run.machine["machine"] == name], dict(benchmarks))


def _started(results: Results) -> int:
    return max(results.started_at.values(), default=0)


def _run(results: Results, benchmarks: Benchmarks) -> Run:
    # asv keeps all that tells one environment from another in one dictionary.
    fields = {name for name, _ in Machine.fields}
    machine = {key: str(value) for key, value in results.params.items() if key in fields}
    # Of an environment that it has not made itself asv knows the path, which is nobody's business.
    versions = {
        key.removeprefix("pip+"): str(value)
        for key, value in results.params.items()
        if key not in fields and value and not Path(value).is_absolute()
    }
    date = datetime.datetime.fromtimestamp(results.date / 1000, datetime.timezone.utc)
    # In the order of the suite, whatever that of the file.
    names = [name for name in benchmarks if name in results.get_result_keys(benchmarks)]
    return Run(
        results.commit_hash, date, machine, versions, {name: _cases(results, benchmarks[name]) for name in names}
    )


def _cases(results: Results, benchmark: dict[str, Any]) -> list[Case]:
    values = results.get_result_value(benchmark["name"], benchmark["params"])
    combinations = itertools.product(*benchmark["params"])
    return [
        Case(dict(zip(benchmark["param_names"], map(_parsed, params), strict=True)), value)
        for params, value in zip(combinations, values, strict=True)
        if value is not None and not math.isnan(value)
    ]


def _parsed(text: str) -> Any:
    """A parameter, of which asv keeps the `repr`."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
