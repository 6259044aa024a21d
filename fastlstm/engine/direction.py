"""One direction of one layer over batches of one shape: the arrays that the kernels take."""

import math
from typing import Any, NamedTuple, TypeAlias

import numpy

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.engine.batch import Batch
from fastlstm.engine.workspace import Shape, Together, maker, rows_at_once, workspace
from fastlstm_kernels import structs
from fastlstm_kernels.forward import INPUT_ROWS
from fastlstm_kernels.gates import FACTORS, GATES
from fastlstm_kernels.gradients import SCRATCH
from fastlstm_kernels.pack import blocks, panels_shape, transposed_shape
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.tile import WIDTH
from fastlstm_kernels.truncated import WINDOW_ROWS, WINDOW_SEQUENCES, shares_windows
from fastlstm_kernels.unpacked import is_unpacked

Arrays: TypeAlias = tuple[Any, ...]
"""A tuple of arrays of one role; see `fastlstm_kernels.structs`."""

HELD = 1 << 16
"""Elements up to which a plan holds its working arrays, rather than to ask for them in every call."""


_HIDDEN = structs.Tape._fields.index("hidden")  # to make a Tape of it takes 0.3 µs


def no_states(dtype: numpy.dtype[Any]) -> Array:
    """No layers: what stands for states that are zero."""
    return numpy.empty((0, 0, 0), dtype)


class Run(NamedTuple):
    """A run forwards: the arguments of `fastlstm_kernels.layer_forward` but for the last."""

    weights: Arrays
    batch: Arrays
    states: Arrays
    tape: Arrays
    panels: Array
    record: bool

    @property
    def hidden(self) -> Array:
        """Hidden states, (batch + N, H), the initial ones first."""
        hidden: Array = self.tape[_HIDDEN]
        return hidden


class Recorded(NamedTuple):
    """What a run leaves for the way back."""

    batch: Arrays
    tape: Arrays


class BackRun(NamedTuple):
    """A way back over a run: the arguments of `fastlstm_kernels.layer_backward` but for the last."""

    weights: Arrays
    batch: Arrays
    tape: Arrays
    deltas: Arrays
    gradients: Arrays
    scratch: Arrays


