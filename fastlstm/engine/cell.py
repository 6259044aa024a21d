"""One direction of one layer over the rows of a batch: what `nn.LSTM` is made of.

A cell makes the jobs that `layer` runs, and makes of their results its own, so that two of them can run together.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy

from fastlstm.checks import Array
from fastlstm.engine.batch import Rows
from fastlstm.engine.layer import BackJob, Job, Run, Weights
from fastlstm.engine.linear import linear, linear_gradients
from fastlstm.engine.vectors import from_vectors
from fastlstm.engine.workspace import fresh

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


class Passed(NamedTuple):
    """A pass over the rows.

    Attributes
    ----------
    output : (N, H or P) array
    h, c : (batch, H or P) and (batch, H) arrays
        States after each sequence's last step.
    """

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
    def output_size(self) -> int:
        """Features of an output."""
        return int(self.weights.u.shape[1])

    @property
    def chains(self) -> bool:
        """Whether its outputs are the hidden states themselves, which another layer can take as they come."""
        return True

    def job(self, rows: Rows, x: Array, h: Array, c: Array, mask: Array | None, n_threads: int | None) -> Job:
        """What is to be run.

        Parameters
        ----------
        rows : Rows
        x : (N, input) array
        h, c : (batch, H or P) and (batch, H) arrays
            Initial states, in the order of the rows; not changed.
        mask : (batch, H) array, optional
            What the hidden states are multiplied with on their way to the next step.
        n_threads : int or None
            At most so many threads.
        """
        return Job(self.weights, x, h, c, mask)

    def result(self, rows: Rows, run: Run, h: Array, keep: bool, n_threads: int | None) -> Passed:
        """What has come of it.

        Parameters
        ----------
        rows, h, n_threads
            As for `job`.
        run : Run
            Of the job.
        keep : bool
            Whether everything was kept.
        """
        return Passed(run.hidden[rows.batch :], rows.last(run.hidden), _final_cells(rows, run, keep))

    def back_job(
        self, rows: Rows, run: Run, delta: Array, final: tuple[Array, Array] | None, gradients: Gradients,
        n_threads: int | None,
    ) -> BackJob:
        """What is to be swept back over.

        Parameters
        ----------
        rows, run
            As given to `result`, keeping.
        delta : (N, H or P) array
            Gradient at the output.
        final : tuple of (batch, H or P) and (batch, H) arrays, optional
            Gradients at the final states.
        gradients : Gradients
            Added to.
        n_threads : int or None
            At most so many threads.
        """
        d_x = fresh("d_x", run.x.shape, delta.dtype)
        return BackJob(
            self.weights, run, delta, final, (gradients.w, gradients.u, numpy.zeros_like(self.weights.b)), d_x
        )

    def back_result(
        self, rows: Rows, job: BackJob, final: tuple[Array, Array] | None, initial: tuple[Array, Array],
        gradients: Gradients, n_threads: int | None,
    ) -> tuple[Array, Array, Array]:
        """What has come of it.

        Parameters
        ----------
        rows, final, gradients, n_threads
            As for `back_job`.
        job : BackJob
            From there.
        initial : tuple of (batch, H) arrays
            What `layer.backwards` has returned for it.

        Returns
        -------
        (N, input), (batch, H or P) and (batch, H) arrays
            Gradients at x and at the initial states.
        """
        for bias in gradients.b:
            bias += job.gradients[2]
        return job.d_x, *initial

    def copy(self) -> "Cell":
        """One with weights of its own."""
        return Cell(_own(self.weights))


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

    @property
    def chains(self) -> bool:
        """As `Cell.chains`; all projections are one product, after all steps."""
        return False

    def folded(self, n_threads: int | None) -> Weights:
        """Weights of the ordinary layer over inputs and an initial r."""
        w, u, size = self.weights.w, self.weights.u, self.projection.shape[1]
        product = numpy.empty((len(u), size), u.dtype)
        linear(u, numpy.ascontiguousarray(self.projection.T), product, n_threads)
        both = numpy.concatenate([w, u], axis=1)
        return Weights(both, product, self.weights.b, self.weights.order, self.weights.codes)

    def job(self, rows: Rows, x: Array, h: Array, c: Array, mask: Array | None, n_threads: int | None) -> Job:
        """As `Cell.job`; there must be no mask."""
        (count, inputs), there = x.shape, rows.first()
        both = numpy.zeros((count, inputs + h.shape[1]), x.dtype)
        both[:, :inputs], both[:there, inputs:] = x, h[:there]
        return Job(self.folded(n_threads), both, numpy.zeros_like(c), c)

    def result(self, rows: Rows, run: Run, h: Array, keep: bool, n_threads: int | None) -> Passed:
        """As `Cell.result`."""
        states = fresh("states", (len(run.hidden), h.shape[1]), h.dtype)
        states[: rows.batch] = h
        output = states[rows.batch :]
        linear(run.hidden[rows.batch :], self.projection, output, n_threads)
        return Passed(output, rows.last(states), _final_cells(rows, run, keep))

    def back_job(
        self, rows: Rows, run: Run, delta: Array, final: tuple[Array, Array] | None, gradients: Gradients,
        n_threads: int | None,
    ) -> BackJob:
        """As `Cell.back_job`."""
        hidden, dtype, d_cells = run.hidden[rows.batch :], delta.dtype, None
        d_states = numpy.zeros((len(run.hidden), delta.shape[1]), dtype)
        d_states[rows.batch :] = delta
        if final is not None:
            rows.add_last(d_states, final[0])
            d_cells = numpy.zeros_like(final[1]), final[1]
        d_hidden, d_both = numpy.empty_like(hidden), numpy.empty_like(run.x)
        gradients.p[...] += linear_gradients(d_states[rows.batch :], hidden, self.projection, d_hidden, n_threads)
        weights = self.folded(n_threads)
        sums = numpy.zeros_like(weights.w), numpy.zeros_like(weights.u), numpy.zeros_like(weights.b)
        return BackJob(weights, run, d_hidden, d_cells, sums, d_both)

    def back_result(
        self, rows: Rows, job: BackJob, final: tuple[Array, Array] | None, initial: tuple[Array, Array],
        gradients: Gradients, n_threads: int | None,
    ) -> tuple[Array, Array, Array]:
        """As `Cell.back_result`."""
        (d_w, d_u, d_b), inputs, there = job.gradients, gradients.w.shape[1], rows.first()
        d_own = numpy.empty_like(self.weights.u)
        transposed = numpy.ascontiguousarray(self.projection.T)
        gradients.p[...] += linear_gradients(d_u, self.weights.u, transposed, d_own, n_threads).T
        gradients.w[...] += d_w[:, :inputs]
        gradients.u[...] += d_w[:, inputs:] + d_own
        for bias in gradients.b:
            bias += d_b
        d_h = numpy.zeros((rows.batch, self.output_size), d_w.dtype)
        d_h[:there] = job.d_x[:there, inputs:]
        if final is not None:
            d_h[there:] = final[0][there:]  # sequences without a step end where they begin
        return numpy.ascontiguousarray(job.d_x[:, :inputs]), d_h, initial[1]

    def copy(self) -> "ProjectedCell":
        """One with weights of its own."""
        return ProjectedCell(_own(self.weights), self.projection.copy())


def _own(weights: Weights) -> Weights:
    return Weights(weights.w.copy(), weights.u.copy(), weights.b.copy(), weights.order, weights.codes)


def _final_cells(rows: Rows, run: Run, keep: bool) -> Array:
    return from_vectors(rows.last(run.cells) if keep else run.cells, run.hidden.shape[1])
