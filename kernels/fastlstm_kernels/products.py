"""Matrix products on blocks of rows: the three device functions under every kernel. No BLAS.

BLAS threads and `prange` threads on the same cores cost more than they gain (0.3 ms of work took 7 ms), and Numba's
`numpy.dot` would need SciPy at run time.
"""

from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.jit import jit
from fastlstm_kernels.threads import BLOCK

CACHE_BYTES = 24576
"""What a block of the right-hand matrix may take of a first-level cache of 32 KiB or more."""


ZERO, ONE = intp(0), intp(1)


@jit(device=True, reassociate=True)
def add_rows_by_transpose(
    a: Array, a_row: int, rows: int, b: Array, first: int, last: int, c: Array, c_row: int
) -> None:
    """``c[c_row:c_row + rows, first:last] += a[a_row:a_row + rows] @ b[first:last].T``.

    Parameters
    ----------
    a : (?, k) array
    a_row, c_row : int
        First row to read in `a` and to add to in `c`.
    rows : int
        How many rows.
    b : (n, k) array
        Read by rows, so weights are used as they are stored.
    first, last : int
        Rows of `b`, which are columns of `c`. Bits are the same for any cut at a multiple of `threads.BLOCK`.
    c : (?, n) array
        Added to in place.

    Notes
    -----
    2 · rows · (last - first) · k flops. A block of four rows shares each load of `b`; on a single row, four dot
    products run at a time. Forward products of whole blocks through transposed weights and `add_rows` were no faster
    (7.0 against 6.9 ms for 32 sequences of 100 steps at 64 units) and took 4 s more to compile.
    """
    depth = b.shape[1]
    block = 0
    while block + BLOCK <= rows:
        _dot_four_rows(a, a_row + block, b, c, c_row + block, first, last, depth)
        block += BLOCK
    for row in range(block, rows):
        _dot_one_row(a, a_row + row, b, c, c_row + row, first, last, depth)


@jit(device=True, reassociate=True)
def _dot_four_rows(a: Array, p: int, b: Array, c: Array, q: int, j: int, last: int, depth: int) -> None:
    while j + 2 <= last:
        s0, s1, s2, s3 = c[q, j], c[q + 1, j], c[q + 2, j], c[q + 3, j]
        t0, t1, t2, t3 = c[q, j + 1], c[q + 1, j + 1], c[q + 2, j + 1], c[q + 3, j + 1]
        for k in range(depth):
            x, y = b[j, k], b[j + 1, k]
            s0 += a[p, k] * x
            s1 += a[p + 1, k] * x
            s2 += a[p + 2, k] * x
            s3 += a[p + 3, k] * x
            t0 += a[p, k] * y
            t1 += a[p + 1, k] * y
            t2 += a[p + 2, k] * y
            t3 += a[p + 3, k] * y
        c[q, j], c[q + 1, j], c[q + 2, j], c[q + 3, j] = s0, s1, s2, s3
        c[q, j + 1], c[q + 1, j + 1], c[q + 2, j + 1], c[q + 3, j + 1] = t0, t1, t2, t3
        j += 2
    for row in range(BLOCK):
        _dot_one_row(a, p + row, b, c, q + row, j, last, depth)


@jit(device=True, reassociate=True)
def _dot_one_row(a: Array, p: int, b: Array, c: Array, q: int, j: int, last: int, depth: int) -> None:
    while j + 4 <= last:
        s0, s1, s2, s3 = c[q, j], c[q, j + 1], c[q, j + 2], c[q, j + 3]
        for k in range(depth):
            x = a[p, k]
            s0 += x * b[j, k]
            s1 += x * b[j + 1, k]
            s2 += x * b[j + 2, k]
            s3 += x * b[j + 3, k]
        c[q, j], c[q, j + 1], c[q, j + 2], c[q, j + 3] = s0, s1, s2, s3
        j += 4
    while j < last:
        s0 = c[q, j]
        for k in range(depth):
            s0 += a[p, k] * b[j, k]
        c[q, j] = s0
        j += 1


