"""`python -m asv_bench.readme` writes the README's speed tables; `--check` only tells whether they are up to date."""

import argparse
import textwrap
from pathlib import Path

from . import tables
from .stored import CONFIG, Run, Stored, load

README = Path(__file__).parents[1] / "README.md"
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


def section(stored: Stored) -> str:
    """What stands between the two comments."""
    run = stored.runs[-1]
    layer = tables.by_peer(tables.comparisons(run, stored.benchmarks, tables.LAYER))
    stacks = tables.by_peer(tables.comparisons(run, stored.benchmarks, tables.STACK))
    oracle = tables.table(tables.comparisons(run, stored.benchmarks, tables.ORACLE))
    if not (layer.rows and stacks.rows and oracle.rows):
        raise SystemExit(f"commit {run.commit[:8]}, the newest with results, has none for the README's tables")
    return f"""\
{origin(run)}

`fastlstm.nn.LSTM`, peer's time over ours, in one process, taking turns:

{markdown(layer)}

The same for stacks, and for a batch of sequences of 1 to T steps against PyTorch's packed ones:

{markdown(stacks)}

`fastlstm.LSTM` and `compat.lstm`: the time over theirs of the plain NumPy class of `fastlstm.oracle`, which goes step
by step and window by window as the classes in use do.

{markdown(oracle)}"""


def filled(path: Path, start: str, end: str, between: str) -> tuple[str, str]:
    """Return the text of a file as it is, and with something else between two comments."""
    text = path.read_text(encoding="utf-8")
    before, first, rest = text.partition(start)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise SystemExit(f"{path.name} has no place for the tables: {start} and {end}")
    return text, f"{before}{start}\n\n{between}\n\n{end}{after}"


def main(arguments: list[str] | None = None, readme: Path = README, config: Path = CONFIG) -> None:
    """Write the tables, or check them."""
    parser = argparse.ArgumentParser(prog="python -m asv_bench.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the README is out of date")
    check = parser.parse_args(arguments).check
    text, new = filled(readme, START, END, section(load(config)))
    if check and new != text:
        raise SystemExit("README.md is out of date: `python -m asv_bench.readme` writes it")
    if not check:
        readme.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
