"""An LSTM layer over packed rows, through the kernels: allocates what they need and calls them.

Rows lie as `fastlstm_kernels.batch` has them. The classes stand on the two functions here, which take a layer
or two: the two directions of one, or one and that above it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.engine.cores import useful
from fastlstm.engine.overlap import Pair, nothing, pays, side_by_side
from fastlstm.engine.vectors import by_row, from_vectors, into_vectors, no_vectors
from fastlstm.engine.workspace import Block, Take, fresh, kept, room
from fastlstm_kernels.forward import TOGETHER
from fastlstm_kernels.gates import FACTORS
from fastlstm_kernels.gradients import SCRATCH
from fastlstm_kernels.pack import blocks, panels_shape, transposed_shape
from fastlstm_kernels.phases import BOARD
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.truncated import BLOCK, TILE, shares_windows


class Weights(NamedTuple):
    """A layer's weights.

    Attributes
    ----------
    w, u, b : (4 H, input), (4 H, H) and (4 H,) arrays
    order : (4,) intp array
        Where the gates f, i, c, hf stand in them.
    codes : tuple of 2 int
        Activation codes a0 of the candidate and a1 of the cell state.
    """

    w: Array
    u: Array
    b: Array
    order: Array
    codes: tuple[int, int]

    def panels(self, workers: int, name: str = "panels", take: Take = kept) -> Array:
        """Weights packed for the way forwards; `take` is where the array comes from."""
        panels = take(name, panels_shape(self.w.shape[1], self.u.shape[1], self.w.dtype), self.w.dtype)
        kernels.pack(self.w, self.u, self.b, self.order, panels, workers)
        return panels

    def transposed(self, name: str, gates: int, workers: int, behind: str = "") -> Array:
        """`w` or `u` packed for the way back."""
        matrix: Array = getattr(self, name)
        shape = transposed_shape(matrix.shape[1], self.u.shape[1], matrix.dtype, gates)
        panels = kept(name + behind, shape, matrix.dtype)
        kernels.pack_transposed(matrix, self.order, panels, workers)
        return panels


class Run(NamedTuple):
    """A run forwards over N rows.

    Attributes
    ----------
    x : (N, input) array
    offsets : (T + 1,) intp array
        First row of each step, and N.
    gates : (blocks, N, 4 lanes) array
        Gate values of each vector of units; overwritten scratch where nothing was kept.
    cells : (blocks, batch + N or batch, lanes) array
        Cell states of each vector of units; the final ones where nothing was kept.
    hidden : (batch + N, H) array
        Hidden states, the initial ones first.
    mask : (batch, H) array
        What hidden states were multiplied with on their way to the next step; without rows: nothing.
    fed : (batch + N, H) array
        Hidden states times the mask; `hidden` itself without one.
    """

    x: Array
    offsets: Array
    gates: Array
    cells: Array
    hidden: Array
    mask: Array
    fed: Array


LARGE = 1 << 13
"""Elements of a tape's cells from which one piece of memory for all of it pays."""

BEHIND = "", "_reverse"
"""What names of working arrays end with, for the first layer and the second."""


class Job(NamedTuple):
    """A layer to run.

    Attributes
    ----------
    weights : Weights
    x : (N, input) array
        Inputs.
    h, c : (batch, H) arrays
        Initial states; not changed.
    mask : (batch, H) array, optional
        What the hidden states of each sequence are multiplied with on their way to the next step.
    """

    weights: Weights
    x: Array
    h: Array
    c: Array
    mask: Array | None = None


class BackJob(NamedTuple):
    """A layer's run to sweep back over.

    Attributes
    ----------
    weights, run
        As given to `forwards`, keeping, and as it returned.
    delta : (N, H) array
        Gradient at the hidden states.
    delta_state : tuple of (batch, H) arrays, optional
        Gradients at the final hidden and cell states.
    gradients : tuple of arrays like those of `weights`
        Added to.
    d_x : (N, input) array
        Written: gradient at the inputs. Without rows it is not formed.
    """

    weights: Weights
    run: Run
    delta: Array
    delta_state: tuple[Array, Array] | None
    gradients: tuple[Array, Array, Array]
    d_x: Array


def _board(workers: int, behind: str = "") -> Array:
    return kept("board" + behind, (workers, BOARD), numpy.dtype(numpy.int64))


