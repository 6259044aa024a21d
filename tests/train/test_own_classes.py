"""Classes of the user's own: trained, saved and read like those of the library, and told apart from them."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from fastlstm import kinds, nn, train
from fastlstm.train import checkpoint, schedules
from tests.tools import own, processes, streams
from tests.tools.streams import assert_same, chunks

pytest.importorskip("safetensors")

LENGTHS = [5, 2, 4]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test defines be unknown to the next one."""
    for family in (nn.Layer, train.Loss, train.Optimizer, schedules.Schedule):
        kept = {name: dict(classes) for name, classes in family._kinds.items()}
        monkeypatch.setattr(family, "_kinds", kept)


def trained_from(model: Any = None, loss: Any = None, optimizer: Any = None) -> train.Trainer:
    return train.Trainer(model or streams.model(), loss or train.SquaredError(), optimizer or train.SGD())


def test_a_training_goes_on_with_classes_of_ones_own(path: Path) -> None:
    ours = own.trainer()
    ours.fit(chunks(LENGTHS), updates=2, checkpoint=path, validation=chunks([3]))
    loaded = train.Trainer.load(path)
    for name in ("model", "loss", "optimizer"):
        one, two = getattr(ours, name), getattr(loaded, name)
        assert type(one) is type(two)
        assert json.dumps(kinds.described(one)) == json.dumps(kinds.described(two))
    assert loaded.optimizer.learning_rate.initial == 0.05
    for each in (ours, loaded):
        each.fit(chunks(LENGTHS), validation=chunks([3]))
    assert_same(ours, loaded)
    assert ours.optimizer.updates == 3


def test_gradients_go_through_layers_of_ones_own() -> None:
    model, loss = own.trainer().model, own.LogCosh()
    (x, y), step = chunks([4])[0], 1e-6
    output, _, tape = model.forward(x)
    value, dy = loss(output, y)
    model.backward(tape, dy)
    rng = numpy.random.default_rng(0)
    for k in [*rng.integers(model.parameters.flat.size, size=20), *range(-20, 0)]:
        model.parameters.flat[k] += step
        other, _ = loss(model(x)[0], y)
        model.parameters.flat[k] -= step
        assert (other - value) / step == pytest.approx(model.gradients.flat[k], abs=1e-5)


def test_a_layer_of_ones_own_gives_zeros_behind_the_end_of_a_sequence() -> None:
    model = own.trainer().model
    x, _ = chunks([4])[0]
    output, _ = model(x, lengths=[4, 2])
    assert not output[2:, 1].any()
    numpy.testing.assert_allclose(output[:2, 1], model(x[:2])[0][:, 1])


def test_a_mean_of_ones_own_loss_counts_targets_as_the_others_do() -> None:
    loss, outputs = own.LogCosh(), numpy.zeros((3, 2, 4))
    mask = numpy.array([[True, False], [True, True], [False, False]])
    assert loss.total_weight(outputs, outputs) == 6
    assert loss.total_weight(outputs, outputs, mask) == 3
    assert loss.total_weight(outputs, outputs, mask[..., None] & numpy.ones(4, bool)) == 3
    assert loss.total_weight(outputs, outputs, mask, numpy.full((3, 2), 0.5)) == 1.5


READ = """
import sys
from fastlstm import train

try:
    train.Trainer.load(sys.argv[1])
except ValueError as error:
    print(error)
import tests.tools.own
print(train.Trainer.load(sys.argv[1]).model.parameters.flat.tolist())
"""


@pytest.mark.process
def test_another_process_reads_what_it_knows_and_says_what_it_does_not(path: Path) -> None:
    ours = own.trainer()
    ours.fit(chunks(LENGTHS), updates=2, checkpoint=path)
    unknown, found = processes.run(READ, str(path)).splitlines()
    assert unknown == (
        "config must have the kind of a known Layer, got 'Tanh', known are Dense, LSTM, Sequential; a class is known "
        "once the module that defines it is imported"
    )
    assert json.loads(found) == ours.model.parameters.flat.tolist()


CELL = """
from fastlstm import train

class Absolute(train.Loss):
    def __call__(self, outputs, targets, mask=None, sample_weight=None):
        error = outputs - targets
        return float(abs(error).mean()), numpy.sign(error) / error.size

    version = {}
"""


def test_a_cell_may_run_again(path: Path) -> None:
    def cell(version: int) -> Any:
        names = {"__name__": "notebook", "numpy": numpy}
        exec(CELL.format(version), names)
        return names["Absolute"]

    ours = trained_from(loss=cell(1)())
    ours.save(path)
    cell(2)
    ours.save(path)
    assert train.Trainer.load(path).loss.version == 2


def elsewhere(base: type, name: str, module: str, **others: Any) -> Any:
    """A subclass as another module would define it."""
    return type(name, (base,), {"__module__": module, "__qualname__": name, **others})


def test_a_class_with_a_name_of_ours_does_not_take_its_place(path: Path) -> None:
    theirs = elsewhere(train.Huber, "Huber", "theirs")
    trained_from(loss=train.Huber(0.5)).save(path)
    before = path.read_bytes()
    assert type(train.Trainer.load(path).loss) is train.Huber
    ours = trained_from(loss=theirs())
    message = "theirs.Huber cannot be saved, for files know fastlstm.train.losses.Huber by its name: give"
    for call in (lambda: ours.save(path), lambda: ours.fit(chunks([2]), checkpoint=path)):
        with pytest.raises(TypeError, match=message):
            call()
    assert path.read_bytes() == before
    assert ours.updates == 0


