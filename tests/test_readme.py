"""The README's code runs, and does what it says."""

import re
from pathlib import Path

import numpy
import pytest

from tests.helpers import JIT_OFF

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


def test_the_examples_train(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(block.replace("64, ", "4, ").replace("10_000", "100") if JIT_OFF else block, names)
    model, X, Y = names["model"], names["X"], names["Y"]
    assert names["O"].shape == (100, 2)
    assert model.gradients.flat.any()
    before = model.loss_function([X], [Y])
    for _ in range(2 if JIT_OFF else 20):
        model.train([X], [Y])
    assert model.loss_function([X], [Y]) < before
    assert numpy.isfinite(before)
    trainer, steps = names["trainer"], len(names["x"])
    assert trainer.epoch == 1
    assert trainer.history["steps"][-1] == steps
    if not JIT_OFF:
        assert trainer.history["loss"][-10:].mean() < 0.2 * trainer.history["loss"][:10].mean()
