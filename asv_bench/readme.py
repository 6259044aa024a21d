"""`python -m asv_bench.readme` writes the speed tables of the README and of docs/speed.md; `--check` only compares."""

import argparse
import textwrap
from collections.abc import Callable
from pathlib import Path

from . import tables
from .stored import CONFIG, Run, Stored, load

ROOT = Path(__file__).parents[1]
START = "<!-- speed: written by `python -m asv_bench.readme` -->"
END = "<!-- end of speed -->"


def markdown(table: tables.Table) -> str:
    """Write a table as Markdown has it: one row of headings."""
    lines = [
        [table.stub, *(": ".join(filter(None, column)) for column in table.columns)],
        ["---", *("---:" for _ in table.columns)],
        *([shape, *cells] for shape, cells in table.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def origin(run: Run) -> str:
    """Say on what a run was measured, with what, and of which commit."""
    facts = tables.machine(run)
    cpu, cores, memory, system = (facts.pop(name, "") for name in ("CPU", "cores", "memory", "system"))
    place = [cpu, cores and f"{cores} cores", memory, system, *(" ".join(fact) for fact in facts.items())]
    return textwrap.fill(f"{', '.join(filter(None, place))}; commit {run.commit[:8]} of {run.date:%Y-%m-%d}.", 120)


def _layers(stored: Stored) -> str:
    """What the README says: one layer against its peers."""
    run = stored.runs[-1]
    layer = tables.by_peer(tables.comparisons(run, stored.benchmarks, tables.LAYER))
    return f"""\
`fastlstm.nn.LSTM`, peer's time over ours:

{_filled_in(run, layer)}

{origin(run)}"""


def _others(stored: Stored) -> str:
    """What docs/speed.md says besides: stacks, and the classes of `fastlstm.model`."""
    run = stored.runs[-1]
    stacks = tables.by_peer(tables.comparisons(run, stored.benchmarks, tables.STACK))
    oracle = tables.table(tables.comparisons(run, stored.benchmarks, tables.ORACLE))
    return f"""\
{origin(run)}

Stacks of `fastlstm.nn.LSTM`, PyTorch's time over ours; and a batch of sequences of 1 to T steps against PyTorch's
packed sequences:

{_filled_in(run, stacks)}

`fastlstm.LSTM` and `compat.lstm`: the time of the plain NumPy class of `fastlstm.oracle` over theirs. That class goes
step by step and window by window, as the NumPy classes in use do.

{_filled_in(run, oracle)}"""


def _filled_in(run: Run, table: tables.Table) -> str:
    if not table.rows:
        raise SystemExit(f"commit {run.commit[:8]}, the newest with results, has none for one of the speed tables")
    return markdown(table)


DOCUMENTS: dict[str, Callable[[Stored], str]] = {"README.md": _layers, "docs/speed.md": _others}
"""The files, and what stands in each between the two comments."""


def filled(path: Path, start: str, end: str, between: str) -> tuple[str, str]:
    """Return the text of a file as it is, and with something else between two comments."""
    text = path.read_text(encoding="utf-8")
    before, first, rest = text.partition(start)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise SystemExit(f"{path.name} has no place for the tables: {start} and {end}")
    return text, f"{before}{start}\n\n{between}\n\n{end}{after}"


def main(arguments: list[str] | None = None, root: Path = ROOT, config: Path = CONFIG) -> None:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(prog="python -m asv_bench.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    check, stored = parser.parse_args(arguments).check, load(config)
    for name, section in DOCUMENTS.items():
        text, new = filled(root / name, START, END, section(stored))
        if check and new != text:
            raise SystemExit(f"{name} is out of date: `python -m asv_bench.readme` writes it")
        if not check:
            (root / name).write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
