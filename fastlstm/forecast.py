"""The main job on real data: train an LSTM to forecast sunspot numbers a year ahead, and judge it on held-out years.

The model sees one month at a time and says at each what the number will be twelve months later. It learns from the
months before the split by truncated back-propagation through time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy

from fastlstm import oracle
from fastlstm.checks import Array
from fastlstm.datasets import sunspots
from fastlstm.lstm import LSTM

AHEAD = 12
"""Months from an input to what is forecast."""

CYCLE = 132
"""Months of a solar cycle, about eleven years: the season of the seasonal baseline."""

SPLIT = numpy.datetime64("1950-01")
"""Months from here on are held out."""

LENGTH, EVERY, BATCH = 264, 24, 16
"""Months of a training sequence (two cycles), months between their starts, and sequences in an update."""


class Adam:
    """Adaptive moment estimation (Kingma & Ba 2015, algorithm 1) on a flat array.

    Parameters
    ----------
    parameters : (n,) array
        Changed in place by every step.
    rate : float
        Step size.
    """

    def __init__(self, parameters: Array, rate: float = 0.005) -> None:
        self._parameters, self._rate, self._steps = parameters, rate, 0
        self._mean, self._square = numpy.zeros((2, parameters.size))

    def step(self, gradient: Array) -> None:
        """Move against the gradient, an (n,) array."""
        self._steps += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.001 * (gradient**2 - self._square)
        mean, square = self._mean / (1 - 0.9**self._steps), self._square / (1 - 0.999**self._steps)
        self._parameters -= self._rate * mean / (numpy.sqrt(square) + 1e-8)


@dataclass(frozen=True)
class Epoch:
    """Report of one pass over the training data.

    Attributes
    ----------
    loss : float
        ½ (forecast - truth)², mean over the months before the split, in scaled units.
    seconds : float
        How long the pass took.
    steps : int
        Time steps it went through.
    """

    loss: float
    seconds: float
    steps: int


class SunspotForecaster:
    """An LSTM, the data it learns from, and what it is compared with.

    Parameters
    ----------
    hidden_size : int
        Hidden units.
    bptt_truncate : int
        How many months back each error is walked.
    seed : int
        Of the initial parameters and of the order of the training sequences.

    Attributes
    ----------
    model : LSTM
    months, numbers : (3120,) arrays
        The data; see `fastlstm.datasets.sunspots`.
    held_out : slice
        Of the months that training does not see.
    """

    def __init__(self, hidden_size: int = 32, bptt_truncate: int = 24, seed: int = 0) -> None:
        self.months, self.numbers = sunspots()
        self.model = LSTM(1, 1, hidden_size, seed, ["tanh", "tanh", "identity"], bptt_truncate=bptt_truncate)
        self.model.parameters.flat[:] /= hidden_size**0.5
        self.model.b_f[:] = 1
        self._split = int(numpy.searchsorted(self.months, SPLIT))
        self.held_out = slice(self._split, None)
        # The square root makes the scatter about the same at every height.
        scaled = numpy.sqrt(self.numbers)[:, None] / 6 - 1
        self._inputs, self._targets = scaled[:-AHEAD], scaled[AHEAD:]
        self._random = numpy.random.default_rng(seed)
        self._adam = Adam(self.model.parameters.flat)

    def batches(self) -> list[tuple[Array, Array]]:
        """One epoch's mini-batches in random order, (n, LENGTH, 1) inputs and targets, all before the split."""
        last = self._split - AHEAD - LENGTH
        starts = self._random.permutation(numpy.arange(self._random.integers(EVERY), last + 1, EVERY))
        windows = starts[:, None] + numpy.arange(LENGTH)
        return [
            (self._inputs[windows[k : k + BATCH]], self._targets[windows[k : k + BATCH]])
            for k in range(0, len(starts), BATCH)
        ]

    def epoch(self, progress: Callable[[float], None] = lambda done: None) -> Epoch:
        """One pass over the training data, one Adam step a mini-batch.

        Parameters
        ----------
        progress : callable
            Called after every mini-batch with the share of the pass that it was.

        Returns
        -------
        Epoch
        """
        start, batches, model = time.perf_counter(), self.batches(), self.model
        for X, Y in batches:
            model.back_propagate_through_time(X, Y, out=model.gradients)
            self._adam.step(model.gradients.flat / (len(X) * LENGTH))
            progress(1 / len(batches))
        seconds = time.perf_counter() - start
        known = slice(self._split - AHEAD)
        loss = 0.5 * numpy.mean((self._outputs()[known] - self._targets[known]) ** 2)
        return Epoch(float(loss), seconds, sum(len(X) for X, _ in batches) * LENGTH)

    def _outputs(self) -> Array:
        outputs: Array = self.model.feed_forward_and_cache(self._inputs)[10]
        return outputs

    def forecasts(self) -> dict[str, Array]:
        """Forecast of every month from what was known twelve months before it.

        Returns
        -------
        dict of str to (3120,) array
            "LSTM"; "persistence", the number at that time; "seasonal", the number one solar cycle before the month
            forecast. NaN for months too early to forecast.
        """
        found = {name: numpy.full(len(self.numbers), numpy.nan) for name in ("LSTM", "persistence", "seasonal")}
        found["LSTM"][AHEAD:] = 36 * (numpy.maximum(self._outputs()[:, 0], -1) + 1) ** 2
        found["persistence"][AHEAD:] = self.numbers[:-AHEAD]
        found["seasonal"][CYCLE:] = self.numbers[:-CYCLE]
        return found

    def errors(self) -> dict[str, float]:
        """Root mean square error of each of the `forecasts` over the held-out months, in sunspots."""
        truth = self.numbers[self.held_out]
        return {
            name: float(numpy.sqrt(numpy.mean((forecast[self.held_out] - truth) ** 2)))
            for name, forecast in self.forecasts().items()
        }

    def oracle_seconds(self, budget: float) -> tuple[float, int, int]:
        """How long one epoch's gradients take in the oracle.

        Parameters
        ----------
        budget : float
            Seconds after which no further sequence is begun.

        Returns
        -------
        seconds : float
            For the whole epoch, scaled up from the sequences that were timed.
        timed, sequences : int
            How many sequences were timed, and are in the epoch.
        """
        model, batches = self.model, self.batches()
        slow = oracle.LSTM(
            1, 1, model.hidden_size, 0, model.afuncs, model.afunc_primes, model.bptt_truncate
        )
        pairs = [(x, y) for X, Y in batches for x, y in zip(X, Y, strict=True)]
        start, timed = time.perf_counter(), 0
        while timed < len(pairs) and time.perf_counter() - start < budget:
            slow.back_propagate_through_time(*pairs[timed])
            timed += 1
        return (time.perf_counter() - start) * len(pairs) / timed, timed, len(pairs)
