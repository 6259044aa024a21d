"""Trainers of bidirectional layers: what comes from the future is not taken for the past."""

from typing import Any

import numpy
import pytest

from fastlstm import nn, train
from tests.tools.streams import chunks

DEPTHS = [
    lambda: nn.LSTM(3, 4, bidirectional=True, seed=0, dtype=numpy.float64),
    lambda: nn.Sequential(
        nn.LSTM(3, 4, num_layers=2, bidirectional=True, seed=0, dtype="f8"), nn.Dense(8, 2, seed=1, dtype="f8"),
    ),
    lambda: nn.Sequential(
        nn.Sequential(nn.LSTM(3, 4, bidirectional=True, seed=0, dtype="f8")), nn.LSTM(8, 2, seed=1, dtype="f8"),
    ),
]


def without_future(state: Any) -> Any:
    """The state with zeros for reverse directions, written out for the three models above."""
    if isinstance(state[0], numpy.ndarray):
        h, c = (part.copy() for part in state)
        if h.shape[0] > 1:
            h[1::2] = c[1::2] = 0
        return h, c
    return tuple(None if part is None else without_future(part) for part in state)


@pytest.mark.parametrize("make", DEPTHS)
def test_reverse_directions_begin_anew_in_each_piece(make: Any) -> None:
    model = make()
    width = model.output_size
    data = [(x, numpy.repeat(y[..., :1], width, axis=-1)) for x, y in chunks([4, 3])]
    trainer = train.Trainer(make(), train.SquaredError(), train.SGD(0.0), k1=2)
    loss, state, losses = train.SquaredError(), None, []
    for x, y in data:
        for begin in range(0, len(x), 2):
            output, state = model(x[begin : begin + 2], state)
            state = without_future(state)
            losses.append(loss(output, y[begin : begin + 2])[0])
    trainer.fit(data)
    numpy.testing.assert_array_equal(trainer.history["loss"], losses)
    state, total = None, 0.0
    for x, y in data:
        output, state = model(x, state)
        state = without_future(state)
        total += loss(output, y)[0] * len(x)
    assert trainer.evaluate(data) == pytest.approx(total / 7, rel=1e-14)


def test_the_end_of_the_past_does_not_reach_the_end_of_the_future() -> None:
    """The last output of a chunk does not depend on the chunks before through the reverse direction."""
    layer = nn.LSTM(1, 1, bidirectional=True, seed=0, dtype=numpy.float64)
    layer.parameters["weight_hh_l0"][...] = 0
    for name, bias in layer.parameters.items():  # forwards, the past is forgotten at once
        if name.startswith("bias") and not name.endswith("reverse"):
            bias[1:2] = -1000
    x = numpy.ones((3, 1, 1))
    trainer = train.Trainer(layer, train.SquaredError(), train.SGD(0.0))
    trainer.fit([(-5 * x, numpy.zeros((3, 1, 2))), (x, numpy.zeros((3, 1, 2)))])
    alone = train.Trainer(layer, train.SquaredError(), train.SGD(0.0))
    alone.fit([(x, numpy.zeros((3, 1, 2)))])
    assert trainer.last_loss == alone.last_loss


@pytest.mark.parametrize("make", DEPTHS)
def test_windows_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"k2 must be None or k1 with a bidirectional layer.* got k2 = 5 with k1 = 2"):
        train.Trainer(make(), train.SquaredError(), train.SGD(0.1), k1=2, k2=5)
    train.Trainer(make(), train.SquaredError(), train.SGD(0.1), k1=2, k2=2)
