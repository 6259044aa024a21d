"""Activation functions in NumPy and their derivatives as functions of the same argument.

Every function takes an array of any shape and any floating or complex dtype, and returns one of the same shape and
dtype; softmax and its derivatives work along the last axis. Complex arguments serve `gradcheck.complex_step`.
"""

from typing import Any, TypeAlias

import numpy
import numpy.typing

Array: TypeAlias = numpy.typing.NDArray[Any]


def identity(x: Array) -> Array:
    """x itself."""
    return x + 0


def identity_prime(x: Array) -> Array:
    """One everywhere."""
    return numpy.ones_like(x)


def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return numpy.asarray(numpy.tanh(x))


def tanh_prime(x: Array) -> Array:
    """1 - tanh(x)²."""
    t = numpy.tanh(x)
    return numpy.asarray(1 - t * t)


def sigmoid(x: Array) -> Array:
    """Logistic function 1 / (1 + exp(-x)), formed so that the exponential does not overflow."""
    negative = numpy.real(x) < 0
    e = numpy.exp(numpy.where(negative, x, -x))
    return numpy.asarray(numpy.where(negative, e, 1) / (1 + e))


def sigmoid_prime(x: Array) -> Array:
    """sigmoid(x) (1 - sigmoid(x))."""
    s = sigmoid(x)
    return numpy.asarray(s * (1 - s))


def relu(x: Array) -> Array:
    """max(x, 0); a NaN stays one."""
    return numpy.where(numpy.real(x) < 0, numpy.zeros_like(x), x)


def relu_prime(x: Array) -> Array:
    """One where x > 0, else zero."""
    return (numpy.real(x) > 0).astype(x.dtype)


def softmax(x: Array) -> Array:
    """exp(x) / Σ exp(x) along the last axis, with the largest x taken off first."""
    with numpy.errstate(invalid="ignore"):
        e = numpy.exp(x - numpy.max(numpy.real(x), axis=-1, keepdims=True))
        return numpy.asarray(e / numpy.sum(e, axis=-1, keepdims=True))


def softmax_prime(x: Array) -> Array:
    """The diagonal of the softmax's Jacobian, s (1 - s)."""
    s = softmax(x)
    return numpy.asarray(s * (1 - s))


def softmax_jacobian(x: Array) -> Array:
    """The softmax's Jacobian, J[..., j, k] = ∂s_j / ∂x_k = s_j (δ_jk - s_k)."""
    s = softmax(x)
    return numpy.asarray(s[..., :, None] * (numpy.eye(s.shape[-1], dtype=s.dtype) - s[..., None, :]))