class Direction:
    """A layer in one direction, over batches of one shape.

    Parameters
    ----------
    weights, gradients : tuples
        `fastlstm_kernels.structs.Weights` and `Gradients`.
    batch : Batch
        How the rows lie.
    record : bool
        Whether runs are recorded for a way back.
    suffix : str
        What the names of its working arrays end with: another one for each of two that run together.
    gates : int
        How many gates go back through U and W: 4, or 3 for the "reference" gradient.

    Attributes
    ----------
    run_forward, run_backward : callables
        The kernels that take a `Run` and a `BackRun`, untruncated.
    """

    def __init__(
        self, weights: Arrays, gradients: Arrays, batch: Batch, record: bool, suffix: str = "", gates: int = GATES
    ) -> None:
        w, u = weights[:2]
        self.weights, self.gradients, self.batch, self.record = tuple(weights), tuple(gradients), batch, record
        self.inputs, self.size, self.dtype = w.shape[1], u.shape[1], u.dtype
        self.flops = 8 * batch.rows * self.size * (self.size + self.inputs)
        self._suffix, self._gates = suffix, gates
        self.no_states, self.no_mask = no_states(self.dtype), numpy.empty((0, 0), self.dtype)
        self._blocks, vector = blocks(self.size, self.dtype), lanes(self.dtype)
        rows = batch.rows if record else max(batch.batch, min(batch.rows, INPUT_ROWS))
        self.is_unpacked = is_unpacked(batch.duration, batch.batch, self.inputs, self.size)
        self.run_forward = kernels.unpacked_forward if self.is_unpacked else kernels.layer_forward
        self.run_backward = kernels.unpacked_backward if self.is_unpacked else kernels.layer_backward
        self._hidden_shape = batch.batch + batch.rows, self.size
        self._new_hidden = maker(self._hidden_shape, self.dtype)
        self._gates_shape = self._blocks, rows, WIDTH * vector
        self._cells_shape = self._blocks, batch.batch + (batch.rows if record else 0), vector
        self._tapes = Together((self._hidden_shape, self._gates_shape, self._cells_shape), self.dtype)
        panels = math.prod(panels_shape(self.inputs, self.size, self.dtype))
        self._is_small = math.prod(self._gates_shape) + panels < HELD
        self._held: dict[Any, Any] = {}

    def _working(self, name: str, shape: Shape) -> Array:
        return workspace.array(name + self._suffix, shape, self.dtype)

    def _once(self, key: Any, make: Any) -> Any:
        """What `make` gives, held if it is small."""
        found = self._held.get(key)
        if found is None:
            found = make()
            if self._is_small:
                self._held[key] = found
        return found

    def forward(
        self, x: Array, states: Arrays, mask: Array | None = None, hidden: Array | None = None, reuse: bool = False
    ) -> Run:
        """Get a run ready.

        Parameters
        ----------
        x : (N, input) array
            Inputs.
        states : tuple
            `fastlstm_kernels.structs.States`.
        mask : (batch, H) array, optional
            What the hidden states are multiplied with on their way to the next step.
        hidden : (batch + N, H) array, optional
            Where the hidden states go; a new array by default.
        reuse : bool
            Whether the tape is a working array, to be done with before the next call.
        """
        batch = self.batch
        if not self.record:
            panels, gates, cells = self._once("passing", self._passing_run)
            if hidden is None:
                hidden = self._new_hidden()
        elif reuse:
            panels, gates, cells, hidden = self._once("reused", self._reused_run)
        else:
            panels = self._once("panels", self._panels)
            hidden, gates, cells = self._tapes.new()
        h_in = hidden
        if mask is None:
            mask = self.no_mask
        else:
            h_in = self._new_hidden()
        return Run(
            self.weights, (x, batch.offsets, batch.ends, batch.places), states, (gates, cells, hidden, h_in, mask),
            panels, self.record,
        )

    def _panels(self) -> Array:
        return self._working("panels", panels_shape(self.inputs, self.size, self.dtype))

    def _passing_run(self) -> tuple[Array, Array, Array]:
        gates, cells = self._working("gates", self._gates_shape), self._working("cells", self._cells_shape)
        return self._panels(), gates, cells

    def _reused_run(self) -> tuple[Array, Array, Array, Array]:
        return (
            self._panels(), self._working("tape_gates", self._gates_shape),
            self._working("tape_cells", self._cells_shape), self._working("tape_hidden", self._hidden_shape),
        )

    def backward(self, recorded: Recorded, deltas: Arrays, workers: int) -> BackRun:
        """Get a way back ready.

        Parameters
        ----------
        recorded : Recorded
            Of a run.
        deltas : tuple
            `fastlstm_kernels.structs.Deltas`.
        workers : int
            How many workers there will be at most.
        """
        scratch = self._once(("back", workers), lambda: self._back_scratch(workers))
        return BackRun(self.weights, recorded.batch, recorded.tape, deltas, self.gradients, scratch)

    def _back_scratch(self, workers: int) -> Arrays:
        count, _, width = self._gates_shape
        batch, transposed_u = self.batch, transposed_shape(self.size, self.size, self.dtype, self._gates)
        return (
            self._working("transposed_u", transposed_u),
            self._working("transposed_w", transposed_shape(self.inputs, self.size, self.dtype, self._gates)),
            self._working("d_h", (transposed_u[0], batch.batch, width)),
            self._working("d_c", (count, batch.batch, width // WIDTH)),
            self._working("dz", (count, rows_at_once(batch.batch, batch.rows, count, self.dtype), width)),
            self._working("d_panels", panels_shape(self.inputs, self.size, self.dtype)),
            self._working("work", (workers, SCRATCH)),
        )

    def window(self, back: BackRun, truncate: int, stride: int, workers: int) -> tuple[BackRun, Arrays]:
        """The same with truncation, and `fastlstm_kernels.structs.Window` for it."""
        (count, rows, width), batch, vector = self._gates_shape, self.batch.batch, self._gates_shape[2] // WIDTH
        work = structs.Scratch(*back.scratch)
        shared = shares_windows(batch, workers)
        groups = (self.batch.duration - 1) // stride + 1
        lines = max(WINDOW_ROWS, WINDOW_SEQUENCES)
        if shared:
            lines = rows_at_once(batch, groups * batch, count, self.dtype) // batch * batch
        stores = 1 if shared else workers
        window = (
            truncate, stride, self._working("d_h_0", work.d_h.shape),
            self._working("d_c_0", work.d_c.shape),
            self._working("window_d_h", (stores, len(work.transposed_u), lines, width)),
            self._working("window_d_c", (stores, count, lines, vector)),
            self._working("factors", (count, rows, FACTORS * vector)),
            self._working("window_dz", (workers, count, max(WINDOW_ROWS, batch), width)),
        )
        whole = work._replace(dz=self._working("dz", self._gates_shape))
        return back._replace(scratch=tuple(whole)), window