def forwards(
    jobs: Sequence[Job], offsets: Array, keep: bool, n_threads: int | None, take: Take | None = None,
    results: Take | None = None, chain: Pair | None = None,
) -> list[Run]:
    """Run over all steps.

    Parameters
    ----------
    jobs : sequence of Job
        One layer, or two with states of the same sizes.
    offsets : (T + 1,) intp array
        First row of each step, and N.
    keep : bool
        Whether what `backwards` needs is kept.
    n_threads : int or None
        At most so many threads.
    take, results : callables, optional
        Where the tape comes from, and `hidden`; new arrays by default.
    chain : Pair, optional
        Given where the second layer takes what comes from the first; its own x is not looked at.
    """
    batch, size = jobs[0].h.shape
    runs: list[Run] = []
    for job, behind in zip(jobs, BEHIND, strict=False):
        x = _passed(chain, runs[0].hidden[batch:]) if chain is not None and runs else job.x
        runs.append(_ready(job, x, offsets, keep, take, results, behind))
    workers = useful(n_threads, sum(8 * run.x.shape[0] * size * (size + run.x.shape[1]) for run in runs))
    pair = _pair(chain, runs, workers)
    each = [
        (
            run.x, offsets, job.weights.panels(workers, "panels" + behind), *job.weights.codes, keep, run.mask,
            run.gates, run.cells, run.hidden, run.fed, _board(1 if pair else workers, behind),
        )
        for job, run, behind in zip(jobs, runs, BEHIND, strict=False)
    ]
    if pair:
        first, second = each
        kernels.forward_pair(first, second, *pair, _board(2, "_pair"), min(workers, 2))
    else:
        for arguments in each:
            kernels.forward(*arguments, workers)
    return runs


def _passed(chain: Pair, given: Array) -> Array:
    """Where a layer of a chain finds what the other gives it."""
    return fresh("passed", given.shape, given.dtype) if len(chain.between) else given


def _pair(chain: Pair | None, runs: Sequence[Run], workers: int) -> Pair | None:
    """How two layers run at the same time; None where they run one by one."""
    if chain is not None or len(runs) == 1:
        return chain
    run, size = runs[0], runs[0].hidden.shape[1]
    batch, dtype = len(run.hidden) - len(run.x), run.x.dtype
    return side_by_side(run.offsets, batch, size, dtype) if pays(batch, size, dtype, workers) else None


def _ready(
    job: Job, x: Array, offsets: Array, keep: bool, take: Take | None, results: Take | None, behind: str
) -> Run:
    """The arrays of a run over x, with the initial states."""
    (batch, size), rows, dtype = job.h.shape, len(x), x.dtype
    count, vector, masked = blocks(size, dtype), lanes(dtype), job.mask is not None
    if keep:
        shapes = (batch + rows, size), (count, rows, 4 * vector), (count, batch + rows, vector)
        if take is None:
            take = fresh
            if rows * count * vector > LARGE:
                take = Block(*(math.prod(shape) * dtype.itemsize for shape in (*shapes, *[shapes[0]] * masked)))
        hidden = (results or take)("hidden" + behind, shapes[0], dtype)
        gates, cells = take("gates" + behind, shapes[1], dtype), take("cells" + behind, shapes[2], dtype)
    else:
        hidden = (results or fresh)("hidden" + behind, (batch + rows, size), dtype)
        gates = kept("gates" + behind, (count, max(batch, min(rows, TOGETHER)), 4 * vector), dtype)
        cells = fresh("cells", (count, batch, vector), dtype)
    fed, mask = hidden, nothing(dtype)
    if job.mask is not None:
        mask, fed = job.mask, (take or fresh)("fed" + behind, hidden.shape, dtype)
        fed[:batch] = job.h * mask
    hidden[:batch] = job.h
    cells[:, :batch] = into_vectors(job.c, vector)
    return Run(x, offsets, gates, cells, hidden, mask, fed)


def preactivations(weights: Weights, run: Run, n_threads: int | None) -> Array:
    """Pre-activations of the gates of a run, (N, 4 H), in the order f, i, c, hf."""
    z = kept("z", run.gates.shape, run.gates.dtype)
    workers = useful(n_threads, 8 * run.x.size * run.hidden.shape[1])
    kernels.preactivations(run.x, run.offsets, weights.panels(workers), z, run.hidden, workers)
    return by_row(z, run.hidden.shape[1])


