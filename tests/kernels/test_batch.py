"""How the rows of a batch lie."""

import numpy
import pytest

from fastlstm.engine.batch import running_rows
from fastlstm_kernels.batch import chunk_begin, previous_row

LENGTHS = numpy.array([4, 2, 2, 0])


def test_the_row_before_a_step_is_that_of_the_step_before():
    """State arrays: 4 initial rows, then 3, 3, 1 and 1 of the steps."""
    offsets = running_rows(LENGTHS, 4)
    assert offsets.tolist() == [0, 3, 6, 7, 8]
    found = [getattr(previous_row, "py_func", previous_row)(offsets, 4, t) for t in range(4)]
    assert found == [0, 4, 7, 10]


@pytest.mark.parametrize(
    ("end", "rows", "begin"), [(4, 100, 0), (4, 8, 0), (4, 7, 1), (4, 2, 2), (4, 1, 3), (1, 1, 0), (2, 5, 1)]
)
def test_a_chunk_has_as_many_steps_as_fit_and_at_least_one(end, rows, begin):
    assert chunk_begin(running_rows(LENGTHS, 4), end, rows) == begin
