"""Loops along rows of elements, vector by vector, and the part of one that is left."""

from collections.abc import Callable, Sequence
from typing import Any

from fastlstm_kernels.simd import Backend, Int, Pointer, operation


def each_vector(v: Backend, n: Any, step: Any) -> None:
    """Run ``step(offset, mask)`` along a row of n elements; the mask is None for whole vectors."""
    whole = v.quotient(n, v.lanes)

    def inside(k: Any) -> list[Any]:
        step(k * v.lanes, None)
        return []

    v.repeat(whole, [], inside)
    rest = n - whole * v.lanes
    v.choose(v.truth(rest > 0), {1: lambda: step(whole * v.lanes, v.first(rest)), 0: lambda: None})


def load_at(v: Backend, place: Any, mask: Any) -> Any:
    """The vector at a place, under a mask of `each_vector`."""
    return v.load(place) if mask is None else v.load_part(place, mask)


def store_at(v: Backend, place: Any, value: Any, mask: Any) -> None:
    """Store a vector at a place, under a mask of `each_vector`."""
    if mask is None:
        v.store(place, value)
    else:
        v.store_part(place, value, mask)


def map_row(v: Backend, n: Any, source: Any, out: Any, function: Any) -> None:
    """out = function(source's vector, its offset, its mask) along a row of n elements; `out` may be `source`."""

    def step(offset: Any, mask: Any) -> None:
        store_at(v, out + offset, function(load_at(v, source + offset, mask), offset, mask), mask)

    each_vector(v, n, step)


def fold_row(v: Backend, n: Any, start: Any, load: Sequence[Any], step: Callable[..., Any]) -> Any:
    """``carried = step(carried, offset, mask, *vectors)`` along rows of n elements, as `each_vector` goes."""

    def inside(carried: Any, offset: Any, mask: Any) -> list[Any]:
        return [step(carried, offset, mask, *(load_at(v, place + offset, mask) for place in load))]

    whole = v.quotient(n, v.lanes)
    (carried,) = v.repeat(whole, [start], lambda k, carried: inside(carried, k * v.lanes, None))
    rest = n - whole * v.lanes
    last = {1: lambda: inside(carried, whole * v.lanes, v.first(rest)), 0: lambda: [carried]}
    return v.choose(v.truth(rest > 0), last)[0]


@operation
def times_rows(
    v: Backend, rows: Int, columns: Int, a: Pointer, a_row: Int, b: Pointer, b_row: Int, out: Pointer, out_row: Int
) -> None:
    """Elementwise product of some columns of some rows; `out` may be `a` or `b`."""

    def row(r: Any) -> list[Any]:
        def product(x: Any, offset: Any, mask: Any) -> Any:
            return x * load_at(v, b + r * b_row + offset, mask)

        map_row(v, columns, a + r * a_row, out + r * out_row, product)
        return []

    v.repeat(rows, [], row)


@operation
def copy_rows(v: Backend, rows: Int, columns: Int, a: Pointer, a_row: Int, out: Pointer, out_row: Int) -> None:
    """Some columns of some rows."""

    def row(r: Any) -> list[Any]:
        map_row(v, columns, a + r * a_row, out + r * out_row, lambda x, *_: x)
        return []

    v.repeat(rows, [], row)
