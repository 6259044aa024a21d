"""One LSTM layer over packed rows, through the kernels: allocates what they need and calls them.

Rows are packed as `fastlstm_kernels.forward` has them. The classes stand on the two functions here.
"""

from dataclasses import dataclass
from typing import Any

import numpy

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.cores import borrowed
from fastlstm.workspace import Take, fresh, kept
from fastlstm_kernels.backward import SCRATCH
from fastlstm_kernels.forward import TOGETHER
from fastlstm_kernels.gates import FACTORS
from fastlstm_kernels.pack import blocks, panels_shape, transposed_shape
from fastlstm_kernels.phases import BOARD
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.truncated import BLOCK, TILE, shares_windows

ROOM = 1 << 22
"""Bytes of pre-activations, or of their gradients, that are worked on at once: they stay in a third-level cache."""

DEPTH = 256
"""Rows at least that go into one product for the weight gradients."""


@dataclass(frozen=True)
class Weights:
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

    def panels(self, workers: int, take: Take = kept) -> Array:
        """Weights packed for the way forwards; `take` is where the array comes from."""
        panels = take("panels", panels_shape(self.w.shape[1], self.u.shape[1], self.w.dtype), self.w.dtype)
        kernels.pack(self.w, self.u, self.b, self.order, panels, workers)
        return panels

    def transposed(self, name: str, gates: int, workers: int) -> Array:
        """`w` or `u` packed for the way back."""
        matrix: Array = getattr(self, name)
        panels = kept(name, transposed_shape(matrix.shape[1], self.u.shape[1], matrix.dtype, gates), matrix.dtype)
        kernels.pack_transposed(matrix, self.order, panels, workers)
        return panels


