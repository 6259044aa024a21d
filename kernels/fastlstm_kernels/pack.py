"""Weights in panels, as the tile reads them, and gradients back from panels: the one place that knows the layout.

With L lanes, panel p of the gates' weights holds the units p L … p L + L - 1; each of its rows is four vectors, the
gates f, i, g, o of these units. Its rows are the bias, then one row for each input, then one for each hidden state::

    panels (units / L rounded up, 1 + input + H, 4 L)

If there are fewer than L units left for the last panel, say U, its gates are U elements apart, so that they take fewer
vectors; zeros follow. Gradients of weights have the same layout but for that: there they are always L apart. The way
back multiplies by U and W, not by their transposes. Panel p holds columns 4 L p to 4 L p + 4 L - 1. Row 0 is zero (it
takes the bias's place); then comes one row for each pre-activation, ordered by panel, gate, unit::

    transposed (columns / 4 L rounded up, 1 + units rounded up · 4, 4 L)

(or · 3: the "reference" gradient leaves the output gate's weights out). Incomplete panels are padded with zeros.

`order` tells where each of the gates f, i, g, o stands among the rows of a user's weights.
"""

from typing import Any

from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.gates import GATES
from fastlstm_kernels.jit import jit
from fastlstm_kernels.simd import Backend, Int, Pointer, lanes, operation
from fastlstm_kernels.structs import Gradients
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH


