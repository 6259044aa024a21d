"""What all layers have in common: named parameters and gradients."""

from collections.abc import Mapping
from typing import Any

import numpy

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.parameters import Buffer


class Layer:
    """Base of the layers.

    Attributes
    ----------
    parameters, gradients : Buffer
        Mappings of torch's names to arrays, each over one flat array. Change them in place.
    """

    _parameters: Buffer
    _gradients: Buffer

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
        self._parameters = Buffer(shapes, dtype)
        self._gradients = self.parameters.empty_like()
        self.parameters.flat[:] = numpy.random.default_rng(seed).uniform(-bound, bound, self.parameters.flat.size)

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

    def _move(self, parameters: Buffer, gradients: Buffer) -> None:
        """Take other buffers of the same layout for one's own."""
        self._parameters, self._gradients = parameters, gradients
