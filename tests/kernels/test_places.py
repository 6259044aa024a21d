"""Where compiled kernels are kept: read wherever they lie, written where that works."""

import os
import shutil

import pytest

from tests.kernels.test_cache import ANSWER, WARNED, answer, right
from tests.tools.helpers import JIT_OFF
from tests.tools.processes import run

pytestmark = [
    pytest.mark.process, pytest.mark.usefixtures("own_settings"),
    pytest.mark.skipif(JIT_OFF, reason="nothing is compiled"),
]

BOUND = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-W", "error", "-c", *sys.argv[1:]])
"""
"""Runs a script as another user would: root gives up CAP_DAC_OVERRIDE, to write where the mode forbids it."""

RECORDED = """
from numba.core import event
with event.install_recorder("numba:compile") as compiled:
""" + "".join(f"    {line}\n" for line in ANSWER.splitlines()) + """
assert not compiled.buffer
"""

PLACES = ("NUMBA_CACHE_DIR", "package", "user")


@pytest.fixture
def tree(tmp_path):
    """A folder to make read-only, writable again afterwards."""
    folder = tmp_path / "tree"
    folder.mkdir()
    yield folder
    for name, _, _ in os.walk(folder):
        os.chmod(name, 0o755)


def settings(tree, package, place):
    """Under which kernels are kept in one of the places."""
    root, home, own = tree / "root", tree / "home", tree / "kept"
    shutil.copytree(package, root, dirs_exist_ok=True)
    if place == "user":
        (root / "fastlstm_kernels" / "__pycache__").touch()
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "path": [root]}
    return str(own) if place == "NUMBA_CACHE_DIR" else "", places


def close(tree):
    """Let nobody write into a folder, who is not above the modes of files."""
    for name, _, files in os.walk(tree, topdown=False):
        for file in files:
            os.chmod(os.path.join(name, file), 0o444)
        os.chmod(name, 0o555)
    with pytest.raises(AssertionError, match="Permission denied"):
        run(BOUND, f"open({str(tree / 'new')!r}, 'w')")


@pytest.mark.parametrize("place", PLACES)
def test_kernels_are_read_where_nothing_can_be_written(tree, package, place):
    cache, places = settings(tree, package, place)
    assert answer(cache, **places) == [0]
    close(tree)
    line, hits = run(BOUND, RECORDED, "float64", NUMBA_CACHE_DIR=cache, **places).splitlines()
    assert right(line)
    assert hits == "1"
    *results, warning = run(BOUND, WARNED, "float64", "float32", NUMBA_CACHE_DIR=cache, **places).splitlines()
    assert right(results[0])
    assert right(results[1], "float32"), "compiled in memory"
    assert warning.startswith("CacheWarning compiled kernels cannot be kept on disk (")


def test_what_is_missing_where_nothing_can_be_written_is_kept_elsewhere(tree, package, tmp_path):
    _, places = settings(tree, package, "package")
    assert answer("", **places) == [0]
    close(tree)
    for hits in (["0", "1"], ["1", "1"]):
        found = run(BOUND, ANSWER, "float32", "float64", NUMBA_CACHE_DIR=str(tmp_path / "own"), **places)
        assert found.splitlines()[1::2] == hits


def test_a_damaged_file_in_one_place_does_not_hide_that_in_the_next(package, tmp_path):
    assert answer("", path=[package]) == [0]
    cache = tmp_path / "cache"
    assert answer(cache, path=[package], NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator") == [0]
    for file in cache.rglob("*gate_delta*.nb?"):
        file.write_bytes(file.read_bytes()[:20])
        assert answer(cache, path=[package]) == [1]


def test_where_the_directory_cannot_be_made_another_is_taken(tmp_path, package):
    file = tmp_path / "file"
    file.touch()
    assert answer(file / "below", path=[package]) == [0]
    assert answer(file / "below", path=[package]) == [1]
    assert list((package / "fastlstm_kernels" / "__pycache__").glob("*.nbi"))


def test_without_a_setting_kernels_are_kept_with_the_package(package):
    assert answer("", path=[package]) == [0]
    assert answer("", path=[package]) == [1]


def test_a_copy_of_the_package_that_rounds_the_times_of_files_keeps_its_kernels(package):
    assert answer("", path=[package]) == [0]
    for file in package.rglob("*.py"):
        os.utime(file, (1e9, 1e9))
    assert answer("", path=[package]) == [1]
