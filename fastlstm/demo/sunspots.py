"""The main job on real data: train an LSTM to forecast sunspot numbers a year ahead, and judge it on held-out years.

The model sees one month at a time and says at each what the number will be twelve months later. It learns from the
months before the split by truncated back-propagation through time.
"""

import time
from collections.abc import Iterator

import numpy

from fastlstm import nn, oracle
from fastlstm.checks import Array
from fastlstm.datasets import sunspots
from fastlstm.oracle import activations as af
from fastlstm.train import Adam, SquaredError, Trainer

AHEAD = 12
"""Months from an input to what is forecast."""

CYCLE = 132
"""Months of a solar cycle, about eleven years: the season of the seasonal baseline."""

SPLIT = numpy.datetime64("1950-01")
"""Months from here on are held out."""

LENGTH, EVERY, BATCH = 264, 24, 16
"""Months of a training sequence (two cycles), months between their starts, and sequences in an update."""


class SunspotForecaster:
    """An LSTM, the data it learns from, and what it is compared with.

    Parameters
    ----------
    hidden_size : int
        Hidden units.
    truncate : int
        How many months back each error is walked.
    seed : int
        Of the initial parameters and of the order of the training sequences.

    Attributes
    ----------
    model : Sequential
        The LSTM and the output layer, in float64.
    trainer : Trainer
        Of the model, on the squared error; to be fitted to `batches`.
    months, numbers : (3120,) arrays
        The data; see `fastlstm.datasets.sunspots`.
    held_out : slice
        Of the months that training does not see.
    """

    def __init__(self, hidden_size: int = 32, truncate: int = 24, seed: int = 0) -> None:
        self.months, self.numbers = sunspots()
        self.hidden_size, self.truncate = hidden_size, truncate
        of_layer, of_output = numpy.random.SeedSequence(seed).spawn(2)
        lstm = nn.LSTM(1, hidden_size, dtype=numpy.float64, seed=of_layer)
        lstm.parameters["bias_ih_l0"][hidden_size : 2 * hidden_size] = 1  # the forget gates begin open
        self.model = nn.Sequential(lstm, nn.Dense(hidden_size, 1, dtype=numpy.float64, seed=of_output))
        self.trainer = Trainer(self.model, SquaredError(), Adam(0.005), truncate=truncate, seed=seed)
        self._split = int(numpy.searchsorted(self.months, SPLIT))
        self.held_out = slice(self._split, None)
        # The square root makes the scatter about the same at every height.
        scaled = numpy.sqrt(self.numbers)[:, None] / 6 - 1
        self._inputs, self._targets = scaled[:-AHEAD], scaled[AHEAD:]

    def batches(self, random: numpy.random.Generator) -> Iterator[tuple[Array, Array, Array]]:
        """One epoch's mini-batches in random order, all before the split, as chunks for a trainer.

        Parameters
        ----------
        random : numpy.random.Generator
            Decides where sequences begin, and their order.
        """
        last = self._split - AHEAD - LENGTH
        starts = random.permutation(numpy.arange(random.integers(EVERY), last + 1, EVERY))
        windows = numpy.arange(LENGTH)[:, None] + starts
        for k in range(0, len(starts), BATCH):
            of_batch = windows[:, k : k + BATCH]
            yield self._inputs[of_batch], self._targets[of_batch], numpy.ones(of_batch.shape[1], bool)

    def known(self) -> list[tuple[Array, Array]]:
        """All months before the split as one chunk."""
        known = slice(self._split - AHEAD)
        return [(self._inputs[known, None], self._targets[known, None])]

    def _outputs(self) -> Array:
        outputs: Array = self.model(self._inputs)[0]
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
        slow = oracle.LSTM(1, 1, self.hidden_size, 0, [af.tanh, af.tanh, af.identity], bptt_truncate=self.truncate)
        slow.afunc_primes = [af.tanh_prime, af.tanh_prime, af.identity_prime]
        pairs = [
            (X[:, n], Y[:, n])
            for X, Y, _ in self.batches(numpy.random.default_rng(0)) for n in range(X.shape[1])
        ]
        start, timed = time.perf_counter(), 0
        while timed < len(pairs) and time.perf_counter() - start < budget:
            slow.back_propagate_through_time(*pairs[timed])
            timed += 1
        return (time.perf_counter() - start) * len(pairs) / timed, timed, len(pairs)
