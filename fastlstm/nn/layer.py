"""What all layers have in common: named parameters and gradients, and a name in files."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy
import numpy.typing

from fastlstm import checks, kinds
from fastlstm.checks import Array
from fastlstm.parameters import Buffer


class Layer(kinds.Registered, ABC):
    """Base of the layers; a subclass of one's own is one as those of `nn` are, in a `Sequential` and in files.

    It must have a call, `forward` and `backward`, which take and give what they do in `LSTM`, or in `Dense` where there
    is no state, and leave their arguments as they are; results are new arrays. For a `Sequential` it must have
    `input_size` and `output_size`. `Trainer.save` writes the parameters and `config`: the attributes that are named
    like the constructor's arguments, but for a seed. To read the file, the module that defines the class must have been
    imported.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names and shapes of the parameters, which are zero at first.
    dtype : {numpy.float32, numpy.float64}
        Of parameters and results.

    Attributes
    ----------
    parameters, gradients : Buffer
        Mappings of torch's names to arrays, each over one flat array. Change them in place.
    batch_first : bool or None
        Whether inputs are (batch, T, features) rather than (T, batch, features); None, unless a subclass says so, where
        it does not matter which sequence a row is of: then a `Sequential` hands on no lengths.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.

    Examples
    --------
    >>> class Scale(fastlstm.nn.Layer):
    ...     def __init__(self, input_size):
    ...         super().__init__({"scale": (input_size,)})
    ...         self.input_size = self.output_size = input_size
    ...         self.parameters["scale"][:] = 1
    ...
    ...     def __call__(self, input, state=None, lengths=None):
    ...         return input * self.parameters["scale"], None
    ...
    ...     def forward(self, input, state=None, lengths=None):
    ...         return *self(input), input
    ...
    ...     def backward(self, tape, dy, dstate=None, truncate=None, stride=1):
    ...         self.gradients["scale"][:] += (dy * tape).reshape(-1, self.input_size).sum(axis=0)
    ...         return dy * self.parameters["scale"], None
    """

    batch_first: Any = None
    _left_out: ClassVar = ("seed",)
    _parameters: Buffer
    _gradients: Buffer

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: numpy.typing.DTypeLike = numpy.float32
    ) -> None:
        self.dtype = checks.float_dtype(dtype)
        self._hold(shapes, self.dtype)

    @abstractmethod
    def __call__(self, input: Any, state: Any = None, lengths: Any = None) -> tuple[Array, Any]:
        """Output and final state."""

    @abstractmethod
    def forward(self, input: Any, state: Any = None, lengths: Any = None) -> tuple[Array, Any, Any]:
        """Output, final state, and a tape for `backward`."""

    @abstractmethod
    def backward(
        self, tape: Any, dy: Any, dstate: Any = None, truncate: int | None = None, stride: int = 1
    ) -> tuple[Array, Any]:
        """Gradients at the input and at the initial state, of those at the output and the final state.

        Those at the parameters are added to `gradients`.
        """

    @property
    def parameters(self) -> Buffer:
        """The layer's arrays under torch's names."""
        return self._parameters

    @property
    def gradients(self) -> Buffer:
        """Gradients at `parameters`, which `backward` adds to."""
        return self._gradients

    def _draw(
        self, shapes: Mapping[str, tuple[int, ...]], dtype: numpy.dtype[Any], bound: float, seed: Any
    ) -> None:
        """Make both buffers, with initial parameters uniform on ± bound."""
        self._hold(shapes, dtype)
        self.parameters.flat[:] = numpy.random.default_rng(seed).uniform(-bound, bound, self.parameters.flat.size)

    def _hold(self, shapes: Mapping[str, tuple[int, ...]], dtype: numpy.dtype[Any]) -> None:
        """Make both buffers, of zeros."""
        self._parameters = Buffer(shapes, dtype)
        self._gradients = self.parameters.empty_like()

    def generators(self) -> list[numpy.random.Generator]:
        """Generators that `forward` draws from."""
        return []

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        self.gradients.flat[:] = 0

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters under torch's names."""
        return {name: value.copy() for name, value in self.parameters.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take all parameters from a mapping of torch's names to arrays.

        Raises
        ------
        KeyError
            Names are missing, or unknown.
        TypeError, ValueError
            An array has another shape, or holds no real numbers. Nothing is changed.
        """
        if set(state_dict) != set(self.parameters):
            raise KeyError(f"state_dict must hold {sorted(self.parameters)}, got {sorted(state_dict)}")
        dtype = self.parameters.flat.dtype
        found = {
            name: checks.shaped_array(name, state_dict[name], own.shape, dtype)
            for name, own in self.parameters.items()
        }
        for name, value in found.items():
            self.parameters.assign(name, value)

    def _check_tape(self, tape: Any) -> None:
        """Raise unless `forward` of this very layer made the tape."""
        if getattr(tape, "owner", None) is not self:
            raise TypeError(f"tape must come from forward of this layer, got {tape!r}")

    def _check_final(self, tape: Any, dstate: Any) -> None:
        """Raise, before anything has changed, where `backward` would not take them."""

    def _record(
        self, input: Any, state: Any, lengths: Any, own_input: bool, own_output: bool
    ) -> tuple[Array, Any, Any]:
        """`forward`, whose tape may share memory with the input, or the output, unless it is to have its own."""
        return self.forward(input, state, lengths)

    def _move(self, parameters: Buffer, gradients: Buffer) -> None:
        """Take other buffers of the same layout for one's own."""
        self._parameters, self._gradients = parameters, gradients
