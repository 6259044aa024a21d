"""Files are written whole or not at all, and nothing of a user's is ever removed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

import fastlstm
from fastlstm import atomic, compat
from tests.tools.streams import chunks, trainer

posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")


def write(path: Path) -> None:
    with atomic.replacing(path) as file:
        file.write(b"new")


def save_model(path: Path) -> None:
    fastlstm.LSTM(1, 1, 1, seed=0).save(path)


def save_network(path: Path) -> None:
    compat.NeuralNetwork([1, 1]).save(path)


def save_trainer(path: Path) -> None:
    pytest.importorskip("safetensors")
    trainer().save(path)


def fit(path: Path) -> None:
    pytest.importorskip("safetensors")
    ours = trainer()
    try:
        ours.fit(chunks([2, 2]), checkpoint=path)
    finally:
        assert ours.updates == 0


WRITERS = [write, save_model, save_network, save_trainer, fit]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("obstacle", "error"), [
    ("folder", IsADirectoryError), ("no folder", FileNotFoundError), ("file for a folder", OSError), ("pipe", OSError),
    ("long name", OSError), ("forbidden", PermissionError),
])
def test_places_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Any, obstacle: str, error: Any
) -> None:
    path = tmp_path / "run.npz"
    if obstacle == "folder":
        path.mkdir()
        (path / "kept").write_bytes(b"1")
    elif obstacle == "no folder":
        path = tmp_path / "none" / "run.npz"
    elif obstacle == "file for a folder":
        path.write_bytes(b"1")
        path = path / "run.npz"
    elif obstacle == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("needs a POSIX system")
        os.mkfifo(path)
    elif obstacle == "long name":
        path = tmp_path / ("x" * 300 + ".npz")
    else:
        def refused(*_: Any, **__: Any) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refused)  # root may write everywhere
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error):
        writer(path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("writer", WRITERS[:-1])
def test_an_error_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Any
) -> None:
    path = tmp_path / "run.npz"
    path.write_bytes(b"old")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        writer(path)
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


FULL = """
import resource, signal, sys
import numpy
import fastlstm
from fastlstm import compat
from tests.tools.streams import trainer
makers = {"model": lambda: fastlstm.LSTM(9, 9, 99, seed=0), "network": lambda: compat.NeuralNetwork([200, 200]),
          "trainer": trainer}
saved = makers[sys.argv[1]]()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    saved.save(sys.argv[2])
except OSError as error:
    print(type(error).__name__, error.errno)
"""


@posix
@pytest.mark.process
@pytest.mark.parametrize("made", ["model", "network", "trainer"])
def test_a_file_that_the_system_cuts_short_is_an_oserror(tmp_path: Path, made: str) -> None:
    """As on a full disk, but with a limit that a test can set."""
    pytest.importorskip("safetensors")
    path = tmp_path / "run.npz"
    path.write_bytes(b"old")
    ended = subprocess.run(
        [sys.executable, "-c", FULL, made, str(path)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.stdout.split() == ["OSError", "27"], ended.stderr
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_links_and_names_as_long_as_they_can_be(tmp_path: Path) -> None:
    target, link = tmp_path / ("é" * 127), tmp_path / "link"
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(tmp_path.iterdir()) == sorted([link, target])


@posix
def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with atomic.replacing(path) as file:
        file.write(b"first")
        write(path)
        assert path.read_bytes() == b"new"
    assert path.read_bytes() == b"first"
    assert [*tmp_path.iterdir()] == [path]


def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic.replacing(tmp_path / "run"):
        raise KeyboardInterrupt
    assert not [*tmp_path.iterdir()]


def test_models_are_what_they_were(tmp_path: Path) -> None:
    model = fastlstm.LSTM(1, 1, 1, seed=0)
    model.save(tmp_path / "model")
    found = fastlstm.LSTM.load(tmp_path / "model")
    numpy.testing.assert_array_equal(found.parameters.flat, model.parameters.flat)
