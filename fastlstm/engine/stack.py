"""Layers over layers, in one direction or both, on batches of one shape: each takes the outputs of the one below."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy

from fastlstm.checks import Array
from fastlstm.engine import overlap
from fastlstm.engine.batch import Batch
from fastlstm.engine.cores import available
from fastlstm.engine.direction import Direction, Recorded
from fastlstm.engine.level import Level
from fastlstm.engine.projection import Projected, ProjectedLevel
from fastlstm.engine.workspace import empty
from fastlstm_kernels import structs
from fastlstm_kernels.gates import GATES

States: TypeAlias = tuple[Array, Array]
"""Hidden and cell states, (layers · directions, batch, size) each, in the order of the user's sequences."""


class StackTape(NamedTuple):
    """What a recorded run leaves for the way back.

    Attributes
    ----------
    runs : list of Recorded
        Of the first layer forwards, backwards if both, of the second layer, and so on. A reverse one has the rows of
        each sequence from its end.
    dropped : list of (N, features) arrays
        What the outputs of the layers but the last were multiplied with; empty without dropout.
    """

    runs: list[Recorded]
    dropped: list[Array]


class Stack:
    """Layers over layers, on batches of one shape; the plan of such calls.

    Parameters
    ----------
    layers : sequence of sequences of Projected
        Of each layer the one forwards, and the one backwards if there is one. Without a projection P has no rows.
    batch : Batch
    record : bool
        Whether runs are recorded for a way back.
    n_threads : int or None
        At most so many threads.
    """

    def __init__(
        self, layers: Sequence[Sequence[Projected]], batch: Batch, record: bool, n_threads: int | None
    ) -> None:
        first = layers[0][0]
        u = structs.Weights(*first.weights).u
        self.batch, self._n_threads, self._dtype = batch, n_threads, u.dtype
        self._directions, self._count = len(layers[0]), len(layers) * len(layers[0])
        size = len(u) // GATES
        self._inputs, self._sizes = structs.Weights(*first.weights).w.shape[1], (u.shape[1], size)
        self._state_shapes = [(self._count, batch.batch, features) for features in self._sizes]
        self._projected: list[ProjectedLevel] = []
        self._apart: list[Level] = []
        self._groups: dict[int, list[Level]] = {}
        if len(first.projection):
            self._projected = [ProjectedLevel(each, batch, record, n_threads) for each in layers]
        else:
            names = "", "_second"
            self._apart = [
                Level([Direction(one.weights, one.gradients, batch, record, names[(k + level) % 2])
                       for k, one in enumerate(each)], False, n_threads)
                for level, each in enumerate(layers)
            ]

    def _together(self, apart: bool = False) -> list[Level]:
        """What runs at the same time, from the lowest layer."""
        if apart or len(self._apart) == 1 or self._directions == 2:
            return self._apart
        workers = available(self._n_threads)
        found = self._groups.get(workers)
        if found is not None:
            return found
        levels, k, inputs = [], 0, self._inputs
        while k < len(self._apart):
            level, above = self._apart[k], self._apart[k + 1 : k + 2]
            size = level.directions[0].size
            if above and overlap.following_pays(self.batch, inputs, size, self._dtype, workers):
                level = Level([*level.directions, *above[0].directions], True, self._n_threads)
            levels.append(level)
            k, inputs = k + len(level.directions), size
        self._groups[workers] = levels
        return levels

    def infer(self, x: Array, initial: States) -> tuple[Array, States]:
        """Run over all layers without a way back: what a layer took is let go of as soon as the next has its outputs.

        Parameters
        ----------
        x : (N, input) array
        initial : tuple of arrays
            Initial states, not changed; without layers: zeros.

        Returns
        -------
        output : (N, features) array
        final : tuple of arrays
            States after each sequence's last step.
        """
        final = self._new_states()
        if self._projected:
            return self._run_projected(x, initial, final, [])[0], final
        if self._count == 1:  # what follows does the same, and takes a tenth of a small call's time
            return self._apart[0].forward([x], [(*initial, *final, 0)])[0].hidden[self.batch.batch :], final
        first, states = 0, None  # the array that x is a part of
        for level in self._together():
            count = len(level.directions)
            given = [(*initial, *final, k) for k in range(first, first + count)]
            first += count
            if self._directions == 2:
                runs = level.forward([x, self.batch.reversed(x)], given)
                outputs = [run.hidden[self.batch.batch :] for run in runs]
                del runs
                x = outputs[-1]  # which lets go of what it was before there is anything new
                x = self.batch.joined(*outputs)
                del outputs
            else:
                # The last of two may write over what the first takes: when it comes to a step, the first has done with
                # the inputs of that step, and looks at later ones only.
                runs = level.forward([x], given, hidden=states if count == 2 or states is None else None)
                states = runs[-1].hidden
                x = states[self.batch.batch :]
                del runs
        return x, final

    def record(
        self, x: Array, initial: States, masks: Sequence[Array], dropped: list[Array]
    ) -> tuple[Array, States, StackTape]:
        """Run over all layers and keep what `backward` needs.

        Parameters
        ----------
        x, initial
            As for `infer`.
        masks : sequence of (batch, H) arrays
            For each layer and direction, what hidden states are multiplied with on their way to the next step; empty
            for nothing.
        dropped : list of (N, features) arrays
            What the outputs of the layers but the last are multiplied with; empty for nothing.

        Returns
        -------
        output, final
            As from `infer`.
        tape : StackTape
        """
        final = self._new_states()
        if self._projected:
            x, recorded = self._run_projected(x, initial, final, dropped)
            return x, final, StackTape(recorded, dropped)
        recorded = []
        rows = self.batch.batch
        for level in self._together():
            first, count = len(recorded), len(level.directions)
            layer = first // self._directions
            if layer and dropped:
                x = x * dropped[layer - 1]
            inputs = [x, self.batch.reversed(x)] if self._directions == 2 else [x]
            between = dropped[layer] if level.chained and dropped else None
            runs = level.forward(
                inputs, [(*initial, *final, k) for k in range(first, first + count)], masks[first : first + count],
                between,
            )
            recorded += [Recorded(run.batch, run.tape) for run in runs]
            outputs = [run.hidden[rows:] for run in runs]
            x = self.batch.joined(*outputs) if self._directions == 2 else outputs[-1]
        return x, final, StackTape(recorded, dropped)

    def _run_projected(
        self, x: Array, initial: States, final: States, dropped: list[Array]
    ) -> tuple[Array, list[Recorded]]:
        recorded: list[Recorded] = []
        for k, level in enumerate(self._projected):
            if k and dropped:
                x = x * dropped[k - 1]
            inputs = [x, self.batch.reversed(x)] if self._directions == 2 else [x]
            first = k * self._directions
            states = [(*initial, *final, j) for j in range(first, first + self._directions)]
            outputs, runs = level.forward(inputs, states)
            recorded += [Recorded(run.batch, run.tape) for run in runs]
            del inputs
            x = self.batch.joined(*outputs) if self._directions == 2 else outputs[0]
            del outputs
        return x, recorded

    def backward(
        self, tape: StackTape, d_y: Array, d_final: States, truncate: int | None, stride: int
    ) -> tuple[Array, States]:
        """Gradients of a run, which are added to those of the weights.

        Parameters
        ----------
        tape : StackTape
            From `record`.
        d_y : (N, features) array
            Gradient at the output.
        d_final : tuple of arrays
            Gradients at the final states; without layers: zeros.
        truncate, stride
            As `Level.backward` takes them; each layer and direction is walked back by itself.

        Returns
        -------
        d_x : (N, input) array
        d_initial : tuple of arrays
            Gradients at the initial states.
        """
        d_initial, end = self._new_states(), self._count
        levels: Sequence[Level | ProjectedLevel] = self._projected or self._together(apart=truncate is not None)
        for level in reversed(levels):
            chained = isinstance(level, Level) and level.chained
            first, top = end - (2 if chained else self._directions), (end - 1) // self._directions
            if top < len(tape.dropped):
                d_y = d_y * tape.dropped[top]
            parts = self.batch.split(d_y) if self._directions == 2 else [d_y] * (end - first)
            deltas = []
            for k in range(first, end):
                inputs = self._inputs if k // self._directions == 0 else self._sizes[0] * self._directions
                d_x = empty((self.batch.rows, inputs), self._dtype)
                deltas.append((parts[k - first], d_x, *d_final, *d_initial, k))
            if isinstance(level, Level):
                between = tape.dropped[top - 1] if chained and tape.dropped else None
                level.backward(tape.runs[first:end], deltas, truncate, stride, between)
            else:
                level.backward(tape.runs[first:end], deltas)
            d_y = structs.Deltas(*deltas[0]).d_x
            if self._directions == 2:
                d_y += self.batch.reversed(structs.Deltas(*deltas[1]).d_x)
            end = first
        return d_y, d_initial

    def _new_states(self) -> States:
        h, c = self._state_shapes
        return numpy.empty(h, self._dtype), numpy.empty(c, self._dtype)
