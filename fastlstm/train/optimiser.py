"""What all optimisers share; they are in `optimisers`."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy

from fastlstm import checks, cores
from fastlstm.checks import Array
from fastlstm.workspace import fresh
from fastlstm_kernels import gradient_squares
from fastlstm_kernels.optimise import BLOCK
from fastlstm_kernels.simd import lanes

Rate: TypeAlias = float | Callable[[int], float]
"""A learning rate, or a function of the number of updates done that gives it."""

WORK = 10
"""Work of a step for each parameter, in flops."""


class Optimiser:
    """What all optimisers share: the learning rate, clipping, and what is kept from step to step.

    Parameters
    ----------
    learning_rate : float or callable
        At least 0; or ``learning_rate(updates)``, called before each step with the number of updates done.
    weight_decay : float
        At least 0: this times the parameters is added to the gradient after it was clipped.
    clip_norm : float or None
        Positive: a gradient whose Euclidean norm is larger is shortened to it (Pascanu et al. 2013, section 3.2), by
        min(1, clip_norm / (norm + 1e-6)) as by `torch.nn.utils.clip_grad_norm_`.
    clip_value : float or None
        Positive: the gradient's elements are cut off at ± this, before the norm is taken.
    n_threads : int or None
        At most so many threads; None for Numba's number. Results are bitwise the same for any number.

    Attributes
    ----------
    updates : int
        Steps done.
    arrays : dict of str to (n,) array
        What is kept from step to step, under PyTorch's names; empty before the first step.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.
    """

    def __init__(
        self, learning_rate: Rate, weight_decay: float, clip_norm: float | None, clip_value: float | None,
        n_threads: int | None,
    ) -> None:
        self.learning_rate: Rate = (
            learning_rate if callable(learning_rate) else number("learning_rate", learning_rate)
        )
        self.weight_decay = number("weight_decay", weight_decay)
        self.clip_norm = None if clip_norm is None else positive("clip_norm", clip_norm)
        self.clip_value = None if clip_value is None else positive("clip_value", clip_value)
        self.n_threads = checks.optional_integer("n_threads", n_threads, 1)
        self.updates = 0
        self.arrays: dict[str, Array] = {}

    def step(self, parameters: Array, gradients: Array) -> float | None:
        """Change the parameters in place.

        Parameters
        ----------
        parameters : (n,) float32 or float64 array
            C-contiguous, such as `Buffer.flat`.
        gradients : (n,) array
            Of the same dtype; it stays as it is.

        Returns
        -------
        float or None
            The gradient's norm before it was shortened; None without `clip_norm`.

        Raises
        ------
        TypeError, ValueError
            The arrays do not fit each other or those of the steps before, or the learning rate is none. Nothing is
            changed.

        Notes
        -----
        One pass over the arrays, and with `clip_norm` one more over the gradients. A NaN in the gradients, with
        `clip_norm` also an infinity, makes parameters NaN, as in PyTorch.
        """
        parameters, gradients = _fitting(parameters, gradients)
        arrays = self.arrays or {name: _zeros(parameters) for name in self._names()}
        for name, kept in arrays.items():
            if kept.shape != parameters.shape or kept.dtype != parameters.dtype:
                raise ValueError(f"parameters must be as in the steps before, {_kind(kept)} (so is {name}); "
                                 f"got {_kind(parameters)}")
        given = self.learning_rate
        rate = number("learning_rate", given(self.updates) if callable(given) else given)
        with cores.borrowed(self.n_threads, WORK * parameters.size) as workers:
            norm = None if self.clip_norm is None else self._norm(gradients, workers)
            self._apply(rate, self._scale(norm), parameters, gradients, arrays, workers)
        self.arrays = arrays
        self.updates += 1
        return norm

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, and the class's name as "kind"; for JSON.

        Returns
        -------
        dict
            "learning_rate" is None where it is a callable.
        """
        found = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        if callable(self.learning_rate):
            found["learning_rate"] = None
        return {"kind": type(self).__name__, **found}

    def load(self, updates: int, arrays: Mapping[str, Any]) -> None:
        """Go on from where another optimiser of the same configuration was.

        Parameters
        ----------
        updates : int
            Its `updates`.
        arrays : mapping of str to (n,) array
            Its `arrays`; they are copied.

        Raises
        ------
        TypeError, ValueError
            Names, shapes or dtypes are not those of this kind of optimiser. Nothing is changed.
        """
        updates = checks.integer("updates", updates, 0)
        names = self._names() if updates else ()
        if set(arrays) != set(names):
            raise ValueError(f"arrays after {updates} updates must be {sorted(names)}, got {sorted(arrays)}")
        copies: dict[str, Array] = {}
        for name in names:
            given = checks.real_array(name, arrays[name])
            first = next(iter(copies.values()), given)
            if given.ndim != 1 or given.shape != first.shape:
                raise ValueError(f"{name} must have shape (n,), the same n for all; got {given.shape}")
            if checks.float_dtype(given.dtype) != first.dtype:
                raise TypeError(f"{name} must have dtype {first.dtype} as the others, got {given.dtype}")
            copies[name] = fresh(name, given.shape, given.dtype)
            copies[name][:] = given
        self.updates, self.arrays = updates, copies

    def _names(self) -> tuple[str, ...]:
        """Of the arrays that are kept."""
        raise NotImplementedError

    def _apply(
        self, rate: float, scale: float, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        """Run the kernel, on gradients that are still to be multiplied with `scale`."""
        raise NotImplementedError

    def _limit(self) -> float:
        return math.inf if self.clip_value is None else self.clip_value

    def _norm(self, gradients: Array, workers: int) -> float:
        dtype = gradients.dtype
        sums = numpy.empty((-(-gradients.size // BLOCK), lanes(dtype)), dtype)
        gradient_squares(rates(dtype, self._limit()), gradients, sums, workers)
        return math.sqrt(sums.sum(dtype=numpy.float64))

    def _scale(self, norm: float | None) -> float:
        if norm is None or self.clip_norm is None:
            return 1.0
        scale = self.clip_norm / (norm + 1e-6)
        return 1.0 if scale > 1 else scale  # a NaN stays one

    def __repr__(self) -> str:
        arguments = self.config()
        kind = arguments.pop("kind")
        return f"{kind}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def number(name: str, value: Any) -> float:
    """`value` as a float that is not negative."""
    found = checks.real(name, value)
    if found < 0:
        raise ValueError(f"{name} must be at least 0, got {value!r}")
    return found


def positive(name: str, value: Any) -> float:
    """`value` as a positive float."""
    found = checks.real(name, value)
    if found <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return found


def fraction(name: str, value: Any) -> float:
    """`value` as a float in [0, 1)."""
    found = number(name, value)
    if found >= 1:
        raise ValueError(f"{name} must be below 1, got {value!r}")
    return found


def rates(dtype: numpy.dtype[Any], *numbers: float) -> Array:
    """Numbers for a kernel; one too large for float32 becomes infinite, as a limit that is none."""
    with numpy.errstate(over="ignore"):
        return numpy.array(numbers, dtype)


def _zeros(like: Array) -> Array:
    zeros = fresh("zeros", like.shape, like.dtype)
    zeros[...] = 0
    return zeros


def _kind(array: Array) -> str:
    return f"{array.dtype.name} {array.shape}"


def _fitting(parameters: Any, gradients: Any) -> tuple[Array, Array]:
    """Both arrays as a kernel takes them, the parameters without a copy.

    Raises
    ------
    TypeError, ValueError
        They do not.
    """
    if not isinstance(parameters, numpy.ndarray):
        raise TypeError(f"parameters must be an array, which is changed in place; got {type(parameters).__name__}")
    parameters = checks.real_array("parameters", parameters)
    dtype = checks.float_dtype(parameters.dtype)
    if parameters.ndim != 1:
        raise ValueError(f"parameters must have shape (n,), got {parameters.shape}")
    if not parameters.flags.carray:
        raise ValueError("parameters must be contiguous, aligned and writable, since they are changed in place; "
                         f"got strides {parameters.strides}, aligned {parameters.flags.aligned}, "
                         f"writable {parameters.flags.writeable}")
    given = checks.real_array("gradients", gradients)
    if given.dtype != dtype:
        raise TypeError(f"gradients must have dtype {dtype.name} as the parameters, got {given.dtype.name}")
    if given.shape != parameters.shape:
        raise ValueError(f"gradients must have shape {parameters.shape} as the parameters, got {given.shape}")
    return parameters, checks.kernel_array(given, dtype)
