"""The vector vocabulary: each operation compiled and simulated on one formula, against what NumPy says it should be."""

import functools
from typing import NamedTuple

import numba
import numpy
import pytest

from fastlstm_kernels import simd
from fastlstm_kernels.simd import Int, Place, Pointer, lanes, operation
from tests.tools.helpers import JIT_OFF

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
UNTOUCHED = -77


@functools.cache
def ways(formula):
    """A formula compiled, and simulated."""
    op = operation(formula)

    @numba.njit
    def compiled(n, a, b, out):
        op(n, a, 0, b, 0, out, 0)

    def simulated(n, a, b, out):
        simd._simulated(formula)(n, a, 0, b, 0, out, 0)

    return compiled, simulated


def run(formula, n, a, b, rows):
    """Results of ``formula(v, n, a, b, out)``, which writes so many vectors; compiled and simulated they are equal."""
    outs = [numpy.full((rows, lanes(a.dtype)), UNTOUCHED, a.dtype) for _ in range(2)]
    for way, out in zip(ways(formula), outs, strict=True):
        way(n, a, b, out)
    numpy.testing.assert_array_equal(outs[0], outs[1], strict=True)
    return outs[0]


def two(dtype, rng):
    """Two vectors of numbers, of both signs and away from zero."""
    shape = (2, lanes(dtype))
    return (rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)).astype(dtype)


def bits(a):
    return a.view(f"i{a.itemsize}")


