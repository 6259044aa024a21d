"""Optimizers with the formulas of `torch.optim`, over one flat array of parameters and one of gradients."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastlstm.checks import Array
from fastlstm.train.optimizer import Optimizer, Rate
from fastlstm.train.schedule import Schedule
from fastlstm.train.settings import Setting, betas, flag, fraction, number, rate
from fastlstm_kernels import adam_step, rmsprop_step, sgd_step
from fastlstm_kernels.optimize import (
    CENTRED,
    MOMENTUM,
    MOVING,
    NESTEROV,
    PLAIN,
    AdamRates,
    RMSpropRates,
    SGDRates,
)

LEAST_EPS = 1e-16
"""From here on `eps` outweighs, by 30 times or more, the root of what squares lose that are too small for float32."""


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Sutskever et al. 2013); mirrors `torch.optim.SGD`.

    With the gradient g, the step is ``p -= learning_rate * g``; with momentum ``b = momentum * b + g``, and b takes the
    place of g, or with `nesterov` ``g + momentum * b`` does.

    Parameters
    ----------
    learning_rate : float or callable
    momentum : float or callable
        At least 0; a callable as for the learning rate.
    nesterov : bool
        Needs momentum.
    weight_decay, clip_norm, clip_value, n_threads
        As for all; see `Optimizer`.
    """

    momentum = Setting(rate)
    nesterov = Setting(flag)

    kept: ClassVar = {"momentum_buffer": "momentum"}

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: Rate = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clip_norm, clip_value, n_threads)
        self.momentum, self.nesterov = momentum, nesterov

    def _check_together(self, settings: Mapping[str, Any]) -> None:
        if settings.get("nesterov") and not settings["momentum"]:
            raise ValueError("nesterov needs a positive momentum, got momentum 0")

    def rates(self) -> tuple[float, ...]:
        """Numbers of a step; see `Optimizer.rates`."""
        descent = -self.now("learning_rate", self.learning_rate)
        return SGDRates(descent=descent, momentum=self.now("momentum", self.momentum))

    def apply(
        self, rates: Array, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        """Make a step; see `Optimizer.apply`."""
        momenta = arrays.get("momentum_buffer")
        if momenta is None:
            sgd_step(PLAIN, rates, parameters, gradients, parameters[:0], workers)
        else:
            sgd_step(NESTEROV if self.nesterov else MOMENTUM, rates, parameters, gradients, momenta, workers)


class Adaptive(Optimizer):
    """What Adam and RMSprop share: a step is divided by the root of a mean of squares, plus `eps`."""

    eps = Setting(number)

    def _fits_float32(self, numbers: Sequence[float]) -> bool:
        return self.eps >= LEAST_EPS and super()._fits_float32(numbers)


class Adam(Adaptive):
    """Adam (Kingma & Ba 2015); mirrors `torch.optim.Adam`.

    With the gradient g at step t::

        m = β₁ m + (1 - β₁) g        s = β₂ s + (1 - β₂) g²
        p -= learning_rate * m / (1 - β₁ᵗ) / (√(s / (1 - β₂ᵗ)) + eps)

    Parameters
    ----------
    learning_rate : float or callable
    betas : (float or callable, float)
        β₁ and β₂, at least 0 and below 1; a callable as for the learning rate.
    eps : float
        At least 0.
    weight_decay, clip_norm, clip_value, n_threads
        As for all; see `Optimizer`.
    """

    betas = Setting(betas)

    kept: ClassVar = {"exp_avg": None, "exp_avg_sq": None}

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        betas: Sequence[Rate] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clip_norm, clip_value, n_threads)
        self.betas, self.eps = betas, eps

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The schedules among the settings, by name."""
        first = self.betas[0]
        return super().schedules | ({"betas[0]": first} if isinstance(first, Schedule) else {})

    def rates(self) -> tuple[float, ...]:
        """Numbers of a step; see `Optimizer.rates`."""
        rate, t = self.now("learning_rate", self.learning_rate), self.updates + 1
        beta1, beta2 = self.now("betas[0]", self.betas[0], fraction), self.betas[1]
        return AdamRates(
            descent=-rate / (1 - beta1**t), eps=self.eps, keep=1 - rate * self.weight_decay if self.decoupled else 1.0,
            beta1=beta1, rest1=1 - beta1, beta2=beta2, rest2=1 - beta2, unbias=1 / math.sqrt(1 - beta2**t),
        )

    def apply(
        self, rates: Array, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        """Make a step; see `Optimizer.apply`."""
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
        As for all; see `Optimizer`.
    """

    decoupled = True

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        betas: Sequence[Rate] = (0.9, 0.999),
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


class RMSprop(Adaptive):
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
    eps : float
        At least 0.
    momentum : float or callable
        At least 0; a callable as for the learning rate.
    centered : bool
    weight_decay, clip_norm, clip_value, n_threads
        As for all; see `Optimizer`.
    """

    alpha = Setting(fraction)
    momentum = Setting(rate)
    centered = Setting(flag)

    kept: ClassVar = {"square_avg": None, "grad_avg": "centered", "momentum_buffer": "momentum"}

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: Rate = 0.0,
        centered: bool = False,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clip_norm, clip_value, n_threads)
        self.alpha, self.eps, self.momentum, self.centered = alpha, eps, momentum, centered

    def rates(self) -> tuple[float, ...]:
        """Numbers of a step; see `Optimizer.rates`."""
        return RMSpropRates(
            descent=-self.now("learning_rate", self.learning_rate), eps=self.eps, alpha=self.alpha,
            rest=1 - self.alpha, momentum=self.now("momentum", self.momentum),
        )

    def apply(
        self, rates: Array, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        """Make a step; see `Optimizer.apply`."""
        form = CENTRED * ("grad_avg" in arrays) + MOVING * ("momentum_buffer" in arrays)
        squares, means, momenta = (arrays.get(name, parameters[:0]) for name in self.kept)
        rmsprop_step(form, rates, parameters, gradients, squares, means, momenta, workers)
