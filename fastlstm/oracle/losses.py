"""Losses of outputs (..., n) and their gradients in plain NumPy, in float64: means over the rows that have a target.

A mask, of the outputs' shape or that without the last axis, is set where there is a target. Losses are multiplied by
`sample_weight`, of either shape; their mean is divided by the sum of the rows' weights, each the largest of its
elements' weights. Where a weight is zero there is no target, and whatever stands there does not count. Without any
target the mean is NaN and the gradient zero.
"""

import numpy

from fastlstm.oracle.activations import Array


def huber(
    outputs: Array, targets: Array, mask: Array | None = None, delta: float = 1.0, weight: Array | None = None,
    sample_weight: Array | None = None,
) -> tuple[float, Array]:
    """Σ w l(e), with l(e) = ½ e² where |e| <= delta, else delta (|e| - ½ delta), e = outputs - targets (Huber 1964).

    Parameters
    ----------
    outputs, targets : (..., n) arrays
    mask : (...) or (..., n) bool array, optional
    delta : float
    weight : (n,) array, optional
        w, which the mean is not divided by; ones by default.
    sample_weight : (...) or (..., n) array, optional

    Returns
    -------
    value : float
    gradient : (..., n) float64 array
    """
    features = numpy.ones(outputs.shape[-1]) if weight is None else numpy.asarray(weight)
    counted = numpy.where(features > 0, _counted(outputs.shape, mask, sample_weight), 0)
    error = numpy.where(counted > 0, outputs, 0).astype(float) - numpy.where(counted > 0, targets, 0)
    reach = numpy.minimum(numpy.abs(error), delta)
    losses = features * reach * (numpy.abs(error) - 0.5 * reach)
    slopes = features * numpy.clip(error, -delta, delta)
    return _mean((counted * losses).sum(axis=-1), counted * slopes, counted.max(axis=-1))


def squared_error(
    outputs: Array, targets: Array, mask: Array | None = None, weight: Array | None = None,
    sample_weight: Array | None = None,
) -> tuple[float, Array]:
    """½ Σ w (outputs - targets)²; parameters and results as of `huber`."""
    return huber(outputs, targets, mask, numpy.inf, weight, sample_weight)


def cross_entropy(
    outputs: Array, targets: Array, mask: Array | None = None, weight: Array | None = None,
    sample_weight: Array | None = None, ignore_index: int | None = None,
) -> tuple[float, Array]:
    """-Σ w y log softmax(outputs), for a row y of weights, or a label for the row that is one there.

    The logarithm is that of a sum of exponentials from which the largest has been taken off.

    Parameters
    ----------
    outputs : (..., n) array
        Logits.
    targets : (...) int array, or (..., n) array
        Labels, or rows of weights.
    mask : (...) bool array, optional
    weight : (n,) array, optional
        w of each class; ones by default. Those of labels are multiplied with the rows' weights, and so the mean is
        divided by them; those of rows of weights are not.
    sample_weight : (...) array, optional
    ignore_index : int, optional
        Rows of this label have no target.

    Returns
    -------
    value : float
    gradient : (..., n) float64 array
    """
    n = outputs.shape[-1]
    classes = numpy.ones(n) if weight is None else numpy.asarray(weight, float)
    counted = _counted(outputs.shape, mask, sample_weight)[..., 0]
    if targets.shape == outputs.shape:
        y = classes * numpy.where((counted[..., None] > 0) & (classes > 0), targets, 0)
    else:
        if ignore_index is not None:
            counted = numpy.where(targets == ignore_index, 0, counted)
        labels = numpy.where(counted > 0, targets, 0)
        counted = counted * classes[labels]
        y = numpy.eye(n)[labels] * (counted > 0)[..., None]
    z = numpy.where(y.any(axis=-1, keepdims=True), outputs, 0).astype(float)
    below = z - z.max(axis=-1, keepdims=True)
    powers = numpy.exp(below)
    total = powers.sum(axis=-1, keepdims=True)
    terms = numpy.multiply(y, numpy.log(total) - below, out=numpy.zeros_like(z), where=y != 0)
    slopes = y.sum(axis=-1, keepdims=True) * powers / total - y
    return _mean(counted * terms.sum(axis=-1), counted[..., None] * slopes, counted)


def _counted(shape: tuple[int, ...], mask: Array | None, sample_weight: Array | None) -> Array:
    """The weight of each element, zero where the mask is not set."""

    def spread(given: Array) -> Array:
        return numpy.broadcast_to(given if given.ndim == len(shape) else given[..., None], shape)

    weights = numpy.ones(shape) if sample_weight is None else spread(numpy.asarray(sample_weight, float))
    return weights if mask is None else numpy.where(spread(numpy.asarray(mask)), weights, 0)


def _mean(losses: Array, slopes: Array, rows: Array) -> tuple[float, Array]:
    total = float(rows.sum())
    return (float(losses.sum()) / total if total else float("nan")), slopes / (total or 1)
