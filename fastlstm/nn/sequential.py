"""Layers one after the other, with one flat buffer of parameters."""

from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.nn import arguments
from fastlstm.nn.layer import Layer
from fastlstm.parameters import Buffer

States: TypeAlias = tuple[Any, ...]


class SequentialTape(NamedTuple):
    """What `Sequential.forward` keeps for `Sequential.backward`; any number of backward calls may use it.

    Attributes
    ----------
    tapes : tuple
        Those of the layers.
    there : bool array or None
        Which steps of which sequences there are; None for all.
    owner : Sequential
        The layer that made it.
    """

    tapes: tuple[Any, ...]
    there: Array | None
    owner: "Sequential"


class Sequential(Layer):
    """Layers one after the other: each takes the output of the one before.

    The parameters of all lie in one flat array, and so do the gradients; those of the layers become views into them.

    Parameters
    ----------
    *layers : LSTM, Dense, Sequential or another Layer
        At least one. All of one dtype, each of the input size that the one before gives, and none part of another
        Sequential. They stay the very objects they are.

    Attributes
    ----------
    layers : tuple
    parameters, gradients : Buffer
        Mappings of torch's names, "0.weight_ih_l0" and so on, to arrays, each over one flat array. Change them in
        place.
    input_size, output_size, dtype
        Of the first layer, of the last, and of all.
    batch_first : bool or None
        Of every LSTM; None where there is none.

    Raises
    ------
    TypeError, ValueError
        Something else than a layer; or layers that do not fit each other, or are in use. All stay as they are.

    Examples
    --------
    >>> model = fastlstm.nn.Sequential(fastlstm.nn.LSTM(3, 8, seed=0), fastlstm.nn.Dense(8, 2, seed=0))
    >>> y, state = model(numpy.ones((5, 4, 3), numpy.float32))
    >>> y.shape, state[1]
    ((5, 4, 2), None)
    """

    def __init__(self, *layers: Any) -> None:
        _check(layers)
        self._layers = layers
        self.input_size, self.output_size = layers[0].input_size, layers[-1].output_size
        self.dtype = layers[0].dtype
        self.batch_first = next((layer.batch_first for layer in layers if layer.batch_first is not None), None)
        parameters, gradients = (
            _joined([getattr(layer, name) for layer in layers]) for name in ("parameters", "gradients")
        )
        self._move(parameters, gradients)

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers, in order."""
        return self._layers

    def _move(self, parameters: Buffer, gradients: Buffer) -> None:
        super()._move(parameters, gradients)
        for k, layer in enumerate(self.layers):
            if layer.parameters:
                layer._move(parameters.part(str(k)), gradients.part(str(k)))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._move(self.parameters, self.gradients)  # the layers came with copies of theirs

    def __call__(self, input: Any, state: Any = None, lengths: Any = None) -> tuple[Array, States]:
        """Run over a sequence, keeping nothing but the result.

        Parameters
        ----------
        input : array
            As the first layer takes it.
        state : tuple, optional
            The initial state of each layer; those of a call without one by default.
        lengths : (batch,) integers, optional
            Steps of each sequence, from 0 to T in any order; what `input` has behind them does not count.

        Returns
        -------
        output : array
            As the last layer gives it; zero behind the end of a sequence.
        state : tuple
            The final state of each layer, after each sequence's own last step; None for a `Dense`.

        Raises
        ------
        TypeError, ValueError
            Input, state or lengths do not fit the layers or each other.
        """
        finals = []
        there = self._there(input, lengths)
        for layer, initial in zip(self.layers, self._each("state", state), strict=True):
            input, final = layer(input, initial, lengths if layer.batch_first is not None else None)
            finals.append(final)
        return _ended(input, there), tuple(finals)

    def forward(self, input: Any, state: Any = None, lengths: Any = None) -> tuple[Array, States, SequentialTape]:
        """Run over a sequence, keeping what `backward` needs.

        Parameters
        ----------
        input, state, lengths
            As for a call of the layer.

        Returns
        -------
        output, state
            As from a call of the layer.
        tape : SequentialTape
            For `backward`.

        Raises
        ------
        TypeError, ValueError
            As from a call of the layer.
        """
        return self._record(input, state, lengths, True, True)

    def _record(
        self, input: Any, state: Any, lengths: Any, own_input: bool, own_output: bool
    ) -> tuple[Array, States, SequentialTape]:
        """See `LSTM._record`."""
        finals, tapes, last = [], [], len(self.layers) - 1
        there = self._there(input, lengths)
        for k, (layer, initial) in enumerate(zip(self.layers, self._each("state", state), strict=True)):
            input, final, tape = layer._record(
                input, initial, lengths if layer.batch_first is not None else None, own_input and k == 0,
                own_output and k == last,
            )
            finals.append(final)
            tapes.append(tape)
        return _ended(input, there), tuple(finals), SequentialTape(tuple(tapes), there, self)

    def backward(
        self, tape: SequentialTape, dy: Any, dstate: Any = None, truncate: int | None = None, stride: int = 1
    ) -> tuple[Array, States]:
        """Back-propagate through a `forward`; adds into `gradients`.

        Parameters
        ----------
        tape : SequentialTape
            From `forward` of this layer, whose parameters have not changed since.
        dy : array like the output
            Gradient of the loss at it; what it has behind the end of a sequence does not count.
        dstate : tuple, optional
            Gradients of the loss at the final state of each layer, None for zeros.
        truncate, stride
            As `LSTM.backward` takes them; for each layer.

        Returns
        -------
        d_input : array like the input
        d_state : tuple
            Gradients at the initial states; None for a `Dense`.

        Raises
        ------
        TypeError, ValueError
            The tape is another layer's, or an argument does not fit. `gradients` stay as they are.
        """
        self._check_final(tape, dstate)
        initial = []
        if tape.there is not None:
            dy = checks.shaped_array("dy", dy, (*tape.there.shape, self.output_size), self.dtype)
            dy = numpy.where(tape.there[..., None], dy, self.dtype.type(0))
        back = zip(self.layers, tape.tapes, self._each("dstate", dstate), strict=True)
        for layer, held, final in reversed(list(back)):
            dy, d_state = layer.backward(held, dy, final, truncate, stride)
            initial.append(d_state)
        return dy, tuple(reversed(initial))

    def generators(self) -> list[numpy.random.Generator]:
        """Those of the layers."""
        return [generator for layer in self.layers for generator in layer.generators()]

    def _each(self, name: str, state: Any) -> States:
        """One entry for each layer."""
        if state is None:
            return (None,) * len(self.layers)
        if not isinstance(state, tuple | list):
            raise TypeError(f"{name} must be a tuple with an entry for each layer, got {type(state).__name__}")
        if len(state) != len(self.layers):
            raise ValueError(f"{name} must have {len(self.layers)} entries, one for each layer, got {len(state)}")
        return tuple(state)

    def _there(self, input: Any, lengths: Any) -> Array | None:
        """Which steps of which sequences there are; None for all."""
        return None if lengths is None else arguments.there(lengths, numpy.shape(input), bool(self.batch_first))

    def _check_final(self, tape: SequentialTape, dstate: Any) -> None:
        self._check_tape(tape)
        for layer, held, final in zip(self.layers, tape.tapes, self._each("dstate", dstate), strict=True):
            layer._check_final(held, final)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


def _ended(output: Array, there: Array | None) -> Array:
    """The output with zeros behind the end of each sequence, where a dense layer has left its bias."""
    if there is not None:
        output[~there] = 0
    return output


def _check(layers: tuple[Any, ...]) -> None:
    if not layers:
        raise ValueError("a Sequential must have at least one layer, got none")
    for k, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layer {k} must be an LSTM, a Dense, a Sequential or of another subclass of Layer, "
                            f"got {type(layer).__name__}")
        if layer.parameters.is_part or any(layer is other for other in layers[:k]):
            raise ValueError(f"layer {k} must not be part of a Sequential already, got {layer!r}")
        if layer.dtype != layers[0].dtype:
            raise ValueError(f"layer {k} must be of {layers[0].dtype.name} as layer 0, got {layer.dtype.name}")
    for k, (before, layer) in enumerate(pairwise(layers), 1):
        if layer.input_size != before.output_size:
            raise ValueError(f"layer {k} must take {before.output_size} inputs, as many as layer {k - 1} gives, "
                             f"got {layer.input_size}")
    if {True, False} <= {layer.batch_first for layer in layers}:
        raise ValueError("batch_first must be the same for all layers, got True and False")


def _joined(parts: list[Buffer]) -> Buffer:
    """A buffer of copies of the arrays of others, under their names with the others' numbers before them."""
    named = {f"{k}.{name}": array for k, part in enumerate(parts) for name, array in part.items()}
    joined = Buffer({name: array.shape for name, array in named.items()}, parts[0].flat.dtype)
    for name, array in named.items():
        joined[name][...] = array
    return joined
