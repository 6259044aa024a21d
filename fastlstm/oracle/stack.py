"""Stacked and bidirectional LSTMs in plain NumPy, with the parameters, names and shapes of `torch.nn.LSTM`.

One step, x the input, h the hidden and c the cell state (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000;
projection: Sak et al. 2014; recurrent dropout m: Gal & Ghahramani 2016)::

    i, f, o = σ(W_ih x + b_ih + W_hh (m∘h) + b_hh)      g = tanh(…), each with its rows of the matrices
    c = f∘c + i∘g
    h = W_hr (o∘tanh(c)), or without a projection o∘tanh(c)

The reverse direction runs from a sequence's end to its beginning (Schuster & Paliwal 1997). All functions take complex
arrays too, for `gradcheck.complex_step`.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy

from fastlstm.oracle.activations import Array, sigmoid, tanh

Parameters: TypeAlias = Mapping[str, Array]


def one_direction(
    parameters: Parameters, end: str, X: Array, h: Array, c: Array, m: Array
) -> tuple[list[Array], Array, Array]:
    """One layer in one direction over one sequence.

    Parameters
    ----------
    parameters : mapping of str to array
    end : str
        Of the names of those that are read: "l0_reverse" for instance.
    X : (T, input) array
        In the order in which the steps are taken.
    h, c : (size,) and (hidden,) arrays
        Initial states; `size` is that of the projection, or `hidden`.
    m : (size,) array
        What the hidden state is multiplied by on its way into each step.

    Returns
    -------
    list of T (size,) arrays
        Hidden states.
    h, c : arrays
        Final states.
    """
    W, U = parameters[f"weight_ih_{end}"], parameters[f"weight_hh_{end}"]
    b = sum(parameters[name] for name in (f"bias_ih_{end}", f"bias_hh_{end}") if name in parameters)
    hidden = []
    for x in X:
        z_i, z_f, z_g, z_o = numpy.split(W @ x + U @ (m * h) + b, 4)
        c = sigmoid(z_f) * c + sigmoid(z_i) * tanh(z_g)
        h = sigmoid(z_o) * tanh(c)
        if f"weight_hr_{end}" in parameters:
            h = parameters[f"weight_hr_{end}"] @ h
        hidden.append(h)
    return hidden, h, c


def stacked_lstm(
    parameters: Parameters, x: Array, h_0: Array, c_0: Array, lengths: Sequence[int] | None = None,
    between: Sequence[Array] | None = None, recurrent: Array | None = None,
) -> tuple[Array, Array, Array]:
    """All layers in all directions, one sequence after the other.

    Parameters
    ----------
    parameters : mapping of str to array
        Under torch's names, which tell how many layers and directions there are.
    x : (T, batch, input) array
    h_0, c_0 : (layers * directions, batch, size) and (…, hidden) arrays
        Initial states, each layer's directions side by side.
    lengths : sequence of batch int, optional
        Steps of each sequence, 0 to T; all have T by default.
    between : sequence of layers - 1 arrays (T, batch, directions * size), optional
        What the output of each layer but the last is multiplied by: dropout (Zaremba et al. 2014).
    recurrent : (layers * directions, batch, size) array, optional
        What the hidden state is multiplied by on its way into each step.

    Returns
    -------
    y : (T, batch, directions * size) array
        Hidden states of the last layer; zero where a sequence has ended.
    h_n, c_n : arrays like h_0 and c_0
        Final states: where each direction has ended on its way.
    """
    ends = [end for end in ("", "_reverse") if f"weight_ih_l0{end}" in parameters]
    size, layers = h_0.shape[2], len(h_0) // len(ends)
    h_n, c_n = (numpy.array(state, numpy.result_type(x, h_0, c_0, *parameters.values())) for state in (h_0, c_0))
    y = numpy.zeros((*x.shape[:2], len(ends) * size), h_n.dtype)
    m = numpy.ones(h_0.shape) if recurrent is None else recurrent
    for s, length in enumerate([len(x)] * x.shape[1] if lengths is None else lengths):
        X = x[:length, s]
        for layer in range(layers):
            found = []
            for reverse, end in enumerate(ends):
                k, order = layer * len(ends) + reverse, slice(None, None, -1 if reverse else 1)
                hidden, h_n[k, s], c_n[k, s] = one_direction(
                    parameters, f"l{layer}{end}", X[order], h_0[k, s], c_0[k, s], m[k, s]
                )
                found.append(numpy.reshape(hidden, (length, size))[order])
            X = numpy.concatenate(found, axis=1)
            if between is not None and layer < layers - 1:
                X = X * between[layer][:length, s]
        y[:length, s] = X
    return y, h_n, c_n