@jit(device=True)
def add_rows(
    a: Array, start: int, row_stride: int, depth_stride: int, rows: int, depth: int, b: Array, c: Array, c_row: int
) -> None:
    """``c[c_row:c_row + rows] += A @ b[:depth]`` with ``A[r, k] = a[start + r * row_stride + k * depth_stride]``.

    Parameters
    ----------
    a : flat array
        Holds A in either order, so that the same function serves ``dz @ u`` and ``dz.T @ x``.
    start, row_stride, depth_stride : int
        Where A lies in `a`, in elements.
    rows, depth : int
        Shape of A.
    b : (>= depth, n) array
    c : (?, n) array
        Added to in place.
    c_row : int
        First row to add to in `c`.

    Notes
    -----
    2 · rows · n · depth flops; rows of `b` are taken in blocks that fit the first-level cache. Four rows and four
    steps of depth at a time; two rows ran at 0.85 of this speed, one row and eight steps at 0.5.
    """
    width = b.shape[1]
    step = max(4, CACHE_BYTES // (max(width, 1) * b.itemsize) // 4 * 4)
    for k in range(0, depth, step):
        stop = min(depth, k + step)
        row = 0
        while row + BLOCK <= rows:
            _add_four_rows(a, start + row * row_stride, row_stride, depth_stride, k, stop, b, c, c_row + row)
            row += BLOCK
        for remaining in range(row, rows):
            _add_one_row(a, start + remaining * row_stride, depth_stride, k, stop, b, c, c_row + remaining)


@jit(device=True)
def _add_four_rows(a: Array, p: int, row: int, ds: int, k: int, stop: int, b: Array, c: Array, q: int) -> None:
    width = b.shape[1]
    while k + 4 <= stop:
        i = p + k * ds
        r0, r1, r2, r3 = a[i], a[i + ds], a[i + 2 * ds], a[i + 3 * ds]
        i += row
        s0, s1, s2, s3 = a[i], a[i + ds], a[i + 2 * ds], a[i + 3 * ds]
        i += row
        t0, t1, t2, t3 = a[i], a[i + ds], a[i + 2 * ds], a[i + 3 * ds]
        i += row
        u0, u1, u2, u3 = a[i], a[i + ds], a[i + 2 * ds], a[i + 3 * ds]
        for j in range(width):
            b0, b1, b2, b3 = b[k, j], b[k + 1, j], b[k + 2, j], b[k + 3, j]
            c[q, j] = c[q, j] + r0 * b0 + r1 * b1 + r2 * b2 + r3 * b3
            c[q + 1, j] = c[q + 1, j] + s0 * b0 + s1 * b1 + s2 * b2 + s3 * b3
            c[q + 2, j] = c[q + 2, j] + t0 * b0 + t1 * b1 + t2 * b2 + t3 * b3
            c[q + 3, j] = c[q + 3, j] + u0 * b0 + u1 * b1 + u2 * b2 + u3 * b3
        k += 4
    for r in range(BLOCK):
        _add_one_row(a, p + r * row, ds, k, stop, b, c, q + r)


@jit(device=True)
def _add_one_row(a: Array, p: int, ds: int, k: int, stop: int, b: Array, c: Array, q: int) -> None:
    width = b.shape[1]
    while k + 4 <= stop:
        i = p + k * ds
        r0, r1, r2, r3 = a[i], a[i + ds], a[i + 2 * ds], a[i + 3 * ds]
        for j in range(width):
            c[q, j] = c[q, j] + r0 * b[k, j] + r1 * b[k + 1, j] + r2 * b[k + 2, j] + r3 * b[k + 3, j]
        k += 4
    while k < stop:
        x = a[p + k * ds]
        for j in range(width):
            c[q, j] += x * b[k, j]
        k += 1
