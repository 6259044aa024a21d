"""What users give to an LSTM, checked."""

from typing import Any, TypeAlias

import numpy

from fastlstm import checks
from fastlstm.checks import Array

State: TypeAlias = tuple[Array, Array]


def state(name: str, value: Any, shapes: list[tuple[int, ...]], dtype: numpy.dtype[Any]) -> State:
    """Hidden and cell part of a state, of the given shapes.

    Raises
    ------
    TypeError, ValueError
        Not a pair of arrays of real numbers, or other shapes.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:  # in half the time of a union
        raise TypeError(f"{name} must be a tuple of two arrays, hidden and cell, got {type(value).__name__}")
    if checks.are_direct(value, shapes, dtype):
        return value[0], value[1]
    hidden, cell = (checks.shaped_array(f"{name}[{k}]", value[k], shapes[k], dtype) for k in range(2))
    return hidden, cell


def lengths(value: Any, duration: int, batch: int) -> Array:
    """Steps of each sequence, as an array (batch,) of intp.

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        Another shape, or a length beyond 0 to `duration`.
    """
    array = checks.real_array("lengths", value)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"lengths must hold integers, got dtype {array.dtype}")
    if array.shape != (batch,):
        raise ValueError(f"lengths must have shape ({batch},), one for each sequence, got {array.shape}")
    if array.size and not 0 <= array.min() <= array.max() <= duration:
        wrong = next(n for n in array.tolist() if not 0 <= n <= duration)
        raise ValueError(f"lengths must be from 0 to {duration}, the number of steps; got {wrong}")
    return array.astype(numpy.intp)


def there(value: Any, shape: tuple[int, ...], batch_first: bool) -> Array:
    """Which steps of which sequences there are, as a bool array of the first two axes of `shape`.

    Parameters
    ----------
    value : (batch,) integers
        Steps of each sequence.
    shape : tuple of int
        (T, batch, ...), or (batch, T, ...) with `batch_first`.
    batch_first : bool

    Raises
    ------
    TypeError, ValueError
        As `lengths`, or there is no batch axis.
    """
    if len(shape) < 3:
        raise ValueError(f"lengths must be None for an input without a batch axis, got {value!r}")
    batch, duration = shape[:2] if batch_first else shape[1::-1]
    steps = numpy.arange(duration)[:, None] < lengths(value, duration, batch)
    return steps.T if batch_first else steps


def rate(name: str, value: Any) -> float:
    """A probability.

    Raises
    ------
    TypeError, ValueError
        Not a number, or not from 0 to 1.
    """
    number = checks.real(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value!r}")
    return number
