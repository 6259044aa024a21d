"""Losses of outputs (..., n) and their gradients in plain NumPy: means over the rows that have a target.

A mask, of the outputs' shape or that without the last axis, is set where there is a target; what else stands in
`targets` does not count. Without any target the mean is NaN and the gradient zero.
"""

import numpy

from fastlstm.oracle.activations import Array


def huber(outputs: Array, targets: Array, mask: Array | None = None, delta: float = 1.0) -> tuple[float, Array]:
    """Σ of ½ e² where |e| <= delta, else delta (|e| - ½ delta), with e = outputs - targets (Huber 1964).

    Parameters
    ----------
    outputs, targets : (..., n) arrays
    mask : (...) or (..., n) bool array, optional
    delta : float

    Returns
    -------
    value : float
    gradient : (..., n) array
    """
    elements = _elements(outputs, mask)
    error = numpy.where(elements, outputs, 0) - numpy.where(elements, targets, 0)
    reach = numpy.minimum(numpy.abs(error), delta)
    losses = reach * (numpy.abs(error) - 0.5 * reach)
    slopes = numpy.clip(error, -delta, delta)
    return _mean(losses.sum(axis=-1), slopes, numpy.asarray(elements.any(axis=-1)))


def squared_error(outputs: Array, targets: Array, mask: Array | None = None) -> tuple[float, Array]:
    """½ Σ (outputs - targets)²; parameters and results as of `huber`."""
    return huber(outputs, targets, mask, numpy.inf)


def cross_entropy(outputs: Array, targets: Array, mask: Array | None = None) -> tuple[float, Array]:
    """-Σ y log softmax(outputs), for a row y of weights, or a label for the row that is one there.

    The logarithm is that of a sum of exponentials from which the largest has been taken off.

    Parameters
    ----------
    outputs : (..., n) array
        Logits.
    targets : (...) int array, or (..., n) array
        Labels, or rows of weights.
    mask : (...) bool array, optional

    Returns
    -------
    value : float
    gradient : (..., n) array
    """
    rows = numpy.ones(outputs.shape[:-1], bool) if mask is None else mask
    z = numpy.where(rows[..., None], outputs, 0)
    if targets.shape == outputs.shape:
        weights = numpy.where(rows[..., None], targets, 0)
    else:
        weights = numpy.eye(outputs.shape[-1])[numpy.where(rows, targets, 0)] * rows[..., None]
    below = z - z.max(axis=-1, keepdims=True)
    powers = numpy.exp(below)
    total = powers.sum(axis=-1, keepdims=True)
    terms = numpy.multiply(weights, numpy.log(total) - below, out=numpy.zeros_like(z), where=weights != 0)
    slopes = weights.sum(axis=-1, keepdims=True) * powers / total - weights
    return _mean(terms.sum(axis=-1), slopes, rows)


def _elements(outputs: Array, mask: Array | None) -> Array:
    given = numpy.asarray(True if mask is None else mask)
    return numpy.broadcast_to(given if given.ndim in (0, outputs.ndim) else given[..., None], outputs.shape)


def _mean(losses: Array, slopes: Array, rows: Array) -> tuple[float, Array]:
    count = int(rows.sum())
    return (float(losses.sum()) / count if count else float("nan")), slopes / max(1, count)
