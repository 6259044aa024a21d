"""A layer whose outputs, and what it feeds back, are projections r = P h of the hidden states (Sak et al. 2014).

U r = (U P) h, so the kernels run an ordinary layer with the recurrent weights U P, and the outputs are one product over
all steps. An initial r, which is nobody's projection, is a further input of the first step. A step costs what it would
cost without a projection; in return there is one loop over time.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy

from fastlstm.checks import Array
from fastlstm.engine.batch import Batch
from fastlstm.engine.direction import Arrays, Direction, Recorded, Run
from fastlstm.engine.level import Level
from fastlstm.engine.linear import linear, linear_gradients
from fastlstm.engine.workspace import empty, workspace
from fastlstm_kernels import structs


def fold(weights: Arrays, projection: Array, n_threads: int | None, w: Array, u: Array) -> Arrays:
    """Weights of the ordinary layer over inputs and an initial r; see `fastlstm_kernels.structs.Weights`.

    Parameters
    ----------
    weights : tuple
        `structs.Weights` of the layer with a projection.
    projection : (P, H) array
    n_threads : int or None
        At most so many threads.
    w, u : (4 H, input + P) and (4 H, H) arrays
        Written: the new W and U.
    """
    whole = structs.Weights(*weights)
    linear(whole.u, numpy.ascontiguousarray(projection.T), u, n_threads)
    numpy.concatenate([whole.w, whole.u], axis=1, out=w)
    return tuple(whole._replace(w=w, u=u))


class Projected(NamedTuple):
    """A layer with a projection, in one direction.

    Attributes
    ----------
    weights, gradients : tuples
        `fastlstm_kernels.structs.Weights` and `Gradients`; U is (4 H, P).
    projection, d_projection : (P, H) arrays
        P, and its gradient, which is added to.
    """

    weights: Arrays
    gradients: Arrays
    projection: Array
    d_projection: Array


class ProjectedLevel:
    """As `Level`, for one layer in one direction or both.

    Parameters
    ----------
    layers : sequence of Projected
        Its directions.
    batch : Batch
    record : bool
        Whether runs are recorded for a way back.
    n_threads : int or None
        At most so many threads.
    """

    def __init__(self, layers: Sequence[Projected], batch: Batch, record: bool, n_threads: int | None) -> None:
        self._layers, self._batch, self._record, self._n_threads = list(layers), batch, record, n_threads
        directions = []
        for k, layer in enumerate(self._layers):
            w, u = self._room("folded_", k)
            weights = tuple(structs.Weights(*layer.weights)._replace(w=w, u=u))
            directions.append(Direction(weights, (), batch, record, "_reverse" * k))
        self._level = Level(directions, False, n_threads)

    def _room(self, name: str, k: int) -> Arrays:
        """Working arrays like W and U of the ordinary layer of a direction."""
        (rows, inputs), (outputs, size) = self._layers[k].weights[0].shape, self._layers[k].projection.shape
        dtype = self._layers[k].projection.dtype
        return (
            workspace.array(f"{name}w{k}", (rows, inputs + outputs), dtype),
            workspace.array(f"{name}u{k}", (rows, size), dtype),
        )

    def _folded(self) -> Level:
        """The ordinary layers, with the weights of today."""
        for k, (layer, direction) in enumerate(zip(self._layers, self._level.directions, strict=True)):
            room = self._room("folded_", k)
            direction.weights = fold(layer.weights, layer.projection, self._n_threads, *room)
        return self._level

    def _zero_gradients(self) -> None:
        """Let the way back add to gradients of the ordinary layers that are zero."""
        for k, (layer, direction) in enumerate(zip(self._layers, self._level.directions, strict=True)):
            d_w, d_u = self._room("folded_d_", k)
            d_w[...], d_u[...] = 0, 0
            b_ih = structs.Weights(*layer.weights).b_ih
            direction.gradients = d_w, d_u, numpy.zeros_like(b_ih), b_ih[:0]

    def forward(self, inputs: Sequence[Array], states: Sequence[Arrays]) -> tuple[list[Array], list[Run]]:
        """Outputs (N, P) of each direction, and its run if recorded; the arguments are those of `Level.forward`."""
        batch, level = self._batch, self._folded()
        there = batch.first_rows()
        wide, within = [], []
        for x, state, direction in zip(inputs, states, level.directions, strict=True):
            h_0, c_0, _, c_n, k = state
            both = numpy.zeros((batch.rows, direction.inputs), x.dtype)
            both[:, : x.shape[1]] = x
            if len(h_0):
                both[:there, x.shape[1] :] = h_0[k, batch.places[:there]]
            wide.append(both)
            within.append((direction.no_states, c_0, numpy.empty_like(c_n), c_n, k))
        runs = level.forward(wide, within)
        del wide
        hidden = [run.hidden for run in runs]
        if not self._record:
            runs = []  # which lets go of their inputs
        outputs = []
        for layer, (h_0, _, h_n, _, k) in zip(self._layers, states, strict=True):
            own = hidden.pop(0)
            projected = empty((len(own), len(layer.projection)), h_n.dtype)
            projected[: batch.batch] = h_0[k, batch.places] if len(h_0) else 0
            output = projected[batch.batch :]
            linear(own[batch.batch :], layer.projection, output, self._n_threads)
            h_n[k, batch.places] = projected[batch.ends]
            outputs.append(output)
        return outputs, runs

    def backward(self, recorded: Sequence[Recorded], deltas: Sequence[Arrays]) -> None:
        """Gradients of a run, untruncated; the arguments are those of `Level.backward`."""
        batch, level = self._batch, self._folded()
        self._zero_gradients()
        within = []
        for layer, record, delta, direction in zip(self._layers, recorded, deltas, level.directions, strict=True):
            given, hidden = structs.Deltas(*delta), structs.Tape(*record.tape).hidden[batch.batch :]
            d_states = numpy.zeros((batch.batch + batch.rows, len(layer.projection)), hidden.dtype)
            d_states[batch.batch :] = given.d_y
            if len(given.d_h_n):
                d_states[batch.ends] += given.d_h_n[given.layer, batch.places]
            d_hidden = numpy.empty_like(hidden)
            layer.d_projection[...] += linear_gradients(
                d_states[batch.batch :], hidden, layer.projection, d_hidden, self._n_threads
            )
            d_wide = empty((batch.rows, direction.inputs), hidden.dtype)
            d_h_0 = numpy.empty_like(given.d_c_0)
            within.append(
                (d_hidden, d_wide, direction.no_states, given.d_c_n, d_h_0, given.d_c_0, given.layer)
            )
        level.backward(recorded, within)
        for layer, delta, inner, direction in zip(self._layers, deltas, within, level.directions, strict=True):
            self._add(layer, direction, structs.Deltas(*inner).d_x, structs.Deltas(*delta))

    def _add(self, layer: Projected, direction: Direction, d_wide: Array, delta: structs.Deltas) -> None:
        """Take a layer's gradients from those of the ordinary one."""
        batch = self._batch
        gradients, inner = structs.Gradients(*layer.gradients), structs.Gradients(*direction.gradients)
        inputs, u = delta.d_x.shape[1], structs.Weights(*layer.weights).u
        d_own = numpy.empty_like(u)
        transposed = numpy.ascontiguousarray(layer.projection.T)
        layer.d_projection[...] += linear_gradients(inner.d_u, u, transposed, d_own, self._n_threads).T
        gradients.d_w[...] += inner.d_w[:, :inputs]
        gradients.d_u[...] += inner.d_w[:, inputs:] + d_own
        for bias in (gradients.d_b_ih, gradients.d_b_hh):
            if len(bias):
                bias += inner.d_b_ih
        there = batch.first_rows()
        d_h_0 = delta.d_h_0[delta.layer]
        delta.d_x[...], d_h_0[...] = d_wide[:, :inputs], 0
        d_h_0[batch.places[:there]] = d_wide[:there, inputs:]
        if len(delta.d_h_n):
            ended = batch.places[there:]  # sequences without a step end where they begin
            d_h_0[ended] = delta.d_h_n[delta.layer, ended]
