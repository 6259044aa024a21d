"""Rows are moved as NumPy would move them, by any number of threads."""

import threading

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm.engine.batch import Batch, RaggedBatch, lazy
from tests.tools.stacks import LENGTHS, ROOM

rng = numpy.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("columns", "first", "column"), [(1, 0, 0), (3, 0, 0), (17, 20, 1), (37, 0, 3), (0, 1, 1)])
def test_rows_are_gathered_as_by_numpy_and_zero_for_a_negative_place(dtype, workers, columns, first, column):
    source, out = rng.standard_normal((9, 37)).astype(dtype), rng.standard_normal((11, 40)).astype(dtype)
    places, wanted = rng.integers(-1, 9, 11), out.copy()
    places[4] = -1
    wanted[:, column : column + columns] = numpy.where(places[:, None] < 0, 0, source[places, first : first + columns])
    kernels.gather_rows(source, first, places, out, column, columns, workers)
    numpy.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("rows", [
    Batch(7, 3, False), Batch(0, 3, False), Batch(4, 0, False),
    RaggedBatch(ROOM, len(LENGTHS), False, numpy.array(LENGTHS)), RaggedBatch(3, 2, False, numpy.array([0, 0])),
], ids=["equal", "no steps", "no rows", "ragged", "no step of any"])
def test_both_directions_lie_beside_each_other_and_come_apart_again(rows):
    forwards, backwards = rng.standard_normal((2, rows.offsets[-1], 5))
    both = rows.joined(forwards, rows.reversed(backwards))
    numpy.testing.assert_array_equal(both, numpy.concatenate([forwards, backwards], axis=1))
    one, other = rows.split(both)
    numpy.testing.assert_array_equal(one, forwards)
    numpy.testing.assert_array_equal(other, rows.reversed(backwards))


def test_nobody_waits_for_what_another_thread_computes():
    begun, go_on, times = threading.Event(), threading.Event(), []

    class Slow:
        def __init__(self, waits):
            self.waits = waits

        @lazy
        def places(self):
            times.append(self.waits)
            if self.waits:
                begun.set()
                go_on.wait(60)
            return numpy.zeros(1)

    slow, quick = Slow(True), Slow(False)
    thread = threading.Thread(target=lambda: slow.places, daemon=True)
    thread.start()
    begun.wait(60)
    assert quick.places is quick.places
    assert thread.is_alive()
    go_on.set()
    thread.join(60)
    assert slow.places is slow.places
    assert times == [True, False]
