"""The register tile: the one matrix product under every kernel. No BLAS.

BLAS threads and `prange` threads on the same cores cost more than they gain (0.3 ms of work took 7 ms), and Numba's
`numpy.dot` would need SciPy at run time. The tile keeps `rows` times some vectors of the result in registers while it
walks along the common dimension (Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication").

Right-hand matrices come in panels of `WIDTH` = 4 vectors (of LSTM gates: the four gates of the same units), so that
one step along the common dimension reads one short run of memory; see `pack`.
"""

from typing import Any, NamedTuple

from fastlstm_kernels.arrays import ONE, ZERO, Array
from fastlstm_kernels.jit import jit
from fastlstm_kernels.simd import LINE, REGISTERS, VECTOR_BYTES, Backend, Int, Place, Pointer, operation

WIDTH = 4
"""Vectors of a panel."""

ROWS = 6
"""Most rows of a tile."""

NARROW = 4
"""Rows from which single vectors of a panel are worth computing alone; fewer sums would wait for each other.

Fewer rows take half a panel or a whole one.
"""

PANEL_BYTES = 65536
"""A panel is cut along the common dimension into pieces of this size, so that it stays in the second-level cache.

Half of it: a layer of 512 units takes 2 to 8 % longer (Zen 3); 24 or 32 KiB gain 1 % at most (Zen 4).
"""

CHUNK = 96
"""Rows that go through one piece of a panel before the next piece; a multiple of ROWS.

Twice as many: a layer of 512 units takes from 1 % less to 3 % longer (Zen 3).
"""


def vectors_of(rows: int) -> int:
    """Vectors of a panel that a tile of so many rows can hold: accumulators, one row of the panel and a broadcast.

    With 16 registers, float32 on an AVX2 core: 6 rows of 2 vectors 94 GFLOP/s, 3 rows of 4 (which spill) 46.
    """
    return WIDTH if rows * WIDTH + WIDTH + 1 <= REGISTERS else WIDTH // 2


class Left(NamedTuple):
    """Left-hand matrix. Its element (r, o · inner + i) is at `place` + r row + o outer_row + i k."""

    place: Pointer
    row: Int
    k: Int
    outer: Int
    outer_row: Int
    inner: Int


class Rows(NamedTuple):
    """Rows of a panel's width: row r is at `place` + r row."""

    place: Pointer
    row: Int


