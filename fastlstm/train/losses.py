"""Losses with their gradients: means over the rows, of all time steps and sequences, that have a target."""

from collections.abc import Callable
from typing import Any

import numpy

import fastlstm_kernels as kernels
from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.cores import borrowed
from fastlstm.workspace import fresh, kept
from fastlstm_kernels.loss import SCRATCH, huber_sums


class Huber:
    """Squared error, but linear in errors larger than `delta` (Huber 1964).

    The loss of a row is Σ of ½ e² where abs(e) <= delta, else delta (abs(e) - ½ delta), with e = outputs - targets.

    Parameters
    ----------
    delta : float
        Positive.

    Raises
    ------
    TypeError, ValueError
        Not such a number.

    Examples
    --------
    >>> value, gradient = fastlstm.train.Huber()(numpy.array([[0.0, 3.0]]), numpy.array([[0.5, 0.0]]))
    >>> value, gradient
    (2.625, array([[-0.5,  1. ]]))
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = checks.real("delta", delta)
        if self.delta <= 0:
            raise ValueError(f"delta must be positive, got {delta!r}")

    def __call__(self, outputs: Any, targets: Any, mask: Any = None) -> tuple[float, Array]:
        """Mean loss of the rows that have a target, and its gradient.

        Parameters
        ----------
        outputs : (..., n) array
            Of float32 or float64.
        targets : (..., n) array
        mask : (...) or (..., n) bool array, optional
            True where there is a target; what else stands in `targets`, NaN for one, does not count. A row has a
            target where any of its elements has one.

        Returns
        -------
        value : float
            NaN where there is no target at all. Summed in float64.
        gradient : (..., n) array
            A new one, of the outputs' dtype; zero where there is no target.

        Raises
        ------
        TypeError, ValueError
            The arrays are of other kinds, or do not fit each other.
        """
        return _elementwise(outputs, targets, mask, self.delta)

    def config(self) -> dict[str, Any]:
        """The arguments of the constructor, and the class's name as "kind"."""
        return {"kind": "Huber", "delta": self.delta}

    def __repr__(self) -> str:
        return f"Huber({self.delta})"


class SquaredError:
    """Half the squared error: the loss of a row is ½ Σ (outputs - targets)²."""

    def __call__(self, outputs: Any, targets: Any, mask: Any = None) -> tuple[float, Array]:
        """Mean loss of the rows that have a target, and its gradient; see `Huber.__call__`."""
        return _elementwise(outputs, targets, mask, numpy.inf)

    def config(self) -> dict[str, Any]:
        """The class's name as "kind"."""
        return {"kind": "SquaredError"}

    def __repr__(self) -> str:
        return "SquaredError()"


class CrossEntropy:
    """Cross-entropy of the softmax of logits: the loss of a row is -Σ y log softmax(outputs).

    y is one at the row's label, or a row of weights, one-hot or another distribution. No logit overflows: the largest
    is taken off before the exponential, whose sum's logarithm is what remains of the softmax's.

    Examples
    --------
    >>> value, gradient = fastlstm.train.CrossEntropy()(numpy.zeros((1, 2)), numpy.array([1]))
    >>> value, gradient
    (0.6931471805599453, array([[ 0.5, -0.5]]))
    """

    def __call__(self, outputs: Any, targets: Any, mask: Any = None) -> tuple[float, Array]:
        """Mean loss of the rows that have a target, and its gradient.

        Parameters
        ----------
        outputs : (..., n) array
            Logits, of float32 or float64.
        targets : (...) array of int, or (..., n) array
            A label from 0 to n - 1 for each row, or a row of weights.
        mask : (...) bool array, optional
            True where there is a target; what else stands in `targets`, NaN or a label out of range, does not count.

        Returns
        -------
        value, gradient
            As of `Huber.__call__`.

        Raises
        ------
        TypeError, ValueError
            The arrays are of other kinds, or do not fit each other; or a label is out of range.
        """
        given = _outputs(outputs)
        shape, n = given.shape[:-1], given.shape[-1]
        have = _mask(mask, [shape])
        count = int(have.sum())
        array = checks.real_array("targets", targets)
        kernel: Callable[..., None]
        if array.shape == shape:
            wanted, kernel = _labels(array, have, n), kernels.label_cross_entropy
        elif array.shape == given.shape:
            wanted, kernel = checks.kernel_array(array, given.dtype).reshape(-1, n), kernels.cross_entropy
        else:
            raise ValueError(f"targets must be labels of shape {shape} or rows of shape {given.shape}, "
                             f"got shape {array.shape}")
        losses, gradient = numpy.empty(have.size), fresh("gradient", given.shape, given.dtype)
        with borrowed(None, 40 * given.size) as workers:
            kernel(
                given.reshape(-1, n), wanted, have, numpy.array([1 / max(1, count)], given.dtype),
                kept("loss", (workers, SCRATCH), given.dtype), losses, gradient.reshape(-1, n), workers,
            )
        return _mean(losses, count), gradient

    def config(self) -> dict[str, Any]:
        """The class's name as "kind"."""
        return {"kind": "CrossEntropy"}

    def __repr__(self) -> str:
        return "CrossEntropy()"


