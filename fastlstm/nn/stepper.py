"""Layers frame by frame, for control loops and streams."""

from collections.abc import Sequence
from typing import Any

import numpy

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.engine import cores, linear
from fastlstm.engine.direction import Arrays
from fastlstm.engine.projection import fold
from fastlstm.engine.vectors import from_vectors, into_vectors
from fastlstm.engine.workspace import empty
from fastlstm.nn import arguments
from fastlstm.nn.arguments import State
from fastlstm_kernels import pack, step
from fastlstm_kernels.activations import IDENTITY
from fastlstm_kernels.pack import blocks, panels_shape
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.structs import Weights
from fastlstm_kernels.tile import WIDTH

LONG = 200_000
"""Weights of a step from which waking a second thread pays: 256 units take 16 µs with one, 10 with two."""


class Level:
    """One layer of a stepper, and its state.

    Parameters
    ----------
    weights : tuple
        `fastlstm_kernels.layer.Weights`.
    batch_size : int
    n_threads : int or None
    """

    def __init__(self, weights: Arrays, batch_size: int, n_threads: int | None) -> None:
        whole = Weights(*weights)
        inputs, size, dtype = whole.w.shape[1], whole.u.shape[1], whole.w.dtype
        count = blocks(size, dtype)
        self._panels = packed(weights)
        self._z = empty((count, batch_size, WIDTH * lanes(dtype)), dtype)
        self._cells = numpy.zeros((count, batch_size, lanes(dtype)), dtype)
        self.hidden = numpy.zeros((2, batch_size, size), dtype)
        self.outputs, self.now = list(self.hidden), 0
        self._shown = _to_be_read(self.hidden)
        flops = 8 * batch_size * size * (inputs + size)
        self._n_threads, self._flops = n_threads, flops if flops >= 2 * LONG else 0

    def advance(self, x: Array) -> Array:
        """One step on x (batch, input); the output, which the step after the next overwrites."""
        now = self.now
        workers = cores.useful(self._n_threads, self._flops) if self._flops else 1
        step(x, self._panels, self._z, self._cells, self.hidden, now, workers)
        self.now = now = 1 - now
        return self.outputs[now]

    def shown(self) -> Array:
        """The newest output, to be read only: it is the state that the next step begins with."""
        return self._shown[self.now]

    def state(self) -> State:
        """Copies of the hidden and the cell state."""
        return self.hidden[self.now].copy(), from_vectors(self._cells, self.hidden.shape[2])

    def set_state(self, h: Array, c: Array) -> None:
        """Take a state; outputs that were given out stay as they are."""
        self._renew()
        self.hidden[self.now], self._cells[...] = h, into_vectors(c, self._cells.shape[2])

    def held(self) -> tuple[Array, ...]:
        """All that `resume` needs to go on, bit for bit."""
        return self.state()

    def resume(self, held: tuple[Array, ...]) -> None:
        """Go on from what another one held."""
        self.set_state(*held)

    def reset(self, rows: Any) -> None:
        """Set some rows of the state to zero."""
        self._cells[:, rows, :] = 0
        self._renew()
        self.hidden[self.now][rows, :] = 0

    def _renew(self) -> None:
        self.hidden = self.hidden.copy()
        self.outputs = list(self.hidden)
        self._shown = _to_be_read(self.hidden)


class ProjectedLevel(Level):
    """A layer with a projection; see `fastlstm.engine.projection`, whose steps these are, bit for bit."""

    def __init__(self, weights: Arrays, projection: Array, batch_size: int, n_threads: int | None) -> None:
        size, dtype = len(projection), projection.dtype
        rows, self._inputs = Weights(*weights).w.shape
        w, u = numpy.empty((rows, self._inputs + size), dtype), numpy.empty((rows, projection.shape[1]), dtype)
        super().__init__(fold(weights, projection, n_threads, w, u), batch_size, n_threads)
        self._projection = projection
        self._bias = numpy.zeros(size, dtype)
        self._both = numpy.zeros((batch_size, self._inputs + size), dtype)
        self._projected = numpy.zeros((2, batch_size, size), dtype)
        self._shown = _to_be_read(self._projected)

    def advance(self, x: Array) -> Array:
        """As `Level.advance`."""
        self._both[:, : self._inputs] = x
        hidden = super().advance(self._both)
        self._both[:, self._inputs :] = 0  # a state that was set was an input of this step only
        output: Array = self._projected[self.now]
        linear.forwards(hidden, self._projection, self._bias, IDENTITY, output, output, self._n_threads)
        return output

    def state(self) -> State:
        """As `Level.state`."""
        return self._projected[self.now].copy(), super().state()[1]

    def set_state(self, h: Array, c: Array) -> None:
        """As `Level.set_state`."""
        super().set_state(numpy.zeros_like(c), c)
        self._projected[self.now] = self._both[:, self._inputs :] = h

    def held(self) -> tuple[Array, ...]:
        """As `Level.held`."""
        return *super().state(), self._both.copy(), self._projected[self.now].copy()

    def resume(self, held: tuple[Array, ...]) -> None:
        """As `Level.resume`."""
        super().set_state(*held[:2])
        self._both[...], self._projected[self.now] = held[2:]

    def reset(self, rows: Any) -> None:
        """As `Level.reset`."""
        super().reset(rows)
        self._projected[self.now][rows, :] = self._both[:, self._inputs :][rows, :] = 0

    def _renew(self) -> None:
        super()._renew()
        self._projected = self._projected.copy()
        self._shown = _to_be_read(self._projected)


