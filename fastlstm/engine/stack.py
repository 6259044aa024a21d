"""Layers over layers, in one direction or both: each takes the outputs of the one below."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy

from fastlstm.checks import Array
from fastlstm.engine import layer, overlap
from fastlstm.engine.batch import Rows
from fastlstm.engine.cell import Cell, Gradients, Passed
from fastlstm.engine.layer import Run
from fastlstm.engine.workspace import fresh


class StackRun(NamedTuple):
    """A run over the rows of a batch.

    Attributes
    ----------
    rows : Rows
    runs : list of Run
        Of the first layer forwards, backwards if both, of the second layer, and so on; none if nothing was kept. A
        reverse one has the rows of each sequence from its end.
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
    if not keep:
        return StackRun(rows, [], []), *_infer(cells, rows, x, h, c, n_threads)
    runs: list[Run] = []
    final_h: list[Array] = []
    final_c: list[Array] = []
    for levels in _together(cells, rows, x.shape[1], n_threads):
        first, level = len(runs), levels[0]
        if level and dropped:
            x = x * dropped[level - 1]
        chain = _chain(levels, cells, rows, dropped)
        group = [(cell, reverse) for each in levels for reverse, cell in enumerate(cells[each])]
        jobs = [
            cell.job(rows, rows.reversed(x) if reverse else x, h[k], c[k], masks[k] if masks else None, n_threads)
            for k, (cell, reverse) in enumerate(group, first)
        ]
        runs += layer.forwards(jobs, rows.offsets, True, n_threads, chain=chain)
        outputs = []
        for k, (cell, _) in enumerate(group, first):
            output, h_n, c_n = cell.result(rows, runs[k], h[k], True, n_threads)
            final_h.append(h_n)
            final_c.append(c_n)
            outputs.append(output)
        x = outputs[-1] if len(cells[level]) == 1 else rows.beside(*outputs)
    return StackRun(rows, runs, dropped), x, _stacked(final_h), _stacked(final_c)


def _infer(
    cells: Sequence[Sequence[Cell]], rows: Rows, x: Array, h: Array, c: Array, n_threads: int | None
) -> tuple[Array, Array, Array]:
    """`forwards` without a way back: what a layer took is let go of as soon as the next one has its outputs."""
    final_h: list[Array] = []
    final_c: list[Array] = []
    states: Array | None = None  # which x are a part of
    for levels in _together(cells, rows, x.shape[1], n_threads):
        group, first = [cell for level in levels for cell in cells[level]], len(final_h)
        both = len(cells[levels[0]]) == 2
        if both or not group[0].chains:
            passed, states = _across(group, rows, x, h[first:], c[first:], n_threads), None
        else:
            chain = _chain(levels, cells, rows, ())
            passed, states = _straight(group, rows, x, h[first:], c[first:], states, chain, n_threads)
        final_h += [each.h.copy() for each in passed] if len(cells) > 1 else [each.h for each in passed]
        final_c += [each.c for each in passed]
        outputs = [each.output for each in passed]
        del passed
        x = outputs[-1]  # which lets go of what it was before there is anything new
        if both:
            x = rows.beside(*outputs)
        del outputs
    return x, _stacked(final_h), _stacked(final_c)


def _across(
    cells: Sequence[Cell], rows: Rows, x: Array, h: Array, c: Array, n_threads: int | None
) -> list[Passed]:
    """A level in both directions, or with projections.

    (In slices of 1 MB, to hold less: 1.5 times as long with 128 units both ways.)
    """
    jobs = [
        cell.job(rows, rows.reversed(x) if reverse else x, h[reverse], c[reverse], None, n_threads)
        for reverse, cell in enumerate(cells)
    ]
    runs = layer.forwards(jobs, rows.offsets, False, n_threads)
    return [cell.result(rows, runs[k], h[k], False, n_threads) for k, cell in enumerate(cells)]


