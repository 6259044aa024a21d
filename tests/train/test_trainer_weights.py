"""Targets that count more, or not at all, in trainings."""

from typing import Any

import numpy
import pytest

from fastlstm import nn, train
from tests.tools.streams import arrays, assert_same, model, trainer

X, Y = arrays(12)
RNG = numpy.random.default_rng(5)
WEIGHT = RNG.random((12, 2)) * (RNG.random((12, 2)) < 0.7)
SETTINGS = [{}, {"k1": 4}, {"k1": 3, "k2": 7}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_weight_of_zero_is_as_good_as_no_target(settings: Any) -> None:
    masked, weighted = trainer(**settings), trainer(**settings)
    there = WEIGHT > 0
    masked.fit([(X, Y, None, there)])
    y = numpy.where(there[..., None], Y, numpy.nan)
    weighted.fit([(X, y, None, None, None, there.astype(float))])
    numpy.testing.assert_allclose(weighted.model.parameters.flat, masked.model.parameters.flat, rtol=1e-12)
    numpy.testing.assert_allclose(weighted.history["loss"], masked.history["loss"], rtol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS)
def test_weights_by_chunks_and_by_pieces(settings: Any) -> None:
    """An update on a piece takes the weights of its steps."""
    one, two = trainer(**settings), trainer(**settings)
    one.fit(train.Chunks(X, Y, 6, sample_weight=WEIGHT))
    two.fit([train.Chunk(X[k : k + 6], Y[k : k + 6], sample_weight=WEIGHT[k : k + 6]) for k in (0, 6)])
    assert_same(one, two)
    plain = trainer(**settings)
    plain.fit(train.Chunks(X, Y, 6))
    assert not numpy.array_equal(plain.model.parameters.flat, one.model.parameters.flat)


@pytest.mark.parametrize("loss", [train.SquaredError(), train.Huber(0.5, weight=[1, 3]), train.CrossEntropy([1, 3])])
def test_an_evaluation_does_not_depend_on_the_chunks(loss: Any) -> None:
    ours, y = train.Trainer(model(), loss, train.SGD()), Y
    if isinstance(loss, train.CrossEntropy):
        y = numpy.where(WEIGHT > 0, (Y[..., 0] > 0).astype(int), -100)
        loss.ignore_index = -100
    whole = ours.evaluate([train.Chunk(X, y, sample_weight=WEIGHT)])
    assert ours.evaluate(train.Chunks(X, y, 5, sample_weight=WEIGHT)) == pytest.approx(whole, rel=1e-12)
    output, _ = ours.model(X)
    assert whole == pytest.approx(loss(output, y, None, WEIGHT)[0], rel=1e-12)


def test_an_evaluation_by_a_function_counts_its_targets() -> None:
    def loss(outputs: Any, targets: Any, mask: Any) -> Any:
        return train.SquaredError()(outputs, targets, mask)

    own, ours = (train.Trainer(model(), each, train.SGD()) for each in (loss, train.SquaredError()))
    mask = WEIGHT > 0.3
    for given in (train.Chunks(X, Y, 5), train.Chunks(X, Y, 5, mask=mask), train.Chunks(X, Y, 5, lengths=[12, 3])):
        assert own.evaluate(given) == pytest.approx(ours.evaluate(given), rel=1e-14)


@pytest.mark.parametrize("nothing", [
    {"sample_weight": numpy.zeros((12, 2))}, {"mask": numpy.zeros((12, 2), bool)}, {"lengths": [0, 0]},
])
def test_a_piece_without_targets_has_no_loss(nothing: Any) -> None:
    ours = trainer()
    ours.fit([train.Chunk(X, Y * numpy.nan, **nothing)])
    assert numpy.isnan(ours.history["loss"]).all()
    assert not ours.model.gradients.flat.any()
    assert numpy.isnan(ours.evaluate([train.Chunk(X, Y, **nothing)]))


def test_ignored_labels_train_nothing() -> None:
    labels = numpy.full((12, 2), 255)
    ours = train.Trainer(model(), train.CrossEntropy(ignore_index=255), train.SGD(1.0))
    before = ours.model.parameters.flat.copy()
    ours.fit([(X * numpy.nan, labels)])
    numpy.testing.assert_array_equal(ours.model.parameters.flat, before)


def test_weighted_losses_come_back_from_files(tmp_path: Any) -> None:
    pytest.importorskip("safetensors")
    for loss in (
        train.CrossEntropy([0.5, 2], ignore_index=-1), train.Huber(2.0, weight=[1, 0]), train.SquaredError([1, 2]),
    ):
        train.Trainer(nn.Dense(3, 2), loss, train.SGD()).save(tmp_path / "run")
        assert train.Trainer.load(tmp_path / "run").loss.config() == loss.config()
