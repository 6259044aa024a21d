"""Streaming training in chunks of 32 steps, the state carried on; beside the same loop in PyTorch, with `detach`."""

import numpy

from fastlstm import nn
from fastlstm.train import Adam, SquaredError, Trainer

from .common import library, ratio

CHUNK, INPUTS, OUTPUTS, CHUNKS = 32, 16, 8, 20


def stream(batch):
    """Chunks of inputs and targets."""
    rng = numpy.random.default_rng(0)
    return [
        tuple(rng.standard_normal((CHUNK, batch, n)).astype(numpy.float32) for n in (INPUTS, OUTPUTS))
        for _ in range(CHUNKS)
    ]


class Ours:
    """The trainer."""

    def __init__(self, batch, hidden):
        self.chunks = stream(batch)
        model = nn.Sequential(nn.LSTM(INPUTS, hidden, seed=0), nn.Dense(hidden, OUTPUTS, seed=1))
        self.trainer = Trainer(model, SquaredError(), Adam())

    def train(self):
        self.trainer.fit(self.chunks)


class Torchs:
    """The same model, loss and optimizer."""

    def __init__(self, batch, hidden):
        torch = library("torch")
        self.chunks = [tuple(map(torch.from_numpy, chunk)) for chunk in stream(batch)]
        self.lstm, self.dense = torch.nn.LSTM(INPUTS, hidden), torch.nn.Linear(hidden, OUTPUTS)
        parameters = [*self.lstm.parameters(), *self.dense.parameters()]
        self.optimizer, self.loss = torch.optim.Adam(parameters, fused=True), torch.nn.MSELoss()

    def train(self):
        state = None
        for x, y in self.chunks:
            output, state = self.lstm(x, state)
            loss = self.loss(self.dense(output), y)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            state = tuple(part.detach() for part in state)


class Streaming:
    """Twenty updates."""

    params = ([1, 32], [64, 256])
    param_names = ("batch", "hidden")
    version = "2"

    def setup(self, batch, hidden):
        self.made = Ours(batch, hidden)
        self.made.train()

    def time_training(self, batch, hidden):
        self.made.train()

    time_training.pretty_name = "streaming training"
    time_training.unit = "seconds"


class StreamingRatio:
    """The same against PyTorch."""

    params = ([1, 32], [64, 256])
    param_names = ("batch", "hidden")
    version = "1"

    def setup(self, batch, hidden):
        self.both = [kind(batch, hidden).train for kind in (Ours, Torchs)]

    def track_training(self, batch, hidden):
        return ratio(*self.both, rounds=11)

    track_training.pretty_name = "streaming training against PyTorch"
    track_training.unit = "fastlstm time / torch time"
