"""Rows of one array as rows of another: how the sequences of a batch come into the order of the kernels, and back."""


from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.jit import jit
from fastlstm_kernels.rows import copy_rows
from fastlstm_kernels.threads import share, span


@jit(device=True)
def _gather_worker(
    worker: int, workers: int, source: Array, first: int, places: Index, out: Array, column: int, columns: int
) -> None:
    begin, end = span(worker, workers, places.shape[0])
    for n in range(begin, end):
        if places[n] < 0:
            out[n, column : column + columns] = 0
        else:
            copy_rows(
                1, columns, source, places[n] * source.shape[1] + first, 0, out, n * out.shape[1] + column, 0
            )


@jit()
def gather_rows(
    source: Array, first: int, places: Index, out: Array, column: int, columns: int, workers: int
) -> None:
    """``out[:, column : column + columns] = source[places, first : first + columns]``; mirrors `numpy.take`.

    Parameters
    ----------
    source : (N, …) array
    first, column, columns : int
        Where the columns begin in both arrays, and how many there are.
    places : (M,) intp array
        Which row of `source` goes into each row of `out`; a row of zeros for a negative one.
    out : (M, …) array
        Written.
    workers : int
        Shares of the work.

    Notes
    -----
    Reads and writes M · columns numbers: 8500 rows of 128 in float32 take 0.23 ms on two cores, `numpy.take` 0.48.
    """
    share(_gather_worker, (source, first, places, out, column, columns), workers)