def backwards(
    jobs: Sequence[BackJob], truncate: int | None, stride: int, exact: bool, n_threads: int | None,
    chain: Pair | None = None,
) -> list[tuple[Array, Array]]:
    """Gradients of runs.

    Parameters
    ----------
    jobs : sequence of BackJob
        One layer, or two that ran together.
    truncate : int or None
        How many steps the errors of a group of steps are walked back before it; None for all.
    stride : int
        Steps of a group.
    exact : bool
        The true gradient, or the "reference" one.
    n_threads : int or None
        At most so many threads.
    chain : Pair, optional
        Given where the second layer's `delta` comes from the first, the one above it; without truncation only.

    Returns
    -------
    list of tuples of (batch, H) arrays
        Gradients at the initial hidden and cell states.
    """
    run, (rows, size) = jobs[0].run, jobs[0].delta.shape
    groups = -(-(len(run.offsets) - 1) // stride)
    reach = None if truncate is None or truncate >= (groups - 1) * stride else truncate
    workers = useful(n_threads, sum(16 * rows * size * (size + job.run.x.shape[1]) for job in jobs))
    pair = _pair(chain, [job.run for job in jobs], workers) if reach is None else None
    if chain is not None:
        jobs = [jobs[0], jobs[1]._replace(delta=_passed(chain, jobs[0].d_x))]
    backs = [
        _Back(job, exact, workers, 1 if pair else workers, behind)
        for job, behind in zip(jobs, BEHIND, strict=False)
    ]
    if pair:
        first, second = (back.arguments() for back in backs)
        kernels.backward_pair(first, second, *pair, _board(2, "_pair"), min(workers, 2))
    for back in backs:
        if reach is not None:
            back.truncated(reach, stride, workers)
        elif not pair:
            kernels.backward(*(*back.arguments(), workers))
        kernels.unpack(back.sums, back.job.weights.order, *back.job.gradients, workers)
    return [(from_vectors(back.delta_h, size), from_vectors(back.delta_c, size)) for back in backs]


class _Back:
    """What the kernels need on the way back over a run."""

    def __init__(self, job: BackJob, exact: bool, workers: int, lines: int, behind: str) -> None:
        run, (rows, size), dtype = job.run, job.delta.shape, job.delta.dtype
        self.job, self.behind, self.dtype = job, behind, dtype
        self.sums = kept("sums" + behind, panels_shape(run.x.shape[1], size, dtype), dtype)
        if not rows:
            self.sums[...] = 0
        self.batch = len(run.hidden) - rows
        self.u, self.w = (job.weights.transposed(name, 4 if exact else 3, workers, behind) for name in "uw")
        self.scratch, self.board = kept("scratch" + behind, (lines, SCRATCH), dtype), _board(lines, behind)
        wide, vector = run.gates.shape[2], run.cells.shape[2]
        if job.delta_state is None:
            self.delta_h, self.delta_c = (no_vectors(self.batch, size, width, dtype) for width in (wide, vector))
        else:
            final_h, final_c = job.delta_state
            self.delta_h, self.delta_c = into_vectors(final_h, wide), into_vectors(final_c, vector)

    def arguments(self) -> tuple[Any, ...]:
        """Those of `kernels.backward`, but for the last."""
        run, (count, rows, width) = self.job.run, self.job.run.gates.shape
        dz = kept("dz" + self.behind, (count, room(self.batch, rows, count, self.dtype), width), self.dtype)
        return (
            run.offsets, self.u, self.w, *self.job.weights.codes, run.mask, run.x, run.gates, run.cells, run.fed,
            self.job.delta, self.delta_h, self.delta_c, dz, self.sums, self.job.d_x, self.scratch, self.board,
        )

    def truncated(self, truncate: int, stride: int, workers: int) -> None:
        """Walk the errors back, and leave the gradients at the initial state in place of those at the final one."""
        run, batch, dtype, (count, rows, width) = self.job.run, self.batch, self.dtype, self.job.run.gates.shape
        initial_h, initial_c, vector = self.delta_h.copy(), self.delta_c.copy(), run.cells.shape[2]
        there = run.offsets[1] - run.offsets[0]  # the others end where they begin
        initial_h[:, :there] = initial_c[:, :there] = 0
        together = shares_windows(batch, workers)
        groups = (len(run.offsets) - 2) // stride + 1
        lines = room(batch, groups * batch, count, dtype) // batch * batch if together else max(TILE, BLOCK)
        stores = 1 if together else workers
        kernels.truncated_backward(
            run.offsets, truncate, stride, self.u, self.w, *self.job.weights.codes, run.mask, run.x, run.gates,
            run.cells, run.fed, self.job.delta, self.delta_h, self.delta_c, initial_h, initial_c,
            kept("delta_h", (stores, len(self.u), lines, width), dtype),
            kept("delta_c", (stores, count, lines, vector), dtype),
            kept("factors", (count, rows, FACTORS * vector), dtype), kept("dz", run.gates.shape, dtype),
            kept("tiles", (workers, count, max(TILE, batch), width), dtype), self.sums, self.job.d_x, self.scratch,
            self.board, workers,
        )
        self.delta_h, self.delta_c = initial_h, initial_c
