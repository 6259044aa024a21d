"""`torch.nn.Linear` on NumPy arrays."""

from typing import Any, NamedTuple

import numpy
import numpy.typing

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.engine import linear
from fastlstm.engine.workspace import empty
from fastlstm.nn import arguments
from fastlstm.nn.layer import Layer
from fastlstm_kernels.activations import IDENTITY


class DenseTape(NamedTuple):
    """What `Dense.forward` keeps for `Dense.backward`; any number of backward calls may use it.

    Attributes
    ----------
    x : (..., input) array
        The input.
    there : (T, batch) bool array or None
        Which steps there are; None for all.
    owner : Dense
        The layer that made it.
    """

    x: Array
    there: Array | None
    owner: "Dense"


class Dense(Layer):
    """An affine layer, ``y = x weight.T + bias``, with the parameters of `torch.nn.Linear`.

    It has no state; where the other layers take or give one, its is None.

    Parameters
    ----------
    input_size, output_size : int
        Sizes of x and y; at least 1.
    bias : bool
        Whether there is a bias.
    dtype : {numpy.float32, numpy.float64}
        Of parameters and results.
    seed : int or None
        Of the initial parameters, uniform on ±1/√input_size from `numpy.random.default_rng`.
    n_threads : int or None
        At most so many threads; None for Numba's number. Results are bitwise the same for any number.

    Attributes
    ----------
    parameters, gradients : Buffer
        Mappings of torch's names to arrays, each over one flat array: weight (output, input) and bias (output,).
        Change them in place.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.

    Examples
    --------
    >>> y, _ = fastlstm.nn.Dense(3, 2, seed=0)(numpy.ones((5, 4, 3), numpy.float32))
    >>> y.shape
    (5, 4, 2)
    """

    def __init__(
        self, input_size: int, output_size: int, bias: bool = True, *, dtype: numpy.typing.DTypeLike = numpy.float32,
        seed: Any = None, n_threads: int | None = None,
    ) -> None:
        self.input_size = checks.integer("input_size", input_size, 1)
        self.output_size = checks.integer("output_size", output_size, 1)
        self.bias = bool(bias)
        self.n_threads = checks.optional_integer("n_threads", n_threads, 1)
        self.dtype = checks.float_dtype(dtype)
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.output_size, self.input_size)}
        if bias:
            shapes["bias"] = (self.output_size,)
        self._draw(shapes, self.dtype, self.input_size**-0.5, seed)

    def __call__(self, input: Any, state: None = None, lengths: Any = None) -> tuple[Array, None]:
        """Outputs, keeping nothing else.

        Parameters
        ----------
        input : (..., input) array
            (T, batch, input), say.
        state : None
        lengths : (batch,) integers, optional
            Steps of each sequence of an input (T, batch, input); what it has behind them does not count.

        Returns
        -------
        output : (..., output) array
            Zero behind the end of a sequence.
        state : None

        Raises
        ------
        TypeError, ValueError
            Input or lengths do not fit the layer or each other, or there is a state.

        Notes
        -----
        2 · rows · input · output flops.
        """
        output, _, _ = self._record(input, state, lengths, False)
        return output, None

    def forward(self, input: Any, state: None = None, lengths: Any = None) -> tuple[Array, None, DenseTape]:
        """Outputs, keeping what `backward` needs.

        Parameters
        ----------
        input, state, lengths
            As for a call of the layer.

        Returns
        -------
        output, state
            As from a call of the layer.
        tape : DenseTape
            For `backward`; it holds a copy of `input`.

        Raises
        ------
        TypeError, ValueError
            As from a call of the layer.
        """
        return self._record(input, state, lengths, True)

    def _record(
        self, input: Any, state: None, lengths: Any, own_input: bool, own_output: bool = True
    ) -> tuple[Array, None, DenseTape]:
        """`forward`, whose tape holds `input` itself where that may be; the output is never part of it."""
        array = checks.real_array("input", input)
        if not array.ndim or array.shape[-1] != self.input_size:
            raise ValueError(f"input must have shape (..., {self.input_size}), got {array.shape}")
        _no_state("state", state)
        there = None if lengths is None else arguments.there(lengths, array.shape, False)
        x = checks.kernel_array(array, self.dtype)
        if own_input:
            x = checks.apart(x, array)
        rows = x.reshape(-1, self.input_size)
        output = empty((*x.shape[:-1], self.output_size), self.dtype)
        flat = output.reshape(-1, self.output_size)
        bias = self.parameters["bias"] if self.bias else numpy.zeros(self.output_size, self.dtype)
        linear.forwards(rows, self.parameters["weight"], bias, IDENTITY, flat, flat, self.n_threads)
        if there is not None:
            output[~there] = 0
        return output, None, DenseTape(x, there, self)

    def backward(
        self, tape: DenseTape, dy: Any, dstate: None = None, truncate: int | None = None, stride: int = 1
    ) -> tuple[Array, None]:
        """Back-propagate through a `forward`; adds into `gradients`.

        Parameters
        ----------
        tape : DenseTape
            From `forward` of this layer, whose parameters have not changed since.
        dy : array like the output
            Gradient of the loss at it; what it has behind the end of a sequence does not count.
        dstate : None
        truncate, stride
            As the layers with a state take them. There is no way back in time here: they change nothing.

        Returns
        -------
        d_input : array like the input
        d_state : None

        Raises
        ------
        TypeError, ValueError
            The tape is another layer's, or an argument does not fit. `gradients` stay as they are.

        Notes
        -----
        4 · rows · input · output flops.
        """
        self._check_final(tape, dstate)
        checks.optional_integer("truncate", truncate, 0)
        checks.integer("stride", stride, 1)
        x, dtype, (n, k) = tape.x.reshape(-1, self.input_size), self.dtype, self.parameters["weight"].shape
        delta = checks.shaped_array("dy", dy, (*tape.x.shape[:-1], n), dtype)
        if tape.there is not None:
            delta = numpy.where(tape.there[..., None], delta, dtype.type(0))
        delta = delta.reshape(-1, n)
        d_x = empty(tape.x.shape, dtype)
        if not len(x):
            return d_x, None
        d_b = self.gradients["bias"] if self.bias else numpy.zeros(n, dtype)
        linear.backwards(
            delta, x, self.parameters["weight"], self.gradients["weight"], d_b, d_x.reshape(-1, k), self.n_threads
        )
        return d_x, None

    def _check_final(self, tape: DenseTape, dstate: Any) -> None:
        self._check_tape(tape)
        _no_state("dstate", dstate)

    def __repr__(self) -> str:
        return f"Dense({self.input_size}, {self.output_size}, bias={self.bias}, dtype={self.dtype.name}, " \
               f"n_threads={self.n_threads})"


def _no_state(name: str, value: Any) -> None:
    if value is not None:
        raise TypeError(f"{name} must be None, for the layer has no state; got {type(value).__name__}")
