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


def test_the_example_trains(blocks):
    names = {}
    for block in blocks:
        exec(re.sub(r"\b64\b", "4", block) if JIT_OFF else block, names)
    model, X, Y = names["model"], names["X"], names["Y"]
    assert names["O"].shape == (100, 2)
    assert model.gradients.flat.any()
    before = model.loss_function([X], [Y])
    for _ in range(2 if JIT_OFF else 20):
        model.train([X], [Y])
    assert model.loss_function([X], [Y]) < before
    assert numpy.isfinite(before)