@both
def test_arithmetic(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        x, y = v.load(a), v.load(b)
        results = [x + y, x - y, x * y, x / y, x + 0.1, 0.1 + x, x - 0.1, 0.1 - x, x * 0.1, 0.1 * x, x / 0.1, 0.1 / x]
        for k, result in enumerate(results):
            v.store(out + k * v.lanes, result)

    a, b = two(dtype, rng)
    c = dtype(0.1)
    wanted = [a + b, a - b, a * b, a / b, a + c, a + c, a - c, c - a, a * c, a * c, a / c, c / a]
    numpy.testing.assert_array_equal(run(formula, 0, a, b, 12), wanted)


@both
def test_constants_of_a_multiply_add_are_rounded_to_the_dtype(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out, v.fma(v.load(a), 0.1, 0.0))
        v.store(out + v.lanes, v.fma(0.1, v.load(a), 0.0))
        v.store(out + 2 * v.lanes, v.fma(v.load(a), 0.0, 0.1))

    a, b = two(dtype, rng)
    wanted = [a * dtype(0.1), a * dtype(0.1), numpy.full_like(a, 0.1)]
    numpy.testing.assert_array_equal(run(formula, 0, a, b, 3), wanted)


@both
def test_a_multiply_add_is_a_product_and_a_sum(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out, v.fma(v.load(a), v.load(b), v.load(b)))

    # Numbers of few bits, so that nothing is rounded, once or twice.
    a, b = numpy.round(two(dtype, rng) * 16)
    numpy.testing.assert_array_equal(run(formula, 0, a, b, 1)[0], a * b + b)


@pytest.mark.skipif(not (JIT_OFF or simd.FUSED), reason="this host has no fused multiply-add")
def test_a_multiply_add_of_float32_is_rounded_once(rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out, v.fma(v.load(a), v.load(a), v.load(b)))

    n = lanes(numpy.float32)
    a = numpy.full(n, 1 + 2.0**-12, numpy.float32)
    assert (run(formula, 0, a, numpy.full(n, -1 - 2.0**-11, numpy.float32), 1) == 2.0**-24).all()


@both
def test_square_root(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out, v.sqrt(v.load(a)))

    a = numpy.abs(two(dtype, rng)[0])
    numpy.testing.assert_array_equal(run(formula, 0, a, a, 1)[0], numpy.sqrt(a))


@both
def test_comparison_and_selection(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        x, y = v.load(a), v.load(b)
        results = [
            v.select(x < y, x, y), v.select(x > y, x, y), v.select(x >= y, x, y), v.select(x < 0.0, 0.0, x),
            v.select(x > 0.0, v.fill(2.0), 3.0),
        ]
        for k, result in enumerate(results):
            v.store(out + k * v.lanes, result)

    a, b = two(dtype, rng)
    a[0] = b[0]
    positive = numpy.where(a > 0, 2, 3)
    wanted = [numpy.minimum(a, b), numpy.maximum(a, b), numpy.maximum(a, b), numpy.maximum(a, 0), positive]
    numpy.testing.assert_array_equal(run(formula, 0, a, b, 5), wanted)


@both
def test_comparison_with_nan_is_false(dtype):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        x = v.load(a)
        for k, mask in enumerate((x < 0.0, x > 0.0, x >= 0.0)):
            v.store(out + k * v.lanes, v.select(mask, 1.0, 2.0))

    a = numpy.full(lanes(dtype), numpy.nan, dtype)
    assert (run(formula, 0, a, a, 3) == 2).all()


@both
def test_bits(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        x, y = v.bits(v.load(a)), v.bits(v.load(b))
        for k, result in enumerate((x & y, x | y, x >> 3, x << 3, x + 5, x - 5, x & ~7, x - y)):
            v.store(out + k * v.lanes, v.floats(result))

    a, b = two(dtype, rng)
    x, y = bits(a), bits(b)
    found = run(formula, 0, a, b, 8)
    wanted = [x & y, x | y, x >> 3, x << 3, x + 5, x - 5, x & ~7, x - y]
    numpy.testing.assert_array_equal(bits(found), wanted)
    assert (x < 0).any()  # so that a shift to the right must carry the sign


@both
def test_a_vector_of_one_number(dtype):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out, v.fill(0.1))

    a = numpy.zeros(1, dtype)
    assert (run(formula, 0, a, a, 1) == dtype(0.1)).all()


@both
def test_broadcasts_and_pointers(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out, v.broadcast(a + 1))
        v.store(out + (v.lanes * 2 + n), v.load(a + n))  # whole vectors need not be aligned
        v.store(out + n * 5 * v.lanes, v.broadcast(b + n * 2))

    a, b = rng.standard_normal((2, 4 * lanes(dtype))).astype(dtype)
    n, found = lanes(dtype), run(formula, 1, a, b, 6)
    numpy.testing.assert_array_equal(found[0], a[1])
    assert (found[1] == UNTOUCHED).all()
    numpy.testing.assert_array_equal(found[2:4].ravel()[1 : n + 1], a[1 : n + 1])
    assert found[2, 0] == UNTOUCHED
    assert (found[3, 1:] == UNTOUCHED).all()
    assert (found[4] == UNTOUCHED).all()
    numpy.testing.assert_array_equal(found[5], b[2])


@both
def test_masked_loads_and_stores_touch_their_lanes_only(dtype, rng):
    def loads(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out, v.load_part(a, v.first(n)))

    def stores(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store_part(out, v.load(a), v.first(n))

    def selects(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out, v.select(v.first(n), v.load(a), 0.0))

    width = lanes(dtype)
    a = rng.uniform(1, 2, width).astype(dtype)
    for n in {-1, 0, 1, width // 2, width - 1, width, width + 1, 1000}:
        inside = numpy.arange(width) < n
        numpy.testing.assert_array_equal(run(loads, n, a, a, 1)[0], numpy.where(inside, a, 0))
        numpy.testing.assert_array_equal(run(stores, n, a, a, 1)[0], numpy.where(inside, a, UNTOUCHED))
        numpy.testing.assert_array_equal(run(selects, n, a, a, 1)[0], numpy.where(inside, a, 0))


@both
def test_shuffle(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        x, y = v.load(a), v.load(b)
        v.store(out, v.shuffle(x, y, range(v.lanes - 1, -1, -1)))
        v.store(out + v.lanes, v.shuffle(x, y, [k // 2 + k % 2 * v.lanes for k in range(v.lanes)]))
        v.store(out + 2 * v.lanes, v.shuffle(x, y, [2 * v.lanes - 1] * v.lanes))

    a, b = two(dtype, rng)
    interleaved = numpy.stack([a, b], axis=1).ravel()[: len(a)]
    wanted = [a[::-1], interleaved, numpy.full_like(a, b[-1])]
    numpy.testing.assert_array_equal(run(formula, 0, a, b, 3), wanted)


@both
def test_repetition(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        def twice(k, x, y):
            def inner(j, x):
                v.store(out + (2 + k * 2 + j) * v.lanes, x)
                return [x * 2.0]

            return [*v.repeat(2, [x], inner), x + y]

        x, y = v.repeat(n, [v.load(a), v.load(b)], twice)
        v.store(out, x)
        v.store(out + v.lanes, y)

    a, b = two(dtype, rng)
    for n in (0, 1, 3):
        found, x, y = run(formula, n, a, b, 9), a, b
        for k in range(n):
            numpy.testing.assert_array_equal(found[2 + 2 * k : 4 + 2 * k], [x, 2 * x])
            x, y = 4 * x, x + y
        numpy.testing.assert_array_equal(found[:2], [x, y])
        assert (found[2 + 2 * n :] == UNTOUCHED).all()
    assert (run(formula, -1, a, b, 9)[:2] == [a, b]).all()


@both
def test_choice_of_one_several_or_nothing(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        x, y = v.load(a), v.load(b)
        both = {3: lambda: x + y, 1: lambda: x}
        v.store(out, v.choose(n, {0: lambda: x, 3: lambda: v.choose(n, both), 1: lambda: y}))
        p, q = v.choose(n, {0: lambda: [x, y], 1: lambda: [y, x]})
        v.store(out + v.lanes, p)
        v.store(out + 2 * v.lanes, q)
        v.choose(n, {0: lambda: v.store(out + 3 * v.lanes, x), 1: lambda: None})

    a, b = two(dtype, rng)
    nothing = numpy.full_like(a, UNTOUCHED)
    numpy.testing.assert_array_equal(run(formula, 0, a, b, 4), [a, a, b, a])
    numpy.testing.assert_array_equal(run(formula, 3, a, b, 4), [a + b, b, a, nothing])
    for other in (1, 2, -1):  # the last case is all others
        numpy.testing.assert_array_equal(run(formula, other, a, b, 4), [b, b, a, nothing])


@both
def test_the_lesser_of_two_integers(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out + v.least(n, n * n) * v.lanes, v.load(a))
        v.store(out + (v.least(n * n + 1, n) + 2) * v.lanes, v.load(b))

    a, b = two(dtype, rng)
    nothing = numpy.full_like(a, UNTOUCHED)
    numpy.testing.assert_array_equal(run(formula, 0, a, b, 5), [a, nothing, b, nothing, nothing])
    numpy.testing.assert_array_equal(run(formula, 2, a, b, 5), [nothing, nothing, a, nothing, b])


@both
def test_integers(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out + v.quotient(n, 3) * v.lanes, v.load(a))
        for k, condition in enumerate((n > 4, n >= 4, n < 4)):
            v.choose(v.truth(condition), {1: lambda k=k: v.store(out + (2 + k) * v.lanes, v.load(b)), 0: lambda: None})

    a, b = two(dtype, rng)
    nothing = numpy.full_like(a, UNTOUCHED)
    numpy.testing.assert_array_equal(run(formula, 4, a, b, 5), [nothing, a, nothing, b, nothing])
    numpy.testing.assert_array_equal(run(formula, 5, a, b, 5), [nothing, a, b, b, nothing])
    numpy.testing.assert_array_equal(run(formula, 2, a, b, 5), [a, nothing, nothing, nothing, b])


@both
def test_the_simulator_refuses_lanes_outside_an_array(dtype):
    def loads(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(out, v.load(a + n))

    def stores(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        v.store(a + n, v.load(b))

    a = numpy.zeros(lanes(dtype), dtype)
    for formula in (loads, stores):
        simulated = ways(formula)[1]
        simulated(0, a, a, a.copy())
        for n in (-1, 1):
            with pytest.raises(IndexError, match="of an array of"):
                simulated(n, a, a, a.copy())


@both
def test_vectors_fill_the_hosts_registers(dtype):
    assert lanes(dtype) * numpy.dtype(dtype).itemsize == simd.VECTOR_BYTES
    assert lanes(numba.from_dtype(numpy.dtype(dtype))) == lanes(dtype)


@pytest.mark.parametrize(
    ("features", "wanted"),
    [
        ("+avx512f,+avx,+fma", (64, 32, True)), ("+avx,+fma,-avx512f", (32, 16, True)), ("+avx,+fma4", (32, 16, False)),
        ("", (16, 16, False)),
    ],
)
def test_a_named_cpu_decides_the_width_and_whether_it_fuses(monkeypatch, features, wanted):
    monkeypatch.setattr(numba.config, "CPU_NAME", "generic")
    monkeypatch.setattr(numba.config, "CPU_FEATURES", features)
    monkeypatch.setattr(simd.llvm, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    assert simd._host() == wanted
    monkeypatch.setattr(simd.llvm, "get_process_triple", lambda: "aarch64-unknown-linux-gnu")
    if wanted[0] == 16:
        assert simd._host() == (16, 32, True)


@both
def test_shorter_vectors_touch_no_more_than_they_hold(dtype, rng):
    def formula(v, n: Int, a: Pointer, b: Pointer, out: Pointer):
        short = v.shortened(v.lanes // 2)
        short.store(out, short.load(a) * short.load(b))
        places = range(v.lanes - 1, v.lanes // 2 - 1, -1)
        short.store(out + v.lanes, short.shuffle(v.load(a), v.load(b), places))

    a, b = two(dtype, rng)
    half = lanes(dtype) // 2
    found = run(formula, 0, a, b, 2)
    numpy.testing.assert_array_equal(found[0, :half], a[:half] * b[:half])
    numpy.testing.assert_array_equal(found[1, :half], a[half:][::-1])
    assert (found[:, half:] == UNTOUCHED).all()


class Line(NamedTuple):
    """Some elements of an array."""

    place: Pointer
    count: Int


class Lines(NamedTuple):
    """What is read, what is written, and how often it is counted."""

    a: Line
    out: Line
    times: Int


def add_up(v, lines, factor):
    total = v.repeat(lines.a.count, [v.broadcast(factor) * 0.0], lambda k, s: [s + v.broadcast(lines.a.place + k)])[0]
    v.repeat(lines.out.count, [], lambda k: v.store(lines.out.place + k * v.lanes, total * v.load(factor)) or [])


@both
@pytest.mark.parametrize("times", [2, True])
def test_arguments_in_groups_within_groups(dtype, rng, times):
    def formula(v, factor: Pointer, lines: Lines):
        for _ in range(2):  # the second is the same function
            v.shared(add_up, lines, factor + lines.times * v.lanes)

    op = operation(formula)

    @numba.njit
    def compiled(a, factor, out, times):
        op(factor, 0, Lines(Line(Place(a, 1), 3), Line(Place(out, 0), 2), times))

    def simulated(a, factor, out, times):
        simd._simulated(formula)(factor, 0, Lines(Line(Place(a, 1), 3), Line(Place(out, 0), 2), times))

    a, factor = rng.standard_normal(5).astype(dtype), rng.standard_normal(3 * lanes(dtype)).astype(dtype)
    for way in (compiled, simulated):
        out = numpy.full(3 * lanes(dtype), UNTOUCHED, dtype)
        way(a, factor, out, times)
        wanted = (a[1] + a[2] + a[3]) * factor[int(times) * lanes(dtype) :][: lanes(dtype)]
        numpy.testing.assert_array_equal(out, [*wanted, *wanted, *[UNTOUCHED] * lanes(dtype)])
