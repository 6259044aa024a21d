"""Plans: made once for a shape, a few for each Python thread, and never another's numbers."""

import copy
import pickle
import threading
from typing import Any

import numpy
import pytest

from fastlstm import LSTM, nn
from fastlstm.engine.plans import MOST, Plans
from tests.tools.helpers import JIT_OFF
from tests.tools.stacks import LENGTHS


def test_a_plan_is_made_once_and_the_oldest_goes() -> None:
    plans: Plans[Any] = Plans()
    made: list[int] = []

    def get(key: int) -> Any:
        return plans.get(key, lambda: made.append(key) or [key])  # type: ignore[func-returns-value]

    first = get(0)
    assert get(0) is first
    for key in range(MOST):
        get(key)
    assert made == list(range(MOST))
    assert get(0) is first, "it was used last, and stays"
    get(MOST)  # 1 goes
    get(0)
    get(1)
    assert made == [*range(MOST + 1), 1]


def test_each_thread_has_its_own() -> None:
    plans: Plans[list[int]] = Plans()
    mine, found = plans.get("a", lambda: [1]), []
    thread = threading.Thread(target=lambda: found.append(plans.get("a", lambda: [2])))
    thread.start()
    thread.join()
    assert (mine, found) == ([1], [[2]])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda plans: pickle.loads(pickle.dumps(plans))])
def test_copies_begin_without(duplicate: Any) -> None:
    plans: Plans[int] = Plans()
    plans.get("a", lambda: 1)
    assert duplicate(plans).get("a", lambda: 2) == 2
    assert plans.get("a", lambda: 3) == 1


def test_shapes_that_take_turns_do_not_see_each_other(rng: numpy.random.Generator) -> None:
    layer, alone = nn.LSTM(3, 17, 2, seed=0), []
    inputs = [rng.standard_normal((n, batch, 3)).astype("f4") for n, batch in ((1, 1), (9, 4), (40, 1), (3, 9))]
    for x in inputs:
        one = nn.LSTM(3, 17, 2, seed=0)
        y, state, tape = one.forward(x)
        alone.append([y, *state, one.backward(tape, y, state)[0], one(x)[0]])
    for _ in range(3):
        tapes = [layer.forward(x) for x in inputs]
        for x, (y, state, tape), wanted in zip(inputs, tapes, alone, strict=True):
            for found, value in zip([y, *state, layer.backward(tape, y, state)[0], layer(x)[0]], wanted, strict=True):
                numpy.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("kind", [{}, {"bidirectional": True}, {"proj_size": 3}, {"num_layers": 3}], ids=str)
def test_a_plan_is_another_where_lengths_are(rng: numpy.random.Generator, kind: dict[str, Any]) -> None:
    layer = nn.LSTM(3, 5, **kind, seed=0)
    x = rng.standard_normal((max(LENGTHS), len(LENGTHS), 3)).astype("f4")
    for lengths in (LENGTHS, LENGTHS[::-1], None, LENGTHS):
        wanted = nn.LSTM(3, 5, **kind, seed=0)(x, None, lengths)[0]
        numpy.testing.assert_array_equal(layer(x, None, lengths)[0], wanted)


def test_weights_are_read_anew_in_every_call() -> None:
    layer, x = nn.LSTM(2, 3, seed=0), numpy.ones((1, 1, 2), "f4")
    before = layer(x)[0]
    layer.parameters.flat[:] *= 2
    assert not numpy.array_equal(layer(x)[0], before)
    network = nn.Sequential(layer, nn.Dense(3, 1, seed=0))  # which moves them into its own buffer
    network.parameters.flat[:] /= 2
    numpy.testing.assert_array_equal(layer(x)[0], before)
    model = LSTM(2, 2, 3, seed=0)
    first = model.feed_forward(x[0])
    model.reset()
    model.W_c *= 2
    assert not numpy.array_equal(model.feed_forward(x[0]), first)


def test_a_tape_goes_back_in_another_thread(rng: numpy.random.Generator) -> None:
    """While its own thread runs on with the same shape."""
    steps, times = (3, 4) if JIT_OFF else (30, 50)
    layer, x = nn.LSTM(3, 20, seed=0, n_threads=1), rng.standard_normal((steps, 2, 3)).astype("f4")
    y, _, tape = layer.forward(x)
    wanted, found = layer.backward(tape, y)[0], []
    thread = threading.Thread(target=lambda: found.extend(layer.backward(tape, y)[0] for _ in range(times)))
    thread.start()
    while thread.is_alive():
        layer(x)
    thread.join()
    assert all(numpy.array_equal(each, wanted) for each in found)
    assert len(found) == times
