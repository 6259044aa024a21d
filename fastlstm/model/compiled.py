"""A model's computations through the kernels: one layer, then the output layer, for all sequences at once."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.engine import linear
from fastlstm.engine.cores import useful
from fastlstm.engine.direction import Arrays, Direction, Recorded, Run
from fastlstm.engine.level import Level
from fastlstm.engine.plans import Plans
from fastlstm.engine.vectors import by_row
from fastlstm.engine.workspace import empty, workspace
from fastlstm.model.sequences import Sequences
from fastlstm.parameters import Buffer
from fastlstm_kernels.output import ELEMENTWISE, ERROR, JACOBIAN
from fastlstm_kernels.structs import Tape as RunTape

__all__ = ["ELEMENTWISE", "ERROR", "JACOBIAN", "Compiled", "Tape", "gate", "output_delta"]

Codes: TypeAlias = tuple[int, int, int]
ORDER = numpy.arange(4)
"""The gates f, i, c, hf stand in this order in a model's weights."""

GATE_NUMBERS = {"forget": 0, "input": 1, "candidate": 2, "hidden_filter": 3}


@dataclass(frozen=True)
class Tape:
    """What a forward run keeps for the way back; N rows packed as by `Sequences.pack`.

    Attributes
    ----------
    run : Run
    output_args, outputs : (N, output) arrays
    """

    run: Run
    output_args: Array
    outputs: Array

    @property
    def arrays(self) -> RunTape:
        """What the layer's run has kept."""
        return RunTape(*self.run.tape)


class Compiled:
    """What a model computes, over its buffer of parameters.

    Parameters
    ----------
    parameters : Buffer
        The model's.
    """

    def __init__(self, parameters: Buffer) -> None:
        self._parameters = parameters
        self._w, self._b = parameters["W_o"], parameters["b_o"]
        self._plans: Plans[Level] = Plans()

    def __reduce__(self) -> tuple[Any, ...]:
        return Compiled, (self._parameters,)

    def _plan(self, X: Sequences, codes: Codes, record: bool, n_threads: int | None, gates: int = 4) -> Level:
        def make() -> Level:
            none = self._b[:0]
            weights = (*_stacked(self._parameters), none, ORDER, *codes[:2])
            direction = Direction(weights, (), X.batch(n_threads), record, gates=gates)  # gradients come with each call
            return Level([direction], False, n_threads)

        return self._plans.get((X.shape(), codes[:2], record, n_threads, gates), make)

    def infer(
        self, codes: Codes, n_threads: int | None, X: Sequences, h: Array, S: Array
    ) -> tuple[Array, Array, Array]:
        """Outputs of all steps, keeping nothing else.

        Parameters
        ----------
        codes, n_threads
            The model's activation codes, and at most how many threads.
        X : Sequences
            Inputs.
        h, S : (n, hidden) arrays
            Initial states, not changed; without rows: zeros.

        Returns
        -------
        outputs : (N, output) array
        h, S : (n, hidden) arrays
            Final states.
        """
        level, n = self._plan(X, codes, False, n_threads), len(X.items)
        batch, size, dtype = level.directions[0].batch, level.directions[0].size, h.dtype
        h_n, S_n = numpy.empty((2, 1, n, size), dtype)
        hidden = workspace.array("hidden", (n + batch.rows, size), dtype)
        (run,) = level.forward([X.pack("x", True)], [(h[None], S[None], h_n, S_n, 0)], hidden=hidden)
        outputs = X.result("outputs", (batch.rows, len(self._b)), dtype)
        linear.forwards(run.hidden[n:], self._w, self._b, codes[2], outputs, outputs, n_threads)
        return outputs, h_n[0], S_n[0]

    def record(
        self, codes: Codes, n_threads: int | None, X: Sequences, exact: bool = True, reuse: bool = False
    ) -> Tape:
        """Run forwards from zero state and keep everything.

        Parameters
        ----------
        codes, n_threads
            As for `infer`.
        X : Sequences
            Inputs.
        exact : bool
            As for `backward`.
        reuse : bool
            Whether the tape is of working arrays, to be done with before the next call.

        Returns
        -------
        Tape
        """
        level, n = self._plan(X, codes, True, n_threads, 4 if exact else 3), len(X.items)
        batch, size, dtype = level.directions[0].batch, level.directions[0].size, self._b.dtype
        none, (h_n, S_n) = level.directions[0].no_states, numpy.empty((2, 1, n, size), dtype)
        (run,) = level.forward([X.pack("x", reuse)], [(none, none, h_n, S_n, 0)], reuse=reuse)
        shape = batch.rows, len(self._b)
        if reuse:
            before, values = (workspace.array(name, shape, dtype) for name in ("output_args", "outputs"))
        else:
            before, values = empty(shape, dtype), empty(shape, dtype)
        linear.forwards(run.hidden[n:], self._w, self._b, codes[2], before, values, n_threads)
        return Tape(run, before, values)

    def gate_rows(self, n_threads: int | None, tape: Tape) -> tuple[Array, Array]:
        """Pre-activations and values of the gates f, i, c, hf as rows, (N, 4 hidden), of a tape just recorded."""
        run, (x, offsets, *_), size = tape.arrays, tape.run.batch, tape.run.hidden.shape[1]
        z = workspace.array("z", run.gates.shape, run.gates.dtype)
        workers = useful(n_threads, 8 * x.size * size)
        kernels.preactivations(x, offsets, tape.run.panels, z, run.hidden, workers)
        return by_row(z, size), by_row(run.gates, size)

    def backward(
        self, codes: Codes, n_threads: int | None, X: Sequences, tape: Tape, delta: Array, truncate: int | None,
        stride: int, exact: bool, out: Buffer,
    ) -> Array:
        """Gradients by truncated back-propagation through time.

        Parameters
        ----------
        codes, n_threads
            As for `infer`.
        X : Sequences
            Inputs.
        tape : Tape
            From `record` with the same X.
        delta : (N, output) array
            Gradient at the output layer's pre-activations.
        truncate : int or None
            How many steps the errors of a group of steps are walked back before it; None for all.
        stride : int
            Steps of a group.
        exact : bool
            The true gradient, or the "reference" one.
        out : Buffer
            Written: gradients of the parameters, summed over the sequences.

        Returns
        -------
        (N, input) array
            Gradient at the inputs.
        """
        level, n, dtype = self._plan(X, codes, True, n_threads, 4 if exact else 3), len(X.items), delta.dtype
        direction, hidden = level.directions[0], tape.run.hidden[n:]
        out.flat[:] = 0
        d_y = workspace.array("d_y", hidden.shape, dtype)
        linear.backwards(delta, hidden, self._w, out["W_o"], out["b_o"], d_y, n_threads)
        d_x = X.result("d_x", (len(hidden), direction.inputs), dtype)
        d_h_0, d_c_0 = workspace.array("d_initial", (2, 1, n, direction.size), dtype)
        none = direction.no_states
        direction.gradients = (*_stacked(out), self._b[:0])
        level.backward(
            [Recorded(tape.run.batch, tape.run.tape)], [(d_y, d_x, none, none, d_h_0, d_c_0, 0)], truncate, stride
        )
        return d_x


