"""Masked arrays (`numpy.ma`) do not lose their masks in silence, wherever arrays come in."""

from typing import Any

import numpy
import pytest

import fastlstm
from fastlstm import compat, nn, train
from fastlstm.parameters import Buffer

X = numpy.ma.masked_equal(numpy.arange(6.0).reshape(3, 1, 2), 3.0)
ROW = X[:, 0]
LABELS = numpy.ma.masked_equal(numpy.array([[0], [1], [0]]), 1)
BOOL = numpy.ma.masked_array(numpy.ones((3, 1), bool), [[True], [False], [False]])
ONES = numpy.ones((3, 1, 2))


def tape_of(layer: Any) -> Any:
    return layer.forward(ONES)[2]


LSTM, DENSE = nn.LSTM(2, 2, seed=0, dtype="f8"), nn.Dense(2, 2, seed=0, dtype="f8")
MODEL = fastlstm.LSTM(2, 2, 2, seed=0)
STATE = numpy.ma.masked_less(numpy.zeros((1, 1, 2)), 1)
TRAINER = train.Trainer(DENSE, train.SquaredError(), train.SGD(0.0))

CALLS = {
    "lstm": lambda: LSTM(X),
    "list of masked": lambda: LSTM(list(X)),
    "masked constant": lambda: LSTM([[[1.0, numpy.ma.masked]]]),
    "forward": lambda: LSTM.forward(X),
    "state": lambda: LSTM(ONES, (STATE, STATE)),
    "lengths": lambda: LSTM(ONES, lengths=numpy.ma.masked_equal([3], 3)),
    "dy": lambda: LSTM.backward(tape_of(LSTM), X),
    "dstate": lambda: LSTM.backward(tape_of(LSTM), ONES, (STATE, STATE)),
    "dense": lambda: DENSE(X),
    "dense dy": lambda: DENSE.backward(tape_of(DENSE), X),
    "sequential": lambda: nn.Sequential(nn.Dense(2, 2, dtype="f8"))(X),
    "state dict": lambda: DENSE.load_state_dict({"weight": ROW[:2], "bias": [0, 0]}),
    "stepper": lambda: LSTM.stepper()(ROW[1:2]),
    "flat": lambda: setattr(Buffer({"a": (3, 2)}, numpy.dtype(float)), "flat", ROW.ravel()),
    "model": lambda: MODEL.feed_forward(ROW),
    "model, list": lambda: MODEL.feed_forward([ROW, ROW]),
    "model, targets": lambda: MODEL.back_propagate_through_time(ONES[:, 0], ROW),
    "model, loss": lambda: MODEL.loss_function([ONES[:, 0]], [ROW]),
    "model, step": lambda: MODEL.compute_layer(ROW[1]),
    "model, weights": lambda: setattr(MODEL, "W_f", ROW[:2]),
    "network": lambda: compat.NeuralNetwork([2, 2])._forward_prop(ROW[1, :, None]),
    "squared error": lambda: train.SquaredError()(ONES, X),
    "outputs": lambda: train.Huber()(X, ONES),
    "labels": lambda: train.CrossEntropy()(ONES, LABELS),
    "distribution": lambda: train.CrossEntropy()(ONES, X),
    "mask": lambda: train.SquaredError()(ONES, ONES, BOOL),
    "gradients": lambda: train.SGD().step(numpy.ones(6), X.ravel()),
    "parameters": lambda: train.SGD().step(X.ravel(), numpy.ones(6)),
    "chunk, x": lambda: TRAINER.fit([(X, ONES)]),
    "chunk, y": lambda: TRAINER.fit([(ONES, X)]),
    "chunk, mask": lambda: TRAINER.fit([(ONES, ONES, None, BOOL)]),
    "chunk, weights": lambda: TRAINER.fit([(ONES, ONES, None, None, None, X[..., 1])]),
    "chunks": lambda: train.Chunks(X, ONES, 2),
    "chunks, y": lambda: train.Chunks(ONES, X, 2),
    "evaluate": lambda: TRAINER.evaluate([(ONES, X)]),
}


@pytest.mark.parametrize("call", CALLS)
def test_masked_elements_are_refused(call: str) -> None:
    before = DENSE.parameters.flat.copy()
    with pytest.raises(TypeError, match=r"must not be a masked array.* mask= .*lengths="):
        CALLS[call]()
    numpy.testing.assert_array_equal(DENSE.parameters.flat, before)


def test_a_masked_array_without_masked_elements_is_an_array() -> None:
    whole = numpy.ma.masked_array(ONES)
    numpy.testing.assert_array_equal(LSTM(whole)[0], LSTM(ONES)[0])
    assert train.SquaredError()(whole, numpy.ma.masked_array(ONES, False))[0] == 0
