"""Steps of one row from compiled code: by the kernel for any sizes, and by the one that is made for some."""

import numba
import numpy

import fastlstm_kernels as kernels
from fastlstm import nn

from .common import DTYPES

STEPS = 1000


@numba.njit
def by_step(x, panels, z, c, h):
    for t in range(STEPS):
        kernels.step(x, panels, z, c, h, t % 2, 1)


def by_compiled_step(advance):
    @numba.njit
    def run(x, panels, c, h):
        for t in range(STEPS):
            advance(x, panels, c, h, t % 2)

    return run


class CompiledStep:
    """A thousand steps, the state carried on."""

    params = (["step", "compiled_step"], DTYPES, [(1, 8), (1, 16), (1, 32), (1, 64), (64, 128)])
    param_names = ("kernel", "dtype", "input, hidden")
    version = "1"

    def setup(self, kernel, dtype, sizes):
        inputs, size = sizes
        layer = nn.LSTM(inputs, size, dtype=dtype, seed=0)
        panels = layer.panels()
        blocks, _, width = panels.shape
        if kernel == "step":
            state = [numpy.zeros(shape, dtype) for shape in ((blocks, 1, width), (blocks, 1, width // 4), (2, 1, size))]
            self.run, self.arguments = by_step, (numpy.ones((1, inputs), dtype), panels, *state)
        else:
            state = [numpy.zeros(shape, dtype) for shape in ((size,), (2, size))]
            self.run = by_compiled_step(layer.compiled_step())
            self.arguments = numpy.ones(inputs, dtype), panels, *state
        self.run(*self.arguments)

    def time_steps(self, kernel, dtype, sizes):
        self.run(*self.arguments)

    time_steps.pretty_name = "a thousand steps of one row from compiled code"
    time_steps.unit = "seconds"
