"""`torch.nn.LSTM` on NumPy arrays."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
import numpy.typing

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.engine import dropout
from fastlstm.engine.batch import Batch, RaggedBatch
from fastlstm.engine.direction import no_states
from fastlstm.engine.plans import Plans
from fastlstm.engine.projection import Projected
from fastlstm.engine.stack import Stack, StackTape
from fastlstm.nn import arguments, initializers
from fastlstm.nn.arguments import State
from fastlstm.nn.layer import Layer
from fastlstm.nn.stepper import Stepper, packed
from fastlstm.parameters import Buffer
from fastlstm_kernels import compiled_step
from fastlstm_kernels.activations import TANH
from fastlstm_kernels.structs import Weights

ORDER = numpy.array([1, 0, 2, 3])
"""Where the kernels' gates f, i, g, o stand among torch's i, f, g, o."""


class Tape(NamedTuple):
    """What `LSTM.forward` keeps for `LSTM.backward`; any number of backward calls may use it.

    Attributes
    ----------
    batch : fastlstm.engine.batch.Batch
    lengths : (batch,) array or None
        Of the sequences.
    run : fastlstm.engine.stack.StackTape
    batched : bool
        Whether the inputs had a batch axis.
    owner : LSTM
        The layer that made it.
    """

    batch: Batch
    lengths: Array | None
    run: StackTape
    batched: bool
    owner: "LSTM"


class LSTM(Layer):
    """Long short-term memory layers with the parameters, gates and shapes of `torch.nn.LSTM`.

    One step on x, with the cell state c and the hidden state h (Hochreiter & Schmidhuber 1997; forget gate: Gers et
    al. 2000)::

        i, f, o = sigmoid(W_ii x + b_ii + W_hi h + b_hi), … likewise       g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        c = f c + i g       h = o tanh(c)

    The layer holds parameters and gradients, and no hidden state: several threads may use one layer at once for
    inference, and each training call owns its tape.

    In the shapes below, D is 2 if `bidirectional` and else 1, and `output` is `proj_size`, or `hidden` without one.

    Parameters
    ----------
    input_size, hidden_size : int
        Sizes of x and h; at least 1.
    num_layers : int
        Layers, each on the outputs of the one below; at least 1.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether inputs and outputs are (batch, T, features) rather than (T, batch, features).
    dropout : float
        Probability, from 0 to 1, with which `forward` drops an output of a layer that has another above it.
    bidirectional : bool
        Whether each layer also runs from the last step to the first; the outputs of both lie side by side.
    proj_size : int
        Size of a linear projection of h, which stands for it (Sak et al. 2014); below `hidden_size`; 0 for none.
    recurrent_dropout : float
        Probability with which `forward` drops a hidden state on its way to the next step, the same ones at all steps of
        a sequence (Gal & Ghahramani 2016); 0 with a projection.
    forget_bias : float, optional
        Initial value of the forget gates' biases, instead of a drawn one.
    recurrent_initializer : {"uniform", "orthogonal"}
        Of weight_hh: as the others, or orthonormal columns in each gate.
    dtype : {numpy.float32, numpy.float64}
        Of parameters, states and results.
    seed : int or None
        Of the initial parameters, uniform on ±1/√hidden_size from `numpy.random.default_rng`, and of `generator`.
    n_threads : int or None
        At most so many threads; None for Numba's number. Results are bitwise the same for any number.

    Attributes
    ----------
    parameters, gradients : Buffer
        Mappings of torch's names to arrays, each over one flat array: weight_ih_l0 (4 hidden, input), weight_hh_l0
        (4 hidden, output), bias_ih_l0 and bias_hh_l0 (4 hidden,), weight_hr_l0 (proj_size, hidden), the same with
        "_reverse" behind, and so on for l1, whose inputs are D · output; gates in the order i, f, g, o. Change them in
        place.
    generator : numpy.random.Generator
        Draws what is dropped.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.

    Warns
    -----
    UserWarning
        `dropout` with a single layer drops nothing.

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
        recurrent_dropout: float = 0.0,
        forget_bias: float | None = None,
        recurrent_initializer: str = "uniform",
        dtype: numpy.typing.DTypeLike = numpy.float32,
        seed: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.input_size = checks.integer("input_size", input_size, 1)
        self.hidden_size = checks.integer("hidden_size", hidden_size, 1)
        self.num_layers = checks.integer("num_layers", num_layers, 1)
        self.bias, self.batch_first, self.bidirectional = bool(bias), bool(batch_first), bool(bidirectional)
        self.proj_size = checks.integer("proj_size", proj_size, 0)
        if self.proj_size >= self.hidden_size:
            raise ValueError(f"proj_size must be smaller than hidden_size, {hidden_size}, got {proj_size}")
        self.dropout = arguments.rate("dropout", dropout)
        self.recurrent_dropout = arguments.rate("recurrent_dropout", recurrent_dropout)
        if self.recurrent_dropout and self.proj_size:
            raise ValueError(f"recurrent_dropout must be 0 with a projection, got {recurrent_dropout}")
        bias_value = None if forget_bias is None else checks.real("forget_bias", forget_bias)
        if bias_value is not None and not bias:
            raise ValueError(f"forget_bias must be None without biases, got {forget_bias}")
        self.recurrent_initializer = checks.choice(
            "recurrent_initializer", recurrent_initializer, initializers.INITIALIZERS
        )
        self.n_threads = checks.optional_integer("n_threads", n_threads, 1)
        self.dtype = checks.float_dtype(dtype)
        self.forget_bias = bias_value
        if self.dropout and self.num_layers == 1:
            warnings.warn("dropout drops outputs of layers that have another above them: none of one", stacklevel=2)
        generator = numpy.random.default_rng(seed)
        shapes = initializers.shapes(
            self.input_size, self.hidden_size, self.num_layers, self._directions, self.proj_size, self.bias
        )
        self._plans: Plans[Stack] = Plans()
        self._state_sizes = self.num_layers * self._directions, self.proj_size or self.hidden_size, self.hidden_size
        self._no_states = no_states(self.dtype), no_states(self.dtype)
        self._draw(shapes, self.dtype, self.hidden_size**-0.5, generator)
        if self.recurrent_initializer == "orthogonal":
            initializers.set_orthogonal(self.parameters, self.hidden_size, generator)
        if self.forget_bias is not None:
            initializers.set_forget_bias(self.parameters, self.hidden_size, self.forget_bias)
        # Of this kind whatever the seed is, so that a file can hold its state.
        self.generator = numpy.random.Generator(numpy.random.PCG64(generator.integers(1 << 63)))

    def __call__(self, input: Any, state: Any = None, lengths: Any = None) -> tuple[Array, State]:
        """Run over a sequence, keeping nothing but the result, and dropping nothing.

        Parameters
        ----------
        input : (T, batch, input) array
            Or (batch, T, input) with `batch_first`; or (T, input), without a batch axis, then nor have states and
            output.
        state : tuple of (num_layers · D, batch, output) and (num_layers · D, batch, hidden) arrays, optional
            Initial hidden and cell states h_0, c_0; zeros by default.
        lengths : (batch,) integers, optional
            Steps of each sequence, from 0 to T in any order; what `input` has behind them is not looked at.

        Returns
        -------
        output : (T, batch, D · output) array
            Hidden states of all steps of the last layer, in the form of the input; zero behind the end of a sequence.
        h_n, c_n : arrays like h_0 and c_0
            Final states, as a tuple: each sequence's after its own last step.

        Raises
        ------
        TypeError, ValueError
            Input, state or lengths do not fit the layer or each other.

        Notes
        -----
        8 · N · hidden · (input + output) flops a layer and direction, for N steps of all sequences together. With a
        projection, as without one.
        """
        x, _, batched, _, stack = self._input(input, lengths, False)
        output, final = stack.infer(stack.batch.take(x), self._states("state", state, stack.batch, batched))
        return self._given(stack, output, final, batched)

    def forward(self, input: Any, state: Any = None, lengths: Any = None) -> tuple[Array, State, Tape]:
        """Run over a sequence, keeping what `backward` needs, and dropping what is to be dropped.

        Parameters
        ----------
        input, state, lengths
            As for a call of the layer.

        Returns
        -------
        output, (h_n, c_n)
            As from a call of the layer.
        tape : Tape
            For `backward`; it holds about 7 · T · batch · hidden numbers a layer and direction, and a copy of `input`.

        Raises
        ------
        TypeError, ValueError
            As from a call of the layer.
        """
        return self._record(input, state, lengths, True, True)

    def backward(
        self, tape: Tape, dy: Any, dstate: Any = None, truncate: int | None = None, stride: int = 1
    ) -> tuple[Array, State]:
        """Back-propagate through the steps of a `forward`; adds into `gradients`.

        Parameters
        ----------
        tape : Tape
            From `forward` of this layer, whose parameters have not changed since.
        dy : array like the output
            Gradient of the loss at it; what it has behind the end of a sequence is not looked at.
        dstate : tuple of arrays like h_n and c_n, optional
            Gradients of the loss at the final states; zeros by default.
        truncate : int or None
            K: the steps come in groups of `stride`, counted from the first; the errors of a group are walked back
            over it and the K steps before it, and the state before those counts as a constant: BPTT(h; h') of
            Williams & Peng (1990), section 4, with h = K + stride and h' = stride. Each layer and direction does so
            with the errors that reach it. None for no truncation, and with a projection.
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
            The tape is another layer's, or an argument does not fit. `gradients` stay as they are.

        Notes
        -----
        16 · N · hidden · (input + output) flops a layer and direction; truncated, 8 · N · hidden · (2 input + hidden +
        (K / stride + 1) hidden).
        """
        self._check_tape(tape)
        reach = checks.optional_integer("truncate", truncate, 0)
        stride = checks.integer("stride", stride, 1)
        if reach is not None and self.proj_size:
            raise ValueError(f"truncate must be None with a projection, got {truncate}")
        batch, batched = tape.batch, tape.batched
        shape = self._shape(batch.duration, batch.batch, self.output_size, batched)
        delta = checks.shaped_array("dy", dy, shape, self.dtype)
        d_final = self._states("dstate", dstate, batch, batched)
        d_y = batch.take(delta if batched else delta[:, None])
        plan = self._plan(batch.duration, batch.batch, batch.batch_first, tape.lengths, True)
        d_x, (d_h, d_c) = plan.backward(tape.run, d_y, d_final, reach, stride)
        d_input = batch.give(d_x)
        return (d_input, (d_h, d_c)) if batched else (d_input[:, 0], (d_h[:, 0], d_c[:, 0]))

    @property
    def output_size(self) -> int:
        """Size of the output: `proj_size` or `hidden_size`, twice that if `bidirectional`."""
        return (self.proj_size or self.hidden_size) * self._directions

    def generators(self) -> list[numpy.random.Generator]:
        """Its `generator`, in a list."""
        return [self.generator]

    def stepper(self, batch_size: int = 1) -> Stepper:
        """The layers frame by frame.

        Parameters
        ----------
        batch_size : int
            Rows that step together; at least 1.

        Returns
        -------
        Stepper
            Over a copy of the present parameters.

        Raises
        ------
        ValueError
            The layer is bidirectional: its outputs depend on frames to come.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional layer cannot go frame by frame, as its outputs depend on frames to come")
        rows = checks.integer("batch_size", batch_size, 1)
        layers = []
        for (one,) in self._layers():
            whole = Weights(*one.weights)
            own = whole._replace(w=whole.w.copy(), u=whole.u.copy(), b_ih=whole.b_ih.copy(), b_hh=whole.b_hh.copy())
            layers.append((tuple(own), one.projection.copy()))
        return Stepper(layers, rows, self.n_threads)

    def panels(self, layer: int = 0, reverse: bool = False) -> Array:
        """The weights as the kernels read them, to step or run a layer in compiled code: see docs/kernels.md.

        Parameters
        ----------
        layer : int
            Which one, from 0 for the lowest.
        reverse : bool
            Whether of its reverse direction.

        Returns
        -------
        array of `fastlstm_kernels.pack.panels_shape`
            A copy of the present parameters, of the layer's dtype; biases are summed.

        Raises
        ------
        TypeError, ValueError
            There is no such layer or direction, or there are projections, which the kernels do not have.
        """
        if reverse and not self.bidirectional:
            raise ValueError("reverse must be False, as the layer has one direction")
        return packed(self._for_kernels(layer)[bool(reverse)].weights)

    def compiled_step(self, layer: int = 0) -> Callable[[Array, Array, Array, Array, int], None]:
        """A step of one row for your own compiled code, made for the sizes of a layer: see docs/kernels.md.

        It takes 0.6 to 0.9 of the time of `fastlstm_kernels.step`, least where layers are small.

        Parameters
        ----------
        layer : int
            Which one, from 0 for the lowest.

        Returns
        -------
        callable
            See `fastlstm_kernels.compiled_step`; it takes the layer's `panels`, of either direction.

        Raises
        ------
        TypeError, ValueError
            As for `panels`.
        """
        whole = Weights(*self._for_kernels(layer)[0].weights)
        return compiled_step(whole.w.shape[1], whole.u.shape[1])

    def _for_kernels(self, layer: int) -> list[Projected]:
        """The directions of one layer, of which kernels can do all."""
        if self.proj_size:
            raise ValueError(f"panels are those of a layer without a projection, got one of proj_size {self.proj_size}")
        level = checks.integer("layer", layer, 0)
        if level >= self.num_layers:
            raise ValueError(f"layer must be below num_layers, {self.num_layers}, got {layer}")
        return self._layers()[level]

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _named(self, buffer: Buffer) -> list[tuple[Array, ...]]:
        """Of each layer and direction the views of a buffer, in torch's order."""
        views = buffer.views
        size = len(views) // (self.num_layers * self._directions)
        return [views[k : k + size] for k in range(0, len(views), size)]

    def _layers(self) -> list[list[Projected]]:
        """Of each layer its directions."""
        every = [
            self._direction(views, gradients)
            for views, gradients in zip(self._named(self.parameters), self._named(self.gradients), strict=True)
        ]
        return [every[k : k + self._directions] for k in range(0, len(every), self._directions)]

    def _direction(self, views: tuple[Array, ...], gradients: tuple[Array, ...]) -> Projected:
        none, no_projection = numpy.empty(0, self.dtype), numpy.empty((0, 0), self.dtype)

        def of(found: tuple[Array, ...]) -> tuple[Array, ...]:
            return found[:4] if self.bias else (*found[:2], none, none)

        last = (views[-1], gradients[-1]) if self.proj_size else (no_projection, no_projection)
        return Projected((*of(views), ORDER, TANH, TANH), of(gradients), *last)

    def _plan(self, duration: int, batch: int, batch_first: bool, lengths: Array | None, record: bool) -> Stack:
        """The plan of calls of one shape."""
        key = duration, batch, batch_first, record, self.n_threads, None if lengths is None else lengths.tobytes()
        return self._plans.get(key, self._new_plan, key, lengths)

    def _new_plan(self, key: tuple[Any, ...], lengths: Array | None) -> Stack:
        duration, count, batch_first, record, n_threads, _ = key
        shape = duration, count, batch_first
        batch = Batch(*shape, n_threads) if lengths is None else RaggedBatch(*shape, lengths, n_threads)
        return Stack(self._layers(), batch, record, n_threads)

    def _move(self, parameters: Buffer, gradients: Buffer) -> None:
        super()._move(parameters, gradients)
        self._plans = Plans()

    def _shape(self, duration: int, batch: int, features: int, batched: bool) -> tuple[int, ...]:
        if not batched:
            return duration, features
        return (batch, duration, features) if self.batch_first else (duration, batch, features)

    def _state_shapes(self, batch: int, batched: bool) -> list[tuple[int, ...]]:
        count, outputs, size = self._state_sizes
        return [(count, batch, outputs), (count, batch, size)] if batched else [(count, outputs), (count, size)]

    def _states(self, name: str, value: Any, batch: Batch, batched: bool) -> State:
        """Hidden and cell parts of a state as the user gives it, or nothing for None."""
        if value is None:
            return self._no_states
        h, c = arguments.state(name, value, self._state_shapes(batch.batch, batched), self.dtype)
        return (h, c) if batched else (h[:, None], c[:, None])

    def _check_final(self, tape: Tape, dstate: Any) -> None:
        self._check_tape(tape)
        self._states("dstate", dstate, tape.batch, tape.batched)

    def _record(
        self, input: Any, state: Any, lengths: Any, own_input: bool, own_output: bool
    ) -> tuple[Array, State, Tape]:
        """`forward`, whose tape may hold `input` itself, and the output, unless it is to hold its own."""
        x, array, batched, counts, stack = self._input(input, lengths, True)
        initial = self._states("state", state, stack.batch, batched)
        masks, dropped = self._drop(stack.batch)
        rows = checks.apart(stack.batch.take(x), array) if own_input else stack.batch.take(x)
        output, final, run = stack.record(rows, initial, masks, dropped)
        result, final = self._given(stack, output, final, batched)
        if own_output:
            result = checks.apart(result, output)
        return result, final, Tape(stack.batch, counts, run, batched, self)

    def _input(self, input: Any, lengths: Any, record: bool) -> tuple[Array, Array, bool, Array | None, Stack]:
        """The input with a batch axis, and as an array; whether it had the axis; the lengths; the plan for it."""
        direct = checks.is_direct(input, self.dtype)
        array = input if direct else checks.real_array("input", input)
        if array.ndim not in (2, 3) or array.shape[-1] != self.input_size:
            raise ValueError(f"input must have shape (T, batch, {self.input_size}) or (T, {self.input_size}), or with "
                             f"batch_first (batch, T, {self.input_size}); got {array.shape}")
        batched = array.ndim == 3
        x = array if direct else checks.kernel_array(array, self.dtype)
        x = x if batched else x[:, None]
        batch_first = self.batch_first and batched
        batch, duration = x.shape[:2] if batch_first else x.shape[1::-1]
        counts = None
        if lengths is not None:
            if not batched:
                raise ValueError(f"lengths must be None for an input without a batch axis, got {lengths!r}")
            counts = arguments.lengths(lengths, duration, batch)
        return x, array, batched, counts, self._plan(duration, batch, batch_first, counts, record)

    def _given(self, stack: Stack, rows: Array, final: State, batched: bool) -> tuple[Array, State]:
        """Output and final states in the user's form."""
        output, (h, c) = stack.batch.give(rows), final
        return (output, final) if batched else (output[:, 0], (h[:, 0], c[:, 0]))

    def _drop(self, batch: Batch) -> tuple[list[Array], list[Array]]:
        """Masks for what each direction hands on to the next step, and for what each layer does to the next layer."""
        masks, dropped = [], []
        if self.recurrent_dropout:
            shape = batch.batch, self.hidden_size
            masks = [
                dropout.mask(self.generator, shape, self.recurrent_dropout, self.dtype)
                for _ in range(self.num_layers * self._directions)
            ]
        if self.dropout:
            shape = batch.rows, self.output_size
            dropped = [
                dropout.mask(self.generator, shape, self.dropout, self.dtype) for _ in range(self.num_layers - 1)
            ]
        return masks, dropped

    def __repr__(self) -> str:
        arguments = self._arguments(LSTM)
        sizes = [str(arguments.pop(name)) for name in ("input_size", "hidden_size")]
        usual = {"num_layers": 1, "dropout": 0, "bidirectional": False, "proj_size": 0, "recurrent_dropout": 0,
                 "forget_bias": None, "recurrent_initializer": "uniform"}
        told = [f"{name}={value}" for name, value in arguments.items() if name not in usual or value != usual[name]]
        return f"LSTM({', '.join(sizes + told)})"
