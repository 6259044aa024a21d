"""Rows and columns from a run: the tables of the overview page, the README and docs/speed.md."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .stored import Case, Run

LAYER = {"layer.LayerRatio.track_training": "training", "layer.LayerRatio.track_forward": "inference"}
FRAME = {"layer.FrameRatio.track_step": "one frame a call"}
STACK = {
    "stack.StackRatio.track_training": "training", "stack.StackRatio.track_forward": "inference",
    "stack.RaggedRatio.track_packed": "ragged training",
}
ORACLE = {"lstm.Ratio.track_forward": "forward", "lstm.Ratio.track_truncated_bptt": "truncated BPTT"}
LIMIT = {"layer.Limit.track_training": "training", "layer.Limit.track_forward": "inference"}
"""Benchmarks, and what each of them computes."""

PEERS = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "oracle": "the oracle"}
"""How the benchmarks call them, and how they call themselves."""

RATIO = re.compile("fastlstm time / (.+) time")
"""The unit of a comparison."""


class Comparison(NamedTuple):
    """How many times as long as ours a peer takes, for a computation, a dtype and a shape."""

    computation: str
    dtype: str
    peer: str
    names: str
    shape: tuple[Any, ...]
    faster: float

    @property
    def kind(self) -> str:
        """The computation and the dtype, if it has one."""
        return ", ".join(filter(None, (self.computation, self.dtype)))

    @property
    def size(self) -> str:
        """The shape as text."""
        return ", ".join(map(str, self.shape))

    @property
    def hidden(self) -> int | None:
        """The number of hidden units, if the shape has one."""
        names = self.names.split(", ")
        return self.shape[names.index("hidden")] if "hidden" in names else None


class Table(NamedTuple):
    """Text in cells. The heading of a column has two parts, of which neighbours may share the first."""

    stub: str
    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[str]]]


def comparisons(
    run: Run, described: Mapping[str, Mapping[str, Any]], computations: Mapping[str, str]
) -> list[Comparison]:
    """Collect what a run has of some benchmarks; asv tracks the inverse, as lower is better.

    Parameters
    ----------
    run : Run
    described : mapping
        asv's description of each benchmark.
    computations : mapping of str to str
        The benchmarks, and what each computes.

    Returns
    -------
    list of Comparison
        Those of `layer.Limit` have no peer: their ratio is the share of what the cores could do.
    """
    return [
        _comparison(computation, str(described[name]["unit"]), case)
        for name, computation in computations.items()
        for case in run.cases.get(name, [])
    ]


def _comparison(computation: str, unit: str, case: Case) -> Comparison:
    params = dict(case.params)
    measured = RATIO.fullmatch(unit)
    peer = params.pop("peer", measured[1] if measured else "")
    dtype = params.pop("dtype", "")
    # What is left are sizes, one a parameter or several in a tuple.
    shape = tuple(size for value in params.values() for size in (value if isinstance(value, tuple) else (value,)))
    names = ", ".join(params)
    return Comparison(computation, dtype, PEERS.get(peer, peer), names, shape, 1 / case.value)


def others(run: Run, described: Mapping[str, Mapping[str, Any]]) -> list[Comparison]:
    """Collect the comparisons that have no table of their own, whatever the suite has."""
    own = {**LAYER, **FRAME, **ORACLE}
    rest = {
        name: str(benchmark.get("pretty_name") or name)
        for name, benchmark in described.items()
        if name not in own and RATIO.fullmatch(str(benchmark["unit"]))
    }
    return comparisons(run, described, rest)


def by_peer(found: Iterable[Comparison]) -> Table:
    """A row a shape, a column a computation, dtype and peer."""
    found = list(found)
    order = list(dict.fromkeys(each.computation for each in found))
    found.sort(key=lambda each: (order.index(each.computation), each.dtype))
    return table(found, lambda each: (each.kind, each.peer))


def table(
    found: Iterable[Comparison],
    heading: Callable[[Comparison], tuple[str, str]] = lambda each: (each.computation, each.dtype),
    text: Callable[[float], str] = lambda value: times(value),
) -> Table:
    """A row a shape, a column a heading; cells that nothing was measured for are empty."""
    cells = {(each.size, heading(each)): each for each in found}
    columns = list(dict.fromkeys(column for _, column in cells))
    rows = [
        (size, [text(cells[size, column].faster) if (size, column) in cells else "" for column in columns])
        for size in dict.fromkeys(size for size, _ in cells)
    ]
    return Table(next((each.names for each in cells.values()), ""), columns, rows)


def times(value: float) -> str:
    """Two digits, and a third near 1, where it matters.

    Examples
    --------
    >>> times(17.2), times(2.24), times(1.06), times(0.5)
    ('17x', '2.2x', '1.06x', '0.50x')
    """
    return f"{value:.0f}x" if value >= 9.95 else f"{value:.1f}x" if value >= 1.095 else f"{value:.2f}x"


def mean(values: Iterable[float]) -> float:
    """The geometric mean, as these are ratios."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))


def machine(run: Run) -> dict[str, str]:
    """What was measured on, and with."""
    facts = {"CPU": run.machine.get("cpu", ""), "cores": run.machine.get("num_cpu", "")}
    memory = run.machine.get("ram", "")
    # asv proposes bytes, and its user may type anything.
    facts["memory"] = f"{int(memory) / 2**30:.0f} GiB" if memory.isdigit() else memory
    facts["system"] = " ".join(filter(None, [run.machine.get("os"), run.machine.get("arch")]))
    return {name: fact for name, fact in {**facts, **run.versions}.items() if fact}
