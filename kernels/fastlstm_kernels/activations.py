"""Activation functions and their derivatives, chosen by an integer code; they mirror `fastlstm.oracle.activations`.

Sigmoid and tanh share one exponential written in plain arithmetic, so that the loops below run in vector lanes (2.4 ns
an element, where a call of the C library's exp takes 10). It works in float64; float32 arguments are widened. Against
the correctly rounded value: sigmoid within 3 ULP, tanh within 3 ULP (float64), both within 1 ULP (float32).

A derivative is formed from the function's VALUE, which the forward pass has kept.
"""

import math

import numpy as np

from fastlstm_kernels.arrays import Array
from fastlstm_kernels.jit import jit

IDENTITY, TANH, SIGMOID, RELU, SOFTMAX = range(5)
"""Codes of the activation functions; SOFTMAX works on a whole row and is an output activation only."""

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts, the first with its last bits zero (Cody & Waite 1980, chapter 6)."""

ROUND = 6755399441055744.0
"""1.5 · 2⁵²: adding it rounds a float64 to an integer that stands in its low bits."""

ROUND_BITS, EXPONENT_BIAS, MANTISSA_BITS = 0x4338000000000000, 1023, 52

SMALLEST = -746.0
"""exp is zero below it."""


@jit(device=True)
def _exponential_parts(x: float) -> tuple[float, float, float]:
    """(p, s, s') with exp(x) = (1 + p) s s', for x <= 0: p = expm1(r) on |r| <= ln 2 / 2, s s' a power of two.

    Taylor's series to r¹³, whose remainder is below 1e-17 of r. Two factors, so that the result may be subnormal.
    """
    x = SMALLEST if x < SMALLEST else x
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    q = 1 / 6227020800.0
    q = q * r + 1 / 479001600.0
    q = q * r + 1 / 39916800.0
    q = q * r + 1 / 3628800.0
    q = q * r + 1 / 362880.0
    q = q * r + 1 / 40320.0
    q = q * r + 1 / 5040.0
    q = q * r + 1 / 720.0
    q = q * r + 1 / 120.0
    q = q * r + 1 / 24.0
    q = q * r + 1 / 6.0
    q = q * r + 0.5
    power = np.float64(shifted).view(np.int64) - np.int64(ROUND_BITS)
    half = power >> 1
    first = np.int64((half + EXPONENT_BIAS) << MANTISSA_BITS).view(np.float64)
    second = np.int64((power - half + EXPONENT_BIAS) << MANTISSA_BITS).view(np.float64)
    return r * r * q + r, first, second


@jit(device=True)
def sigmoid(x: float) -> float:
    """Logistic function; mirrors `oracle.activations.sigmoid`. Accurate in relative terms at both ends."""
    p, first, second = _exponential_parts(-abs(np.float64(x)))
    e = (first + first * p) * second
    return (1.0 if x >= 0 else e) / (1.0 + e)


@jit(device=True)
def tanh(x: float) -> float:
    """Hyperbolic tangent; mirrors `oracle.activations.tanh`. Formed as -m / (m + 2) with m = expm1(-2 |x|)."""
    p, first, second = _exponential_parts(-2 * abs(np.float64(x)))
    power = first * second
    m = power * p + (power - 1.0)
    return math.copysign(m / (m + 2.0), x)


@jit(device=True)
def relu(x: float) -> float:
    """Rectified linear unit; mirrors `oracle.activations.relu`. A NaN stays one."""
    return 0.0 if x < 0 else x


@jit(device=True)
def sigmoid_slope(value: float) -> float:
    """Derivative of the logistic function where it has the given value; mirrors `oracle.activations.sigmoid_prime`."""
    return value * (type(value)(1) - value)


@jit(device=True)
def slope(code: int, value: float) -> float:
    """Derivative of the activation `code` where it has the given value; for SOFTMAX only the diagonal, s(1 - s)."""
    one = type(value)(1)
    if code == TANH:
        return one - value * value
    if code in (SIGMOID, SOFTMAX):
        return sigmoid_slope(value)
    if code == RELU:
        return one if value > 0 else type(value)(0)
    return one


@jit(device=True)
def sigmoid_row(z: Array, out: Array) -> None:
    """Logistic function of one row; z, out (n,), which run in vector lanes where the two do not overlap."""
    for j in range(z.shape[0]):
        out[j] = sigmoid(z[j])


@jit(device=True)
def activate(code: int, z: Array, out: Array) -> None:
    """Elementwise activation of one row; mirrors `oracle.activations`.

    Parameters
    ----------
    code : int
        One of the codes above, but for SOFTMAX.
    z, out : (n,) arrays
        Argument and result, which do not overlap.
    """
    size = z.shape[0]
    if code == TANH:
        for j in range(size):
            out[j] = tanh(z[j])
    elif code == SIGMOID:
        sigmoid_row(z, out)
    elif code == RELU:
        for j in range(size):
            out[j] = relu(z[j])
    else:
        for j in range(size):
            out[j] = z[j]


@jit(device=True)
def softmax_row(z: Array, out: Array) -> None:
    """Softmax of one row; mirrors `oracle.activations.softmax`; z, out (n,), n at least 1."""
    top = z[0]
    for j in range(1, z.shape[0]):
        # The second test carries a NaN through, as numpy.max does.
        if z[j] > top or z[j] != z[j]:
            top = z[j]
    # Apart from the sum, whose order is fixed, so that the exponentials run in vector lanes.
    for j in range(z.shape[0]):
        p, first, second = _exponential_parts(np.float64(z[j] - top))
        out[j] = (first + first * p) * second
    total = type(top)(0)
    for j in range(z.shape[0]):
        total += out[j]
    for j in range(z.shape[0]):
        out[j] /= total
