"""Activation functions and their derivatives: formulas over vectors; they mirror `fastlstm.oracle.activations`.

All of them rest on one exponential: x = n ln 2 + r with |r| <= ln 2 / 2 (Cody & Waite 1980, chapter 6), a polynomial
for exp(r) - 1, and n written into the exponent bits. Largest errors in units in the last place, against long double,
float32 over all finite arguments, float64 over 10⁸ (``python -m tests.tools.accuracy`` measures them):

======== ========= =========
function   float32   float64
======== ========= =========
exp           1.06      1.04
sigmoid       2.48      1.05
tanh          2.50      1.48
======== ========= =========

A derivative is formed from the function's VALUE, which the forward pass has kept.
"""

from typing import Any, NamedTuple

import numpy as np

from fastlstm_kernels.arrays import Array
from fastlstm_kernels.jit import jit
from fastlstm_kernels.rows import load_at, map_row
from fastlstm_kernels.simd import Backend, Int, Pointer, operation

IDENTITY, TANH, SIGMOID, RELU, SOFTMAX = range(5)
"""Codes of the activation functions; SOFTMAX works on a whole row and is an output activation only."""


class _Precision(NamedTuple):
    """Constants of one dtype."""

    round: float  # 1.5 · 2^mantissa bits: adding it rounds to an integer, which stands in the low bits
    round_bits: int
    mantissa_bits: int
    bias: int
    sign: int
    ln2: tuple[float, float]  # in two parts, the first with its last bits zero
    lowest: float  # exp is zero below, and infinite above the next
    highest: float
    flat: float  # exp(-flat) is nothing beside 1
    polynomial: tuple[float, ...]  # q with exp(r) - 1 = r + r² q(r), highest power first


_PRECISIONS = {
    # Polynomial: expf of Moshier's Cephes library (1984).
    np.dtype(np.float32): _Precision(
        12582912.0, 0x4B400000, 23, 127, -(1 << 31), (0.693359375, -2.12194440e-4), -104.0, 89.0, 40.0,
        (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1),
    ),
    # Taylor's series to r¹³, whose remainder is below 1e-17 of r.
    np.dtype(np.float64): _Precision(
        6755399441055744.0, 0x4338000000000000, 52, 1023, -(1 << 63),
        (6.93147180369123816490e-01, 1.90821492927058770002e-10), -746.0, 710.0, 40.0,
        tuple(1 / number for number in (
            6227020800, 479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2,
        )),
    ),
}
LOG2_E = 1.4426950408889634


def _reduced(v: Backend, x: Any, sign: float = 1.0) -> tuple[Any, Any]:
    """exp(r) - 1 and n (as bits), for sign x = n ln 2 + r."""
    k = _PRECISIONS[v.dtype]
    shifted = v.fma(x, sign * LOG2_E, k.round)
    n = shifted - k.round
    r = v.fma(n, -sign * k.ln2[1], v.fma(n, -sign * k.ln2[0], x))  # times sign, as are the odd powers
    # Odd and even powers apart: two short chains of dependent operations run side by side.
    square, odd, even = r * r, v.fill(sign * k.polynomial[0]), v.fill(k.polynomial[1])
    for a, b in zip(k.polynomial[2::2], k.polynomial[3::2], strict=True):
        odd, even = v.fma(odd, square, sign * a), v.fma(even, square, b)
    return v.fma(square, v.fma(odd, r, even), r * sign), v.bits(shifted) - k.round_bits


def _power(v: Backend, n: Any) -> Any:
    """2ⁿ, for n (as bits) within the range of normal numbers."""
    k = _PRECISIONS[v.dtype]
    return v.floats((n << k.mantissa_bits) + (k.bias << k.mantissa_bits))


def exp(v: Backend, x: Any) -> Any:
    """Exponential; mirrors `numpy.exp`. Two factors, so that the result may be subnormal."""
    k = _PRECISIONS[v.dtype]
    p, n = _reduced(v, v.select(x > k.highest, k.highest, v.select(x < k.lowest, k.lowest, x)))
    half = n >> 1
    first = _power(v, half)
    return v.fma(first, p, first) * _power(v, n - half)


def _quotient(v: Backend, a: Any, a_rest: Any, b: Any, c: Any, c_rest: Any) -> Any:
    """(a + a_rest) / (b + c + c_rest), where |b| >= |c|; the rests, below half a unit, count in float64 only."""
    d = b + c
    if v.dtype == np.float32:
        return a / d
    inverse = 1.0 / d
    q = a * inverse
    d_rest = (c - (d - b)) + c_rest
    return v.fma(v.fma(q * -1.0, d, a) + v.fma(q * -1.0, d_rest, a_rest), inverse, q)


def _magnitude(v: Backend, x: Any) -> Any:
    return v.floats(v.bits(x) & ~_PRECISIONS[v.dtype].sign)


