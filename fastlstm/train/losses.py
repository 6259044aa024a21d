"""Losses with their gradients: means over the rows, of all time steps and sequences, that have a target."""

from abc import ABC, abstractmethod
from typing import Any

import numpy

import fastlstm_kernels as kernels
from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.engine.cores import useful
from fastlstm.engine.workspace import empty, workspace
from fastlstm.train import weights
from fastlstm.train.entropy import CrossEntropy
from fastlstm_kernels.loss import SCRATCH, piece_sums

__all__ = ["CrossEntropy", "Huber", "SquaredError"]


class _Elementwise(ABC):
    """A loss of errors, each on its own."""

    def __init__(self, weight: Any) -> None:
        self.weight = weights.of_columns(weight)

    @abstractmethod
    def _bend(self) -> float:
        """The size from which on errors count linearly."""

    def __call__(
        self, outputs: Any, targets: Any, mask: Any = None, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """Mean loss of the rows that have a target, and its gradient.

        Parameters
        ----------
        outputs : (..., n) array
            Of float32 or float64.
        targets : (..., n) array
        mask : (...) or (..., n) bool array, optional
            True where there is a target; what else stands in the other arrays, NaN for one, does not count. A row has a
            target where any of its elements has one.
        sample_weight : (...) or (..., n) array, optional
            What the losses of rows, or of elements, are multiplied by; finite and at least 0. Zero is as good as no
            target. The mean is divided by the sum of the rows' weights, the weight of a row being the largest of its
            elements' weights.

        Returns
        -------
        value : float
            NaN where there is no target at all. Summed in float64.
        gradient : (..., n) array
            A new one, of the outputs' dtype; zero where there is no target.

        Raises
        ------
        TypeError, ValueError
            The arrays are of other kinds, or do not fit each other; or a weight is out of range.
        """
        given, wanted, counted, total = self._read(outputs, targets, mask, sample_weight)
        gradient = empty(given.shape, given.dtype)
        if self.weight is None and counted.dtype == bool:
            value = self._mean(given, wanted, counted, total, gradient)
        else:
            value = self._weighted_mean(given, wanted, weights.shares(counted, total), gradient)
        return value if total else float("nan"), gradient

    def total_weight(self, outputs: Any, targets: Any, mask: Any = None, sample_weight: Any = None) -> float:
        """What the mean is divided by: how many rows have a target, or the sum of their weights.

        Parameters, and exceptions, are those of a call. The mean of several calls is the sum of their values times
        their weights over the sum of their weights.

        Returns
        -------
        float
        """
        return self._read(outputs, targets, mask, sample_weight)[-1]

    def _read(
        self, outputs: Any, targets: Any, mask: Any, sample_weight: Any
    ) -> tuple[Array, Array, Array, float]:
        """Outputs and targets for a kernel; how much elements, or rows, count; how much all rows do."""
        given = weights.rows_of(outputs)
        shape = given.shape
        wanted = checks.shaped_array("targets", targets, shape, given.dtype)
        weights.check_columns(self.weight, shape[-1])
        counted = rows = weights.of_targets(mask, sample_weight, [shape[:-1], shape])
        if counted.shape == shape:
            rows = (counted if self.weight is None else counted[..., self.weight > 0]).max(axis=-1)
        return given, wanted, counted, weights.total(rows)

    def _mean(self, given: Array, wanted: Array, have: Array, count: float, gradient: Array) -> float:
        group = given.shape[-1] if have.shape != given.shape else 1
        sums = numpy.empty(piece_sums(have.size, group))
        workers = useful(None, 10 * given.size)
        kernels.huber_loss(
            given.reshape(-1), wanted.reshape(-1), have.reshape(-1), group, self._bend(), 1 / max(1.0, count),
            workspace.array("loss", (workers, SCRATCH), given.dtype), sums, gradient.reshape(-1), workers,
        )
        return float(sums.sum()) / max(1.0, count)

    def _weighted_mean(self, given: Array, wanted: Array, shares: Array, gradient: Array) -> float:
        n = given.shape[-1]
        rows, sums = (-1, n), numpy.empty(given.size // n)
        by = shares.reshape(sums.size, n if shares.shape == given.shape else 1)
        features = numpy.ones(n) if self.weight is None else self.weight
        workers = useful(None, 30 * given.size)
        kernels.weighted_huber_loss(
            given.reshape(rows), wanted.reshape(rows), by, features, self._bend(), sums, gradient.reshape(rows),
            workers,
        )
        return float(sums.sum())


class Huber(_Elementwise):
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

    def __init__(self, delta: float = 1.0, weight: Any = None) -> None:
        self.delta = checks.real("delta", delta)
        if self.delta <= 0:
            raise ValueError(f"delta must be positive, got {delta!r}")
        super().__init__(weight)

    def _bend(self) -> float:
        return self.delta

    def config(self) -> dict[str, Any]:
        """The arguments of the constructor, and the class's name as "kind"."""
        return {"kind": "Huber", "delta": self.delta, "weight": weights.listed(self.weight)}

    def __repr__(self) -> str:
        return weights.shown("Huber", *([] if self.delta == 1 else [self.delta]), weight=weights.listed(self.weight))


class SquaredError(_Elementwise):
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

    def __init__(self, weight: Any = None) -> None:
        super().__init__(weight)

    def _bend(self) -> float:
        return numpy.inf

    def config(self) -> dict[str, Any]:
        """The arguments of the constructor, and the class's name as "kind"."""
        return {"kind": "SquaredError", "weight": weights.listed(self.weight)}

    def __repr__(self) -> str:
        return weights.shown("SquaredError", weight=weights.listed(self.weight))
