"""The code in the README and in the guide to the kernels runs, and does what it says."""

import re
from pathlib import Path

import numpy

from tests.tools.helpers import JIT_OFF

ROOT = Path(__file__).parents[2]


def blocks(file):
    return re.findall(r"```python\n(.*?)```", (ROOT / file).read_text("utf-8"), re.DOTALL)


def test_the_examples_train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("README.md"):
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


def test_the_guide_to_the_kernels_gives_the_layers_bits():
    names, results = {}, []
    for block in blocks("docs/kernels.md"):
        exec(block.replace("(50, 4, 3)", "(5, 2, 3)") if JIT_OFF else block, names)
        results.append(names["y"])
    first, _, last = results
    assert first is not last
    for y in first, last:
        numpy.testing.assert_array_equal(y, names["layer"](names["x"])[0], strict=True)
    numpy.testing.assert_array_equal(names["own"], names["panels"], strict=True)
