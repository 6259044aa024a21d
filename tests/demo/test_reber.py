"""The embedded Reber grammar, and the experiment on it."""

from collections import Counter

import numpy
import pytest

from fastlstm.demo import truncation
from fastlstm.demo.reber import EDGES, SHORTEST, SYMBOLS, embedded, reber_strings
from tests.tools.helpers import JIT_OFF


def accepts(string):
    """Whether the automaton reads a string to its end."""
    state = 0
    for symbol in string:
        state = dict(EDGES[state]).get(symbol)
        if state is None:
            return False
    return state == 7


@pytest.mark.parametrize("string", ["BTXSE", "BPVVE", "BTSSXXTVVE", "BPTTVPSE", "BTXXVPXVPXVVE"])
def test_the_grammar_has_the_strings_of_the_literature(string):
    assert accepts(string)
    assert not accepts(string[:-1])
    assert not accepts(string.replace("V", "S").replace("X", "V"))


def test_strings_of_a_length_are_equally_likely():
    random = numpy.random.default_rng(0)
    assert set(reber_strings(random, 50, SHORTEST)) == {"BTXSE", "BPVVE"}
    found = Counter(reber_strings(random, 3000, 6))
    assert set(found) == {"BTSXSE", "BPTVVE", "BPVPSE"}
    assert all(900 < count < 1100 for count in found.values())
    assert all(len(string) == 16 and accepts(string) for string in reber_strings(random, 50, 16))


@pytest.mark.parametrize("distance", [SHORTEST, 16])
def test_the_second_letter_is_the_last_but_one(distance):
    strings = embedded(numpy.random.default_rng(0), 200, distance)
    assert strings.shape == (distance + 4, 200)
    for string in ("".join(SYMBOLS[k] for k in column) for column in strings.T):
        assert string[0] + string[-1] == "BE"
        assert string[1] == string[-2]
        assert accepts(string[2:-2])
    # From the step that reads the one to the step that must predict the other.
    assert len(strings) - 3 - 1 == distance
    assert 70 < numpy.sum(strings[1] == SYMBOLS.index("T")) < 130


@pytest.mark.long
@pytest.mark.skipif(JIT_OFF, reason="trains for minutes when interpreted")
def test_a_symbol_is_remembered_from_as_far_as_the_gradient_reaches():
    assert truncation.accuracy(truncation.DISTANCE - 1) < 0.65
    assert truncation.accuracy(truncation.DISTANCE, updates=1500) > 0.95


def test_the_experiment_runs_interpreted_too(monkeypatch):
    monkeypatch.setattr(truncation, "STRINGS", 20)
    monkeypatch.setattr(truncation, "HIDDEN", 2)
    monkeypatch.setattr(truncation, "BATCH", 2)
    assert 0 <= truncation.accuracy(0, seed=1, updates=1) <= 1