def _outputs(outputs: Any) -> Array:
    """`outputs` as a kernel array, with a last axis that is not empty."""
    array = checks.real_array("outputs", outputs)
    dtype = array.dtype.newbyteorder("=")
    if dtype not in (numpy.float32, numpy.float64):
        raise TypeError(f"outputs must be of float32 or float64, got {array.dtype}")
    if not array.ndim or not array.shape[-1]:
        raise ValueError(f"outputs must have shape (..., n) with n at least 1, got {array.shape}")
    return checks.kernel_array(array, dtype)


def _mask(mask: Any, shapes: list[tuple[int, ...]]) -> Array:
    """The mask, flat; all set, and of the first shape, where there is none."""
    if mask is None:
        return numpy.ones(int(numpy.prod(shapes[0])), bool)
    array = checks.boolean_array("mask", mask)
    if array.shape not in shapes:
        raise ValueError(f"mask must have shape {' or '.join(map(str, shapes))}, got {array.shape}")
    return checks.kernel_array(array, array.dtype).reshape(-1)


def _labels(labels: Array, have: Array, n: int) -> Array:
    """Labels, flat, as the kernel takes them; zero where there is no target."""
    if labels.dtype.kind not in "iu":
        raise TypeError(f"targets of one number a row must be integer labels, got dtype {labels.dtype}")
    flat = numpy.where(have, labels.reshape(-1), labels.dtype.type(0))
    if flat.size and (flat.min() < 0 or flat.max() >= n):
        outside = flat[(flat < 0) | (flat >= n)][0]
        raise ValueError(f"targets must be labels from 0 to {n - 1}, got {outside}")
    return flat.astype(numpy.intp)


def _elementwise(outputs: Any, targets: Any, mask: Any, delta: float) -> tuple[float, Array]:
    given = _outputs(outputs)
    shape, n = given.shape, given.shape[-1]
    wanted = checks.shaped_array("targets", targets, shape, given.dtype)
    have = _mask(mask, [shape[:-1], shape])
    group = n if mask is None or numpy.ndim(mask) < len(shape) else 1
    count = have.size if mask is None else int(have.reshape(-1, n // group).any(axis=1).sum())
    sums = numpy.empty(huber_sums(have.size, group))
    gradient = fresh("gradient", shape, given.dtype)
    reached = delta if delta <= float(numpy.finfo(given.dtype).max) else numpy.inf
    numbers = numpy.array([reached, 1 / max(1, count)], given.dtype)
    with borrowed(None, 10 * given.size) as workers:
        kernels.huber_loss(
            given.reshape(-1), wanted.reshape(-1), have, group, numbers,
            kept("loss", (workers, SCRATCH), given.dtype), sums, gradient.reshape(-1), workers,
        )
    return _mean(sums, count), gradient


def _mean(sums: Array, count: int) -> float:
    return float(sums.sum()) / count if count else float("nan")
