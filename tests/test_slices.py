"""Layers run over slices of the steps where nothing is kept: the bits of a run over all steps at once."""

import numpy
import pytest

from fastlstm.rows import RaggedRows, Rows
from tests.stacks import LENGTHS, ROOM, SHAPES, ragged

ROWS = [
    Rows(7, 3, False), Rows(1, 1, False), Rows(0, 3, False), Rows(4, 0, False),
    RaggedRows(ROOM, len(LENGTHS), False, numpy.array(LENGTHS)), RaggedRows(3, 2, False, numpy.array([0, 0])),
]


@pytest.mark.parametrize("rows", ROWS, ids=["equal", "one", "no steps", "no rows", "ragged", "no step of any"])
@pytest.mark.parametrize("most", [1, 4, 7, 100])
def test_parts_are_all_steps_once_each(rows, most):
    parts = rows.parts(most)
    assert sum(part.duration for part in parts) == rows.duration
    counts = [numpy.diff(part.offsets) for part in parts]
    numpy.testing.assert_array_equal(numpy.concatenate(counts), numpy.diff(rows.offsets))
    assert (parts == [rows]) == (rows.offsets[-1] <= most)
    for part in parts:
        assert part.offsets[-1] <= most or part.duration == 1
        assert part.batch == rows.batch


@pytest.mark.parametrize("shape", [*SHAPES, {"layers": 2, "bidirectional": True}], ids=str)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "ragged"])
@pytest.mark.parametrize("rows", [1, 10])
@pytest.mark.parametrize("threads", [1, 3])
def test_slices_give_the_bits_of_a_whole_run(monkeypatch, shape, lengths, rows, threads):
    monkeypatch.setattr("fastlstm.cores.SHARE", 1)
    layer, x, state, *_ = ragged(shape, "float32")
    layer.n_threads = threads
    for given in (None, state):
        given_x = x.copy()
        monkeypatch.setattr("fastlstm.slices.ROWS", 1000)
        whole = layer(x, given, lengths)
        monkeypatch.setattr("fastlstm.slices.BYTES", 0)
        monkeypatch.setattr("fastlstm.slices.ROWS", rows)
        output, final = layer(x, given, lengths)
        kept_output, kept_final, _ = layer.forward(x, given, lengths)
        numpy.testing.assert_array_equal(x, given_x)
        for other_output, other_final in (whole, (kept_output, kept_final)):
            numpy.testing.assert_array_equal(output, other_output, strict=True)
            for one, other in zip(final, other_final, strict=True):
                numpy.testing.assert_array_equal(one, other, strict=True)
