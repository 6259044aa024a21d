"""A model's computations through the kernels: one layer, then the output layer, for all sequences at once."""

import itertools
import math
from typing import Any, NamedTuple, TypeAlias

import numpy

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.engine import linear
from fastlstm.engine.cores import useful
from fastlstm.engine.direction import Direction, Recorded, Run
from fastlstm.engine.level import Level
from fastlstm.engine.plans import Plans
from fastlstm.engine.workspace import Shape, workspace
from fastlstm.model.sequences import Layout, Sequences
from fastlstm.oracle.lstm import GATES
from fastlstm.parameters import Buffer
from fastlstm_kernels.activations import IDENTITY
from fastlstm_kernels.output import ELEMENTWISE, ERROR, JACOBIAN
from fastlstm_kernels.structs import Batch, Tape

__all__ = ["ELEMENTWISE", "ERROR", "JACOBIAN", "Compiled"]

Codes: TypeAlias = tuple[int, int, int]
States: TypeAlias = tuple[Array, Array]
ORDER = numpy.arange(4)
"""The kernels' gates f, i, g, o stand in this order in a model's weights."""


class Plan(NamedTuple):
    """What depends on the shape of a call alone."""

    layout: Layout
    level: Level
    direction: Direction
    hidden: Shape
    outputs: Shape


