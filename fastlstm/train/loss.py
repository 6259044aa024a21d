"""What all losses share; they are in `losses` and `entropy`."""

from abc import ABC, abstractmethod
from typing import Any

import numpy

from fastlstm import kinds
from fastlstm.checks import Array
from fastlstm.train import weights


class Loss(kinds.Registered, ABC):
    """Base of the losses; a subclass of one's own is saved and read by `Trainer` as those of `train` are.

    It must have a call. A file holds its `config`: the attributes that are named like the constructor's arguments. To
    read the file, the module that defines the class must have been imported. For training alone any callable will do.

    Examples
    --------
    >>> class LogCosh(fastlstm.train.Loss):
    ...     def __call__(self, outputs, targets, mask=None, sample_weight=None):
    ...         count = self.total_weight(outputs, targets, mask)
    ...         there = numpy.ones(outputs.shape[:-1], bool) if mask is None else mask
    ...         error = numpy.where(there[..., None], outputs - targets, 0)
    ...         value = numpy.log(numpy.cosh(error)).sum() / count if count else numpy.nan
    ...         return float(value), numpy.tanh(error) / max(1, count)
    """

    @abstractmethod
    def __call__(
        self, outputs: Any, targets: Any, mask: Any = None, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """Mean loss of the rows that have a target, and its gradient.

        Parameters
        ----------
        outputs : (..., n) array
            Of float32 or float64.
        targets : array
            As the loss takes them.
        mask : (...) bool array, optional
            True where there is a target; what else stands in the other arrays, NaN for one, must not count.
        sample_weight : (...) array, optional
            What the losses of rows are multiplied by; given only where the data have weights.

        Returns
        -------
        value : float
            NaN where there is no target at all.
        gradient : (..., n) array
            Of the outputs' dtype; zero where there is no target.
        """

    def total_weight(self, outputs: Any, targets: Any, mask: Any = None, sample_weight: Any = None) -> float:
        """What the mean is divided by: how many rows have a target, or the sum of their weights.

        Parameters, and exceptions, are those of a call. The mean of several calls is the sum of their values times
        their weights over the sum of their weights.

        Returns
        -------
        float
        """
        shape = numpy.shape(outputs)
        counted = weights.of_targets(mask, sample_weight, [shape[:-1], shape])
        return weights.total(counted if counted.ndim < len(shape) else counted.max(axis=-1))
