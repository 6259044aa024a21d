"""Training: an optimizer's step; beside PyTorch's fused one where there is PyTorch."""

import numpy

from fastlstm.parameters import Buffer
from fastlstm.train import Adam

from .common import library, ratio

IMPLEMENTATIONS = ["fastlstm", "torch"]
SIZES = [10_000, 10_000_000]


def numbers(size):
    """Parameters and gradients, float32."""
    parameters = Buffer({"": (size,)}, numpy.dtype(numpy.float32))
    gradients = parameters.empty_like()
    rng = numpy.random.default_rng(0)
    for buffer in (parameters, gradients):
        rng.standard_normal(dtype=numpy.float32, out=buffer.flat)
    return parameters.flat, gradients.flat


def adam(implementation, size):
    """A function that takes a step."""
    parameters, gradients = numbers(size)
    if implementation == "fastlstm":
        optimizer = Adam()
        return lambda: optimizer.step(parameters, gradients)
    torch = library("torch")
    parameter = torch.nn.Parameter(torch.from_numpy(parameters))
    parameter.grad = torch.from_numpy(gradients)
    return torch.optim.Adam([parameter], fused=True).step


class AdamStep:
    """One step."""

    params = (SIZES,)
    param_names = ("parameters",)
    version = "2"

    def setup(self, size):
        self.step = adam("fastlstm", size)
        self.step()

    def time_step(self, size):
        self.step()

    time_step.pretty_name = "Adam step, float32"
    time_step.unit = "seconds"


class AdamRatio:
    """The same against PyTorch."""

    params = (SIZES,)
    param_names = ("parameters",)
    version = "1"

    def setup(self, size):
        self.steps = [adam(implementation, size) for implementation in IMPLEMENTATIONS]

    def track_step(self, size):
        return ratio(*self.steps, rounds=50)

    track_step.pretty_name = "Adam step against PyTorch's fused one"
    track_step.unit = "fastlstm time / torch time"
