"""One direction of one layer over the rows of a batch: what `nn.LSTM` is made of."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy

from fastlstm import layer
from fastlstm.affine import linear, linear_gradients
from fastlstm.checks import Array
from fastlstm.layer import Run, Weights
from fastlstm.rows import Rows
from fastlstm.workspace import fresh


NO_PROJECTION = numpy.empty((0, 0))


class Gradients(NamedTuple):
    """Where the gradients of a cell go.

    Attributes
    ----------
    w, u : (4 H, input) and (4 H, H or P) arrays
    b : tuple of (4 H,) arrays
        All the same, as biases are only ever added; or none.
    p : (P, H) array
        Of a projection; without rows where there is none.
    """

    w: Array
    u: Array
    b: tuple[Array, ...]
    p: Array = NO_PROJECTION


@dataclass(frozen=True)
class Passed:
    """A pass over the rows.

    Attributes
    ----------
    run : Run
    output : (N, H or P) array
    h, c : (batch, H or P) and (batch, H) arrays
        States after each sequence's last step.
    """

    run: Run
    output: Array
    h: Array
    c: Array


@dataclass(frozen=True)
class Cell:
    """A layer in one direction.

    Attributes
    ----------
    weights : Weights
    """

    weights: Weights

    @property
    def inputs(self) -> int:
        """Features of a row of x."""
        return self.weights.w.shape[1]

    @property
    def output_size(self) -> int:
        """Features of an output."""
        return self.weights.u.shape[1]

    def forward(
        self, rows: Rows, x: Array, h: Array, c: Array, keep: bool, mask: Array | None, n_threads: int | None
    ) -> Passed:
        """Run over all steps.

        Parameters
        ----------
        rows : Rows
        x : (N, input) array
        h, c : (batch, H or P) and (batch, H) arrays
            Initial states, in the order of the rows; not changed.
        keep : bool
            Whether `backward` is to come.
        mask : (batch, H) array, optional
            What the hidden states are multiplied with on their way to the next step.
        n_threads : int or None
            At most so many threads.
        """
        run = layer.forwards(self.weights, x, rows.offsets, h, c, keep, n_threads, mask=mask)
        return Passed(run, run.hidden[rows.batch :], rows.last(run.hidden), _final_cells(rows, run, keep))

    def backward(
        self, rows: Rows, run: Run, delta: Array, final: tuple[Array, Array] | None, truncate: int | None, stride: int,
        gradients: Gradients, d_x: Array, n_threads: int | None,
    ) -> tuple[Array, Array]:
        """Gradients of a pass, which are added to those of the weights.

        Parameters
        ----------
        rows, run
            As given to `forward`, keeping, and from it.
        delta : (N, H or P) array
            Gradient at the output.
        final : tuple of (batch, H or P) and (batch, H) arrays, optional
            Gradients at the final states.
        truncate, stride
            As `layer.backwards` takes them.
        gradients : Gradients
            Added to.
        d_x : (N, input) array
            Written: gradient at x.
        n_threads : int or None
            At most so many threads.

        Returns
        -------
        (batch, H or P) and (batch, H) arrays
            Gradients at the initial states.
        """
        d_b = numpy.zeros_like(self.weights.b)
        initial = layer.backwards(
            self.weights, run, delta, final, truncate, stride, True, (gradients.w, gradients.u, d_b), d_x, n_threads
        )
        for each in gradients.b:
            each += d_b
        return initial

    def copy(self) -> "Cell":
        """One with weights of its own."""
        return Cell(_own(self.weights))


def _own(weights: Weights) -> Weights:
    return Weights(weights.w.copy(), weights.u.copy(), weights.b.copy(), weights.order, weights.codes)


def _final_cells(rows: Rows, run: Run, keep: bool) -> Array:
    return layer.from_vectors(rows.last(run.cells, 1) if keep else run.cells, run.hidden.shape[1])


@dataclass(frozen=True)
class ProjectedCell(Cell):
    """A layer whose outputs, and what it feeds back, are projections r = P h of the hidden states (Sak et al. 2014).

    U r = (U P) h, so the kernels run an ordinary layer with the recurrent weights U P, and the outputs are one product
    over all steps. An initial r, which is nobody's projection, is a further input of the first step. A step costs what
    it would cost without a projection; in return there is one loop over time.

    Attributes
    ----------
    weights : Weights
        W, U (4 H, P) and b.
    projection : (P, H) array
    """

    projection: Array

    @property
    def output_size(self) -> int:
        """Features of an output."""
        return len(self.projection)

    def folded(self, n_threads: int | None) -> Weights:
        """Weights of the ordinary layer over inputs and an initial r."""
        w, u, size = self.weights.w, self.weights.u, self.projection.shape[1]
        product = numpy.empty((len(u), size), u.dtype)
        linear(u, numpy.ascontiguousarray(self.projection.T), product, n_threads)
        return Weights(numpy.concatenate([w, u], axis=1), product, self.weights.b, self.weights.order, self.weights.codes)

    def forward(
        self, rows: Rows, x: Array, h: Array, c: Array, keep: bool, mask: Array | None, n_threads: int | None
    ) -> Passed:
        """As `Cell.forward`; there must be no mask."""
        (count, inputs), there = x.shape, rows.there(0)
        both = numpy.zeros((count, inputs + h.shape[1]), x.dtype)
        both[:, :inputs], both[:there, inputs:] = x, h[:there]
        run = layer.forwards(
            self.folded(n_threads), both, rows.offsets, numpy.zeros_like(c), c, keep, n_threads
        )
        states = fresh("states", (rows.batch + count, h.shape[1]), x.dtype)
        states[: rows.batch] = h
        linear(run.hidden[rows.batch :], self.projection, states[rows.batch :], n_threads)
        return Passed(run, states[rows.batch :], rows.last(states), _final_cells(rows, run, keep))

    def backward(
        self, rows: Rows, run: Run, delta: Array, final: tuple[Array, Array] | None, truncate: int | None, stride: int,
        gradients: Gradients, d_x: Array, n_threads: int | None,
    ) -> tuple[Array, Array]:
        """As `Cell.backward`."""
        weights, projection, inputs, there = self.folded(n_threads), self.projection, d_x.shape[1], rows.there(0)
        hidden, dtype = run.hidden[rows.batch :], delta.dtype
        d_states = numpy.zeros((rows.batch + len(delta), len(projection)), dtype)
        d_states[rows.batch :] = delta
        d_cells = None
        if final is not None:
            rows.add_last(d_states, final[0])
            d_cells = numpy.zeros_like(final[1]), final[1]
        d_hidden, d_both = numpy.empty_like(hidden), numpy.empty_like(run.x)
        d_projection = linear_gradients(d_states[rows.batch :], hidden, projection, d_hidden, n_threads)
        d_w, d_u, d_b = (numpy.zeros_like(each) for each in (weights.w, weights.u, weights.b))
        _, d_c = layer.backwards(
            weights, run, d_hidden, d_cells, truncate, stride, True, (d_w, d_u, d_b), d_both, n_threads
        )
        d_x[...] = d_both[:, :inputs]
        d_h = d_states[: rows.batch]
        d_h[:there] += d_both[:there, inputs:]
        d_own = numpy.empty_like(self.weights.u)
        transposed = numpy.ascontiguousarray(projection.T)
        d_transposed = linear_gradients(d_u, self.weights.u, transposed, d_own, n_threads)
        gradients.w[...] += d_w[:, :inputs]
        gradients.u[...] += d_w[:, inputs:] + d_own
        for each in gradients.b:
            each += d_b
        gradients.p[...] += d_projection + d_transposed.T
        return d_h, d_c

    def copy(self) -> "ProjectedCell":
        """One with weights of its own."""
        return ProjectedCell(_own(self.weights), self.projection.copy())
