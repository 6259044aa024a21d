"""The documents: their code runs and does what they say, their links lead somewhere, their claims are in the tables."""

import re
from pathlib import Path

import numpy
import pytest

from tests.tools.helpers import JIT_OFF

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def text_of(file):
    return (ROOT / file).read_text("utf-8")


def run(file, *shorter):
    """Names that a document's code has left, block by block; with the JIT off, texts in it replaced by others."""
    names, after = {}, []
    for block in re.findall(r"```python\n(.*?)```", text_of(file), re.DOTALL):
        for old, new in shorter if JIT_OFF else ():
            block = block.replace(old, new)
        exec(block, names)
        after.append(dict(names))
    return after


def table(file, first_heading):
    """Columns of the table of a document whose first heading is given; shapes of rows are tuples."""
    lines = text_of(file).splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.split("|")[1:-1]])
    return {heading: [row[k] for row in [rows[0], *rows[2:]]][1:] for k, heading in enumerate(rows[0])}


def span(cells):
    """The smallest and the largest of cells such as 3.9x."""
    numbers = [float(cell.removesuffix("x")) for cell in cells]
    return min(numbers), max(numbers)


@pytest.mark.long
def test_the_readmes_ten_lines_train(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (names,) = run("README.md", ("64", "4"), ("10_000", "100"))
    assert names["output"].shape == (100, 1, 2)
    assert names["trainer"].epoch == 3
    assert (tmp_path / "run.safetensors").is_file()
    first, last = map(float, capsys.readouterr().out.split())
    assert JIT_OFF or last < 0.2 * first
    code = re.search(r"```python\n(.*?)```", text_of("README.md"), re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) <= 10


def test_the_guides_layers_and_trainer_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layer, stepper, trained, flat = run("docs/guide.md", ("64", "4"), ("10_000", "100"))
    assert layer["dx"].shape == layer["x"].shape
    numpy.testing.assert_array_equal(stepper["h"], layer["layer"](layer["x"][:1, :1])[0][0])
    assert trained["trainer"].epoch == 1
    assert trained["trainer"].history["steps"][-1] == len(trained["x"])
    losses = trained["history"]["loss"]
    assert JIT_OFF or losses[-10:].mean() < 0.2 * losses[:10].mean()
    assert numpy.isfinite(flat["value"])
    assert flat["network"].gradients.flat.any()


def test_the_models_train():
    names = run("docs/compat.md", ("64, ", "4, "))[-1]
    model, X, Y = names["model"], names["X"], names["Y"]
    assert names["O"].shape == (100, 2)
    assert model.gradients.flat.any()
    before = model.loss_function([X], [Y])
    for _ in range(2 if JIT_OFF else 20):
        model.train([X], [Y])
    assert model.loss_function([X], [Y]) < before
    assert numpy.isfinite(before)


@pytest.mark.long
def test_the_guide_to_the_kernels_gives_the_layers_bits():
    after = run("docs/kernels.md", ("(50, 4, 3)", "(5, 2, 3)"))
    names = after[-1]
    first, last = after[0]["y"], after[-1]["y"]
    assert first is not last
    for y in first, last:
        numpy.testing.assert_array_equal(y, names["layer"](names["x"])[0], strict=True)
    numpy.testing.assert_array_equal(names["row"], first[:, 0], strict=True)
    numpy.testing.assert_array_equal(names["own"], names["panels"], strict=True)


@pytest.mark.parametrize("file", DOCUMENTS)
def test_links_lead_to_files(file):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text_of(file)):
        assert target.startswith("https://") or (ROOT / file).parent.joinpath(target).exists(), target


def test_the_readmes_claims_are_in_the_tables():
    claims = [tuple(map(float, found)) for found in re.findall(r"([\d.]+) to ([\d.]+)", text_of("README.md"))]
    layers = table("README.md", "T, batch, input, hidden")
    small = [int(shape.split(", ")[3]) <= 256 for shape in layers["T, batch, input, hidden"]]
    single = layers["training, float32: PyTorch"]
    frames = table("docs/latency.md", "hidden units")
    assert claims[:6] == [
        span(cell for cell, counts in zip(single, small, strict=True) if counts), (16, 256),
        span(layers["training, float64: PyTorch"]),
        span(frames["fastlstm: median"]), span(frames["hidden units"]),
        span(frames["ONNX Runtime / fastlstm: median"]),
    ]
    assert claims[6] == span(table("docs/speed.md", "T, input, output, hidden, K")["truncated BPTT: float64"])
    large = single[small.index(False)].removesuffix("x")
    assert f"float32 is {large} times as fast" in text_of("README.md")
