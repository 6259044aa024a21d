"""The overview page: what the newest commit measured, and how that came about."""

import math
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from .. import tables
from ..stored import Stored
from ..tables import FRAME, LAYER, LIMIT, ORACLE, Comparison, times
from .chart import Point
from .markup import figure, grid, listing, section

COMPARED = ("what", "sizes", "dtype", "peer", "times faster")
TEMPLATE = Path(__file__).with_name("overview.html")


def page(stored: Stored) -> str:
    """Write the page."""
    run = stored.runs[-1]
    layer, frame, oracle, share = (
        tables.comparisons(run, stored.benchmarks, computations) for computations in (LAYER, FRAME, ORACLE, LIMIT)
    )

    def measured(computations: dict[str, str]) -> dict[str, str]:
        return {name: computation for name, computation in computations.items() if name in run.cases}

    sections = [
        section(
            "layer",
            "The layer against its peers",
            "fastlstm.nn.LSTM: the peer's time over ours, in one process, taking turns. More is better; 1x is a draw.",
            [
                grid(tables.by_peer(layer), "Whole sequences, times faster"),
                by_hidden([*layer, *frame]),
                grid(tables.by_peer(frame), "Frame by frame, times faster"),
            ],
            measured(LAYER | FRAME),
        ),
        section(
            "oracle",
            "The model against the oracle",
            "fastlstm.LSTM: the time of the plain NumPy class over ours, in one process, taking turns.",
            [grid(tables.table(oracle), "Times faster"), history(stored)],
            measured(ORACLE),
        ),
        section(
            "limit",
            "How near to the limit",
            "The time that the layer's arithmetic alone would take at the measured speed of a matrix product, "
            "over ours. At 100 % nobody can be faster.",
            [grid(tables.table(share, text=lambda value: f"{100 * value:.0f} %"), "Share of the limit")],
            measured(LIMIT),
        ),
        section(
            "rest",
            "What else is compared",
            "The peer's time over ours, in one process, taking turns.",
            [rest(tables.others(run, stored.benchmarks))],
            {},
        ),
        section("start", "A new process", "From its start to its first gradient.", [start(stored)], {}),
    ]
    facts = {"commit": f"{run.commit[:8]} of {run.date:%Y-%m-%d}", **tables.machine(run)}
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        summary=summary([*layer, *frame, *oracle]),
        facts="".join(f"<div><dt>{escape(name)}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items()),
        sections="".join(sections),
    )


def summary(found: Iterable[Comparison]) -> str:
    """A tile for each peer: the least and the most."""
    peers: dict[str, list[float]] = {}
    for each in found:
        peers.setdefault(each.peer, []).append(each.faster)
    return "".join(
        f"<li><strong>{times(min(values))} to {times(max(values))}</strong> as fast as {escape(peer)}"
        f"<small>geometric mean {times(tables.mean(values))}, {len(values)} cases</small></li>"
        for peer, values in peers.items()
    )


def by_hidden(found: Iterable[Comparison]) -> str:
    """Times faster by the number of hidden units: a panel a computation and dtype, a line a peer."""
    # Sizes double, so their logarithms are evenly spaced.
    sized = [(math.log2(each.hidden), each) for each in found if each.hidden]
    points = [
        (
            each.kind,
            each.peer,
            Point(x, each.faster, f"{times(each.faster)} {each.peer} ({each.names}: {each.size})"),
        )
        for x, each in sized
    ]
    return figure(
        "Times faster by the number of hidden units",
        points,
        {x: str(each.hidden) for x, each in sorted(sized)},
        "hidden units",
        listing("The points of the chart", COMPARED, [row(each) for _, each in sized]),
    )


def history(stored: Stored) -> str:
    """Times faster than the oracle from commit to commit: a panel a computation and dtype, a line a shape."""
    runs = [run for run in stored.runs if ORACLE.keys() & run.cases.keys()]
    found = [
        (index, run, each)
        for index, run in enumerate(runs)
        for each in tables.comparisons(run, stored.benchmarks, ORACLE)
    ]
    points = [
        (
            each.kind,
            each.size,
            Point(index, each.faster, f"{times(each.faster)} {run.commit[:8]} of {run.date:%Y-%m-%d} ({each.size})"),
        )
        for index, run, each in found
    ]
    rows = [
        (run.commit[:8], f"{run.date:%Y-%m-%d}", each.computation, each.dtype, each.size, times(each.faster))
        for _, run, each in found
    ]
    names = next((each.names for _, _, each in found), "")
    # At most four labels, so that they have room on a phone.
    marked = sorted({round((len(runs) - 1) * third / 3) for third in range(4) if runs})
    return figure(
        f"Times faster than the oracle, commit by commit, for {names}",
        points,
        {index: runs[index].commit[:7] for index in marked},
        "commit, oldest first",
        listing("The points of the chart", ("commit", "date", "what", "dtype", "shape", "times faster"), rows),
    )


def rest(found: Iterable[Comparison]) -> str:
    """List comparisons of any kind."""
    return listing("Times faster", COMPARED, [row(each) for each in found])


def row(each: Comparison) -> tuple[str, ...]:
    """A comparison in words."""
    return each.computation, f"{each.names}: {each.size}", each.dtype, each.peer, times(each.faster)


def start(stored: Stored) -> str:
    """List how long a new process takes."""
    rows = [
        (str(stored.benchmarks[name].get("pretty_name") or name), f"{case.value:.2g} s")
        for name, cases in stored.runs[-1].cases.items()
        if name.startswith("start.Start.")
        for case in cases
    ]
    return listing("Seconds", ("what", "time"), rows)
