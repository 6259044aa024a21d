"""Line charts as inline SVG: a panel a chart, which the page lays side by side or one below the other."""

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import NamedTuple

from .. import tables

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 46
"""Around the plot; for the labels of the axes. A phone shows a unit as about a pixel, a desk one and a half."""
LETTER = 8
"""More than the width of one."""
MARKERS = ["M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "M-4-4h8v8h-8z", "M0-5l5 9h-10z", "M0-5.5l5.5 5.5l-5.5 5.5l-5.5-5.5z"]
"""A disc, a square, a triangle, a diamond: lines differ in more than colour."""


class Point(NamedTuple):
    """A place in a panel, and what it says."""

    x: float
    y: float
    title: str


class Line(NamedTuple):
    """Points of one style, joined through the geometric mean at each x."""

    style: int
    points: list[Point]


def drawn(style: int, path: str, places: Iterable[tuple[str, str]]) -> str:
    """A line and its points in one of eight styles: four colours with a marker each, then the same dashed.

    Parameters
    ----------
    style : int
    path : str
        Of the line.
    places : iterable of tuple of str
        For each point where it is, as a transformation, and what it holds.
    """
    dashed = " dashed" if style // len(MARKERS) % 2 else ""
    marker = MARKERS[style % len(MARKERS)]
    points = (f'<path class="point" transform="{where}" d="{marker}">{content}</path>' for where, content in places)
    return f'<g class="style{style % len(MARKERS)}{dashed}"><path class="line" d="{path}"/>{"".join(points)}</g>'


def ticks(values: Iterable[float]) -> list[float]:
    """Round numbers on a logarithmic scale, from one at or below all values to one at or above."""
    values = list(values)
    low, high = min(values), max(values)
    steps = [1, 1.5, 2, 3, 5, 7] if high / low < 12 else [1, 2, 5]
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 2)
    marks = [step * 10.0**decade for decade in decades for step in steps]
    first = max(mark for mark in marks if mark <= low)
    last = min(mark for mark in marks if mark >= high and mark > first)
    return [mark for mark in marks if first <= mark <= last]


def panel(name: str, lines: list[Line], x_ticks: Mapping[float, str], y_ticks: list[float], x_label: str) -> str:
    """Draw lines over a logarithmic y axis.

    Parameters
    ----------
    name : str
        What a screen reader calls the chart.
    lines : list of Line
    x_ticks : mapping of float to str
        Labels; the first and last x in it, or in the lines, bound the axis.
    y_ticks : list of float
        Times faster; the first and last bound the axis.
    x_label : str
        Of the axis.

    Returns
    -------
    str
        An `svg` element.
    """
    xs = [*x_ticks, *(point.x for line in lines for point in line.points)]
    low, high = min(xs), max(xs)
    inset = 14

    def across(x: float) -> float:
        space = WIDTH - LEFT - RIGHT - 2 * inset
        return LEFT + inset + (space * (x - low) / (high - low) if high > low else space / 2)

    def down(y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * math.log(y_ticks[-1] / y) / math.log(y_ticks[-1] / y_ticks[0])

    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">']
    for y in y_ticks:
        kind = "even" if y == 1 else "grid"
        parts.append(f'<path class="{kind}" d="M{LEFT} {down(y):.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{down(y) + 4:.1f}" text-anchor="end">{y:g}x</text>')
    end = 0.0
    for x, label in x_ticks.items():
        parts.append(f'<path class="tick" d="M{across(x):.1f} {bottom}v5"/>')
        reach = LETTER * len(label) / 2
        place = min(across(x), WIDTH - reach)
        # Not one label over another: 100 and 128 are close.
        if place - reach > end:
            parts.append(f'<text x="{place:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(label)}</text>')
            end = place + reach
    middle = (LEFT + right) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
    turned = f'transform="translate(13 {(TOP + bottom) / 2})rotate(-90)"'
    parts.append(f'<text class="axis" {turned} text-anchor="middle">times faster</text>')
    for line in lines:
        at: dict[float, list[float]] = {}
        for point in line.points:
            at.setdefault(point.x, []).append(point.y)
        joined = "L".join(f"{across(x):.1f} {down(tables.mean(at[x])):.1f}" for x in sorted(at))
        places = (
            (f"translate({across(point.x):.1f} {down(point.y):.1f})", f"<title>{escape(point.title)}</title>")
            for point in line.points
        )
        parts.append(drawn(line.style, f"M{joined}", places))
    return "".join([*parts, "</svg>"])


def legend(names: dict[str, int]) -> str:
    """Name the lines of some panels, each by its style."""
    entries = (
        f'<li><svg viewBox="-14 -7 28 14" aria-hidden="true">{drawn(style, "M-14 0H14", [("", "")])}</svg>'
        f"{escape(name)}</li>"
        for name, style in names.items()
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'
