"""Optimisers with the formulas of `torch.optim`, over one flat array of parameters and one of gradients."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy

from fastlstm import checks, cores
from fastlstm.checks import Array
from fastlstm.parameters import Buffer
from fastlstm_kernels import adam_step, gradient_squares, rmsprop_step, sgd_step
from fastlstm_kernels.optimise import BLOCK, CENTRED, MOMENTUM, MOVING, NESTEROV, PLAIN
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
        self.learning_rate: Rate = learning_rate if callable(learning_rate) else _learning_rate(learning_rate)
        self.weight_decay = _number("weight_decay", weight_decay)
        self.clip_norm = None if clip_norm is None else _positive("clip_norm", clip_norm)
        self.clip_value = None if clip_value is None else _positive("clip_value", clip_value)
        self.n_threads = None if n_threads is None else checks.integer("n_threads", n_threads, 1)
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
        rate = _learning_rate(self.learning_rate(self.updates) if callable(self.learning_rate) else self.learning_rate)
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
            copies[name] = _zeros(given)
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
        gradient_squares(_rates(dtype, self._limit()), gradients, sums, workers)
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


class SGD(Optimiser):
    """Stochastic gradient descent, with momentum (Sutskever et al. 2013); mirrors `torch.optim.SGD`.

    With the gradient g, the step is ``p -= learning_rate * g``; with momentum ``b = momentum * b + g``, and b takes the
    place of g, or with `nesterov` ``g + momentum * b`` does.

    Parameters
    ----------
    learning_rate : float or callable
    momentum : float
        At least 0.
    nesterov : bool
        Needs momentum.
    weight_decay, clip_norm, clip_value, n_threads
        As for all; see `Optimiser`.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clip_norm, clip_value, n_threads)
        self.momentum, self.nesterov = _number("momentum", momentum), bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a positive momentum, got momentum 0")

    def _names(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    def _apply(
        self, rate: float, scale: float, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        form = (NESTEROV if self.nesterov else MOMENTUM) if self.momentum else PLAIN
        rates = _rates(parameters.dtype, self._limit(), scale, self.weight_decay, -rate, self.momentum)
        momenta = arrays.get("momentum_buffer", parameters[:0])
        sgd_step(form, rates, parameters, gradients, momenta, workers)


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015); mirrors `torch.optim.Adam`.

    With the gradient g at step t::

        m = β₁ m + (1 - β₁) g        s = β₂ s + (1 - β₂) g²
        p -= learning_rate * m / (1 - β₁ᵗ) / (√(s / (1 - β₂ᵗ)) + eps)

    Parameters
    ----------
    learning_rate : float or callable
    betas : (float, float)
        β₁ and β₂, at least 0 and below 1.
    eps : float
        At least 0.
    weight_decay, clip_norm, clip_value, n_threads
        As for all; see `Optimiser`.
    """

    _decoupled = False

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clip_norm, clip_value, n_threads)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas must be two numbers, got {betas!r}")
        self.betas = [_fraction(f"betas[{k}]", beta) for k, beta in enumerate(betas)]
        self.eps = _number("eps", eps)

    def _names(self) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq"

    def _apply(
        self, rate: float, scale: float, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        (beta1, beta2), t = self.betas, self.updates + 1
        decay, keep = (0.0, 1 - rate * self.weight_decay) if self._decoupled else (self.weight_decay, 1.0)
        rates = _rates(
            parameters.dtype, self._limit(), scale, decay, -rate / (1 - beta1**t), self.eps, keep,
            beta1, 1 - beta1, beta2, 1 - beta2, 1 / math.sqrt(1 - beta2**t),
        )
        adam_step(rates, parameters, gradients, arrays["exp_avg"], arrays["exp_avg_sq"], workers)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019); mirrors `torch.optim.AdamW`.

    The parameters are multiplied with ``1 - learning_rate * weight_decay`` before the step of `Adam`, whose gradient
    is left alone.

    Parameters
    ----------
    learning_rate, betas, eps
        As for `Adam`.
    weight_decay : float
        At least 0.
    clip_norm, clip_value, n_threads
        As for all; see `Optimiser`.
    """

    _decoupled = True

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            learning_rate, betas, eps, weight_decay, clip_norm=clip_norm, clip_value=clip_value, n_threads=n_threads
        )


class RMSprop(Optimiser):
    """RMSprop (Tieleman & Hinton 2012); mirrors `torch.optim.RMSprop`.

    With the gradient g::

        s = α s + (1 - α) g²        step = g / (√s + eps)        p -= learning_rate * step

    With `centered` (Graves 2013, section 4.2) there is ``m = α m + (1 - α) g``, and ``s - m²`` takes the place of s in
    the root: where the gradient never changes, that is rounding alone, and the step huge or NaN. With momentum there is
    ``b = momentum * b + step``, which takes the place of the step.

    Parameters
    ----------
    learning_rate : float or callable
    alpha : float
        At least 0 and below 1.
    eps, momentum : float
        At least 0.
    centered : bool
    weight_decay, clip_norm, clip_value, n_threads
        As for all; see `Optimiser`.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clip_norm, clip_value, n_threads)
        self.alpha, self.eps = _fraction("alpha", alpha), _number("eps", eps)
        self.momentum, self.centered = _number("momentum", momentum), bool(centered)

    def _names(self) -> tuple[str, ...]:
        return "square_avg", *["grad_avg"] * self.centered, *["momentum_buffer"] * bool(self.momentum)

    def _apply(
        self, rate: float, scale: float, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        form = CENTRED * self.centered + MOVING * bool(self.momentum)
        rates = _rates(
            parameters.dtype, self._limit(), scale, self.weight_decay, -rate, self.eps, self.alpha, 1 - self.alpha,
            self.momentum,
        )
        squares, means, momenta = (
            arrays.get(name, parameters[:0]) for name in ("square_avg", "grad_avg", "momentum_buffer")
        )
        rmsprop_step(form, rates, parameters, gradients, squares, means, momenta, workers)


def _number(name: str, value: Any) -> float:
    number = checks.real(name, value)
    if number < 0:
        raise ValueError(f"{name} must be at least 0, got {value!r}")
    return number


def _positive(name: str, value: Any) -> float:
    number = checks.real(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def _fraction(name: str, value: Any) -> float:
    number = _number(name, value)
    if number >= 1:
        raise ValueError(f"{name} must be below 1, got {value!r}")
    return number


def _learning_rate(value: Any) -> float:
    return _number("learning_rate", value)


def _rates(dtype: numpy.dtype[Any], *numbers: float) -> Array:
    with numpy.errstate(over="ignore"):  # a limit too large for float32 is none
        return numpy.array(numbers, dtype)


def _kind(array: Array) -> str:
    return f"{array.dtype.name} {array.shape}"


def _zeros(like: Array) -> Array:
    """On a cache line."""
    return Buffer({"": like.shape}, like.dtype)[""]


def _fitting(parameters: Any, gradients: Any) -> tuple[Array, Array]:
    """Both arrays as a kernel takes them, the parameters without a copy.

    Raises
    ------
    TypeError, ValueError
        They do not.
    """
    if not isinstance(parameters, numpy.ndarray):
        raise TypeError(f"parameters must be an array, which is changed in place; got {type(parameters).__name__}")
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
    return numpy.asarray(parameters), checks.kernel_array(given, dtype)