def sigmoid(v: Backend, x: Any) -> Any:
    """Logistic function; mirrors `oracle.activations.sigmoid`. Accurate in relative terms at both ends."""
    k = _PRECISIONS[v.dtype]
    if v.dtype == np.float32:
        # 1 / (1 + 2ⁿ (1 + p)), both sides multiplied by 2ˢ⁻ⁿ, with which nothing leaves the normal numbers.
        shift = 48
        x = v.select(x < k.lowest, k.lowest, x)
        p, n = _reduced(v, v.select(x > k.flat, k.flat, x), -1.0)
        scale = v.floats(((k.bias + shift) << k.mantissa_bits) - (n << k.mantissa_bits))
        return scale / (scale + v.fma(p, 2.0**shift, 2.0**shift))
    t = 0.0 - _magnitude(v, x)
    p, n = _reduced(v, v.select(t < k.lowest, k.lowest, t))
    half = n >> 1
    first, second = _power(v, half), _power(v, n - half)
    e = v.fma(first, p, first)
    rest = v.fma(first, p, first - e) * second
    e = e * second
    negative = x < 0.0
    return _quotient(v, v.select(negative, e, 1.0), v.select(negative, rest, 0.0), v.fill(1.0), e, rest)


def tanh(v: Backend, x: Any) -> Any:
    """Hyperbolic tangent; mirrors `oracle.activations.tanh`. Formed as -m / (m + 2) with m = exp(-2 |x|) - 1."""
    k = _PRECISIONS[v.dtype]
    t = _magnitude(v, x) * -2.0
    p, n = _reduced(v, v.select(t < -k.flat, -k.flat, t))
    power = _power(v, n)
    less = power - 1.0
    m = v.fma(power, p, less)
    rest = v.fma(power, p, less - m)
    return v.floats((v.bits(x) & k.sign) | v.bits(_magnitude(v, _quotient(v, m, rest, v.fill(2.0), m, rest))))


def relu(v: Backend, x: Any) -> Any:
    """Rectified linear unit; mirrors `oracle.activations.relu`. A NaN stays one."""
    return v.select(x < 0.0, 0.0, x)


def activation(v: Backend, code: Any, x: Any) -> Any:
    """The elementwise activation of a code."""
    return v.choose(code, {
        TANH: lambda: tanh(v, x), SIGMOID: lambda: sigmoid(v, x), RELU: lambda: relu(v, x), IDENTITY: lambda: x,
    })


def sigmoid_slope(value: Any) -> Any:
    """Derivative of the logistic function where it has the given value; mirrors `oracle.activations.sigmoid_prime`."""
    return value * (1.0 - value)


def slope(v: Backend, code: Any, value: Any) -> Any:
    """Derivative of the activation `code` where it has the given value; for SOFTMAX only the diagonal, s(1 - s)."""
    return v.choose(code, {
        TANH: lambda: 1.0 - value * value,
        SIGMOID: lambda: sigmoid_slope(value),
        SOFTMAX: lambda: sigmoid_slope(value),
        RELU: lambda: v.select(value > 0.0, v.fill(1.0), 0.0),
        IDENTITY: lambda: v.fill(1.0),
    })


@operation
def activate(v: Backend, code: Int, n: Int, z: Pointer, out: Pointer) -> None:
    """Elementwise activation of a row of n elements, but for SOFTMAX; `out` may be `z`."""
    map_row(v, n, z, out, lambda x, *_: activation(v, code, x))


@operation
def exponentials(v: Backend, n: Int, z: Pointer, out: Pointer) -> None:
    """exp of a row of n elements; `out` may be `z`."""
    map_row(v, n, z, out, lambda x, *_: exp(v, x))


@operation
def times_slope(v: Backend, code: Int, n: Int, values: Pointer, out: Pointer) -> None:
    """Multiply a row of n elements by the derivative of an activation where it has the given values."""

    def product(x: Any, offset: Any, mask: Any) -> Any:
        return x * slope(v, code, load_at(v, values + offset, mask))

    map_row(v, n, out, out, product)


@jit(device=True)
def softmax(n: int, z: Array, z_at: int, out: Array, out_at: int) -> None:
    """Softmax of a row of n elements; mirrors `oracle.activations.softmax`; flat places in contiguous arrays."""
    z, out = z.reshape(z.size), out.reshape(out.size)
    top = z[z_at]
    for j in range(1, n):
        # The second test carries a NaN through, as numpy.max does.
        if z[z_at + j] > top or z[z_at + j] != z[z_at + j]:
            top = z[z_at + j]
    for j in range(n):
        out[out_at + j] = z[z_at + j] - top
    exponentials(n, out, out_at, out, out_at)
    total = type(top)(0)
    for j in range(n):
        total += out[out_at + j]
    for j in range(n):
        out[out_at + j] /= total
