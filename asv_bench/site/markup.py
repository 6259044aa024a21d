"""Tables, figures and sections of the overview page."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from ..tables import Table
from . import chart
from .chart import Line, Point


def section(name: str, heading: str, text: str, contents: Iterable[str], benchmarks: Mapping[str, str]) -> str:
    """Put contents below a heading, and links to asv's graphs below them; nothing if there are no contents."""
    contents = "".join(contents)
    if not contents:
        return ""
    graphs = ", ".join(
        f'<a href="asv/index.html#{escape(key)}">{escape(value)}</a>' for key, value in benchmarks.items()
    )
    more = f'<p class="more">Commit by commit, in asv\'s pages: {graphs}.</p>' if graphs else ""
    return (
        f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(heading)}</h2>'
        f"<p>{escape(text)}</p>{contents}{more}</section>"
    )


def grid(table: Table, caption: str) -> str:
    """Lay out a table with two rows of headings; nothing if it has no rows."""
    groups = "".join(
        f'<th scope="colgroup" colspan="{len(list(columns))}">{escape(group)}</th>'
        for group, columns in itertools.groupby(table.columns, key=lambda column: column[0])
    )
    names = "".join(f'<th scope="col">{escape(name)}</th>' for _, name in table.columns)
    head = f'<tr><th scope="col" rowspan="2">{escape(table.stub)}</th>{groups}</tr><tr>{names}</tr>'
    rows = [(size, *cells) for size, cells in table.rows]
    return _table(caption, head, rows)


def listing(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows of text, without the columns that say nothing; nothing if there are no rows."""
    columns = [column for column in zip(headings, *rows, strict=True) if any(column[1:])]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, *_ in columns)
    return _table(caption, f"<tr>{head}</tr>", list(zip(*columns, strict=True))[1:], kind="listing")


def _table(caption: str, head: str, rows: Sequence[Sequence[str]], kind: str = "grid") -> str:
    if not rows:
        return ""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in rows
    )
    # What scrolls must be in reach of the keyboard, and then needs a name.
    return (
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0"><table class="{kind}">'
        f"<caption>{escape(caption)}</caption><thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def figure(
    caption: str, points: Iterable[tuple[str, str, Point]], x_ticks: Mapping[float, str], x_label: str, data: str
) -> str:
    """Draw points as panels that share their axes; nothing if there are none.

    Parameters
    ----------
    caption : str
    points : iterable of tuple
        The panel and the line that a point belongs to, and the point.
    x_ticks : mapping of float to str
    x_label : str
    data : str
        The same in a table, which can be unfolded.
    """
    panels: dict[str, dict[str, list[Point]]] = {}
    styles: dict[str, int] = {}
    for panel, line, point in points:
        panels.setdefault(panel, {}).setdefault(line, []).append(point)
        styles.setdefault(line, len(styles))
    if not panels:
        return ""
    y_ticks = chart.ticks(point.y for lines in panels.values() for line in lines.values() for point in line)
    drawings = "".join(
        f"<div><h4>{escape(name)}</h4>"
        + chart.panel(
            f"{caption}: {name}", [Line(styles[key], line) for key, line in lines.items()], x_ticks, y_ticks, x_label
        )
        + "</div>"
        for name, lines in panels.items()
    )
    return (
        f"<figure><figcaption><h3>{escape(caption)}</h3></figcaption>{chart.legend(styles)}"
        f'<div class="panels">{drawings}</div>'
        f"<details><summary>The points as a table</summary>{data}</details></figure>"
    )