def _straight(
    cells: Sequence[Cell], rows: Rows, x: Array, h: Array, c: Array, states: Array | None, chain: overlap.Pair | None,
    n_threads: int | None,
) -> tuple[list[Passed], Array]:
    """A level in one direction, or two that run at the same time; and what the outputs are a part of.

    The second of two writes its own over `states`, the array that x is a part of, if that may be: when it comes to a
    step, the first has done with the inputs of that step, and looks at later ones only.
    """

    def results(name: str, shape: tuple[int, ...], dtype: numpy.dtype[Any]) -> Array:
        return fresh(name, shape, dtype) if states is None or name == "hidden" else states

    jobs = [cell.job(rows, x, h[k], c[k], None, n_threads) for k, cell in enumerate(cells)]
    runs = layer.forwards(jobs, rows.offsets, False, n_threads, results=results, chain=chain)
    return [cell.result(rows, runs[k], h[k], False, n_threads) for k, cell in enumerate(cells)], runs[-1].hidden


def _together(cells: Sequence[Sequence[Cell]], rows: Rows, inputs: int, n_threads: int | None) -> list[range]:
    """Levels that run at the same time, from the lowest: one, or one and that above it."""
    groups, level = [], 0
    while level < len(cells):
        two = cells[level : level + 2]
        chains = len(two) == 2 and all(len(directions) == 1 and directions[0].chains for directions in two)
        size, dtype = cells[level][0].output_size, cells[level][0].weights.w.dtype
        if chains and overlap.chain_pays(rows.offsets, rows.batch, inputs, size, dtype, n_threads):
            groups.append(range(level, level + 2))
        else:
            groups.append(range(level, level + 1))
        inputs, level = size * len(cells[level]), groups[-1].stop
    return groups


def _chain(levels: range, cells: Sequence[Sequence[Cell]], rows: Rows, dropped: Sequence[Array]) -> overlap.Pair | None:
    """How two levels run at the same time; None for one."""
    if len(levels) == 1:
        return None
    weights = cells[levels[0]][0].weights
    return overlap.chain(
        rows.offsets, rows.batch, weights.u.shape[1], weights.u.dtype, dropped[levels[0]] if dropped else None
    )


def _stacked(states: list[Array]) -> Array:
    """A new array of several; `numpy.stack` takes 5 µs for one."""
    return numpy.stack(states) if len(states) > 1 else states[0][None].copy()


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
    rows, first, each = run.rows, len(run.runs), [cell for directions in cells for cell in directions]
    finals = [None if final is None else (final[0][k], final[1][k]) for k in range(first)]
    d_h, d_c = ([delta] * first for _ in range(2))
    together = _together(cells, rows, run.runs[0].x.shape[1], n_threads)
    for levels in reversed(together if truncate is None else [range(k, k + 1) for k in range(len(cells))]):
        top = levels[-1]
        if top < len(run.dropped):
            delta = delta * run.dropped[top]
        chain = _chain(levels, cells, rows, run.dropped)
        order = range(first - sum(len(cells[level]) for level in levels), first)
        first = order[0]
        if chain is not None:
            order = order[::-1]
        parts = [delta] if len(cells[top]) == 1 else rows.apart(delta)
        jobs = [
            each[k].back_job(rows, run.runs[k], part, finals[k], gradients[k], n_threads)
            for k, part in zip(order, parts * len(levels), strict=True)
        ]
        initial = layer.backwards(jobs, truncate, stride, True, n_threads, chain)
        d_inputs = []
        for j, k in enumerate(order):
            d_x, d_h[k], d_c[k] = each[k].back_result(rows, jobs[j], finals[k], initial[j], gradients[k], n_threads)
            d_inputs.append(d_x)
        delta = d_inputs[-1]
        if len(cells[top]) == 2:
            delta = d_inputs[0]
            delta += rows.reversed(d_inputs[1])
    return delta, _stacked(d_h), _stacked(d_c)