def product(v: Backend, rows: Any, needed: Any, start: Rows, a: Left, b: Any, ahead: Any, c: Rows) -> None:
    """Up to ROWS rows of one panel's product: what is at `start`, plus the sum, to `c`; see `multiply`.

    Vectors of the panel behind the first `needed` may be left out: a matrix of 129 columns has 127 of no use.

    What lies `ahead` of the panel, if that is above 0 and all rows are there, is asked for into the second-level cache:
    layers of 512 and 1024 units take 3 to 7 % less (Zen 3), of 64 and 256 as long. For one or two rows that gained
    nothing (256 units) or cost 25 % (512).
    """
    width = WIDTH * v.lanes

    def of_rows(count: int, vectors: int, parts: Any, fetches: bool = False) -> Any:
        places = [(r, j * v.lanes) for r in range(count) for j in range(vectors)]

        def part(first: Any) -> Any:
            here = first * (vectors * v.lanes)
            # Else each line's place is computed from the one before, in every step: 5 to 10 % of a layer's time, Zen 3.
            lines = [v.opaque(a.place + a.row * r) for r in range(count)]

            def along(o: Any, *sums: Any) -> Any:
                a_at, b_at = o * a.outer_row, b + (o * a.inner * width + here)

                def step(k: Any, *sums: Any) -> Any:
                    weights = [v.load(b_at + (k * width + j * v.lanes)) for j in range(vectors)]
                    if fetches:
                        for j in range(0, vectors * v.lanes, LINE // v.dtype.itemsize):
                            v.fetch(b_at + (k * width + j) + ahead, level=2)
                    place, new = a_at + k * a.k, list(sums)
                    for r in range(count):
                        x = v.broadcast(lines[r] + place)
                        for j in range(vectors):
                            new[r * vectors + j] = v.fma(x, weights[j], sums[r * vectors + j])
                    return new

                if count < NARROW or vectors == 1:
                    return v.repeat(a.inner, sums, step)
                # By twos: layers of 64 to 512 units take 4 to 11 % less on two cores, on one 2 to 13 (Zen 3, shared
                # with others; alone from 3 % more, at 64 units, to 10 % less). By fours: 3 to 6 % less on one.
                pairs = v.quotient(a.inner, 2)
                sums = v.repeat(pairs, sums, lambda k, *sums: step(k * 2 + 1, *step(k * 2, *sums)))
                return v.repeat(a.inner - pairs * 2, sums, lambda k, *sums: step(k + pairs * 2, *sums))

            sums = [v.load(start.place + (start.row * r + here + j)) for r, j in places]
            sums = v.repeat(a.outer, sums, along)
            for (r, j), value in zip(places, sums, strict=True):
                v.store(c.place + (c.row * r + here + j), value)
            return []

        return lambda: v.repeat(parts, [], part) and None

    whole = {count: of_rows(count, vectors_of(count), WIDTH // vectors_of(count)) for count in range(1, ROWS + 1)}
    narrow = {ROWS + count: of_rows(count, 1, needed) for count in range(NARROW, ROWS + 1)}
    half = {ROWS + count: of_rows(count, WIDTH // 2, 1) for count in range(1, NARROW)}
    fetching = {2 * ROWS + 1: of_rows(ROWS, vectors_of(ROWS), WIDTH // vectors_of(ROWS), fetches=True)}
    enough = WIDTH - v.truth(rows < NARROW) * (WIDTH // 2 - 1)
    is_narrow, fetches = v.truth(needed < enough), v.truth(ahead > 0) * v.truth(rows >= ROWS)
    v.choose(rows + is_narrow * ROWS + (1 - is_narrow) * fetches * (ROWS + 1), half | narrow | fetching | whole)


def each_tile(v: Backend, rows: Any, body: Any) -> None:
    """Run ``body(row, count)`` for tiles of nearly equal numbers of rows: 4 + 3 rather than 6 + 1."""
    tiles = v.quotient(rows + (ROWS - 1), ROWS)

    def turn(k: Any, row: Any) -> list[Any]:
        left = tiles - k
        count = v.quotient(rows - row + (left - 1), left)
        body(row, count)
        return [row + count]

    v.repeat(tiles, [rows * 0], turn)


@operation
def _piece(v: Backend, rows: Int, needed: Int, a: Left, b: Pointer, ahead: Int, fresh: Int, c: Rows) -> None:
    """Rows of a product with one piece of a panel; see `multiply` and `product` for the arguments."""
    before = Rows(b + -WIDTH * v.lanes, c.row * 0)
    start = Rows(*v.choose(fresh, {0: lambda: [c.place, c.row * 1], 1: lambda: list(before)}))

    def of_tile(row: Any, count: Any) -> None:
        def below(of: Any) -> Any:
            return of._replace(place=of.place + row * of.row)

        v.shared(product, count, needed, below(start), below(a), b, ahead * v.truth(row < 1), below(c))

    each_tile(v, rows, of_tile)


class Panels(NamedTuple):
    """Panels first to last - 1 of a right-hand matrix. Row k of panel p is at `place` + p panel + k · WIDTH lanes."""

    place: Place
    panel: int
    first: int
    last: int


class Result(NamedTuple):
    """Where a product goes. Row r of panel p is at `place` + p panel + r row."""

    place: Place
    row: int
    panel: int


@jit(device=True, inline=True)
def flat(a: Array) -> Array:
    """A contiguous array as one of one dimension: `multiply` is compiled once, whatever the arrays' dimensions."""
    return a.reshape(a.size)


@jit(device=True, inline=True)
def matrix_rows(a: Array, row: int) -> Left:
    """The rows of a matrix from `row` on."""
    columns = a.shape[1]
    return Left(Place(flat(a), row * columns), columns, ONE, ONE, ZERO, columns)


@jit(device=True, inline=True)
def gate_rows(dz: Array, row: int, gates: int) -> Left:
    """The rows of gates (panel, row, element) from `row` on, of which so many elements of each panel count."""
    width = dz.shape[2]
    return Left(Place(flat(dz), row * width), width, ONE, dz.shape[0], dz.shape[1] * width, gates)


@jit(device=True, inline=True)
def panel_range(panels: Array, row: int, first: int, last: int) -> Panels:
    """Panels first to last - 1 (panel, row, element), from `row` on."""
    width = panels.shape[2]
    return Panels(Place(flat(panels), row * width), panels.shape[1] * width, first, last)


@jit(device=True, inline=True)
def panel_rows(z: Array, row: int) -> Result:
    """A result (panel, row, element), from `row` on."""
    width = z.shape[2]
    return Result(Place(flat(z), row * width), width, z.shape[1] * width)


@jit(device=True)
def multiply(a: Left, rows: int, b: Panels, columns: int, overwrite: int, c: Result) -> None:
    """Product of some rows with some panels, added to the result or replacing it.

    All places and strides are in elements; arrays are flat.

    Parameters
    ----------
    a : Left
        Left-hand matrix, `rows` by outer · inner.
    rows : int
        How many rows.
    b : Panels
        Which panels to take.
    columns : int
        How many columns of all panels count. Vectors behind them may be left as they are.
    overwrite : int
        ONE to start each row from the row of the panel before its row 0 (a bias, or zeros); ZERO to add to `c`.
    c : Result
        Where it goes.

    Notes
    -----
    2 rows · outer · inner · (last - first) · WIDTH · lanes flops. Each element is one sum along k in rising order,
    whatever the rows and panels computed with it.
    """
    vector = VECTOR_BYTES // b.place.array.itemsize
    width = WIDTH * vector
    depth = max(1, PANEL_BYTES // (width * b.place.array.itemsize))
    stride = max(1, depth // a.inner)
    for chunk in range(0, rows, CHUNK):
        count = min(CHUNK, rows - chunk)
        for o in range(0, a.outer, stride):
            for k in range(0, a.inner, depth):
                begins = overwrite == 1 and o == 0 and k == 0
                part = Left(
                    Place(a.place.array, a.place.at + chunk * a.row + o * a.outer_row + k * a.k), a.row, a.k,
                    min(stride, a.outer - o), a.outer_row, min(depth, a.inner - k),
                )
                for p in range(b.first, b.last):
                    needed, ahead = (columns - p * width + vector - 1) // vector, b.panel if p + 1 < b.last else ZERO
                    _piece(
                        count, needed, part, b.place.array, b.place.at + p * b.panel + (o * a.inner + k) * width, ahead,
                        begins, Rows(Place(c.place.array, c.place.at + p * c.panel + chunk * c.row), c.row),
                    )
