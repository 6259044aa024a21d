"""A small model and streams of data for it, for the tests of training."""

from itertools import pairwise
from typing import Any

import numpy

from fastlstm import nn, train

INPUTS, HIDDEN, OUTPUTS = 3, 5, 2


def model(dtype: Any = numpy.float64) -> nn.Sequential:
    return nn.Sequential(
        nn.LSTM(INPUTS, HIDDEN, seed=1, dtype=dtype, n_threads=1), nn.Dense(HIDDEN, OUTPUTS, seed=2, dtype=dtype)
    )


def arrays(steps: int, batch: int = 2, seed: int = 3, dtype: Any = numpy.float64) -> tuple[Any, Any]:
    rng = numpy.random.default_rng(seed)
    return rng.standard_normal((steps, batch, INPUTS)).astype(dtype), rng.standard_normal(
        (steps, batch, OUTPUTS)
    ).astype(dtype)


def chunks(lengths: Any, batch: int = 2, dtype: Any = numpy.float64) -> list[Any]:
    """Chunks of the given lengths of one stream."""
    x, y = arrays(sum(lengths), batch, dtype=dtype)
    ends = numpy.cumsum([0, *lengths])
    return [(x[a:b], y[a:b]) for a, b in pairwise(ends)]


def trainer(dtype: Any = numpy.float64, **settings: Any) -> train.Trainer:
    return train.Trainer(model(dtype), train.SquaredError(), train.Adam(0.01), **settings)


class Shuffled:
    """A data function that draws from its generator when it is called and while it is gone through."""

    def __init__(self, given: list[Any]) -> None:
        self._given = given

    def __call__(self, rng: numpy.random.Generator) -> Any:
        order = rng.permutation(len(self._given))
        return (self._noisy(self._given[k], rng) for k in order)

    def _noisy(self, chunk: Any, rng: numpy.random.Generator) -> Any:
        x, *rest = chunk
        return x + 0.1 * rng.standard_normal(x.shape), *rest


def weights(of: train.Trainer) -> Any:
    return of.model.parameters.flat.copy()


def assert_same(one: train.Trainer, two: train.Trainer) -> None:
    """Same place, weights, optimizer and history, to the last bit."""
    for name in ("epoch", "chunk", "step", "updates", "steps"):
        assert getattr(one, name) == getattr(two, name), name
    numpy.testing.assert_array_equal(weights(one), weights(two))
    for name in ("loss", "updates", "steps", "validation", "epochs"):
        numpy.testing.assert_array_equal(one.history[name], two.history[name])
    assert one.optimizer.updates == two.optimizer.updates
    for name, array in one.optimizer.arrays.items():
        numpy.testing.assert_array_equal(array, two.optimizer.arrays[name])
