"""What runs together: one layer in one direction; both directions of one; or a layer and the one above it."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.engine import overlap
from fastlstm.engine.choice import Choice
from fastlstm.engine.cores import useful
from fastlstm.engine.direction import Arrays, BackRun, Direction, Recorded, Run
from fastlstm.engine.workspace import empty
from fastlstm_kernels.pack import blocks
from fastlstm_kernels.structs import Deltas
from fastlstm_kernels.threads import share_units


class Level:
    """One or two layers over batches of one shape.

    Parameters
    ----------
    directions : sequence of Direction
        The two directions of a layer; or with `chained` a layer, and the one above it.
    chained : bool
        Whether the second takes the outputs of the first.
    n_threads : int or None
        At most so many threads.
    """

    def __init__(self, directions: Sequence[Direction], chained: bool, n_threads: int | None) -> None:
        self.directions, self.chained, self._n_threads = list(directions), chained, n_threads
        self._flops = sum(direction.flops for direction in directions)
        self._turns: Array | None = None
        self._choices: dict[Any, Choice] = {}

    def forward(
        self, inputs: Sequence[Array], states: Sequence[Arrays], masks: Sequence[Array] = (),
        between: Array | None = None, hidden: Array | None = None, reuse: bool = False,
    ) -> list[Run]:
        """Run over all steps.

        Parameters
        ----------
        inputs : sequence of (N, input) arrays
            For each layer; for the first only where they are chained.
        states : sequence of tuples
            Of each layer; see `fastlstm_kernels.structs.States`.
        masks : sequence of (batch, H) arrays
            Of each layer, what hidden states are multiplied with on their way to the next step; empty for nothing.
        between : (N, H) array, optional
            What the outputs of the first are multiplied with on their way to the second.
        hidden : (batch + N, H) array, optional
            Where the last layer's hidden states go; a new array by default.
        reuse
            As for `Direction.forward`.
        """
        if len(self.directions) == 1:
            only = self.directions[0]
            run = only.forward(inputs[0], states[0], masks[0] if masks else None, hidden, reuse)
            self._chosen("forward", self._flops, only.run_forward, *run)
            return [run]
        runs: list[Run] = []
        for k, direction in enumerate(self.directions):
            x = self._handed(runs[0].hidden[direction.batch.batch :], between) if self.chained and k else inputs[k]
            runs.append(direction.forward(x, states[k], masks[k] if masks else None, hidden if k else None, reuse))
        self._chosen("forward", self._flops, self._run_forward, runs, between)
        return runs

    def _run_forward(self, runs: list[Run], between: Array | None, workers: int) -> None:
        if self._overlaps(workers):
            first, second = runs
            kernels.forward_pair(
                tuple(first), tuple(second), self._schedule(), self.chained, self._between(between), workers
            )
        else:
            for direction, run in zip(self.directions, runs, strict=True):
                direction.run_forward(*run, workers)

    def backward(
        self, recorded: Sequence[Recorded], deltas: Sequence[Arrays], truncate: int | None = None, stride: int = 1,
        between: Array | None = None,
    ) -> None:
        """Gradients of a run.

        Parameters
        ----------
        recorded : sequence of Recorded
            Of each layer, in the order of `directions`.
        deltas : sequence of tuples
            Of each layer; see `fastlstm_kernels.structs.Deltas`. Where they are chained, the first has no `d_y` that is
            looked at: it is the second's `d_x`.
        truncate : int or None
            How many steps the errors of a group of steps are walked back before it; None for all.
        stride : int
            Steps of a group.
        between
            As for `forward`.
        """
        if truncate is not None:
            steps = self.directions[0].batch.duration
            truncate = None if truncate >= (-(-steps // stride) - 1) * stride else truncate
        work = recorded, deltas, truncate, stride, between
        self._chosen((truncate, stride), 2 * self._flops, self._run_backward, *work)

    def _run_backward(
        self, recorded: Sequence[Recorded], deltas: Sequence[Arrays], truncate: int | None, stride: int,
        between: Array | None, workers: int,
    ) -> None:
        if truncate is None and len(self.directions) == 1:
            direction = self.directions[0]
            direction.run_backward(*direction.backward(recorded[0], deltas[0], workers), workers)
            return
        together = truncate is None and self._overlaps(workers)
        backs = [
            direction.backward(record, delta, 1 if together else workers)
            for direction, record, delta in zip(self.directions, recorded, deltas, strict=True)
        ]
        if self.chained:
            backs = self._downwards(backs, between)
        if together:
            first, second = backs
            kernels.backward_pair(
                tuple(first), tuple(second), self._schedule(), self.chained, self._between(between), workers
            )
            return
        for direction, back in zip(self.directions, backs, strict=True):
            if truncate is None:
                direction.run_backward(*back, workers)
            else:
                back, window = direction.window(back, truncate, stride, workers)
                kernels.layer_truncated_backward(*back, window, workers)

    def _chosen(self, work: Any, flops: int, run: Callable[..., None], *arguments: Any) -> None:
        """``run(*arguments, workers)``, with as many as have turned out to be fastest for `work`."""
        choice = self._choices.get(work)
        if choice is not None and choice.rests():
            run(*arguments, 1)
            return
        most = useful(self._n_threads, flops)
        if most == 1:
            run(*arguments, 1)
            return
        choice = choice or self._choice(work)
        workers, begin = choice.workers(most), perf_counter()
        run(*arguments, workers)
        choice.took(perf_counter() - begin)

    def _choice(self, work: Any) -> Choice:
        """Of the workers for some work, which has always the same steps."""
        first = self.directions[0]
        batch, size, count = first.batch.batch, first.size, blocks(first.size, first.dtype)
        ragged = first.batch.rows < first.batch.duration * batch
        # Sequences or units for each; without `self`, as a circle of references would hold its arrays.
        choice = Choice(lambda workers: batch >= workers or share_units(batch, size, count, workers, ragged))
        self._choices[work] = choice
        return choice

    def _downwards(self, backs: list[BackRun], between: Array | None) -> list[BackRun]:
        """The layer above first, whose gradient at its inputs is that at the outputs of the one below."""
        below, above = backs
        d_y = self._handed(Deltas(*above.deltas).d_x, between)
        return [above, below._replace(deltas=tuple(Deltas(*below.deltas)._replace(d_y=d_y)))]

    def _overlaps(self, workers: int) -> bool:
        first = self.directions[0]
        if self.chained or first.batch.duration == 1:
            return self.chained
        return overlap.independent_pays(first.batch.batch, first.size, first.dtype, workers)

    def _schedule(self) -> Array:
        if self._turns is None:
            first = self.directions[0]
            turns = overlap.following if self.chained else overlap.independent
            self._turns = turns(first.batch, first.size, first.dtype)
        return self._turns

    def _between(self, between: Array | None) -> Array:
        return self.directions[0].no_mask if between is None else between

    def _handed(self, rows: Array, between: Array | None) -> Array:
        """Where a layer of a chain finds what the other gives it."""
        return rows if between is None else empty(rows.shape, rows.dtype)
