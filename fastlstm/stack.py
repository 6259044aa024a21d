"""Layers over layers, in one direction or both: each takes the outputs of the one below."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from fastlstm.cell import Cell, Gradients
from fastlstm.checks import Array
from fastlstm.layer import Run
from fastlstm.rows import Rows
from fastlstm.workspace import fresh


@dataclass(frozen=True)
class StackRun:
    """A run over the rows of a batch.

    Attributes
    ----------
    rows : Rows
    runs : list of Run
        Of the first layer forwards, backwards if both, of the second layer, and so on. A reverse one has the rows of
        each sequence from its end.
    dropped : list of (N, features) arrays
        What the outputs of the layers but the last were multiplied with; empty without dropout.
    """

    rows: Rows
    runs: list[Run]
    dropped: list[Array]


def forwards(
    cells: Sequence[Sequence[Cell]], rows: Rows, x: Array, h: Array, c: Array, keep: bool, masks: Sequence[Array],
    dropped: list[Array], n_threads: int | None,
) -> tuple[StackRun, Array, Array, Array]:
    """Run over all layers.

    Parameters
    ----------
    cells : sequence of sequences of Cell
        Of each layer the one forwards, and the one backwards if there is one.
    rows : Rows
    x : (N, input) array
    h, c : (layers · directions, batch, size) arrays
        Initial states, in the order of the rows; not changed.
    keep : bool
        Whether `backwards` is to come.
    masks : sequence of (batch, H) arrays
        For each cell, what hidden states are multiplied with on their way to the next step; empty for nothing.
    dropped : list of (N, features) arrays
        What the outputs of the layers but the last are multiplied with; empty for nothing.
    n_threads : int or None
        At most so many threads.

    Returns
    -------
    StackRun
    output : (N, features) array
    h_n, c_n : arrays like h and c
        States after each sequence's last step.
    """
    runs: list[Run] = []
    final_h, final_c = numpy.empty_like(h), numpy.empty_like(c)
    for level, directions in enumerate(cells):
        if level and dropped:
            x = x * dropped[level - 1]
        outputs = []
        for direction, cell in enumerate(directions):
            k = len(runs)
            given = rows.reversed(x) if direction else x
            passed = cell.forward(rows, given, h[k], c[k], keep, masks[k] if masks else None, n_threads)
            runs.append(passed.run)
            final_h[k], final_c[k] = passed.h, passed.c
            outputs.append(rows.reversed(passed.output) if direction else passed.output)
        x = outputs[0] if len(outputs) == 1 else numpy.concatenate(outputs, axis=1)
    return StackRun(rows, runs, dropped), x, final_h, final_c


def backwards(
    cells: Sequence[Sequence[Cell]], run: StackRun, delta: Array, final: tuple[Array, Array] | None,
    truncate: int | None, stride: int, gradients: Sequence[Gradients], n_threads: int | None,
) -> tuple[Array, Array, Array]:
    """Gradients of a run, which are added to those of the weights.

    Parameters
    ----------
    cells, run
        As given to `forwards`, keeping, and from it.
    delta : (N, features) array
        Gradient at the output.
    final : tuple of (layers · directions, batch, size) arrays, optional
        Gradients at the final states.
    truncate, stride
        As `layer.backwards` takes them; each layer and direction is walked back by itself.
    gradients : sequence of Gradients
        One for each cell; added to.
    n_threads : int or None
        At most so many threads.

    Returns
    -------
    d_x : (N, input) array
    d_h, d_c : (layers · directions, batch, size) arrays
        Gradients at the initial states.
    """
    rows, d_h, d_c = run.rows, [], []
    k = len(run.runs)
    for level in range(len(cells) - 1, -1, -1):
        if level < len(run.dropped):
            delta = delta * run.dropped[level]
        parts = []
        for direction in range(len(cells[level]) - 1, -1, -1):
            k -= 1
            cell = cells[level][direction]
            own = delta[:, direction * cell.output_size : (direction + 1) * cell.output_size]
            own = rows.reversed(own) if direction else numpy.ascontiguousarray(own)
            d_x = fresh("d_x", (len(delta), gradients[k].w.shape[1]), delta.dtype)
            d_initial = cell.backward(
                rows, run.runs[k], own, None if final is None else (final[0][k], final[1][k]), truncate, stride,
                gradients[k], d_x, n_threads,
            )
            d_h.append(d_initial[0])
            d_c.append(d_initial[1])
            parts.append(rows.reversed(d_x) if direction else d_x)
        delta = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    return delta, numpy.stack(d_h[::-1]), numpy.stack(d_c[::-1])
