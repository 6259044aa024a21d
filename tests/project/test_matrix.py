"""What the project says it supports is said once, and is what is tested."""

import re
import runpy
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.tools.processes import ROOT

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = SETTINGS["project"]
MATRIX = runpy.run_path(str(ROOT / ".ci" / "matrix"))
PYTHONS = MATRIX["PYTHONS"]


def said(kind):
    return [name.removeprefix(kind) for name in PROJECT["classifiers"] if name.startswith(kind)]


def test_the_pythons_agree():
    assert said("Programming Language :: Python :: ") == PYTHONS
    assert [f"3.{n}" for n in range(int(PYTHONS[0][2:]), int(PYTHONS[-1][2:]) + 1)] == PYTHONS, "none is left out"
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert SETTINGS["tool"]["ruff"]["target-version"] == "py" + PYTHONS[0].replace(".", "")


def test_the_readme_names_what_is_tested_and_no_more():
    assert said("Operating System :: ") == ["POSIX :: Linux"]
    tested = re.search(r"Tested on (.*?)\(`\.ci/matrix`\)", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
    assert re.findall(r"3\.\d+", tested) == [PYTHONS[0], PYTHONS[-1]]
    assert tested.startswith("Linux, on x86-64 processors")


def test_the_matrix_takes_the_oldest_versions_that_are_declared():
    declared = [Requirement(text) for text in PROJECT["dependencies"]]
    taken = [Requirement(text) for text in MATRIX["OLDEST"]]
    assert len(taken) == len(declared)
    for ours, theirs in zip(taken, declared, strict=True):
        assert (ours.name, str(ours.marker)) == (theirs.name, str(theirs.marker))
        assert str(theirs.specifier) == str(ours.specifier).replace("==", ">=")


@pytest.mark.parametrize("python", PYTHONS)
def test_each_python_has_one_oldest_version_of_each_dependency(python):
    declared = [Requirement(text) for text in PROJECT["dependencies"]]
    given = {"python_version": python}
    names = [each.name for each in declared if each.marker is None or each.marker.evaluate(given)]
    assert names == ["numpy", "numba"]


def test_everything_that_is_run_is_there():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    numerical = re.search('^numerical="(.*)"$', script, re.MULTILINE)[1].split()
    for name in [*MATRIX["FAST"], *("tests/{}/test_{}.py".format(*name.split("/")) for name in numerical)]:
        assert (ROOT / name).is_file(), name
    assert re.search(r"^ +\.ci/matrix$", script, re.MULTILINE)
    assert re.search(r"^\"\$\(\.ci/matrix --newest\)\" -m venv", script, re.MULTILINE)


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("*/test_*.py")), ids=lambda path: path.name)
def test_tests_that_start_processes_are_marked(path: Path):
    text = path.read_text("utf-8")
    starts = r"^import subprocess|^from tests\.tools\.processes import .*\b(run|start)\b|processes\.(run|start)\("
    assert not re.search(starts, text, re.MULTILINE) or "pytest.mark.process" in text


def test_every_file_of_kernels_has_a_test_of_its_name():
    files = {path.stem for path in (ROOT / "kernels" / "fastlstm_kernels").glob("*.py")}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "kernels").glob("test_*.py")}
    assert files - tested == {"__init__", "arrays", "structs"}  # names, and types
