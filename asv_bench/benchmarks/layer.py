"""The layer: inference, a training step, and frame by frame; beside `torch.nn.LSTM` where there is PyTorch."""

import numpy

from fastlstm import nn

from .common import ratio

IMPLEMENTATIONS = ["fastlstm", "torch"]
DTYPES = ["float32", "float64"]
SHAPES = [(100, 1, 32, 100), (1000, 1, 64, 256), (50, 32, 64, 64), (100, 32, 128, 256)]
"""T, batch, input, hidden."""
SIZES = [(8, 16), (32, 64), (64, 256)]
"""Input, hidden."""
SHAPE, SIZE, UNIT = "T, batch, input, hidden", "input, hidden", "fastlstm time / torch time"


class Ours:
    """A layer of fastlstm, a sequence, and a gradient at the output."""

    def __init__(self, dtype, shape):
        steps, batch, inputs, hidden = shape
        rng = numpy.random.default_rng(0)
        self.layer = nn.LSTM(inputs, hidden, dtype=dtype, seed=0)
        self.x = rng.standard_normal((steps, batch, inputs)).astype(dtype)
        self.delta = rng.standard_normal((steps, batch, hidden)).astype(dtype)
        self.stepper = self.layer.stepper(batch)

    def forward(self):
        return self.layer(self.x)

    def train(self):
        _, _, tape = self.layer.forward(self.x)
        self.layer.zero_grad()
        return self.layer.backward(tape, self.delta)

    def step(self):
        return self.stepper(self.x[0])


class Torchs:
    """The same of PyTorch."""

    def __init__(self, dtype, shape):
        # Here, as asv starts a process for each case, and those of fastlstm need not wait for PyTorch to load.
        try:
            import torch
        except ImportError:
            raise NotImplementedError("needs PyTorch") from None
        self.quiet = torch.inference_mode
        ours = Ours(dtype, shape)
        inputs, hidden = shape[2:]
        kind = getattr(torch, dtype)
        weights = {name: torch.from_numpy(value) for name, value in ours.layer.state_dict().items()}
        self.layer = torch.nn.LSTM(inputs, hidden, dtype=kind)
        self.layer.load_state_dict(weights)
        # The cell is the fastest of PyTorch's ways to take a single step.
        self.cell = torch.nn.LSTMCell(inputs, hidden, dtype=kind)
        self.cell.load_state_dict({name.removesuffix("_l0"): value for name, value in weights.items()})
        self.state = None
        # Ours always gives the gradient at the input, so PyTorch is asked for it.
        self.x, self.delta = torch.from_numpy(ours.x).requires_grad_(), torch.from_numpy(ours.delta)
        self.frame = torch.from_numpy(ours.x[0].copy())

    def forward(self):
        with self.quiet():
            return self.layer(self.x)

    def train(self):
        output, _ = self.layer(self.x)
        self.layer.zero_grad()
        self.x.grad = None
        output.backward(self.delta)

    def step(self):
        with self.quiet():
            self.state = self.cell(self.frame, self.state)
        return self.state


def made(implementation, dtype, shape):
    return (Ours if implementation == "fastlstm" else Torchs)(dtype, shape)


class Layer:
    """A sequence in one call, and its gradients."""

    params = (IMPLEMENTATIONS, DTYPES, SHAPES)
    param_names = ("implementation", "dtype", SHAPE)
    version = "1"

    def setup(self, implementation, dtype, shape):
        self.made = made(implementation, dtype, shape)
        self.time_forward(implementation, dtype, shape)
        self.time_training(implementation, dtype, shape)

    def time_forward(self, implementation, dtype, shape):
        self.made.forward()

    time_forward.pretty_name = "layer forward"

    def time_training(self, implementation, dtype, shape):
        self.made.train()

    time_training.pretty_name = "layer training step: forward, zeroed gradients, backward"


class Frame:
    """One time step of one sequence, the state carried on."""

    params = (IMPLEMENTATIONS, DTYPES, SIZES)
    param_names = ("implementation", "dtype", SIZE)
    version = "1"

    def setup(self, implementation, dtype, sizes):
        self.made = made(implementation, dtype, (1, 1, *sizes))
        self.time_step(implementation, dtype, sizes)

    def time_step(self, implementation, dtype, sizes):
        self.made.step()

    time_step.pretty_name = "layer frame step"


class LayerRatio:
    """Sequences against PyTorch; without the largest shape, whose rounds would take long."""

    params = (DTYPES, SHAPES[:-1])
    param_names = ("dtype", SHAPE)
    version = "1"

    def setup(self, dtype, shape):
        self.ours, self.torchs = (made(implementation, dtype, shape) for implementation in IMPLEMENTATIONS)

    def track_forward(self, dtype, shape):
        return ratio(self.ours.forward, self.torchs.forward)

    track_forward.pretty_name = "layer forward against PyTorch"
    track_forward.unit = UNIT

    def track_training(self, dtype, shape):
        return ratio(self.ours.train, self.torchs.train, rounds=3)

    track_training.pretty_name = "layer training step against PyTorch"
    track_training.unit = UNIT


class FrameRatio:
    """A thousand steps against as many of PyTorch: one is too short for the clock."""

    params = (DTYPES, SIZES)
    param_names = ("dtype", SIZE)
    version = "1"

    def setup(self, dtype, sizes):
        self.ours, self.torchs = (made(implementation, dtype, (1, 1, *sizes)) for implementation in IMPLEMENTATIONS)

    def track_step(self, dtype, sizes):
        ours, torchs = self.ours.step, self.torchs.step
        return ratio(lambda: [ours() for _ in range(1000)], lambda: [torchs() for _ in range(1000)])

    track_step.pretty_name = "layer frame step against PyTorch"
    track_step.unit = UNIT
