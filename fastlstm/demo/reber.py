"""Strings of the embedded Reber grammar: a next-symbol task whose needed memory is known to the step.

A string is B, T or P, a string of Reber's grammar (Reber 1967), the same T or P once more, and E (Hochreiter &
Schmidhuber 1997, section 5.1). Whoever predicts the second T or P must remember the first, past a string of Reber's
grammar that says nothing of it. That one has a fixed length here, so it is known how far back the gradient must reach.
"""

import numpy

from fastlstm.checks import Array

SYMBOLS = "BTPSXVE"

EDGES: dict[int, tuple[tuple[str, int], ...]] = {
    0: (("B", 1),),
    1: (("T", 2), ("P", 3)),
    2: (("S", 2), ("X", 4)),
    3: (("T", 3), ("V", 5)),
    4: (("X", 3), ("S", 6)),
    5: (("P", 4), ("V", 6)),
    6: (("E", 7),),
    7: (),
}
"""Reber's grammar: from each state, the symbols that may follow, and where they lead; 7 is the end."""

SHORTEST = 5
"""Symbols of the shortest string of Reber's grammar, B and E included."""


def _ways(length: int) -> Array:
    """How many strings of exactly r symbols lead from each state to the end, (length + 1, states)."""
    ways = numpy.zeros((length + 1, len(EDGES)))
    ways[0, -1] = 1
    for r in range(1, length + 1):
        for state, edges in EDGES.items():
            ways[r, state] = sum(ways[r - 1, following] for _, following in edges)
    return ways


def reber_strings(random: numpy.random.Generator, count: int, length: int) -> list[str]:
    """Strings of Reber's grammar, each as likely as any other of its length.

    Parameters
    ----------
    random : numpy.random.Generator
    count : int
        How many.
    length : int
        Symbols of each, B and E included; at least SHORTEST.

    Returns
    -------
    list of str
    """
    ways, strings = _ways(length), []
    for _ in range(count):
        state, symbols = 0, ""
        for left in range(length, 0, -1):
            chances = numpy.array([ways[left - 1, following] for _, following in EDGES[state]])
            symbol, state = EDGES[state][random.choice(len(chances), p=chances / chances.sum())]
            symbols += symbol
        strings.append(symbols)
    return strings


def embedded(random: numpy.random.Generator, count: int, distance: int) -> Array:
    """Strings of the embedded grammar.

    Parameters
    ----------
    random : numpy.random.Generator
    count : int
        How many.
    distance : int
        Steps from the one that reads the first T or P to the one that must predict the second: the length of the
        string between them; at least SHORTEST.

    Returns
    -------
    (distance + 4, count) intp array
        Places in SYMBOLS; a string is a column.
    """
    ends = random.choice(["T", "P"], count)
    strings = [f"B{s}{inner}{s}E" for s, inner in zip(ends, reber_strings(random, count, distance), strict=True)]
    return numpy.array([[SYMBOLS.index(symbol) for symbol in string] for string in strings], numpy.intp).T
