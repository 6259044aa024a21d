"""The flat arrays that an optimizer steps on, checked."""

from typing import Any

import numpy

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.engine.workspace import empty


def zeros(like: Array) -> Array:
    """An array of zeros of the same shape and dtype."""
    found = empty(like.shape, like.dtype)
    found[...] = 0
    return found


def kind(array: Array) -> str:
    """Dtype and shape, in words."""
    return f"{array.dtype.name} {array.shape}"


def fitting(parameters: Any, gradients: Any) -> tuple[Array, Array]:
    """Both arrays as a kernel takes them, the parameters without a copy.

    Raises
    ------
    TypeError, ValueError
        They do not.
    """
    if not isinstance(parameters, numpy.ndarray):
        raise TypeError(f"parameters must be an array, which is changed in place; got {type(parameters).__name__}")
    parameters = checks.real_array("parameters", parameters)
    dtype = checks.float_dtype(parameters.dtype)
    if parameters.ndim != 1:
        raise ValueError(f"parameters must have shape (n,), got {parameters.shape}")
    if not parameters.flags.carray:
        raise ValueError("parameters must be contiguous, aligned and writable, since they are changed in place; "
                         f"got strides {parameters.strides}, aligned {parameters.flags.aligned}, "
                         f"writable {parameters.flags.writeable}")
    given = checks.real_array("gradients", gradients)
    if given.dtype != dtype:
        raise TypeError(f"gradients must have dtype {dtype.name} as the parameters, got {given.dtype.name}")
    if given.shape != parameters.shape:
        raise ValueError(f"gradients must have shape {parameters.shape} as the parameters, got {given.shape}")
    return parameters, checks.kernel_array(given, dtype)
