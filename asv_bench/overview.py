"""The overview page: what the newest commit measured, and how that came about."""

import math
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from . import tables
from .chart import Point
from .markup import figure, grid, listing, section
from .stored import Stored
from .tables import FRAME, LAYER, LIMIT, ORACLE, Comparison, times

TEMPLATE = Path(__file__).with_name("overview.html")


def page(stored: Stored) -> str:
    """Write the page."""
    run = stored.runs[-1]
    layer, frame, oracle, share = (
        tables.comparisons(run, stored.benchmarks, computations) for computations in (LAYER, FRAME, ORACLE, LIMIT)
    )
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
            LAYER | FRAME,
        ),
        section(
            "oracle",
            "The model against the oracle",
            "fastlstm.LSTM: the time of the plain NumPy class over ours, in one process, taking turns.",
            [grid(tables.table(oracle), "Times faster"), history(stored)],
            ORACLE,
        ),
        section(
            "limit",
            "How near to the limit",
            "The time that the layer's arithmetic alone would take at the measured speed of a matrix product, "
            "over ours. At 100 % nobody can be faster.",
            [grid(tables.table(share, text=lambda value: f"{100 * value:.0f} %"), "Share of the limit")],
            LIMIT,
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
    facts = {"commit": run.commit[:8], "of": f"{run.date:%Y-%m-%d}", **tables.machine(run)}
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        summary=summary([*layer, *frame, *oracle]),
        facts="".join(f"<div><dt>{escape(name)}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items()),
        sections="".join(sections),
    )


def summary(found: Iterable[Comparison]) -> str:
    """A tile for each peer: how much faster in the mean, from how much to how much."""
    peers: dict[str, list[float]] = {}
    for each in found:
        peers.setdefault(each.peer, []).append(each.faster)
    return "".join(
        f"<li><strong>{times(tables.mean(values))}</strong> the speed of {escape(peer)}"
        f"<small>{times(min(values))} to {times(max(values))} in {len(values)} cases</small></li>"
        for peer, values in peers.items()
    )


def by_hidden(found: Iterable[Comparison]) -> str:
    """Times faster by the number of hidden units: a panel a computation and dtype, a line a peer."""
    found = [each for each in found if each.hidden]
    points = [
        (
            f"{each.computation}, {each.dtype}",
            each.peer,
            Point(math.log2(each.hidden), each.faster, f"{times(each.faster)} {each.peer} ({each.names}: {each.size})"),
        )
        for each in found
    ]
    rows = [(each.peer, each.computation, each.dtype, f"{each.names}: {each.size}", times(each.faster)) for each in found]
    return figure(
        "Times faster by the number of hidden units",
        points,
        {math.log2(size): str(size) for size in sorted({each.hidden for each in found})},
        "hidden units",
        listing("The points of the chart", ("peer", "what", "dtype", "shape", "times faster"), rows),
    )


def history(stored: Stored) -> str:
    """Times faster than the oracle from commit to commit: a panel a computation and dtype, a line a shape."""
    found = [
        (index, run, each)
        for index, run in enumerate(stored.runs)
        for each in tables.comparisons(run, stored.benchmarks, ORACLE)
    ]
    points = [
        (
            f"{each.computation}, {each.dtype}",
            f"{each.names}: {each.size}",
            Point(index, each.faster, f"{times(each.faster)} {run.commit[:8]} of {run.date:%Y-%m-%d} ({each.size})"),
        )
        for index, run, each in found
    ]
    rows = [
        (run.commit[:8], f"{run.date:%Y-%m-%d}", each.computation, each.dtype, each.size, times(each.faster))
        for _, run, each in found
    ]
    # At most four labels, so that they have room on a phone.
    last = len(stored.runs) - 1
    marked = {round(last * third / 3): None for third in range(4)}
    return figure(
        "Times faster than the oracle, commit by commit",
        points,
        {index: stored.runs[index].commit[:7] for index in marked},
        "commit, oldest first",
        listing("The points of the chart", ("commit", "date", "what", "dtype", "shape", "times faster"), rows),
    )


def rest(found: Iterable[Comparison]) -> str:
    """List comparisons of any kind."""
    rows = [(each.computation, f"{each.names}: {each.size}", each.dtype, each.peer, times(each.faster)) for each in found]
    return listing("Times faster", ("what", "sizes", "dtype", "peer", "times faster"), rows)


def start(stored: Stored) -> str:
    """List how long a new process takes."""
    rows = [
        (str(stored.benchmarks[name].get("pretty_name") or name), f"{case.value:.2g} s")
        for name, cases in stored.runs[-1].cases.items()
        if name.startswith("start.Start.")
        for case in cases
    ]
    return listing("Seconds", ("what", "time"), rows)