class Stepper:
    """Runs layers one time step a call, and carries the state; made by `LSTM.stepper`.

    It can be pickled and copied; what comes back goes on with the same bits.

    Parameters
    ----------
    layers : sequence of tuples
        Weights (`fastlstm_kernels.layer.Weights`) and projection of each layer, from the lowest; without a projection
        it has no rows.
    batch_size : int
        Rows that step together.
    n_threads : int or None
        At most so many threads.
    """

    def __init__(self, layers: Sequence[tuple[Arrays, Array]], batch_size: int, n_threads: int | None) -> None:
        self._made = layers, batch_size, n_threads
        self._levels: list[Level] = [
            ProjectedLevel(weights, projection, batch_size, n_threads) if len(projection)
            else Level(weights, batch_size, n_threads)
            for weights, projection in layers
        ]
        w = Weights(*layers[0][0]).w
        self._x = numpy.zeros((batch_size, w.shape[1]), w.dtype)
        self._shape = self._x.shape

    def __call__(self, input: Any) -> Array:
        """Advance by one step.

        Parameters
        ----------
        input : (batch, input) array

        Returns
        -------
        (batch, output) array
            The output of the last layer: read-only, and overwritten by the step after the next, so copy what is to be
            kept or changed.

        Raises
        ------
        TypeError, ValueError
            Not real numbers, or another shape. The state stays as it is.

        Notes
        -----
        Allocates nothing. 8 · batch · hidden · (input + output) flops a layer.
        """
        if type(input) is not numpy.ndarray or input.shape != self._shape or input.dtype != self._x.dtype:
            input = checks.shaped_array("input", input, self._shape, self._x.dtype)
        x: Array = input
        # Kernels are compiled for contiguous arrays that could be written; an output may be about to be overwritten.
        if not x.flags.carray or x.base is self._levels[0].hidden:
            x = self._x
            x[...] = input
        for level in self._levels:
            x = level.advance(x)
        return level.shown()

    @property
    def state(self) -> State:
        """Copies of the states, (layers, batch, output) and (layers, batch, hidden); assign such a pair to set them.

        To put back what was got goes on with the same bits, but with a projection to rounding only; pickles do always.
        """
        hidden, cells = zip(*(level.state() for level in self._levels), strict=True)
        return numpy.stack(hidden), numpy.stack(cells)

    @state.setter
    def state(self, value: Any) -> None:
        like = self.state
        h, c = arguments.state("state", value, [like[0].shape, like[1].shape], self._x.dtype)
        for level, *parts in zip(self._levels, h, c, strict=True):
            level.set_state(*parts)

    def reset(self, rows: Any = None) -> None:
        """Set the state to zero.

        Parameters
        ----------
        rows : index or boolean mask, optional
            Of the rows; all by default.

        Raises
        ------
        IndexError
            There is no such row.
        """
        which = slice(None) if rows is None else rows
        for level in self._levels:
            level.reset(which)

    def __getstate__(self) -> tuple[Any, list[tuple[Array, ...]]]:
        # Weights as they came: another machine may pack them otherwise.
        return self._made, [level.held() for level in self._levels]

    def __setstate__(self, state: tuple[Any, list[tuple[Array, ...]]]) -> None:
        made, held = state
        Stepper.__init__(self, *made)
        for level, parts in zip(self._levels, held, strict=True):
            level.resume(parts)


def packed(weights: Arrays) -> Array:
    """New panels of a layer's weights; `fastlstm_kernels.pack`."""
    whole = Weights(*weights)
    panels = empty(panels_shape(whole.w.shape[1], whole.u.shape[1], whole.w.dtype), whole.w.dtype)
    bias = whole.b_ih + whole.b_hh if len(whole.b_hh) else numpy.zeros(len(whole.w), whole.w.dtype)
    pack(whole.w, whole.u, bias, whole.order, panels, 1)
    return panels


def _to_be_read(arrays: Array) -> list[Array]:
    """Views of several arrays that cannot be written."""
    views = list(arrays)
    for view in views:
        view.flags.writeable = False
    return views
