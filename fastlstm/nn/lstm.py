"""`torch.nn.LSTM` on NumPy arrays."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy
import numpy.typing

from fastlstm import checks, layer
from fastlstm.checks import Array
from fastlstm.layer import Run, Weights
from fastlstm.nn.base import Layer
from fastlstm.nn.stepper import Stepper
from fastlstm.workspace import fresh
from fastlstm_kernels.activations import TANH

State: TypeAlias = tuple[Array, Array]

ORDER = numpy.array([1, 0, 2, 3])
"""Where the kernels' gates f, i, c, hf stand among torch's i, f, g, o."""


@dataclass(frozen=True)
class Tape:
    """What `LSTM.forward` keeps for `LSTM.backward`; any number of backward calls may use it.

    Attributes
    ----------
    run : fastlstm.layer.Run
    batched : bool
        Whether the inputs had a batch axis.
    owner : LSTM
        The layer that made it.
    """

    run: Run
    batched: bool
    owner: "LSTM"


class LSTM(Layer):
    """A long short-term memory layer with the parameters, gates and shapes of `torch.nn.LSTM`.

    One step on x, with the cell state c and the hidden state h (Hochreiter & Schmidhuber 1997; forget gate: Gers et
    al. 2000)::

        i, f, o = sigmoid(W_ii x + b_ii + W_hi h + b_hi), … likewise       g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        c = f c + i g       h = o tanh(c)

    The layer holds parameters and gradients, and no hidden state: several threads may use one layer at once for
    inference, and each training call owns its tape.

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes of x and h; at least 1.
    num_layers : int
        1.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether inputs and outputs are (batch, T, features) rather than (T, batch, features).
    dropout : float
        0.
    bidirectional : bool
        False.
    proj_size : int
        0.
    dtype : {numpy.float32, numpy.float64}
        Of parameters, states and results.
    seed : int or None
        Of the initial parameters, uniform on ±1/√hidden_size from `numpy.random.default_rng`.
    n_threads : int or None
        At most so many threads; None for Numba's number. Results are bitwise the same for any number.

    Attributes
    ----------
    parameters, gradients : Buffer
        Mappings of torch's names to arrays, each over one flat array: weight_ih_l0 (4 hidden, input), weight_hh_l0
        (4 hidden, hidden), bias_ih_l0 and bias_hh_l0 (4 hidden,); gates in the order i, f, g, o. Change them in place.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.

    Examples
    --------
    >>> layer = fastlstm.nn.LSTM(3, 8, seed=0)
    >>> y, (h_n, c_n) = layer(numpy.ones((5, 2, 3), numpy.float32))
    >>> y.shape, h_n.shape
    ((5, 2, 8), (1, 2, 8))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: numpy.typing.DTypeLike = numpy.float32,
        seed: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.input_size = checks.integer("input_size", input_size, 1)
        self.hidden_size = checks.integer("hidden_size", hidden_size, 1)
        for name, value, only in (
            ("num_layers", num_layers, 1), ("dropout", dropout, 0), ("bidirectional", bidirectional, False),
            ("proj_size", proj_size, 0),
        ):
            if value != only:
                raise ValueError(f"{name} must be {only}, the only value supported so far; got {value!r}")
        self.bias, self.batch_first = bool(bias), bool(batch_first)
        self.n_threads = checks.optional_integer("n_threads", n_threads, 1)
        self.dtype = checks.float_dtype(dtype)
        rows = 4 * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih_l0": (rows, self.input_size), "weight_hh_l0": (rows, self.hidden_size)
        }
        if bias:
            shapes |= {"bias_ih_l0": (rows,), "bias_hh_l0": (rows,)}
        self._draw(shapes, self.dtype, self.hidden_size**-0.5, seed)

    def __call__(self, input: Any, state: Any = None) -> tuple[Array, State]:
        """Run over a sequence, keeping nothing but the result.

        Parameters
        ----------
        input : (T, batch, input) array
            Or (batch, T, input) with `batch_first`; or (T, input), without a batch axis, then nor have states and
            output.
        state : tuple of (1, batch, hidden) arrays, optional
            Initial hidden and cell states h_0, c_0; zeros by default.

        Returns
        -------
        output : (T, batch, hidden) array
            Hidden states of all steps, in the form of the input.
        h_n, c_n : (1, batch, hidden) arrays
            Final states, as a tuple.

        Raises
        ------
        TypeError, ValueError
            Input or state do not fit the layer or each other.

        Notes
        -----
        8 · T · batch · hidden · (input + hidden) flops.
        """
        x, batched, h, c = self._given(input, state)
        run = self._run(x, h, c, keep=False)
        return self._results(run, batched, len(h), run.cells)

    def forward(self, input: Any, state: Any = None) -> tuple[Array, State, Tape]:
        """Run over a sequence, keeping what `backward` needs.

        Parameters
        ----------
        input, state
            As for a call of the layer.

        Returns
        -------
        output, (h_n, c_n)
            As from a call of the layer. Without `batch_first`, `output` is the tape's own record of the hidden states:
            copy it before changing it in place, if `backward` is still to come.
        tape : Tape
            For `backward`; it holds about 7 · T · batch · hidden numbers, and `input` itself where no copy was needed.

        Raises
        ------
        TypeError, ValueError
            As from a call of the layer.
        """
        x, batched, h, c = self._given(input, state)
        run = self._run(x, h, c, keep=True)
        output, final = self._results(run, batched, len(h), run.cells[:, len(run.x) :])
        return output, final, Tape(run, batched, self)

    def backward(
        self, tape: Tape, dy: Any, dstate: Any = None, truncate: int | None = None, stride: int = 1
    ) -> tuple[Array, State]:
        """Back-propagate through the steps of a `forward`; adds into `gradients`.

        Parameters
        ----------
        tape : Tape
            From `forward` of this layer, whose parameters have not changed since.
        dy : array like the output
            Gradient of the loss at it.
        dstate : tuple of arrays like h_n and c_n, optional
            Gradients of the loss at the final states; zeros by default.
        truncate : int or None
            K: the steps come in groups of `stride`, counted from the first; the errors of a group are walked back
            over it and the K steps before it, and the state before those counts as a constant: BPTT(h; h') of
            Williams & Peng (1990), section 4, with h = K + stride and h' = stride. None for no truncation.
        stride : int
            Steps of a group; at least 1.

        Returns
        -------
        d_input : array like the input
        d_h_0, d_c_0 : arrays like the initial states
            As a tuple. The initial state counts as an input of the first step.

        Raises
        ------
        TypeError, ValueError
            The tape is another layer's, or a gradient has another shape. `gradients` stay as they are.

        Notes
        -----
        16 · T · batch · hidden · (input + hidden) flops; truncated, 8 · T · batch · hidden · (2 input + hidden +
        (K / stride + 1) hidden).
        """
        self._check_tape(tape)
        reach = checks.optional_integer("truncate", truncate, 0)
        stride = checks.integer("stride", stride, 1)
        run, batched = tape.run, tape.batched
        rows, duration = len(run.x), len(run.offsets) - 1
        batch, size = len(run.hidden) - rows, self.hidden_size
        shape = self._shape(duration, batch, size, batched)
        delta = self._steps_first(checks.shaped_array("dy", dy, shape, self.dtype), batched)
        final = None if dstate is None else self._states("dstate", dstate, batch, batched)
        d_x = fresh("d_x", run.x.shape, self.dtype)
        given = self.gradients
        d_b = given["bias_ih_l0"] if self.bias else numpy.empty(4 * size, self.dtype)
        before = d_b.copy()
        initial = layer.backwards(
            self._weights(), run, delta.reshape(rows, size), final, reach, stride, True,
            (given["weight_ih_l0"], given["weight_hh_l0"], d_b), d_x, self.n_threads,
        )
        if self.bias:
            given["bias_hh_l0"][:] += d_b - before
        d_input = self._as_given(d_x, duration, batch, batched)
        d_h, d_c = (self._state_as_given(d, batched) for d in initial)
        return d_input, (d_h, d_c)

    @property
    def output_size(self) -> int:
        """Size of the output, which is `hidden_size`."""
        return self.hidden_size

    def config(self) -> dict[str, Any]:
        """The constructor's arguments but for the seed, and the class's name as "kind"; see `from_config`."""
        return {
            "kind": "LSTM", "input_size": self.input_size, "hidden_size": self.hidden_size, "bias": self.bias,
            "batch_first": self.batch_first, "dtype": self.dtype.name, "n_threads": self.n_threads,
        }

    def stepper(self, batch_size: int = 1) -> Stepper:
        """The layer frame by frame.

        Parameters
        ----------
        batch_size : int
            Rows that step together; at least 1.

        Returns
        -------
        Stepper
            Over a copy of the present parameters.
        """
        return Stepper(self._weights(), checks.integer("batch_size", batch_size, 1), self.n_threads)

    def panels(self) -> Array:
        """The weights as the kernels read them, to step or run the layer in compiled code: see docs/kernels.md.

        Returns
        -------
        array of `fastlstm_kernels.pack.panels_shape`
            A copy of the present parameters, of the layer's dtype; biases are summed.
        """
        return self._weights().panels(1, fresh)

    def _weights(self) -> Weights:
        given = self.parameters
        bias = given["bias_ih_l0"] + given["bias_hh_l0"] if self.bias else numpy.zeros(4 * self.hidden_size, self.dtype)
        return Weights(given["weight_ih_l0"], given["weight_hh_l0"], bias, ORDER, (TANH, TANH))

    def _shape(self, duration: int, batch: int, features: int, batched: bool) -> tuple[int, ...]:
        if not batched:
            return duration, features
        return (batch, duration, features) if self.batch_first else (duration, batch, features)

    def _steps_first(self, array: Array, batched: bool) -> Array:
        """(T, batch, features), contiguous, of an array in the user's form."""
        if not batched:
            return array[:, None]
        return numpy.ascontiguousarray(array.transpose(1, 0, 2)) if self.batch_first else array

    def _as_given(self, rows: Array, duration: int, batch: int, batched: bool) -> Array:
        """Packed rows in the user's form."""
        steps = rows.reshape(duration, batch, rows.shape[1])
        if not batched:
            return steps[:, 0]
        return numpy.ascontiguousarray(steps.transpose(1, 0, 2)) if self.batch_first else steps

    def _state_as_given(self, state: Array, batched: bool) -> Array:
        return state.copy() if not batched else state[None].copy()

    def _states(self, name: str, value: Any, batch: int, batched: bool) -> State:
        """Hidden and cell parts (batch, hidden) of a state as the user gives it."""
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError(f"{name} must be a tuple of two arrays, hidden and cell, got {type(value).__name__}")
        shape = (1, batch, self.hidden_size) if batched else (1, self.hidden_size)
        parts = [
            checks.shaped_array(f"{name}[{k}]", part, shape, self.dtype).reshape(batch, self.hidden_size)
            for k, part in enumerate(value)
        ]
        return parts[0], parts[1]

    def _check_final(self, tape: Tape, dstate: Any) -> None:
        self._check_tape(tape)
        if dstate is not None:
            self._states("dstate", dstate, len(tape.run.hidden) - len(tape.run.x), tape.batched)

    def _given(self, input: Any, state: Any) -> tuple[Array, bool, Array, Array]:
        """Inputs (T, batch, input), whether they had a batch axis, and initial states (batch, hidden)."""
        array = checks.real_array("input", input)
        if array.ndim not in (2, 3) or array.shape[-1] != self.input_size:
            raise ValueError(f"input must have shape (T, batch, {self.input_size}) or (T, {self.input_size}), or with "
                             f"batch_first (batch, T, {self.input_size}); got {array.shape}")
        batched = array.ndim == 3
        x = self._steps_first(checks.kernel_array(array, self.dtype), batched)
        batch = x.shape[1]
        if state is None:
            h, c = numpy.zeros((2, batch, self.hidden_size), self.dtype)
        else:
            h, c = self._states("state", state, batch, batched)
        return x, batched, h, c

    def _run(self, x: Array, h: Array, c: Array, keep: bool) -> Run:
        duration, batch = x.shape[:2]
        offsets = numpy.arange(duration + 1, dtype=numpy.intp) * batch
        rows = x.reshape(duration * batch, self.input_size)
        return layer.forwards(self._weights(), rows, offsets, h, c, keep, self.n_threads)

    def _results(self, run: Run, batched: bool, batch: int, cells: Array) -> tuple[Array, State]:
        rows = len(run.hidden) - batch
        output = self._as_given(run.hidden[batch:], len(run.offsets) - 1, batch, batched)
        h, c = run.hidden[rows:], layer.from_vectors(cells, self.hidden_size)
        return output, (self._state_as_given(h, batched), self._state_as_given(c, batched))

    def __repr__(self) -> str:
        return f"LSTM({self.input_size}, {self.hidden_size}, bias={self.bias}, batch_first={self.batch_first}, " \
               f"dtype={self.dtype.name}, n_threads={self.n_threads})"
