"""What counts in a loss, and how much: masks and weights, checked and brought together."""

from typing import Any, TypeAlias

import numpy

from fastlstm import checks
from fastlstm.checks import Array

Shape: TypeAlias = tuple[int, ...]


def rows_of(outputs: Any) -> Array:
    """`outputs` as a kernel array, with a last axis that is not empty.

    Raises
    ------
    TypeError, ValueError
        Not such an array.
    """
    array = checks.real_array("outputs", outputs)
    dtype = array.dtype.newbyteorder("=")
    if dtype not in (numpy.float32, numpy.float64):
        raise TypeError(f"outputs must be of float32 or float64, got {array.dtype}")
    if not array.ndim or not array.shape[-1]:
        raise ValueError(f"outputs must have shape (..., n) with n at least 1, got {array.shape}")
    return checks.kernel_array(array, dtype)


def of_columns(value: Any) -> Array | None:
    """The argument `weight` of a loss, of float64 and its own; None for None.

    Raises
    ------
    TypeError, ValueError
        Not an array of finite numbers that are not negative, some of them positive.
    """
    if value is None:
        return None
    array = checks.real_array("weight", value).astype(numpy.float64)
    if array.ndim != 1:
        raise ValueError(f"weight must have shape (n,), got {array.shape}")
    _check_range("weight", array)
    if not array.any():
        raise ValueError("weight must have a positive number, got none")
    return array


def check_columns(weight: Array | None, n: int) -> None:
    """Raise unless there is a weight for each of n columns, or none at all.

    Raises
    ------
    ValueError
        There are more, or fewer.
    """
    if weight is not None and len(weight) != n:
        raise ValueError(f"weight must have shape ({n},) as outputs have rows of {n}, got {weight.shape}")


def of_targets(mask: Any, sample_weight: Any, shapes: list[Shape]) -> Array:
    """How much each row, or each element, counts; zero where the mask is not set.

    Parameters
    ----------
    mask, sample_weight
        As the call of a loss takes them.
    shapes : list of tuple
        Of rows, and perhaps of elements: one axis more.

    Returns
    -------
    array
        Of rows, unless one of the arguments is of elements. Of bool without weights, else of float64.

    Raises
    ------
    TypeError, ValueError
        They are of another kind or shape; or a weight, where the mask is set, is negative or not finite.
    """
    have = numpy.ones(shapes[0], bool)
    if mask is not None:
        have = _shaped("mask", checks.boolean_array("mask", mask), shapes)
    if sample_weight is None:
        return have
    given = _shaped("sample_weight", checks.real_array("sample_weight", sample_weight), shapes)
    if have.ndim < given.ndim:
        have = have[..., None]
    elif given.ndim < have.ndim:
        given = given[..., None]
    found = numpy.where(have, given, 0).astype(numpy.float64, order="C", copy=False)
    _check_range("sample_weight", found)
    return found


def total(rows: Array) -> float:
    """The sum of weights of rows; their number, where they are of bool.

    Raises
    ------
    ValueError
        It is not finite.
    """
    if rows.dtype == bool:
        return float(numpy.count_nonzero(rows))
    with numpy.errstate(over="ignore"):
        found = float(rows.sum())
    if not numpy.isfinite(found):
        raise ValueError(f"the weights of the rows must have a finite sum, got {found}")
    return found


def product(counted: Array, factors: Array) -> Array:
    """Weights times others; one that is too large is infinite, and `total` says so."""
    with numpy.errstate(over="ignore"):
        found: Array = counted * factors
    return found


def shares(weights: Array, whole: float) -> Array:
    """Weights as parts of a whole, of float64; zeros where there is none."""
    return weights / (whole or 1.0)


def listed(weight: Array | None) -> list[float] | None:
    """Weights as JSON holds them."""
    return None if weight is None else weight.tolist()


def shown(kind: str, *values: Any, **named: Any) -> str:
    """A call of a constructor, without the arguments that are None."""
    arguments = [*map(repr, values), *(f"{name}={value!r}" for name, value in named.items() if value is not None)]
    return f"{kind}({', '.join(arguments)})"


def _shaped(name: str, array: Array, shapes: list[Shape]) -> Array:
    if array.shape not in shapes:
        raise ValueError(f"{name} must have shape {' or '.join(map(str, shapes))}, got {array.shape}")
    return checks.kernel_array(array, array.dtype)


def _check_range(name: str, array: Array) -> None:
    outside = array[~((array >= 0) & (array < numpy.inf))]
    if outside.size:
        raise ValueError(f"{name} must be finite and at least 0, got {outside[0]}")
