"""A layer with parameters, one without, a loss, an optimizer and a schedule as users write them: subclasses alone."""

from typing import Any

import numpy

from fastlstm import nn, train
from tests.tools import streams


class Scale(nn.Layer):
    """Each feature times a parameter."""

    def __init__(self, input_size: int, start: Any = 1.0, dtype: Any = numpy.float64, seed: Any = None) -> None:
        super().__init__({"scale": (input_size,)}, dtype)
        self.input_size = self.output_size = input_size
        self.start = numpy.asarray(start)
        self.parameters["scale"][:] = self.start

    def __call__(self, input: Any, state: Any = None, lengths: Any = None) -> Any:
        return input * self.parameters["scale"], None

    def forward(self, input: Any, state: Any = None, lengths: Any = None) -> Any:
        return *self(input), input

    def backward(self, tape: Any, dy: Any, dstate: Any = None, truncate: Any = None, stride: int = 1) -> Any:
        self.gradients["scale"][:] += (dy * tape).reshape(-1, self.input_size).sum(axis=0)
        return dy * self.parameters["scale"], None


class Tanh(nn.Layer):
    """A layer without parameters."""

    def __init__(self, size: int, dtype: Any = numpy.float64) -> None:
        super().__init__({}, dtype)
        self.size = self.input_size = self.output_size = size

    def __call__(self, input: Any, state: Any = None, lengths: Any = None) -> Any:
        return numpy.tanh(input), None

    def forward(self, input: Any, state: Any = None, lengths: Any = None) -> Any:
        output = numpy.tanh(input)
        return output, None, output

    def backward(self, tape: Any, dy: Any, dstate: Any = None, truncate: Any = None, stride: int = 1) -> Any:
        return dy * (1 - tape * tape), None


class LogCosh(train.Loss):
    """log cosh of the errors."""

    def __init__(self, width: float = 1.0) -> None:
        self.width = width

    def __call__(self, outputs: Any, targets: Any, mask: Any = None, sample_weight: Any = None) -> Any:
        count = self.total_weight(outputs, targets, mask)
        there = numpy.ones(outputs.shape[:-1], bool) if mask is None else mask
        error = numpy.where(there[..., None], outputs - targets, 0) / self.width
        value = self.width * numpy.log(numpy.cosh(error)).sum()
        return float(value / count) if count else float("nan"), numpy.tanh(error) / max(1, count)


class SignSGD(train.Optimizer):
    """A step by the sign of the gradient's running mean."""

    kept = {"mean": None}  # noqa: RUF012

    def __init__(self, learning_rate: Any = 0.01, beta: float = 0.9, clip_norm: Any = None) -> None:
        super().__init__(learning_rate, 0.0, clip_norm, None, None)
        self.beta = beta

    def rates(self) -> Any:
        return self.now("learning_rate", self.learning_rate), self.beta

    def apply(self, rates: Any, parameters: Any, gradients: Any, arrays: Any, workers: int) -> None:
        limit, scale, decay, rate, beta = rates
        g = numpy.clip(gradients, -limit, limit) * scale + decay * parameters
        arrays["mean"][:] = beta * arrays["mean"] + (1 - beta) * g
        parameters -= rate * numpy.sign(arrays["mean"])


class Inverse(train.schedules.Schedule):
    """A rate over the updates done."""

    def __init__(self, initial: float) -> None:
        self.initial = initial

    def _at(self, updates: int) -> float:
        return self.initial / (1 + updates)


def trainer() -> train.Trainer:
    """One that is made of them all."""
    hidden = streams.HIDDEN
    model = nn.Sequential(
        nn.LSTM(streams.INPUTS, hidden, seed=1, dtype=numpy.float64, n_threads=1), Tanh(hidden),
        nn.Sequential(Scale(hidden, numpy.linspace(0.5, 1, hidden), seed=3)),
        nn.Dense(hidden, streams.OUTPUTS, seed=2, dtype=numpy.float64),
    )
    return train.Trainer(model, LogCosh(0.5), SignSGD(Inverse(0.05), clip_norm=1.0), seed=5)
