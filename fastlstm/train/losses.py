"""Losses with their gradients: means over the rows, of all time steps and sequences, that have a target."""

from typing import Any

import numpy

import fastlstm_kernels as kernels
from fastlstm import checks
from fastlstm.train import weights
from fastlstm.train.elementwise import Elementwise
from fastlstm.train.entropy import CrossEntropy

__all__ = ["CrossEntropy", "Huber", "SquaredError"]


class Huber(Elementwise):
    """Squared error, but linear in errors larger than `delta` (Huber 1964).

    The loss of a row is Σ w l(e), with e = outputs - targets and l(e) = ½ e² where abs(e) <= delta, else
    delta (abs(e) - ½ delta).

    Parameters
    ----------
    delta : float
        Positive.
    weight : (n,) array, optional
        w of each element of a row, finite and at least 0, some of them positive; one by default. Zero is as good as no
        target. The mean is not divided by them.

    Raises
    ------
    TypeError, ValueError
        Not such numbers.

    Examples
    --------
    >>> value, gradient = fastlstm.train.Huber()(numpy.array([[0.0, 3.0]]), numpy.array([[0.5, 0.0]]))
    >>> value, gradient
    (2.625, array([[-0.5,  1. ]]))
    """

    _kernel, _weighted_kernel = staticmethod(kernels.huber_loss), staticmethod(kernels.weighted_huber_loss)

    def __init__(self, delta: float = 1.0, weight: Any = None) -> None:
        self.delta = checks.real("delta", delta)
        if self.delta <= 0:
            raise ValueError(f"delta must be positive, got {delta!r}")
        super().__init__(weight)

    def _setting(self) -> float:
        return self.delta

    def __repr__(self) -> str:
        return weights.shown("Huber", *([] if self.delta == 1 else [self.delta]), weight=weights.listed(self.weight))


class SquaredError(Elementwise):
    """Half the squared error: the loss of a row is ½ Σ w (outputs - targets)².

    Parameters
    ----------
    weight : (n,) array, optional
        w, as of `Huber`.

    Raises
    ------
    TypeError, ValueError
        Not such numbers.
    """

    _kernel, _weighted_kernel = staticmethod(kernels.huber_loss), staticmethod(kernels.weighted_huber_loss)

    def __init__(self, weight: Any = None) -> None:
        super().__init__(weight)

    def _setting(self) -> float:
        return numpy.inf

    def __repr__(self) -> str:
        return weights.shown("SquaredError", weight=weights.listed(self.weight))
