"""How work is shared out: the one place that decides which worker computes which rows.

Every result is bitwise the same for any number of workers, because a row's arithmetic depends only on the block of
four rows it lies in, and blocks are never cut.
"""

from fastlstm_kernels.jit import jit

BLOCK = 4
"""Rows that one device function computes together; a worker's share starts at a multiple of it."""


@jit(device=True)
def span(worker: int, workers: int, rows: int) -> tuple[int, int]:
    """First and last-plus-one row of a worker's share of `rows` rows, in whole blocks.

    Parameters
    ----------
    worker : int
        Which worker, from 0 to `workers` - 1.
    workers : int
        How many workers share the rows; at least 1.
    rows : int
        How many rows there are.

    Returns
    -------
    first, last : int
        The half-open range; empty where there are fewer blocks than workers.
    """
    blocks = (rows + BLOCK - 1) // BLOCK
    return min(rows, BLOCK * (worker * blocks // workers)), min(rows, BLOCK * ((worker + 1) * blocks // workers))
