"""What all losses share; they are in `losses` and `entropy`."""

from typing import Any

from fastlstm.checks import Array
from fastlstm.registry import Registered


class Loss(Registered):
    """Base of losses, also of your own.

    A trainer takes any function ``loss(outputs, targets, mask)`` that returns (value, gradient). One that derives from
    this class can be saved with it, if it keeps its constructor's arguments as attributes of the same names. Where
    there are weights, it is also given `sample_weight`.

    A loss may have a method ``total_weight(outputs, targets, mask, sample_weight)``: what its mean is divided by.
    Without one a trainer takes the number of rows that have a target.
    """

    def __call__(
        self, outputs: Any, targets: Any, mask: Any = None, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """Mean loss of the rows that have a target, and its gradient at the outputs.

        Parameters
        ----------
        outputs : (..., n) array
        targets : array
        mask : bool array, optional
            True where there is a target.
        sample_weight : array, optional
            What the losses of rows are multiplied by.

        Returns
        -------
        value : float
        gradient : (..., n) array
            Zero where there is no target.
        """
        raise NotImplementedError
