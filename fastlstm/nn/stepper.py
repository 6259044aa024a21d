"""A layer frame by frame, for control loops and streams."""

from typing import Any

import numpy

from fastlstm import checks, cores
from fastlstm.checks import Array
from fastlstm.layer import Weights, from_vectors, into_vectors
from fastlstm.workspace import fresh
from fastlstm_kernels import step
from fastlstm_kernels.pack import blocks
from fastlstm_kernels.simd import lanes

LONG = 200_000
"""Weights of a step from which waking a second thread pays: 256 units take 16 µs with one, 10 with two."""


class Stepper:
    """Runs a layer one time step a call, and carries the state; made by `LSTM.stepper`.

    Parameters
    ----------
    weights : fastlstm.layer.Weights
        Of the layer; copied, so that later changes of its parameters are not seen.
    batch_size : int
        Rows that step together.
    n_threads : int or None
        At most so many threads.
    """

    def __init__(self, weights: Weights, batch_size: int, n_threads: int | None) -> None:
        inputs, size, dtype = weights.w.shape[1], weights.u.shape[1], weights.w.dtype
        count = blocks(size, dtype)
        self._panels = weights.panels(1, fresh)
        self._x = numpy.zeros((batch_size, inputs), dtype)
        self._shape = self._x.shape
        self._z = fresh("z", (count, batch_size, 4 * lanes(dtype)), dtype)
        self._cells = numpy.zeros((count, batch_size, lanes(dtype)), dtype)
        self._hidden = numpy.zeros((2, batch_size, size), dtype)
        self._outputs, self._now = list(self._hidden), 0
        flops = 8 * batch_size * size * (inputs + size)
        self._n_threads, self._flops = n_threads, flops if flops >= 2 * LONG else 0

    def __call__(self, input: Any) -> Array:
        """Advance by one step.

        Parameters
        ----------
        input : (batch, input) array

        Returns
        -------
        (batch, hidden) array
            The hidden state, to be read only; overwritten by the step after the next, so copy what is to be kept.

        Raises
        ------
        TypeError, ValueError
            Not real numbers, or another shape. The state stays as it is.

        Notes
        -----
        Allocates nothing. 8 · batch · hidden · (input + hidden) flops.
        """
        if type(input) is not numpy.ndarray or input.shape != self._shape or input.dtype != self._x.dtype:
            input = checks.shaped_array("input", input, self._shape, self._x.dtype)
        x, now = input, self._now
        # Kernels are compiled for contiguous arrays that could be written; an output may be about to be overwritten.
        if not x.flags.carray or x.base is self._hidden:
            x = self._x
            x[...] = input
        if self._flops:
            with cores.borrowed(self._n_threads, self._flops) as workers:
                step(x, self._panels, self._z, self._cells, self._hidden, now, workers)
        else:
            step(x, self._panels, self._z, self._cells, self._hidden, now, 1)
        self._now = now = 1 - now
        return self._outputs[now]

    @property
    def state(self) -> tuple[Array, Array]:
        """Copies of the hidden and the cell state, (batch, hidden) each; assign such a pair to set them."""
        size = self._hidden.shape[2]
        return self._hidden[self._now].copy(), from_vectors(self._cells, size)

    @state.setter
    def state(self, value: Any) -> None:
        shape = self._hidden.shape[1:]
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError(f"state must be a tuple of two arrays, hidden and cell, got {type(value).__name__}")
        h, c = (checks.shaped_array(f"state[{k}]", part, shape, self._x.dtype) for k, part in enumerate(value))
        self._renew_outputs()
        self._hidden[self._now], self._cells[...] = h, into_vectors(c, self._cells.shape[2])

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
        self._cells[:, which, :] = 0
        self._renew_outputs()
        self._hidden[self._now][which, :] = 0

    def _renew_outputs(self) -> None:
        """Leave to the caller the outputs it may still hold, before the state changes between steps."""
        self._hidden = self._hidden.copy()
        self._outputs = list(self._hidden)
