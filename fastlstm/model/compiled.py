"""A model's computations through the kernels: one layer, then the output layer, for all sequences at once."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.engine import layer, linear
from fastlstm.engine.layer import BackJob, Job, Run, Weights
from fastlstm.engine.vectors import by_row, from_vectors
from fastlstm.engine.workspace import Take, fresh, kept
from fastlstm.model.sequences import Sequences
from fastlstm.parameters import Buffer
from fastlstm_kernels.output import ELEMENTWISE, ERROR, JACOBIAN

__all__ = ["ELEMENTWISE", "ERROR", "JACOBIAN", "Tape", "backward", "gate", "infer", "output_delta", "record"]

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


def _weights(parameters: Buffer, codes: Codes) -> Weights:
    w, u, b = (parameters.stacked(kind + "_f", kind + "_hf") for kind in "WUb")
    return Weights(w, u, b, ORDER, codes[:2])


def infer(
    parameters: Buffer, codes: Codes, n_threads: int | None, X: Sequences, h: Array, S: Array
) -> tuple[Array, Array, Array]:
    """Outputs of all steps, keeping nothing else.

    Parameters
    ----------
    parameters, codes, n_threads
        Of the model: its buffer, its activation codes, and at most how many threads.
    X : Sequences
        Inputs.
    h, S : (n, hidden) arrays
        Initial states; not changed.

    Returns
    -------
    outputs : (N, output) array
    h, S : (n, hidden) arrays
        Final states; of sequences of one length.
    """
    n, size = h.shape
    job = Job(_weights(parameters, codes), X.pack("x", kept), h, S)
    (run,) = layer.forwards([job], X.offsets, False, n_threads, results=kept)
    outputs = X.results(kept)("outputs", (len(run.x), len(parameters["b_o"])), h.dtype)
    linear.forwards(run.hidden[n:], parameters["W_o"], parameters["b_o"], codes[2], outputs, outputs, n_threads)
    return outputs, run.hidden[len(run.x) :].copy(), from_vectors(run.cells, size)


def record(
    parameters: Buffer, codes: Codes, n_threads: int | None, X: Sequences, take: Take = fresh
) -> Tape:
    """Run forwards from zero state and keep everything.

    Parameters
    ----------
    parameters, codes, n_threads
        Of the model: its buffer, its activation codes, and at most how many threads.
    X : Sequences
        Inputs.
    take : callable
        Where the arrays of the tape come from.

    Returns
    -------
    Tape
    """
    n, dtype = len(X.items), parameters.flat.dtype
    zero = numpy.zeros((n, len(parameters["b_f"])), dtype)
    job = Job(_weights(parameters, codes), X.pack("x", take), zero, zero)
    (run,) = layer.forwards([job], X.offsets, True, n_threads, take, take)
    shape = len(run.x), len(parameters["b_o"])
    before, values = take("output_args", shape, dtype), take("outputs", shape, dtype)
    linear.forwards(run.hidden[n:], parameters["W_o"], parameters["b_o"], codes[2], before, values, n_threads)
    return Tape(run, before, values)


def gate_rows(parameters: Buffer, codes: Codes, n_threads: int | None, tape: Tape) -> tuple[Array, Array]:
    """Pre-activations and values of the gates f, i, c, hf as rows, (N, 4 hidden)."""
    args = layer.preactivations(_weights(parameters, codes), tape.run, n_threads)
    return args, by_row(tape.run.gates, tape.run.hidden.shape[1])


def backward(
    parameters: Buffer, codes: Codes, n_threads: int | None, X: Sequences, tape: Tape, delta: Array,
    truncate: int | None, stride: int, exact: bool, out: Buffer,
) -> Array:
    """Gradients by truncated back-propagation through time.

    Parameters
    ----------
    parameters, codes, n_threads
        Of the model: its buffer, its activation codes, and at most how many threads.
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
    x, w = tape.run.x, parameters["W_o"]
    hidden, dtype = tape.run.hidden[len(X.items) :], delta.dtype
    out.flat[:] = 0
    delta_h = kept("delta_out", hidden.shape, dtype)
    linear.backwards(delta, hidden, w, out["W_o"], out["b_o"], delta_h, n_threads)
    d_x = X.results(kept)("d_x", x.shape, dtype)
    given = _weights(out, codes)
    job = BackJob(_weights(parameters, codes), tape.run, delta_h, None, (given.w, given.u, given.b), d_x)
    layer.backwards([job], truncate, stride, exact, n_threads)
    return d_x


def output_delta(form: int, codes: Codes, outputs: Array, Y: Sequences, take: Take) -> Array:
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
    take : callable
        Where the result comes from.

    Returns
    -------
    (N, output) array
    """
    delta = take("delta", outputs.shape, outputs.dtype)
    kernels.output_delta(form, codes[2], outputs, Y.pack("y", take), delta)
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
