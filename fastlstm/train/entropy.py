"""Cross-entropy with its gradient: the mean over the rows that have a target."""

from typing import Any

import numpy

import fastlstm_kernels as kernels
from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.engine.cores import useful
from fastlstm.engine.workspace import empty, workspace
from fastlstm.train import weights
from fastlstm.train.loss import Loss
from fastlstm_kernels.loss import SCRATCH


class CrossEntropy(Loss):
    """Cross-entropy of the softmax of logits: the loss of a row is -Σ w y log softmax(outputs).

    y is one at the row's label, or a row of weights, one-hot or another distribution. No logit overflows: the largest
    is taken off before the exponential, whose sum's logarithm is what remains of the softmax's.

    Parameters
    ----------
    weight : (n,) array, optional
        w of each class, finite and at least 0, some of them positive; one by default. With labels, the mean is divided
        by the sum of the weights of the rows' labels, and a row whose label weighs zero is as good as without target;
        with rows of weights neither, as in `torch.nn.CrossEntropyLoss`.
    ignore_index : int, optional
        Rows of this label have no target. It is for labels, and need not be one.

    Raises
    ------
    TypeError, ValueError
        Not such numbers.

    Examples
    --------
    >>> value, gradient = fastlstm.train.CrossEntropy()(numpy.zeros((1, 2)), numpy.array([1]))
    >>> value, gradient
    (0.6931471805599453, array([[ 0.5, -0.5]]))
    """

    def __init__(self, weight: Any = None, ignore_index: int | None = None) -> None:
        self.weight = weights.of_columns(weight)
        self.ignore_index = checks.optional_integer("ignore_index", ignore_index, -(2**63))

    def __call__(
        self, outputs: Any, targets: Any, mask: Any = None, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """Mean loss of the rows that have a target, and its gradient.

        Parameters
        ----------
        outputs : (..., n) array
            Logits, of float32 or float64.
        targets : (...) array of int, or (..., n) array
            A label from 0 to n - 1 for each row, or a row of weights.
        mask : (...) bool array, optional
            True where there is a target; what else stands in the other arrays, NaN or a label out of range, does not
            count.
        sample_weight : (...) array, optional
            What the losses of rows are multiplied by, finite and at least 0. Zero is as good as no target. The mean is
            divided by their sum, or by that of their products with the weights of labels.

        Returns
        -------
        value : float
            NaN where there is no target at all. Summed in float64.
        gradient : (..., n) array
            A new one, of the outputs' dtype; zero where there is no target.

        Raises
        ------
        TypeError, ValueError
            The arrays are of other kinds, or do not fit each other; or a label, or a weight, is out of range.
        """
        given, wanted, counted, total = self._read(outputs, targets, mask, sample_weight)
        parts = None
        if counted.dtype == bool:
            have, scale = counted, numpy.array([1 / max(1.0, total)], given.dtype)
        else:
            parts = weights.shares(counted, total)
            have, scale = parts > 0, parts.astype(given.dtype)
        losses, gradient = numpy.empty(have.size), empty(given.shape, given.dtype)
        rows = gradient.reshape(-1, given.shape[-1])
        workers = useful(None, 40 * given.size)
        last = scale, workspace.array("loss", (workers, SCRATCH), given.dtype), losses, rows, workers
        if wanted.ndim == 1:
            kernels.label_cross_entropy(given.reshape(rows.shape), wanted, have, *last)
        else:
            classes = numpy.empty(0) if self.weight is None else self.weight
            kernels.cross_entropy(given.reshape(rows.shape), wanted, have, classes, *last)
        if not total:
            return float("nan"), gradient
        return float(losses.sum()) / total if parts is None else float((losses * parts).sum()), gradient

    def total_weight(self, outputs: Any, targets: Any, mask: Any = None, sample_weight: Any = None) -> float:
        """What the mean is divided by; see `Loss.total_weight`."""
        return self._read(outputs, targets, mask, sample_weight)[-1]

    def __repr__(self) -> str:
        return weights.shown("CrossEntropy", weight=weights.listed(self.weight), ignore_index=self.ignore_index)

    def _read(
        self, outputs: Any, targets: Any, mask: Any, sample_weight: Any
    ) -> tuple[Array, Array, Array, float]:
        """Outputs, and labels or rows of weights, for a kernel; how much each row counts; how much all do."""
        given = weights.rows_of(outputs)
        shape, n = given.shape[:-1], given.shape[-1]
        weights.check_columns(self.weight, n)
        counted = weights.of_targets(mask, sample_weight, [shape]).reshape(-1)
        wanted = checks.real_array("targets", targets)
        if wanted.shape == shape:
            wanted, counted = self._labels(wanted, counted, n)
        elif wanted.shape != given.shape:
            raise ValueError(f"targets must be labels of shape {shape} or rows of shape {given.shape}, "
                             f"got shape {wanted.shape}")
        elif self.ignore_index is not None:
            raise ValueError(f"targets must be labels of shape {shape} with an ignore_index, got shape {wanted.shape}")
        else:
            wanted = checks.kernel_array(wanted, given.dtype).reshape(-1, n)
        return given, wanted, counted, weights.total(counted)

    def _labels(self, labels: Array, counted: Array, n: int) -> tuple[Array, Array]:
        """Labels, flat, as the kernel takes them, zero where there is no target; how much each row counts."""
        if labels.dtype.kind not in "iu":
            raise TypeError(f"targets of one number a row must be integer labels, got dtype {labels.dtype}")
        flat = labels.reshape(-1)
        if self.ignore_index is not None:
            counted = counted * (flat != self.ignore_index)
        flat = numpy.where(counted, flat, labels.dtype.type(0))
        if flat.size and (flat.min() < 0 or flat.max() >= n):
            outside = flat[(flat < 0) | (flat >= n)][0]
            raise ValueError(f"targets must be labels from 0 to {n - 1}, got {outside}")
        flat = flat.astype(numpy.intp)
        if self.weight is not None:
            counted = weights.product(counted, self.weight[flat])
        return flat, counted
