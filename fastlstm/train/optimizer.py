"""What all optimizers share; they are in `optimizers`."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy

from fastlstm import checks, kinds
from fastlstm.checks import Array
from fastlstm.engine import cores
from fastlstm.engine.workspace import empty
from fastlstm.train import clipping, flat, precision
from fastlstm.train.schedule import Schedule
from fastlstm.train.settings import Check, Setting, limit, number, rate, threads
from fastlstm_kernels.optimize import GradientRates

Rate: TypeAlias = float | Callable[[int], float]
"""A learning rate or momentum: a number, or a function of the number of updates done that gives it, a `Schedule`."""

WORK = 10
"""Work of a step for each parameter, in flops."""


class Optimizer(kinds.Registered, parts=Schedule):
    """What all optimizers share: the learning rate, clipping, and what is kept from step to step.

    A subclass of one's own gives `rates` and `apply`, and `kept` if it keeps arrays; or a `step` of its own, which adds
    to `updates`. `Trainer.save` writes its `config`: the attributes that are named like the constructor's arguments. To
    read the file, the module that defines the class must have been imported.

    Parameters
    ----------
    learning_rate : float or callable
        At least 0; or ``learning_rate(updates)``, called before each step with the number of updates done: one of
        `schedules`, which a checkpoint can hold, or a function.
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
        What is kept from step to step, under PyTorch's names. One that is missing, as all are before the first step,
        starts at zero; one that the settings no longer need is dropped.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.

    Notes
    -----
    Arguments are attributes too, which may be assigned at any time; a value that the constructor would refuse raises
    and changes nothing.

    Examples
    --------
    >>> class SignSGD(fastlstm.train.Optimizer):
    ...     def __init__(self, learning_rate=0.01, weight_decay=0.0, clip_norm=None, clip_value=None, n_threads=None):
    ...         super().__init__(learning_rate, weight_decay, clip_norm, clip_value, n_threads)
    ...
    ...     def rates(self):
    ...         return (self.now("learning_rate", self.learning_rate),)
    ...
    ...     def apply(self, rates, parameters, gradients, arrays, workers):
    ...         limit, scale, decay, rate = rates
    ...         g = numpy.clip(gradients, -limit, limit) * scale + decay * parameters
    ...         parameters -= rate * numpy.sign(g)
    """

    learning_rate = Setting(rate)
    weight_decay = Setting(number)
    clip_norm = Setting(limit)
    clip_value = Setting(limit)
    n_threads = Setting(threads)

    kept: ClassVar[dict[str, str | None]] = {}
    """Names of arrays, with the setting that must be true for one to be kept; None where it always is."""

    decoupled: ClassVar[bool] = False
    """Whether weight decay is left to `apply`, and nothing is added to the gradient."""

    def __init__(
        self, learning_rate: Rate, weight_decay: float, clip_norm: float | None, clip_value: float | None,
        n_threads: int | None,
    ) -> None:
        self.updates = 0
        self.arrays: dict[str, Array] = {}
        self.learning_rate, self.weight_decay, self.n_threads = learning_rate, weight_decay, n_threads
        self.clip_norm, self.clip_value = clip_norm, clip_value

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
            The arrays do not fit each other or those of the steps before, or a learning rate or momentum that is a
            callable gives none. Nothing is changed.

        Notes
        -----
        One pass over the arrays, and with `clip_norm` one more over the gradients. A NaN in the gradients, with
        `clip_norm` also an infinity, makes parameters NaN, as in PyTorch.

        Numbers below the smallest normal one of the dtype count as zero. Where float32 cannot hold a setting, or `eps`
        is below 1e-16, so that squares that count as zero would be missed, the step is computed in float64, which takes
        some four times as long.
        """
        parameters, gradients = flat.fitting(parameters, gradients)
        decay = 0.0 if self.decoupled else self.weight_decay
        own = self.rates()
        arrays = self._fitting_arrays(parameters)
        workers = cores.useful(self.n_threads, WORK * parameters.size)
        norm, highest, scale = None, math.inf if self.clip_value is None else self.clip_value, 1.0
        if self.clip_norm is not None:
            norm = clipping.norm(gradients, highest, workers)
            scale = clipping.factor(norm, self.clip_norm)
            if clipping.vanishes(scale, gradients.dtype):
                gradients = clipping.shortened(gradients, highest, norm, self.clip_norm)
                highest, scale = math.inf, 1.0

        def run(parameters: Array, gradients: Array, arrays: dict[str, Array]) -> None:
            head = GradientRates(highest, scale, decay)
            self.apply(precision.rates(parameters.dtype, *head, *own), parameters, gradients, arrays, workers)

        if parameters.dtype == numpy.float64 or self._fits_float32((decay, *own)):
            run(parameters, gradients, arrays)
        else:
            precision.in_float64(run, parameters, gradients, arrays)
        self.arrays = arrays
        self.updates += 1
        return norm

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The schedules among the settings, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Schedule)}

    @property
    def needs_losses(self) -> bool:
        """Whether a schedule wants validation losses through `observe`."""
        return any(schedule.needs_losses for schedule in self.schedules.values())

    def observe(self, loss: float) -> None:
        """Tell the schedules a validation loss.

        Parameters
        ----------
        loss : float
            NaN counts as no improvement.

        Raises
        ------
        TypeError
            It is no number. Nothing is changed.
        """
        for schedule in self.schedules.values():
            schedule.observe(loss)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, and the class's name as "kind"; for JSON.

        Returns
        -------
        dict
            A schedule is in it as its `config`, any other callable as None.
        """
        return {name: _without_functions(value) for name, value in super().config().items()}

    def load(self, updates: int, arrays: Mapping[str, Any]) -> None:
        """Go on from where another optimizer of the same kind was.

        Parameters
        ----------
        updates : int
            Its `updates`.
        arrays : mapping of str to (n,) array
            Its `arrays`; they are copied, but for those that these settings do not need.

        Raises
        ------
        TypeError, ValueError
            Names, shapes or dtypes are not those of this kind of optimizer. Nothing is changed.
        """
        updates = checks.integer("updates", updates, 0)
        names = self.kept if updates else {}
        needed = [name for name, setting in names.items() if setting is None]
        if not set(needed) <= set(arrays) <= set(names):
            others = [name for name in names if name not in needed]
            also = f", with or without any of {others}" if others else ""
            raise ValueError(f"arrays after {updates} updates must be {needed}{also}, got {sorted(arrays)}")
        copies: dict[str, Array] = {}
        for name in arrays:
            given = checks.real_array(name, arrays[name])
            first = next(iter(copies.values()), given)
            if given.ndim != 1 or given.shape != first.shape:
                raise ValueError(f"{name} must have shape (n,), the same n for all; got {given.shape}")
            if checks.float_dtype(given.dtype) != first.dtype:
                raise TypeError(f"{name} must have dtype {first.dtype} as the others, got {given.dtype}")
            copies[name] = empty(given.shape, given.dtype)
            copies[name][:] = given
        self.updates, self.arrays = updates, copies
        self._drop_unused()

    def rates(self) -> tuple[float, ...]:
        """The numbers of this step, for `apply`."""
        raise NotImplementedError

    def apply(
        self, rates: Array, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        """Make a step: change the parameters and the arrays in place.

        Parameters
        ----------
        rates : array
            `GradientRates`, which say what becomes of the gradient first, and what the method `rates` gave.
        parameters, gradients : (n,) arrays
            All, or a part of them, of float32 or float64; `rates` and `arrays` are of the same dtype.
        arrays : dict of str to (n,) array
            Those of `kept` that the settings need.
        workers : int
            Shares of the work.
        """
        raise NotImplementedError

    def now(self, name: str, value: Rate, check: Check = number) -> float:
        """The number that a setting is in this step: of a function, what it gives, checked."""
        found: float = check(name, value(self.updates)) if callable(value) else value
        return found

    def _fits_float32(self, numbers: Sequence[float]) -> bool:
        return precision.holds(numbers)

    def _names(self) -> list[str]:
        """Of the arrays that the settings need."""
        return [name for name, setting in self.kept.items() if setting is None or vars(self).get(setting)]

    def _drop_unused(self) -> None:
        self.arrays = {name: self.arrays[name] for name in self._names() if name in self.arrays}

    def _check_together(self, settings: Mapping[str, Any]) -> None:
        """Raise a ValueError where these settings, of which some may be missing yet, exclude each other."""

    def _fitting_arrays(self, parameters: Array) -> dict[str, Array]:
        """The arrays that the settings need, zeros where there was none before."""
        arrays = {name: self.arrays[name] if name in self.arrays else flat.zeros(parameters) for name in self._names()}
        for name, kept in arrays.items():
            if kept.shape != parameters.shape or kept.dtype != parameters.dtype:
                raise ValueError(f"parameters must be as in the steps before, {flat.kind(kept)} (so is {name}); "
                                 f"got {flat.kind(parameters)}")
        return arrays

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._arguments().items())})"


def _without_functions(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_functions(each) for each in value]
    return None if callable(value) else value