class Compiled:
    """What a model computes, over its buffer of parameters.

    Parameters
    ----------
    parameters : Buffer
        The model's.

    Attributes
    ----------
    recurrent : list of (hidden, hidden) arrays
        U of each gate.
    gate_shapes : list of lists of shapes
        Of what each gate's method is given, but for dLdX.
    """

    def __init__(self, parameters: Buffer) -> None:
        self._parameters = parameters
        self._w, self._b = parameters["W_o"], parameters["b_o"]
        self._plans: Plans[Plan] = Plans()
        size, inputs = parameters["W_f"].shape
        shapes = [(4 * size, inputs), (4 * size, size), (4 * size,), self._w.shape, self._b.shape]
        ends = [0, *itertools.accumulate(map(math.prod, shapes))]
        self._places = [(slice(a, b), shape) for a, b, shape in zip(ends, ends[1:], shapes, strict=False)]
        self.recurrent = [parameters["U_" + g] for g in GATES]
        vector = (size,)
        last = [vector, (inputs,), (size, inputs), (size, size), vector, vector]
        self.gate_shapes = [[vector] * own + last for own in (3, 3, 3, 2)]

    def __reduce__(self) -> tuple[Any, ...]:
        return Compiled, (self._parameters,)

    def _plan(self, X: Sequences, codes: Codes, record: bool, n_threads: int | None, gates: int = 4) -> Plan:
        key = X.shape, codes[:2], record, n_threads, gates
        return self._plans.get(key, self._new_plan, X, codes, record, n_threads, gates)

    def _new_plan(self, X: Sequences, codes: Codes, record: bool, n_threads: int | None, gates: int) -> Plan:
        layout, none = Layout(X, n_threads), self._b[:0]
        weights = (*self.parts(self._parameters.flat)[:3], none, ORDER, *codes[:2])
        direction = Direction(weights, (), layout.batch, record, gates=gates)  # gradients come with each call
        rows, count = layout.batch.rows, layout.batch.batch
        hidden, outputs = (count + rows, direction.size), (rows, len(self._b))
        return Plan(layout, Level([direction], False, n_threads), direction, hidden, outputs)

    def infer(
        self, codes: Codes, n_threads: int | None, X: Sequences, initial: States | None = None
    ) -> tuple[Any, States]:
        """Outputs of all steps, keeping nothing else.

        Parameters
        ----------
        codes, n_threads
            The model's activation codes, and at most how many threads.
        X : Sequences
            Inputs.
        initial : tuple of two (n, hidden) arrays, optional
            Hidden and cell states, not changed; zeros by default.

        Returns
        -------
        outputs : array or list of arrays
            In the form of X.
        final : tuple of two (n, hidden) arrays
            Hidden and cell states.
        """
        plan = self._plan(X, codes, False, n_threads)
        outputs = plan.layout.result("outputs", plan.outputs, self._b.dtype)
        final = self._pass(plan, codes, n_threads, X, initial, outputs)
        return plan.layout.unpack(outputs), final

    def losses(self, codes: Codes, n_threads: int | None, X: Sequences, Y: Sequences) -> Array:
        """Cross-entropy of each step, (N,), from zero state, for an output that is softmax; arguments as of `infer`."""
        plan = self._plan(X, codes, False, n_threads)
        logits = workspace.array("outputs", plan.outputs, self._b.dtype)
        self._pass(plan, (*codes[:2], IDENTITY), n_threads, X, None, logits)
        losses = numpy.empty(len(logits))
        kernels.losses_of_logits(logits, plan.layout.pack(Y, "y"), losses)
        return losses

    def _pass(
        self, plan: Plan, codes: Codes, n_threads: int | None, X: Sequences, initial: States | None, outputs: Array
    ) -> States:
        """Run forwards, write the outputs (N, output), and return the final states."""
        direction, n, dtype = plan.direction, len(X.items), self._b.dtype
        h_n, c_n = numpy.empty((1, n, direction.size), dtype), numpy.empty((1, n, direction.size), dtype)
        h_0, c_0 = (h[None] for h in initial) if initial else (direction.no_states, direction.no_states)
        hidden = workspace.array("hidden", plan.hidden, dtype)
        plan.level.forward([plan.layout.pack(X, "x")], [(h_0, c_0, h_n, c_n, 0)], hidden=hidden)
        linear.forwards(hidden[n:], self._w, self._b, codes[2], outputs, outputs, n_threads)
        return h_n[0], c_n[0]

    def _record(self, plan: Plan, codes: Codes, n_threads: int | None, X: Sequences, outputs: Array) -> Run:
        """Run forwards from zero state and keep everything, in working arrays but for the `outputs` (2, N, output)."""
        direction, n = plan.direction, len(X.items)
        none, final = direction.no_states, numpy.empty((1, n, direction.size), direction.dtype)  # not asked for
        (run,) = plan.level.forward([plan.layout.pack(X, "x")], [(none, none, final, final, 0)], reuse=True)
        before, values = outputs
        linear.forwards(run.hidden[n:], self._w, self._b, codes[2], before, values, n_threads)
        return run

    def everything(self, codes: Codes, n_threads: int | None, X: Sequences) -> tuple[Any, ...]:
        """What `LSTM.feed_forward_and_cache` returns; parameters as for `infer`."""
        plan = self._plan(X, codes, True, n_threads)
        layout, direction, dtype = plan.layout, plan.direction, self._b.dtype
        outputs = layout.result("outputs", (2, *plan.outputs), dtype)
        run = self._record(plan, codes, n_threads, X, outputs)
        tape, x = Tape(*run.tape), Batch(*run.batch).x
        z = workspace.array("z", tape.gates.shape, dtype)
        rows = layout.result("everything", (10, layout.batch.rows, direction.size), dtype)
        workers = useful(n_threads, 8 * layout.batch.rows * direction.inputs * direction.size)
        if direction.is_unpacked:
            z[...] = run.panels[:, : z.shape[1]]
        else:
            kernels.preactivations(x, layout.batch.offsets, run.panels, z, tape.hidden, workers)
        kernels.run_rows(z, tape.gates, tape.cells, tape.hidden, rows)
        *of_run, cells = layout.unpack_each(rows)
        return (*of_run, *layout.unpack_each(outputs), cells)

    def gradients(
        self, codes: Codes, n_threads: int | None, X: Sequences, Y: Sequences, form: int, truncate: int | None,
        stride: int, exact: bool, out: list[Array],
    ) -> Any:
        """Gradients by truncated back-propagation through time.

        Parameters
        ----------
        codes, n_threads, X
            As for `infer`.
        Y : Sequences
            Targets.
        form : {ERROR, ELEMENTWISE, JACOBIAN}
            What the error O - Y is multiplied with: nothing, the elementwise derivative of a2, the softmax's Jacobian.
        truncate : int or None
            How many steps the errors of a group of steps are walked back before it; None for all.
        stride : int
            Steps of a group.
        exact : bool
            The true gradient, or the "reference" one.
        out : list of arrays
            From `parts`. Written: gradients of the parameters, summed over the sequences.

        Returns
        -------
        array or list of arrays
            Gradient at the inputs, in the form of X.
        """
        plan = self._plan(X, codes, True, n_threads, 4 if exact else 3)
        layout, level, direction, n, dtype = plan.layout, plan.level, plan.direction, len(X.items), self._b.dtype
        outputs = workspace.array("outputs", (2, *plan.outputs), dtype)
        run = self._record(plan, codes, n_threads, X, outputs)
        values, hidden = outputs[1], run.hidden[n:]
        delta = workspace.array("delta", plan.outputs, dtype)
        kernels.output_delta(form, codes[2], values, layout.pack(Y, "y"), delta)
        for part in out:
            part[...] = 0
        d_w, d_u, d_b, d_w_o, d_b_o = out
        d_y = workspace.array("d_y", hidden.shape, dtype)
        linear.backwards(delta, hidden, self._w, d_w_o, d_b_o, d_y, n_threads)
        d_x = layout.result("d_x", (len(hidden), direction.inputs), dtype)
        d_h_0, d_c_0 = workspace.array("d_initial", (2, 1, n, direction.size), dtype)
        none = direction.no_states
        direction.gradients = d_w, d_u, d_b, self._b[:0]
        level.backward([Recorded(run.batch, run.tape)], [(d_y, d_x, none, none, d_h_0, d_c_0, 0)], truncate, stride)
        return layout.unpack(d_x)

    def parts(self, flat: Array) -> list[Array]:
        """Views of an array like the flat parameters: W, U and b of the four gates together, W_o and b_o."""
        return [flat[place].reshape(shape) for place, shape in self._places]

    @staticmethod
    def by_gate(parts: list[Array]) -> tuple[Any, ...]:
        """Of what comes from `parts`, (W, U, b) of each gate, and (W, b) of the output layer."""
        *of_gates, w_o, b_o = parts
        gates = [part.reshape(4, -1, *part.shape[1:]) for part in of_gates]
        return (*zip(*gates, strict=True), (w_o, b_o))
