"""How far back must the gradient reach? An experiment on the embedded Reber grammar, whose needed memory is known."""

from collections.abc import Iterator

import numpy

from fastlstm import nn
from fastlstm.checks import Array
from fastlstm.demo.reber import SYMBOLS, embedded
from fastlstm.train import Adam, CrossEntropy, Trainer

DISTANCE = 16
"""Steps over which the first T or P must be remembered."""

REACHES = (0, 4, 8, 12, 14, 15, 16, 17, 20, 24)
"""Truncations K that are tried."""

HIDDEN, BATCH, STRINGS, UPDATES, RATE = 16, 32, 2000, 4000, 0.01

ONE_HOT = numpy.eye(len(SYMBOLS), dtype=numpy.float32)


def accuracy(truncate: int, seed: int = 0, updates: int = UPDATES) -> float:
    """Train to predict the next symbol, with the gradient cut after `truncate` steps.

    Parameters
    ----------
    truncate : int
        K: how many steps back each step's error is walked.
    seed : int
        Of the initial weights and the strings.
    updates : int
        Steps of the optimizer.

    Returns
    -------
    float
        Share of 500 new strings in which the second T or P, which the first one decides, is predicted right.
    """
    random = numpy.random.default_rng(seed)
    known, new = embedded(random, STRINGS, DISTANCE), embedded(random, 500, DISTANCE)
    first, second = numpy.random.SeedSequence(seed).spawn(2)
    model = nn.Sequential(nn.LSTM(len(SYMBOLS), HIDDEN, seed=first), nn.Dense(HIDDEN, len(SYMBOLS), seed=second))

    def batches(random: numpy.random.Generator) -> Iterator[tuple[Array, Array, Array]]:
        while True:
            strings = known[:, random.integers(STRINGS, size=BATCH)]
            yield ONE_HOT[strings[:-1]], strings[1:], numpy.ones(BATCH, bool)

    Trainer(model, CrossEntropy(), Adam(RATE), truncate=truncate, seed=seed).fit(batches, updates=updates)
    logits = model(ONE_HOT[new[:-1]])[0][-2]
    t, p = SYMBOLS.index("T"), SYMBOLS.index("P")
    return float(numpy.mean((logits[:, t] > logits[:, p]) == (new[-2] == t)))
