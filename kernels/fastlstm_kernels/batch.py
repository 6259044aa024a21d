"""How the rows of a batch lie.

Rows are the (time step, sequence) pairs of a batch, one time step after the other, the sequences of a step in order
of falling length: step t owns rows ``offsets[t]`` to ``offsets[t + 1] - 1`` and the sequences that have ended are
simply not there. State arrays carry `batch` rows of initial state in front, so row n of a step finds the state
before it by its place in the step before; see `previous_row`.
"""

from fastlstm_kernels.arrays import Index
from fastlstm_kernels.jit import jit


@jit(device=True, inline=True)
def previous_row(offsets: Index, batch: int, t: int) -> int:
    """Row of the state arrays that holds the first sequence's state before step t."""
    return 0 if t == 0 else batch + offsets[t - 1]


@jit(device=True, inline=True)
def is_ragged(offsets: Index, batch: int) -> bool:
    """Whether some of the sequences end before the last step."""
    return bool(offsets[-1] < (offsets.shape[0] - 1) * batch)


@jit()
def chunk_begin(offsets: Index, end: int, rows: int) -> int:
    """First step of the chunk that ends before step `end`, of so many rows at most, or one step."""
    begin = end - 1
    while begin > 0 and offsets[end] - offsets[begin - 1] <= rows:
        begin -= 1
    return begin