def blocks(size: int, dtype: Any) -> int:
    """Vectors that hold `size` units."""
    return -(-size // lanes(dtype))


def panels_shape(inputs: int, size: int, dtype: Any) -> tuple[int, int, int]:
    """Shape of the panels of `inputs` inputs and `size` units, and of the gradient at them."""
    return blocks(size, dtype), 1 + inputs + size, WIDTH * lanes(dtype)


@jit(device=True, inline=True)
def gate_columns(size: int, width: int) -> int:
    """Columns of all panels up to the last that counts, where panels are so wide."""
    vector = width // WIDTH
    last = (size - 1) // vector
    return last * width + GATES * (size - last * vector)


@jit(device=True)
def spread(z: Array, units: int, out: Array) -> None:
    """Gates (rows, 4 lanes) of an incomplete panel a vector apart, and zeros between them; `out` may be `z`."""
    vector = z.shape[1] // WIDTH
    for row in range(z.shape[0]):
        for g in range(GATES - 1, -1, -1):  # from the last one, as they move to the right
            for j in range(vector - 1, -1, -1):
                out[row, g * vector + j] = z[row, g * units + j] if j < units else 0


def transposed_shape(columns: int, size: int, dtype: Any, gates: int = GATES) -> tuple[int, int, int]:
    """Shape of the transposed panels of a matrix (4 size, columns), of which the first 3 or all 4 gates count."""
    width = WIDTH * lanes(dtype)
    return -(-columns // width), 1 + blocks(size, dtype) * gates * lanes(dtype), width


def transposed(v: Backend, vectors: list[Any]) -> list[Any]:
    """The columns of a square of vectors; parts of 1, 2, 4 … lanes change places across the diagonal."""
    distance = 1
    while distance < v.lanes:
        # Lanes of a pair's two results, out of the lanes of its first vector, then its second.
        lower = [k + v.lanes - distance if k & distance else k for k in range(v.lanes)]
        upper = [k + v.lanes if k & distance else k + distance for k in range(v.lanes)]
        result = list(vectors)
        for k in range(v.lanes):
            if not k & distance:
                pair = vectors[k], vectors[k + distance]
                result[k], result[k + distance] = v.shuffle(*pair, lower), v.shuffle(*pair, upper)
        vectors, distance = result, 2 * distance
    return vectors


def _to_square(v: Backend, units: Any, a: Any, a_row: Any, out: Any, out_row: Any) -> None:
    rows, mask = [v.load(a + a_row * v.least(units - 1, r)) for r in range(v.lanes)], v.first(units)
    for k, column in enumerate(transposed(v, rows)):
        v.store(out + out_row * k, v.select(mask, column, 0.0))


def _add_to_square(v: Backend, a: Any, a_row: Any, out: Any, out_row: Any) -> None:
    for k, column in enumerate(transposed(v, [v.load(a + a_row * r) for r in range(v.lanes)])):
        place = out + out_row * k
        v.store(place, v.load(place) + column)


@operation
def _transpose_square(v: Backend, units: Int, a: Pointer, a_row: Int, out: Pointer, out_row: Int) -> None:
    """out[k, r] = a[r, k] for a vector of columns, and of rows, of which so many exist; zeros for the others."""
    v.shared(_to_square, units, a, a_row, out, out_row)


@operation
def _add_square(v: Backend, a: Pointer, a_row: Int, out: Pointer, out_row: Int) -> None:
    """out[k, r] += a[r, k] for a vector of rows and columns."""
    v.shared(_add_to_square, a, a_row, out, out_row)


@operation
def copy_row(v: Backend, columns: Int, a: Pointer, out: Pointer) -> None:
    """Up to a panel's row of elements, and zeros behind them."""
    for j in range(WIDTH):
        v.store(out + j * v.lanes, v.load_part(a + j * v.lanes, v.first(columns - j * v.lanes)))


@jit(device=True)
def to_panel(
    w: Array, row: int, units: int, begin: int, end: int, panels: Array, p: int, first: int, column: int
) -> None:
    """Columns begin to end - 1 of rows of a weight matrix as a vector's columns of a panel, from its row `first` on."""
    depth, width = w.shape[1], panels.shape[2]
    vector = width // WIDTH
    whole = begin + (end - begin) // vector * vector if units > 0 else begin
    for k in range(begin, whole, vector):
        place = (p * panels.shape[1] + first + k - begin) * width + column
        _transpose_square(units, w, row * depth + k, depth, panels, place, width)
    for k in range(whole, end):
        for j in range(vector):
            panels[p, first + k - begin, column + j] = w[row + j, k] if j < units else 0


@jit(device=True)
def from_panel(
    w: Array, row: int, units: int, begin: int, end: int, panels: Array, p: int, first: int, column: int
) -> None:
    """Add columns of a panel to rows of a weight matrix; the reverse of `to_panel`."""
    depth, width = w.shape[1], panels.shape[2]
    vector = width // WIDTH
    whole = begin + (end - begin) // vector * vector if units == vector else begin
    for k in range(begin, whole, vector):
        place = (p * panels.shape[1] + first + k - begin) * width + column
        _add_square(panels, place, width, w, row * depth + k, depth)
    for k in range(whole, end):
        for j in range(units):
            w[row + j, k] += panels[p, first + k - begin, column + j]


@jit(device=True, inline=True)
def add_biases(b_ih: Array, b_hh: Array, order: Index, size: int, panels: Array, p: int) -> None:
    """Row 0 of a panel: both biases of its units; without elements they are zero."""
    vector = panels.shape[2] // WIDTH
    units = min(vector, size - p * vector)
    for g in range(GATES):
        row, column = order[g] * size + p * vector, g * units
        for j in range(vector):
            panels[p, 0, column + j] = b_ih[row + j] if j < min(units, b_ih.shape[0]) else 0
        if b_hh.shape[0]:
            for j in range(units):
                panels[p, 0, column + j] += b_hh[row + j]


@jit(device=True)
def _pack_worker(
    worker: int, workers: int, w: Array, u: Array, b_ih: Array, b_hh: Array, order: Index, panels: Array
) -> None:
    size, vector = u.shape[1], panels.shape[2] // WIDTH
    first, last = span(worker, workers, panels.shape[0])
    for p in range(first, last):
        units = min(vector, size - p * vector)
        if units < vector:
            for k in range(panels.shape[1]):
                copy_row(0, w, 0, panels, (p * panels.shape[1] + k) * panels.shape[2])
        add_biases(b_ih, b_hh, order, size, panels, p)
        for g in range(GATES):  # in rising order, as a gate's zeros are where the next one comes
            row, column = order[g] * size + p * vector, g * units
            to_panel(w, row, units, 0, w.shape[1], panels, p, 1, column)
            to_panel(u, row, units, 0, u.shape[1], panels, p, 1 + w.shape[1], column)


@jit()
def pack(w: Array, u: Array, b: Array, order: Index, panels: Array, workers: int) -> None:
    """Weights into panels.

    Parameters
    ----------
    w, u, b : (4 H, input), (4 H, H) and (4 H,) arrays
        Weights.
    order : (4,) intp array
        Where f, i, g, o stand in them.
    panels : array of `panels_shape`
        Written.
    workers : int
        Shares of the work.

    Notes
    -----
    Reads and writes the weights once; squares of a vector's size are transposed in registers.
    """
    pack_biased(w, u, b, b[:0], order, panels, workers)


@jit(device=True, inline=True)
def pack_biased(w: Array, u: Array, b_ih: Array, b_hh: Array, order: Index, panels: Array, workers: int) -> None:
    """`pack`, with biases that are added to each other; without elements they are zero."""
    share(_pack_worker, (w, u, b_ih, b_hh, order, panels), workers)


@jit(device=True)
def _unpack_worker(worker: int, workers: int, panels: Array, order: Index, gradients: Gradients) -> None:
    d_w, d_u, d_b_ih, d_b_hh = gradients
    size, vector = d_u.shape[1], panels.shape[2] // WIDTH
    first, last = span(worker, workers, panels.shape[0])
    for p in range(first, last):
        units = min(vector, size - p * vector)
        for g in range(GATES):
            row, column = order[g] * size + p * vector, g * vector
            for d_b in (d_b_ih, d_b_hh):
                for j in range(min(units, d_b.shape[0])):
                    d_b[row + j] += panels[p, 0, column + j]
            from_panel(d_w, row, units, 0, d_w.shape[1], panels, p, 1, column)
            from_panel(d_u, row, units, 0, d_u.shape[1], panels, p, 1 + d_w.shape[1], column)


@jit(device=True, inline=True)
def add_from_panels(panels: Array, order: Index, gradients: Gradients, workers: int) -> None:
    """Add gradients from panels to those of the weights, which `pack_biased` takes."""
    share(_unpack_worker, (panels, order, gradients), workers)


@jit(device=True)
def _transpose_worker(worker: int, workers: int, w: Array, order: Index, panels: Array) -> None:
    size, columns, width = w.shape[0] // GATES, w.shape[1], panels.shape[2]
    vector = width // WIDTH
    count = (size + vector - 1) // vector
    gates = (panels.shape[1] - 1) // (count * vector)
    first, last = span(worker, workers, panels.shape[0])
    for p in range(first, last):
        line = p * panels.shape[1] * width
        copy_row(0, w, 0, panels, line)
        for block in range(count):
            for g in range(gates):
                for lane in range(vector):
                    line += width
                    unit = block * vector + lane
                    row = order[g] * size + min(unit, size - 1)
                    copy_row(columns - p * width if unit < size else 0, w, row * columns + p * width, panels, line)


@jit(device=True, inline=True)
def transpose(w: Array, order: Index, panels: Array, workers: int) -> None:
    """A weight matrix (4 H, columns), U or W, into panels of `transposed_shape`, for the way back."""
    share(_transpose_worker, (w, order, panels), workers)
