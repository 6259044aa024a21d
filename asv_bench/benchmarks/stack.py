"""Stacks of layers, and sequences of many lengths in one batch; beside PyTorch where it is installed."""

import numpy

from .common import DTYPES, REST, ratio
from .peers import layer

IMPLEMENTATIONS = ["fastlstm", "torch"]
SHAPES = [
    (100, 32, 128, 128, 2, 2), (200, 16, 256, 256, 3, 1), (50, 8, 512, 512, 4, 1), (200, 1, 32, 32, 2, 1),
]
RAGGED = [(500, 32, 128, 128, 1, 1)]
SHAPE = "T, batch, input, hidden, layers, directions"
OF_TORCH = "fastlstm time / torch time"


def stack(implementation, dtype, shape, lengths=None):
    """The stack of one library, and its data."""
    *sizes, layers, directions = shape
    return layer(implementation, dtype, sizes, num_layers=layers, bidirectional=directions == 2, lengths=lengths)


class Stack:
    """A batch in one call, and its gradients: forward, zeroed gradients, backward."""

    params = (DTYPES, SHAPES)
    param_names = ("dtype", SHAPE)
    version = "2"

    def setup(self, dtype, shape):
        self.made = stack("fastlstm", dtype, shape)
        self.made.train()

    def time_forward(self, dtype, shape):
        self.made.forward()

    time_forward.pretty_name = "stack forward"
    time_forward.unit = "seconds"

    def time_training(self, dtype, shape):
        self.made.train()

    time_training.pretty_name = "stack training step"
    time_training.unit = "seconds"


class StackRatio:
    """The same against PyTorch."""

    params = (DTYPES, SHAPES)
    param_names = ("dtype", SHAPE)
    version = "1"

    def setup(self, dtype, shape):
        self.ours, self.torchs = (stack(implementation, dtype, shape) for implementation in IMPLEMENTATIONS)

    def track_forward(self, dtype, shape):
        return ratio(self.ours.forward, self.torchs.forward, rounds=11, rest=REST)

    track_forward.pretty_name = "stack forward against PyTorch"
    track_forward.unit = OF_TORCH

    def track_training(self, dtype, shape):
        return ratio(self.ours.train, self.torchs.train, rest=REST)

    track_training.pretty_name = "stack training step against PyTorch"
    track_training.unit = OF_TORCH


class RaggedRatio:
    """A training step on sequences of 1 to T steps, evenly spread: what padding and packing make of them."""

    params = (["float32"], RAGGED)
    param_names = ("dtype", SHAPE)
    version = "1"

    def setup(self, dtype, shape):
        steps, batch = shape[:2]
        self.lengths = numpy.random.default_rng(0).integers(1, steps + 1, batch)
        self.ragged = stack("fastlstm", dtype, shape, self.lengths)

    def track_padded(self, dtype, shape):
        return ratio(self.ragged.train, stack("fastlstm", dtype, shape).train, rounds=11)

    track_padded.pretty_name = "ragged training step against the padded one"
    track_padded.unit = "ragged time / padded time"

    def track_packed(self, dtype, shape):
        packed = stack("torch", dtype, shape, self.lengths)
        return ratio(self.ragged.train, packed.train, rounds=3, rest=REST)

    track_packed.pretty_name = "ragged training step against PyTorch's packed one"
    track_packed.unit = OF_TORCH
