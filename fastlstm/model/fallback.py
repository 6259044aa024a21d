"""A model's computations through NumPy, sequence by sequence, for activation functions that no kernel knows."""

from typing import Literal

import numpy

from fastlstm import oracle
from fastlstm.activations import Activations
from fastlstm.checks import Array
from fastlstm.model.sequences import Sequences
from fastlstm.parameters import Buffer


class Fallback(oracle.LSTM):
    """The oracle's class over a model's parameters.

    Parameters
    ----------
    parameters, activations
        Of the model.
    truncate : int or None
        How many steps a group's errors are walked back before it; None for all.
    stride : int
        Steps of a group.
    gradient : {"exact", "reference"}
    loss_func : {"cross_entropy", "squared_error"}
    """

    def __init__(
        self, parameters: Buffer, activations: Activations, truncate: int | None, stride: int,
        gradient: Literal["exact", "reference"], loss_func: str,
    ) -> None:
        for name, view in parameters.items():
            setattr(self, name, view)
        self.hidden_size, self.input_size = self.W_f.shape
        self.output_size, self.dtype = len(self.b_o), self.b_o.dtype
        self.afuncs = list(activations.functions)
        self.afunc_primes = list(activations.primes or ())
        self.bptt_truncate, self.bptt_stride, self.gradient, self.loss_func = truncate, stride, gradient, loss_func

    def infer(self, X: Sequences, h: Array, S: Array) -> tuple[list[Array], Array, Array]:
        """Outputs of each sequence from initial states (n, hidden), and the final states."""
        outputs, states = [], []
        for x, self.h_t, self.S in zip(X.items, h, S, strict=True):
            outputs.append(self.feed_forward(x))
            states.append((self.h_t, self.S))
        final = numpy.array(states, self.dtype).reshape(len(states), 2, self.hidden_size)
        return outputs, final[:, 0], final[:, 1]

    def gradients(self, X: Sequences, Y: Sequences, flat: Array) -> list[Array]:
        """Write the gradients, summed over the sequences, as flat parameters; return those at each one's inputs."""
        total, d_x = numpy.zeros_like(flat), []
        for x, y in zip(X.items, Y.items, strict=True):
            *gates, of_output, at_x = self.back_propagate_through_time(x, y)
            of_gates = [gradient for kind in zip(*gates, strict=True) for gradient in kind]
            total += numpy.concatenate([*of_gates, *of_output], axis=None)
            d_x.append(at_x)
        flat[:] = total
        return d_x

    def gate(
        self, gate: str, vectors: list[Array], H: Array, X: Array, gradients: tuple[Array, Array, Array], delta_h: Array
    ) -> None:
        """Add one step of one gate in place.

        Parameters
        ----------
        gate : {"forget", "input", "candidate", "hidden_filter"}
        vectors : list of (hidden,) arrays
            What comes before `H` in the oracle's method of that gate, but for `delta_h_t`. The hidden filter's first
            is the gradient at its value.
        H, X, gradients, delta_h
            As in `oracle.LSTM.back_prop_forget_gate`.
        """
        method = getattr(self, f"back_prop_{gate}_gate")
        if gate == "hidden_filter":
            carried = vectors[0].copy()
            method(None, carried, vectors[1], H, X, gradients, None)
            delta_h += carried - vectors[0]
        else:
            method(vectors[0], delta_h, *vectors[1:], H, X, gradients, None)