def _stacked(buffer: Buffer) -> Arrays:
    """W, U and b of the four gates."""
    return tuple(buffer.stacked(kind + "_f", kind + "_hf") for kind in "WUb")


def output_delta(form: int, codes: Codes, outputs: Array, Y: Sequences) -> Array:
    """Gradient at the output layer's pre-activations.

    Parameters
    ----------
    form : {ERROR, ELEMENTWISE, JACOBIAN}
        What the error O - Y is multiplied with: nothing, the elementwise derivative of a2, the softmax's Jacobian.
    codes : tuple of 3 int
        Activation codes.
    outputs : (N, output) array
        From `record`.
    Y : Sequences
        Targets.

    Returns
    -------
    (N, output) array
    """
    delta = workspace.array("delta", outputs.shape, outputs.dtype)
    kernels.output_delta(form, codes[2], outputs, Y.pack("y", True), delta)
    return delta


def gate(
    gate: str, codes: Codes, vectors: list[Array], H: Array, X: Array, u: Array,
    gradients: tuple[Array, Array, Array], delta_h: Array, carry: bool,
) -> None:
    """Add one step of one gate in place: its delta, then its gradients.

    Parameters
    ----------
    gate : {"forget", "input", "candidate", "hidden_filter"}
    codes : tuple of 3 int
        Activation codes.
    vectors : list of (hidden,) arrays
        Gradient at the cell state, what the gate multiplies (not for the hidden filter), and its pre-activation.
    H, X, u, gradients, delta_h, carry
        As `fastlstm_kernels.add_gate_gradients` takes them.
    """
    delta = numpy.empty_like(H)
    kernels.gate_delta(GATE_NUMBERS[gate], codes[0], vectors[0], vectors[-2], vectors[-1], delta)
    kernels.add_gate_gradients(delta, H, X, u, *gradients, delta_h, carry)
