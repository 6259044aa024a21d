"""Two layers at the same time: the same bits as one after the other, however the steps are cut into turns."""

import numpy
import pytest

from fastlstm import nn
from fastlstm.engine import overlap
from fastlstm.engine.batch import Batch, RaggedBatch
from fastlstm.engine.plans import Plans
from tests.tools.helpers import JIT_OFF
from tests.tools.stacks import LENGTHS, ROOM, ragged, run, same

FLOAT = numpy.dtype(numpy.float32)


def chained(monkeypatch, wanted):
    """Every layer that can be runs together with the one above it, or none."""
    asked = []

    def pays(*arguments):
        asked.append(arguments)
        return wanted

    monkeypatch.setattr("fastlstm.engine.overlap.following_pays", pays)
    return asked


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "ragged"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("layers", [2, 3, 5])
@pytest.mark.parametrize("chunks", ["one", "many"])
def test_a_chain_gives_the_bits_of_layers_one_by_one(monkeypatch, lengths, dropout, layers, chunks):
    monkeypatch.setattr("fastlstm.engine.overlap.TURN", 5)
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    if chunks == "many":
        monkeypatch.setattr("fastlstm.engine.workspace.DEPTH", 11)
        monkeypatch.setattr("fastlstm.engine.workspace.BYTES_AT_ONCE", 1)
    layer, x, state, _, dy, d_state = ragged(
        {"layers": layers}, "float32", dropout=dropout, recurrent_dropout=dropout / 2
    )
    kept, found = layer.generator.bit_generator.state, []
    for wanted, threads in ((False, 1), (True, 1), (True, 2), (True, 3)):
        asked, layer.n_threads, layer._plans = chained(monkeypatch, wanted), threads, Plans()
        layer.generator.bit_generator.state = kept
        found.append(run(layer, x, state, lengths, dy, d_state) | {"called": layer(x, state, lengths)[0]})
        assert asked
    for other in found[1:]:
        same(other, found[0])


@pytest.mark.parametrize("shape", [
    {"layers": 2, "bidirectional": True}, {"layers": 2, "projection": 2}, {"layers": 1}
], ids=str)
def test_others_are_no_chain(monkeypatch, shape):
    asked = chained(monkeypatch, True)
    run(*ragged(shape))
    assert not asked


def test_a_truncated_way_back_goes_layer_by_layer(monkeypatch):
    layer, *given = ragged({"layers": 2})
    one_by_one = run(layer, *given, truncate=3)
    chained(monkeypatch, True)
    layer._plans = Plans()
    same(run(layer, *given, truncate=3), one_by_one)


@pytest.mark.parametrize(("steps", "batch", "inputs", "size", "threads", "pays"), [
    (200, 1, 16, 32, 2, True),
    (200, 1, 16, 32, 1, False),
    (200, 1, 129, 32, 2, False),
    (100, 1, 16, 32, 2, False),
    (5, 40, 16, 8, 2, True),
    (3, 40, 16, 8, 2, False),
    (200, 8, 64, 64, 2, True),
    (200, 8, 64, 65, 2, False),
    (200, 1, 16, 32, 4, True),
    (200, 4, 16, 32, 4, False),
    (200, 1, 256, 256, 4, False),
])
def test_where_it_pays(steps, batch, inputs, size, threads, pays):
    assert overlap.following_pays(Batch(steps, batch, False), inputs, size, FLOAT, threads) == pays


@pytest.mark.parametrize("rows", [
    Batch(7, 3, False), Batch(1, 1, False), Batch(0, 3, False), Batch(4, 0, False),
    RaggedBatch(ROOM, len(LENGTHS), False, numpy.array(LENGTHS)), RaggedBatch(3, 2, False, numpy.array([0, 0])),
], ids=["equal", "one", "no steps", "no rows", "ragged", "no step of any"])
@pytest.mark.parametrize("depth", [1, 8, 100])
def test_turns_are_all_steps_once_each_within_its_chunk(monkeypatch, rows, depth):
    monkeypatch.setattr("fastlstm.engine.workspace.DEPTH", depth)
    monkeypatch.setattr("fastlstm.engine.workspace.BYTES_AT_ONCE", 1)
    monkeypatch.setattr("fastlstm.engine.overlap.TURN", 6)
    turns = overlap.following(rows, 5, FLOAT)
    assert turns.shape == (len(turns), 4)
    assert [step for start, stop, *_ in turns for step in range(start, stop)] == list(range(rows.duration))
    for start, stop, begin, end in turns:
        assert begin <= start < stop <= end
        assert (stop - start) * rows.batch < 6 + rows.batch
        assert stop == end or (stop, begin, end) in {(turn[0], *turn[2:]) for turn in turns.tolist()}


def test_a_deep_narrow_stack_learns_the_same_on_any_number_of_threads():
    steps, hidden = (20, 3) if JIT_OFF else (300, 24)
    x = numpy.random.default_rng(0).standard_normal((steps, 1, 2)).astype("f4")
    found = []
    for threads in (1, 2, 5):
        layer = nn.LSTM(2, hidden, 4, seed=0, n_threads=threads)
        y, state, tape = layer.forward(x)
        found.append([y, *state, layer.backward(tape, y, state)[0], layer.gradients.flat, layer(x)[0]])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            numpy.testing.assert_array_equal(one, other)
