"""Optimisers with the formulas of `torch.optim`, over one flat array of parameters and one of gradients."""

import math
from collections.abc import Sequence

from fastlstm.checks import Array
from fastlstm.train.optimiser import Optimiser, Rate, fraction, number, rates
from fastlstm_kernels import adam_step, rmsprop_step, sgd_step
from fastlstm_kernels.optimise import CENTRED, MOMENTUM, MOVING, NESTEROV, PLAIN


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
        self.momentum, self.nesterov = number("momentum", momentum), bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a positive momentum, got momentum 0")

    def _names(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    def _apply(
        self, rate: float, scale: float, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        form = (NESTEROV if self.nesterov else MOMENTUM) if self.momentum else PLAIN
        numbers = rates(parameters.dtype, self._limit(), scale, self.weight_decay, -rate, self.momentum)
        momenta = arrays.get("momentum_buffer", parameters[:0])
        sgd_step(form, numbers, parameters, gradients, momenta, workers)


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
        self.betas = [fraction(f"betas[{k}]", beta) for k, beta in enumerate(betas)]
        self.eps = number("eps", eps)

    def _names(self) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq"

    def _apply(
        self, rate: float, scale: float, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        (beta1, beta2), t = self.betas, self.updates + 1
        decay, keep = (0.0, 1 - rate * self.weight_decay) if self._decoupled else (self.weight_decay, 1.0)
        numbers = rates(
            parameters.dtype, self._limit(), scale, decay, -rate / (1 - beta1**t), self.eps, keep,
            beta1, 1 - beta1, beta2, 1 - beta2, 1 / math.sqrt(1 - beta2**t),
        )
        adam_step(numbers, parameters, gradients, arrays["exp_avg"], arrays["exp_avg_sq"], workers)


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
        self.alpha, self.eps = fraction("alpha", alpha), number("eps", eps)
        self.momentum, self.centered = number("momentum", momentum), bool(centered)

    def _names(self) -> tuple[str, ...]:
        return "square_avg", *["grad_avg"] * self.centered, *["momentum_buffer"] * bool(self.momentum)

    def _apply(
        self, rate: float, scale: float, parameters: Array, gradients: Array, arrays: dict[str, Array], workers: int
    ) -> None:
        form = CENTRED * self.centered + MOVING * bool(self.momentum)
        numbers = rates(
            parameters.dtype, self._limit(), scale, self.weight_decay, -rate, self.eps, self.alpha, 1 - self.alpha,
            self.momentum,
        )
        squares, means, momenta = (
            arrays.get(name, parameters[:0]) for name in ("square_avg", "grad_avg", "momentum_buffer")
        )
        rmsprop_step(form, numbers, parameters, gradients, squares, means, momenta, workers)