@dataclass(frozen=True)
class Run:
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
    """

    x: Array
    offsets: Array
    gates: Array
    cells: Array
    hidden: Array


def _board(workers: int) -> Array:
    return kept("board", (workers, BOARD), numpy.dtype(numpy.int64))


def room(batch: int, rows: int, count: int, dtype: numpy.dtype[Any]) -> int:
    """Rows of `count` vectors of gates that are worked on at once."""
    size = count * 4 * lanes(dtype) * dtype.itemsize
    return max(batch, min(rows, max(DEPTH, ROOM // size)))


def forwards(
    weights: Weights, x: Array, offsets: Array, h: Array, c: Array, keep: bool, n_threads: int | None,
    take: Take = fresh, results: Take = fresh,
) -> Run:
    """Run over all steps.

    Parameters
    ----------
    weights : Weights
    x : (N, input) array
        Inputs.
    offsets : (T + 1,) intp array
        First row of each step, and N.
    h, c : (batch, H) arrays
        Initial states; not changed.
    keep : bool
        Whether what `backwards` needs is kept.
    n_threads : int or None
        At most so many threads.
    take, results : callables
        Where the tape comes from, and `hidden`.
    """
    (batch, size), (rows, inputs), dtype = h.shape, x.shape, x.dtype
    count = blocks(size, dtype)
    hidden = results("hidden", (batch + rows, size), dtype)
    hidden[:batch] = h
    if keep:
        gates = take("gates", (count, rows, 4 * lanes(dtype)), dtype)
        cells = take("cells", (count, batch + rows, lanes(dtype)), dtype)
    else:
        gates = kept("gates", (count, max(batch, min(rows, TOGETHER)), 4 * lanes(dtype)), dtype)
        cells = fresh("cells", (count, batch, lanes(dtype)), dtype)
    cells[:, :batch] = into_vectors(c, lanes(dtype))
    with borrowed(n_threads, 8 * rows * size * (size + inputs)) as workers:
        kernels.forward(
            x, offsets, weights.panels(workers), *weights.codes, keep, gates, cells, hidden, _board(workers), workers
        )
    return Run(x, offsets, gates, cells, hidden)


def preactivations(weights: Weights, run: Run, n_threads: int | None) -> Array:
    """Pre-activations of the gates of a run, (N, 4 H), in the order f, i, c, hf."""
    z = kept("z", run.gates.shape, run.gates.dtype)
    with borrowed(n_threads, 8 * run.x.size * run.hidden.shape[1]) as workers:
        kernels.preactivations(run.x, run.offsets, weights.panels(workers), z, run.hidden, workers)
    return by_row(z, run.hidden.shape[1])


def into_vectors(rows: Array, width: int) -> Array:
    """Rows (n, features) as groups of columns (features / width rounded up, n, width), zeros behind."""
    n, features = rows.shape
    count = -(-features // width)
    whole = numpy.zeros((n, count * width), rows.dtype)
    whole[:, :features] = rows
    return numpy.ascontiguousarray(whole.reshape(n, count, width).transpose(1, 0, 2))


def from_vectors(groups: Array, size: int) -> Array:
    """The first `size` columns of groups (count, n, width), as rows of their own."""
    count, n, width = groups.shape
    return numpy.ascontiguousarray(groups.transpose(1, 0, 2).reshape(n, count * width)[:, :size])


def by_row(gates: Array, size: int) -> Array:
    """Vectors of gates (blocks, N, 4 lanes) as rows (N, 4 size)."""
    count, rows, width = gates.shape
    whole = gates.reshape(count, rows, 4, width // 4).transpose(1, 2, 0, 3).reshape(rows, 4, count * width // 4)
    return whole[:, :, :size].reshape(rows, 4 * size)


def backwards(
    weights: Weights, run: Run, delta: Array, delta_state: tuple[Array, Array] | None, truncate: int | None,
    stride: int, exact: bool, gradients: tuple[Array, Array, Array], d_x: Array, n_threads: int | None,
) -> tuple[Array, Array]:
    """Gradients of a run.

    Parameters
    ----------
    weights, run
        As given to `forwards`, keeping, and as it returned.
    delta : (N, H) array
        Gradient at the hidden states.
    delta_state : tuple of (batch, H) arrays, optional
        Gradients at the final hidden and cell states.
    truncate : int or None
        How many steps the errors of a group of steps are walked back before it; None for all.
    stride : int
        Steps of a group.
    exact : bool
        The true gradient, or the "reference" one.
    gradients : tuple of arrays like those of `weights`
        Added to.
    d_x : (N, input) array
        Written: gradient at the inputs. Without rows it is not formed.
    n_threads : int or None
        At most so many threads.

    Returns
    -------
    (batch, H) arrays
        Gradients at the initial hidden and cell states.
    """
    count, rows, width = run.gates.shape
    size, dtype, vector = delta.shape[1], delta.dtype, run.cells.shape[2]
    batch, duration = len(run.hidden) - rows, len(run.offsets) - 1
    sums = kept("sums", panels_shape(run.x.shape[1], size, dtype), dtype)
    if not rows:
        sums[...] = 0
    with borrowed(n_threads, 16 * rows * size * (size + run.x.shape[1])) as workers:
        u, w = (weights.transposed(name, 4 if exact else 3, workers) for name in "uw")
        scratch = kept("scratch", (workers, SCRATCH), dtype)
        final_h, final_c = numpy.zeros((2, batch, size), dtype) if delta_state is None else delta_state
        delta_h, delta_c = into_vectors(final_h, width), into_vectors(final_c, vector)
        groups = -(-duration // stride)
        if truncate is None or truncate >= (groups - 1) * stride:
            dz = kept("dz", (count, room(batch, rows, count, dtype), width), dtype)
            kernels.backward(
                run.offsets, u, w, *weights.codes, run.x, run.gates, run.cells, run.hidden, delta, delta_h, delta_c,
                dz, sums, d_x, scratch, _board(workers), workers,
            )
        else:
            initial_h, initial_c = delta_h.copy(), delta_c.copy()
            there = run.offsets[1] - run.offsets[0]  # the others end where they begin
            initial_h[:, :there] = initial_c[:, :there] = 0
            together = shares_windows(batch, workers)
            lines = room(batch, groups * batch, count, dtype) // batch * batch if together else max(TILE, BLOCK)
            stores = 1 if together else workers
            kernels.truncated_backward(
                run.offsets, truncate, stride, u, w, *weights.codes, run.x, run.gates, run.cells, run.hidden, delta,
                delta_h, delta_c, initial_h, initial_c, kept("delta_h", (stores, len(u), lines, width), dtype),
                kept("delta_c", (stores, count, lines, vector), dtype),
                kept("factors", (count, rows, FACTORS * vector), dtype), kept("dz", run.gates.shape, dtype),
                kept("tiles", (workers, count, max(TILE, batch), width), dtype), sums, d_x, scratch, _board(workers),
                workers,
            )
            delta_h, delta_c = initial_h, initial_c
        kernels.unpack(sums, weights.order, *gradients, workers)
    return from_vectors(delta_h, size), from_vectors(delta_c, size)
