"""Checkpoint files: what goes in comes out, and nothing that is not whole."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from fastlstm.train import checkpoint

safetensors = pytest.importorskip("safetensors")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


ARRAYS = {
    "a": numpy.arange(6.0).reshape(2, 3), "strided": numpy.arange(10)[::3], "none": numpy.empty((0, 3), numpy.float32),
    "scalar": numpy.array(2.5), "big": numpy.arange(3, dtype=">f4"), "bool": numpy.array([True, False]),
    "list": [1, 2, 3],
}
METADATA = {"nan": float("nan"), "large": 2**127 + 1, "exact": 0.1, "none": None, "text": "é\n", "list": [1, [2.5]]}


def test_what_goes_in_comes_out(path: Path) -> None:
    checkpoint.write(path, ARRAYS, METADATA)
    arrays, metadata = checkpoint.read(path)
    assert repr(metadata) == repr(METADATA)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        given = numpy.asarray(ARRAYS[name])
        numpy.testing.assert_array_equal(array, given)
        assert array.dtype == given.dtype.newbyteorder("=")
        assert array.flags.writeable
    assert os.listdir(path.parent) == [path.name]


def test_others_can_read_the_arrays(path: Path) -> None:
    from safetensors.numpy import load_file

    checkpoint.write(path, ARRAYS, {})
    numpy.testing.assert_array_equal(load_file(path)["a"], ARRAYS["a"])
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize(("arrays", "metadata", "error"), [
    ({"a": numpy.array(["text"])}, {}, TypeError),
    ({"a": numpy.array([1j])}, {}, TypeError),
    ({"a": [[1], [1, 2]]}, {}, ValueError),
    ({"a": numpy.zeros(2, numpy.longdouble)}, {}, TypeError),
    ({}, {"a": object()}, TypeError),
    ({"a": numpy.ma.masked_equal([1.0, 2.0], 2)}, {}, TypeError),
])
def test_what_no_file_can_hold(path: Path, arrays: Any, metadata: Any, error: Any) -> None:
    checkpoint.write(path, {}, {"old": 1})
    with pytest.raises(error):
        checkpoint.write(path, arrays, metadata)
    assert checkpoint.read(path) == ({}, {"old": 1})
    assert os.listdir(path.parent) == [path.name]


def test_an_error_while_writing_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.write(path, {}, {"old": 1})

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.write(path, {"a": numpy.ones(3)}, {"new": 1})
    assert checkpoint.read(path) == ({}, {"old": 1})
    assert os.listdir(path.parent) == [path.name]


def test_what_a_killed_process_left_is_cleared_and_nothing_else(path: Path) -> None:
    left = path.with_name(path.name + ".fastlstm-0123abcd.tmp")
    left.write_bytes(b"12")
    theirs = [path.with_name(path.name + end) for end in (".tmp", ".fastlstm-01.tmp", ".fastlstm-0123abcd.tmp2")]
    theirs[0].mkdir()
    (theirs[0] / "file").write_bytes(b"1")
    for file in theirs[1:]:
        file.write_bytes(b"2")
    checkpoint.write(path, {}, {})
    assert not left.exists()
    assert {*path.parent.iterdir()} == {path, *theirs}
    assert (theirs[0] / "file").exists()


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real"
    path.symlink_to(target)
    checkpoint.write(path, {}, {"a": 1})
    assert path.is_symlink()
    assert checkpoint.read(target) == ({}, {"a": 1})


def test_every_damaged_bit_is_found(path: Path) -> None:
    checkpoint.write(path, {"a": numpy.ones((2, 3)), "b": numpy.array([True])}, {"x": 1.5})
    whole = path.read_bytes()
    rng = numpy.random.default_rng(0)
    for bit in {*rng.integers(0, 8 * len(whole), 200).tolist(), *range(8 * len(whole) - 64, 8 * len(whole), 7)}:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=str(path)):
            checkpoint.read(path)


def test_every_truncated_file_is_found(path: Path) -> None:
    checkpoint.write(path, {"a": numpy.ones((2, 3))}, {"x": 1.5})
    whole = path.read_bytes()
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="truncated or damaged"):
            checkpoint.read(path)


@pytest.mark.parametrize("newer", [checkpoint.FORMAT + 1, checkpoint.FORMAT + 6])
def test_a_newer_format(path: Path, monkeypatch: pytest.MonkeyPatch, newer: int) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", newer)
    checkpoint.write(path, {}, {})
    monkeypatch.undo()
    with pytest.raises(ValueError, match=rf"format {newer}, which is newer .* which reads format {checkpoint.FORMAT}"):
        checkpoint.read(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"library": "fastlstm", "format": "x"}])
def test_a_file_of_another_library(path: Path, metadata: Any) -> None:
    from safetensors.numpy import save_file

    save_file({"a": numpy.ones(2)}, path, metadata)
    with pytest.raises(ValueError, match="no checkpoint of fastlstm"):
        checkpoint.read(path)


def test_no_file_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.read(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        checkpoint.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        checkpoint.write(tmp_path / "none" / "file", {}, {})


def test_without_the_library(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: checkpoint.write(path, {}, {}), lambda: checkpoint.read(path)):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastlstm\[train\]'"):
            call()
