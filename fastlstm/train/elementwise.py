"""Losses of errors, each on its own: what goes to their kernels, and how the mean is made of what comes back."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.engine.cores import useful
from fastlstm.engine.workspace import empty, workspace
from fastlstm.train import weights
from fastlstm.train.loss import Loss
from fastlstm_kernels.loss import SCRATCH, piece_sums


class Elementwise(Loss):
    """A loss of errors, outputs minus targets, each on its own.

    A subclass names its kernels, whose arguments are those of Huber's, and the setting that they take.

    Parameters
    ----------
    weight : (n,) array or None
        What the losses of the elements of a row are multiplied by; None for ones.

    Raises
    ------
    TypeError, ValueError
        Not such weights.
    """

    _kernel: ClassVar[Callable[..., None]]
    _weighted_kernel: ClassVar[Callable[..., None]]

    def __init__(self, weight: Any) -> None:
        self.weight = weights.of_columns(weight)

    @abstractmethod
    def _setting(self) -> float:
        """What the kernels' formulas take besides an error."""

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
        """What the mean is divided by; see `Loss.total_weight`."""
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
        self._kernel(
            given.reshape(-1), wanted.reshape(-1), have.reshape(-1), group, self._setting(), 1 / max(1.0, count),
            workspace.array("loss", (workers, SCRATCH), given.dtype), sums, gradient.reshape(-1), workers,
        )
        return float(sums.sum()) / max(1.0, count)

    def _weighted_mean(self, given: Array, wanted: Array, shares: Array, gradient: Array) -> float:
        n = given.shape[-1]
        rows, sums = (-1, n), numpy.empty(given.size // n)
        by = shares.reshape(sums.size, n if shares.shape == given.shape else 1)
        features = numpy.ones(n) if self.weight is None else self.weight
        workers = useful(None, 30 * given.size)
        self._weighted_kernel(
            given.reshape(rows), wanted.reshape(rows), by, features, self._setting(), sums, gradient.reshape(rows),
            workers,
        )
        return float(sums.sum())
