"""Checks of what users pass in; each returns what a kernel can take, and raises before anything is changed."""

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy
import numpy.typing
from numpy import ndarray

Array: TypeAlias = numpy.typing.NDArray[Any]


def real_array(name: str, value: Any) -> Array:
    """`value` as an array of real numbers.

    Raises
    ------
    TypeError
        Its dtype is not boolean, integer or real, or elements are masked (`numpy.ma`).
    ValueError
        It has no regular shape.
    """
    if type(value) is numpy.ndarray and value.dtype.kind in "biuf":
        return value
    _unmasked(name, value)
    try:
        array = numpy.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must have a regular shape: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array


def boolean_array(name: str, value: Any) -> Array:
    """`value` as an array of booleans.

    Raises
    ------
    TypeError
        Its dtype is another, or elements are masked (`numpy.ma`).
    """
    _unmasked(name, value)
    array = numpy.asarray(value)
    if array.dtype != bool:
        raise TypeError(f"{name} must be of bool, got dtype {array.dtype}")
    return array


def _unmasked(name: str, value: Any) -> None:
    """Raise where elements are masked: an array made of them would hold what the mask hides."""
    if type(value) is numpy.ndarray:
        return
    if isinstance(value, list | tuple):
        for element in value:
            _unmasked(name, element)
    elif numpy.ma.is_masked(value):
        count = numpy.ma.getmaskarray(value).sum()
        raise TypeError(f"{name} must not be a masked array, whose mask would be lost: fill it, and say what counts by"
                        f" mask= (targets) or lengths= (sequences); got {count} masked elements")


def kernel_array(array: Array, dtype: numpy.dtype[Any]) -> Array:
    """`array` in a dtype and layout that kernels take: C order, native bytes, aligned, writable; a copy if need be."""
    if type(array) is ndarray and array.dtype == dtype and array.flags.carray:
        return array  # numpy.require takes 3 µs to find out
    return numpy.require(array, dtype, ["C", "A", "W", "E"])


def is_direct(value: Any, dtype: numpy.dtype[Any]) -> bool:
    """Whether a value is an array that kernels can take as it is (not so one whose equal dtype is another object)."""
    return type(value) is ndarray and value.dtype is dtype and value.flags.carray


def are_direct(arrays: Sequence[Any], shapes: list[tuple[int, ...]], dtype: numpy.dtype[Any]) -> bool:
    """Whether kernels can take all values as they are, of these shapes, and change them in place."""
    for value in arrays:
        if type(value) is not ndarray or value.dtype is not dtype or not value.flags.carray:
            return False
    return [value.shape for value in arrays] == shapes


def apart(array: Array, given: Array) -> Array:
    """`array`, or a copy of it if it shares memory with `given`, which its owner may change."""
    owner = given if given.base is None else given.base  # NumPy's function takes 0.4 µs to find that out
    return array.copy() if array is given or array.base is owner or numpy.may_share_memory(array, given) else array


def shaped_array(name: str, value: Any, shape: tuple[int, ...], dtype: numpy.dtype[Any]) -> Array:
    """`value` as a kernel array of the given shape.

    Raises
    ------
    TypeError, ValueError
        As `real_array`, or another shape.
    """
    if is_direct(value, dtype) and value.shape == shape:
        return value  # type: ignore[no-any-return]
    array = real_array(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return kernel_array(array, dtype)


def updatable_array(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    """`value` itself, which must be a writable floating-point array of the given shape, to be changed in place.

    Raises
    ------
    TypeError
        Not a floating-point array, or elements are masked (`numpy.ma`).
    ValueError
        Another shape, or read-only.
    """
    if not isinstance(value, numpy.ndarray) or value.dtype.kind != "f":
        came = f"dtype {value.dtype}" if isinstance(value, numpy.ndarray) else type(value).__name__
        raise TypeError(f"{name} must be a floating-point array, which is changed in place; got {came}")
    _unmasked(name, value)
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
    if not value.flags.writeable:
        raise ValueError(f"{name} must be writable, since it is changed in place; got a read-only array")
    return value


def integer(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`.

    Raises
    ------
    TypeError
        Not an integer (a boolean is none).
    ValueError
        Too small.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | numpy.bool_):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    return number


def optional_integer(name: str, value: Any, least: int) -> int | None:
    """`integer`, or None for None."""
    return None if value is None else integer(name, value, least)


def real(name: str, value: Any) -> float:
    """`value` as a finite float.

    Raises
    ------
    TypeError
        Not a real number.
    ValueError
        NaN or infinite.
    """
    if isinstance(value, str | bytes | complex):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not numpy.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number


def float_dtype(value: Any) -> numpy.dtype[Any]:
    """`value` as the dtype float32 or float64.

    Raises
    ------
    TypeError
        Anything else.
    """
    for dtype in (numpy.dtype(numpy.float32), numpy.dtype(numpy.float64)):
        try:
            if value is not None and numpy.dtype(value) == dtype:
                return dtype
        except TypeError:
            break
    raise TypeError(f"dtype must be float32 or float64, got {value!r}")


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """`value`, which must be one of `options`.

    Raises
    ------
    ValueError
        It is not.
    """
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
    return str(value)
