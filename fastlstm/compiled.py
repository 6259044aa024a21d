"""A model's computations through the kernels: allocates what they need and calls them, for all sequences at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numba
import numpy

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.parameters import Buffer
from fastlstm.sequences import Sequences
from fastlstm.workspace import Take, fresh, kept
from fastlstm_kernels.output import ELEMENTWISE, ERROR, JACOBIAN
from fastlstm_kernels.threads import BLOCK
from fastlstm_kernels.truncated import TILE

__all__ = [
    "ELEMENTWISE", "ERROR", "JACOBIAN", "Tape", "backward", "gate", "infer", "output_delta", "record", "workers",
]

Codes: TypeAlias = tuple[int, int, int]
_GATE_KERNELS: dict[str, Callable[..., None]] = {
    "forget": kernels.forget_gate, "input": kernels.input_gate, "hidden_filter": kernels.hidden_filter_gate
}

SHARE = 200_000
"""Flops that make a thread worth waking: about 10 µs of work, where waking it costs 2 to 5."""


def workers(n_threads: int | None, flops: int) -> int:
    """How many threads to use for so much work.

    Parameters
    ----------
    n_threads : int or None
        At most so many; None for as many as Numba has.
    flops : int
        Work of one parallel region.
    """
    return max(1, min(numba.get_num_threads() if n_threads is None else n_threads, flops // SHARE))


@dataclass(frozen=True)
class Tape:
    """What a forward run keeps for the way back; N rows packed as by `Sequences.pack`.

    Attributes
    ----------
    inputs : (N, input) array
    args, gates : (N, 4 hidden) arrays
        Pre-activations and values of the gates f, i, c, hf.
    cells, hidden : (n + N, hidden) arrays
        States; the first n rows are the initial states.
    filtered : (N, hidden) array
        a1 of the cell states.
    output_args, outputs : (N, output) arrays
    """

    inputs: Array
    args: Array
    gates: Array
    cells: Array
    hidden: Array
    filtered: Array
    output_args: Array
    outputs: Array


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
    x, u, dtype = X.pack("x", kept), parameters.stacked("U_f", "U_hf"), h.dtype
    n, size = h.shape
    threads = workers(n_threads, 8 * len(x) * size * (size + x.shape[1]))
    hidden = kept("hidden", (n + len(x), size), dtype)
    hidden[:n] = h
    cells = S.copy()
    a0, a1, a2 = codes
    kernels.forward_infer(
        x, X.offsets, parameters.stacked("W_f", "W_hf"), u, parameters.stacked("b_f", "b_hf"), a0, a1, cells, hidden,
        numpy.empty((threads, BLOCK + 2, 4 * size), dtype), threads,
    )
    outputs = X.results(kept)("outputs", (len(x), len(parameters["b_o"])), dtype)
    args = kept("output_args", outputs.shape, dtype)
    kernels.affine_forward(hidden[n:], parameters["W_o"], parameters["b_o"], a2, args, outputs, threads)
    return outputs, hidden[len(x) :].copy(), cells


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
    x, u, n = X.pack("x", take), parameters.stacked("U_f", "U_hf"), len(X.items)
    rows, size, dtype = len(x), u.shape[1], u.dtype
    args, gates = take("args", (rows, 4 * size), dtype), take("gates", (rows, 4 * size), dtype)
    cells, hidden = take("cells", (n + rows, size), dtype), take("hidden", (n + rows, size), dtype)
    cells[:n] = hidden[:n] = 0
    filtered = take("filtered", (rows, size), dtype)
    threads = workers(n_threads, 8 * rows * size * (size + x.shape[1]))
    a0, a1, a2 = codes
    kernels.forward_record(
        x, X.offsets, parameters.stacked("W_f", "W_hf"), u, parameters.stacked("b_f", "b_hf"), a0, a1, args, gates,
        cells, filtered, hidden, threads,
    )
    shape = (rows, len(parameters["b_o"]))
    outputs, output_args = take("outputs", shape, dtype), take("output_args", shape, dtype)
    kernels.affine_forward(hidden[n:], parameters["W_o"], parameters["b_o"], a2, output_args, outputs, threads)
    return Tape(x, args, gates, cells, hidden, filtered, output_args, outputs)


def backward(
    parameters: Buffer, codes: Codes, n_threads: int | None, X: Sequences, tape: Tape, delta: Array,
    truncate: int | None, exact: bool, out: Buffer, take: Take,
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
        How many steps each step's error is walked back; None for all.
    exact : bool
        The true gradient, or the "reference" one.
    out : Buffer
        Written: gradients of the parameters, summed over the sequences.
    take : callable
        Where working arrays come from.

    Returns
    -------
    (N, input) array
        Gradient at the inputs.
    """
    x, u, n = tape.inputs, parameters.stacked("U_f", "U_hf"), len(X.items)
    rows, size, dtype = len(x), u.shape[1], u.dtype
    a0, a1, _ = codes
    threads = workers(n_threads, 8 * rows * size * size)
    delta_h, dz = take("delta_h", (rows, size), dtype), take("dz", (rows, 4 * size), dtype)
    kernels.affine_backward(
        delta, tape.hidden[n:], parameters["W_o"], delta.shape[1], out["W_o"], out["b_o"], delta_h, threads
    )
    cell = (u, tape.gates, tape.cells, tape.filtered, a0, a1)
    if truncate is None or truncate >= X.steps - 1:
        state = numpy.zeros((2, n, size), dtype)
        kernels.full_backward(X.offsets, exact, *cell, delta_h, state[0], state[1], dz, threads)
    else:
        kernels.truncated_backward(
            X.offsets, truncate, exact, *cell, delta_h, dz, take("delta_s", (rows, size), dtype),
            take("tiles", (threads, TILE, 4 * size), dtype), take("deltas", (threads, 2, TILE, size), dtype),
            take("windows", (threads, 2, TILE), numpy.dtype(numpy.intp)), threads,
        )
    previous = X.previous_rows()
    h_prev = tape.hidden[:rows] if previous is None else tape.hidden[previous]
    d_b = out.stacked("b_f", "b_hf")
    kernels.affine_backward(dz, h_prev, u, 0, out.stacked("U_f", "U_hf"), d_b, numpy.empty((0, size), dtype), threads)
    d_x = X.results(take)("d_x", x.shape, dtype)
    kernels.affine_backward(
        dz, x, parameters.stacked("W_f", "W_hf"), (4 if exact else 3) * size, out.stacked("W_f", "W_hf"),
        d_b, d_x, threads,
    )
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
        What the gate's kernel takes.
    H, X, u, gradients, delta_h, carry
        As `fastlstm_kernels.add_gate_gradients` takes them.
    """
    delta = numpy.empty_like(H)
    if gate == "candidate":
        kernels.candidate_gate(vectors[0], vectors[1], vectors[2], codes[0], delta)
    else:
        _GATE_KERNELS[gate](*vectors, delta)
    kernels.add_gate_gradients(delta, H, X, u, *gradients, delta_h, carry)
