"""Products of a few rows with weights as users have them: to pack those takes longer than the product.

Forwards, a square of weights is transposed in registers, multiplied, and forgotten; two sums go on at a time, for each
waits for its last addition. (Four are slower, by 1.4 at 256 inputs in float64 and by 2 at 512: rows that far apart
share few sets of the cache.) They run in the order in which they run with packed weights, so that results are bit for
bit the same.
"""

from typing import Any

from fastlstm_kernels.arrays import ZERO, Array
from fastlstm_kernels.jit import jit
from fastlstm_kernels.pack import copy_row, transposed
from fastlstm_kernels.rows import copy_rows, each_vector, load_at, store_at
from fastlstm_kernels.simd import VECTOR_BYTES, Backend, Int, Place, Pointer, operation
from fastlstm_kernels.tile import WIDTH, Rows

AT_ONCE = 4
"""Rows that are multiplied by a square of weights while it is in registers."""


def _products(v: Backend, units: Any, depth: Any, a: list[Any], a_row: Any, x: list[Any], sums: list[Any]) -> list[Any]:
    """Add x[r] a[s].T to sums[s][r], of which `units` lanes count; the sums are flat, s by s."""
    rows = [[place + a_row * v.least(units - 1, k) for k in range(v.lanes)] for place in a]

    def square(at: Any, sums: Any, rest: Any) -> list[Any]:
        there, found = None if rest is None else v.first(rest), []
        columns = [transposed(v, [load_at(v, row + at, there) for row in some]) for some in rows]
        for s, total in enumerate(sums):
            line, by = x[s % len(x)] + at, columns[s // len(x)]
            for k in range(v.lanes):
                if rest is None:
                    total = v.fma(v.broadcast(line + k), by[k], total)
                else:
                    more = v.fma(v.broadcast(line + v.least(rest - 1, k)), by[k], total)
                    total = v.select(v.first((rest - k) * v.lanes), more, total)
            found.append(total)
        return found

    whole = v.quotient(depth, v.lanes)
    found = v.repeat(whole, sums, lambda k, *sums: square(k * v.lanes, sums, None))
    at = whole * v.lanes
    rest = depth - at
    result: list[Any] = v.choose(v.truth(rest > 0), {1: lambda: square(at, found, rest), 0: lambda: found})
    return result


@operation
def add_products(
    v: Backend, rows: Int, units: Int, depth: Int, a: Rows, a_second: Int, x: Rows, z: Rows, z_second: Int, sets: Int
) -> None:
    """z[r] += x[r] a.T for so many rows of weights, up to a vector; one or two sets of them.

    The second set's weights are `a_second` behind those of the first, its sums `z_second`.
    """
    mask = v.first(units)

    def add(places: list[Any], lines: list[Any], out: list[Any]) -> None:
        before = [v.load(place) for place in out]
        after = _products(v, units, depth, places, a.row, lines, before)
        for place, old, new in zip(out, before, after, strict=True):
            v.store(place, v.select(mask, new, old))

    def one() -> None:  # two sums at a time, of one set if there is no second
        add([a.place, a.place + a_second * (sets - 1)], [x.place], [z.place, z.place + z_second * (sets - 1)])

    def several() -> None:
        def some(k: Any) -> list[Any]:
            chosen = [v.least(rows - 1, k * AT_ONCE + r) for r in range(AT_ONCE)]

            def of_set(s: Any) -> list[Any]:
                out = z.place + z_second * s
                add([a.place + a_second * s], [x.place + x.row * r for r in chosen], [out + z.row * r for r in chosen])
                return []

            v.repeat(sets, [], of_set)
            return []

        v.repeat(v.quotient(rows + (AT_ONCE - 1), AT_ONCE), [], some)

    v.choose(rows, {0: lambda: None, 1: one, 2: several})


@operation
def add_rows(
    v: Backend, rows: Int, count: Int, columns: Int, d: Pointer, d_row: Int, w: Pointer, w_row: Int, out: Pointer,
    out_row: Int,
) -> None:
    """out[r] += the sum over k of d[r, k] w[k]; `columns` of w, up to a panel's width, are there."""

    def of(masks: list[Any]) -> Any:
        def row(r: Any) -> list[Any]:
            place, line = out + r * out_row, d + r * d_row

            def step(k: Any, *sums: Any) -> list[Any]:
                x, at = v.broadcast(line + k), w + k * w_row
                return [v.fma(x, load_at(v, at + j * v.lanes, masks[j]), sums[j]) for j in range(WIDTH)]

            sums = v.repeat(count, [v.load(place + j * v.lanes) for j in range(WIDTH)], step)
            for j in range(WIDTH):
                v.store(place + j * v.lanes, sums[j])
            return []

        return lambda: v.repeat(rows, [], row) and None

    some = [v.first(columns - j * v.lanes) for j in range(WIDTH)]
    v.choose(v.truth(columns >= WIDTH * v.lanes), {1: of([None] * WIDTH), 0: of(some)})


@operation
def add_outer(
    v: Backend, rows: Int, columns: Int, d: Pointer, d_row: Int, x: Pointer, x_row: Int, out: Pointer
) -> None:
    """out += the sum over r of d[r] x[r]."""

    def step(offset: Any, mask: Any) -> None:
        def add(r: Any, total: Any) -> list[Any]:
            return [v.fma(v.broadcast(d + r * d_row), load_at(v, x + (r * x_row + offset), mask), total)]

        (total,) = v.repeat(rows, [v.fill(0.0)], add)
        store_at(v, out + offset, load_at(v, out + offset, mask) + total, mask)

    each_vector(v, columns, step)


@jit(device=True)
def affine(row: int, rows: int, x: Array, w: Array, b: Array, out: Array, work: Array) -> None:
    """``out = x w.T + b`` for some rows; `work` has room for as many, each as wide as a panel."""
    inputs, outputs, vector = x.shape[1], out.shape[1], VECTOR_BYTES // work.itemsize
    width = WIDTH * vector
    for column in range(0, outputs, width):
        columns = min(width, outputs - column)
        for r in range(rows):
            copy_row(columns, b, column, work, r * width)
        j = 0
        while j < columns:
            units, sets = min(vector, columns - j), 2 if columns - j >= 2 * vector else 1
            add_products(
                rows, units, inputs, Rows(Place(w, (column + j) * inputs), inputs), vector * inputs,
                Rows(Place(x, row * inputs), inputs), Rows(Place(work, j), width), vector, sets,
            )
            j += sets * vector
        copy_rows(rows, columns, work, ZERO, width, out, row * outputs + column, outputs)


@jit(device=True)
def affine_back(row: int, rows: int, delta: Array, w: Array, d_x: Array, work: Array) -> None:
    """``d_x = delta w`` for some rows; `work` as for `affine`."""
    outputs, inputs, width = w.shape[0], w.shape[1], WIDTH * (VECTOR_BYTES // work.itemsize)
    for column in range(0, inputs, width):
        for k in range(rows * width):
            work[k] = 0
        columns = inputs - column
        add_rows(rows, outputs, columns, delta, row * outputs, outputs, w, column, inputs, work, ZERO, width)
        copy_rows(rows, min(width, columns), work, ZERO, width, d_x, row * inputs + column, inputs)


@jit(device=True)
def are_reached(delta: Array) -> bool:
    """Whether an error reaches each row; else the row is padding, and its inputs may be anything."""
    for r in range(delta.shape[0]):
        reached = False
        for k in range(delta.shape[1]):
            reached = reached or delta[r, k] != 0
        if not reached:
            return False
    return True


@jit(device=True)
def affine_gradients(first: int, last: int, delta: Array, x: Array, d_w: Array, d_b: Array) -> None:
    """Add the gradients of outputs first to last - 1: of ``delta.T @ x`` and of ``delta.sum(axis=0)``."""
    rows, outputs = delta.shape
    inputs = x.shape[1]
    for k in range(first, last):
        add_outer(rows, inputs, delta, k, outputs, x, ZERO, inputs, d_w, k * inputs)
        total = delta.dtype.type(0)
        for r in range(rows):
            total += delta[r, k]
        d_b[k] += total