def test_two_classes_of_one_name_are_not_taken_for_each_other(path: Path) -> None:
    first = elsewhere(own.Scale, "Gain", "one")
    ours = trained_from(nn.Sequential(first(streams.INPUTS), nn.Dense(streams.INPUTS, 2, dtype=numpy.float64)))
    ours.save(path)
    elsewhere(own.Scale, "Gain", "two")
    with pytest.raises(ValueError, match=r"Gain is the name of several classes, one\.Gain and two\.Gain: give"):
        train.Trainer.load(path)
    with pytest.raises(TypeError, match="Gain cannot be saved: Gain is the name of several classes"):
        ours.save(path)


def test_families_have_names_of_their_own(path: Path) -> None:
    loss = elsewhere(own.LogCosh, "Dense", "theirs")
    trained_from(loss=loss(2.0)).save(path)
    found = train.Trainer.load(path)
    assert (type(found.loss), found.loss.width) == (loss, 2.0)
    assert type(found.model.layers[-1]) is nn.Dense


def forgetful(self: Any, size: int = 1) -> None:
    pass


def told(self: Any) -> Any:
    return {"size": 3}


def odd(self: Any) -> Any:
    return {"size": numpy.sin}


def test_what_is_wrong_with_a_class_is_said_before_training() -> None:
    for others, message in (
        ({"__init__": forgetful}, "Forgetful must have an attribute size, .* or a config of its own"),
        ({"__init__": forgetful, "config": odd}, "loss must have a config that JSON can hold to be saved: .* got"),
    ):
        ours = trained_from(loss=elsewhere(own.LogCosh, "Forgetful", "theirs", **others)())
        with pytest.raises(TypeError, match=message):
            ours.fit(chunks([2]), checkpoint="nowhere")
        assert ours.updates == 0
    good = elsewhere(own.LogCosh, "Forgetful", "theirs", __init__=forgetful, config=told)
    assert kinds.described(good()) == {"size": 3, "kind": "Forgetful"}


def test_arguments_in_a_row_come_back_in_a_row() -> None:
    class Several(train.Loss):
        def __init__(self, first: int, *losses: Any, last: int = 0) -> None:
            self.first, self.losses, self.last = first, losses, last

        def __call__(self, *arrays: Any) -> Any: ...

    found = kinds.made(train.Loss, kinds.described(Several(1, train.Huber(2), train.SquaredError(), last=3)))
    assert (found.first, found.last, found.losses[0].delta) == (1, 3, 2.0)
    assert type(found.losses[1]) is train.SquaredError
    assert found(1) is None


@pytest.mark.parametrize(("made", "words"), [
    (lambda f: own.SignSGD(f), "learning rate was a function"),
    (lambda f: elsewhere(own.SignSGD, "Two", "theirs", __init__=two)((0.5, f)), "another of the pair was a function"),
])
def test_functions_in_an_optimizer_of_ones_own_are_asked_for(path: Path, made: Any, words: str) -> None:
    ours = trained_from(optimizer=made(lambda updates: 0.1))
    ours.save(path)
    with pytest.raises(ValueError, match=words):
        train.Trainer.load(path)
    again = made(lambda updates: 0.2)
    assert train.Trainer.load(path, optimizer=again).optimizer is again


def two(self: Any, pair: Any) -> None:
    own.SignSGD.__init__(self)
    self.pair = pair


def test_files_say_of_our_classes_what_they_always_said(path: Path) -> None:
    model = nn.Sequential(nn.LSTM(3, 4, dtype=numpy.float64), nn.Dense(4, 2, dtype=numpy.float64))
    rate = schedules.Warmup(schedules.CosineDecay(0.01, 100), 10)
    trained_from(model, train.CrossEntropy([1, 2], ignore_index=-1), train.Adam(rate)).save(path)
    _, found = checkpoint.read(path)
    assert found["model"] == {"kind": "Sequential", "layers": [
        {"kind": "LSTM", "input_size": 3, "hidden_size": 4, "num_layers": 1, "bias": True, "batch_first": False,
         "dropout": 0.0, "bidirectional": False, "proj_size": 0, "recurrent_dropout": 0.0, "forget_bias": None,
         "recurrent_initializer": "uniform", "dtype": "float64", "n_threads": None},
        {"kind": "Dense", "input_size": 4, "output_size": 2, "bias": True, "dtype": "float64", "n_threads": None},
    ]}
    assert found["loss"] == {"kind": "CrossEntropy", "weight": [1.0, 2.0], "ignore_index": -1}
    assert found["optimizer"] == {
        "kind": "Adam", "learning_rate": {
            "kind": "Warmup", "schedule": {"kind": "CosineDecay", "initial": 0.01, "updates": 100, "final": 0.0},
            "updates": 10, "start": 0.0,
        },
        "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0.0, "clip_norm": None, "clip_value": None,
        "n_threads": None,
    }
    assert kinds.described(train.Huber(0.5)) == {"kind": "Huber", "delta": 0.5, "weight": None}
    assert kinds.described(train.SquaredError()) == {"kind": "SquaredError", "weight": None}
