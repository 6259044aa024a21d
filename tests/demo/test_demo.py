"""The command line and the demo on the real data."""

import os
import runpy
import signal
import subprocess
import sys

import numpy
import pytest

pytest.importorskip("typer", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")
pytest.importorskip("matplotlib", reason="the extra cli is not installed")

from typer.testing import CliRunner

import fastlstm
from fastlstm import datasets
from fastlstm.__main__ import main
from fastlstm.demo import cli, sunspots
from fastlstm.train import Trainer
from tests.tools.helpers import JIT_OFF


@pytest.fixture
def small(monkeypatch):
    """A demo small enough to run through interpreted kernels too."""
    monkeypatch.setattr(cli, "QUICK_EPOCHS", 2)
    monkeypatch.setattr(cli, "ORACLE_BUDGET", 0.01)
    if JIT_OFF:
        monkeypatch.setattr(sunspots, "EVERY", 1000)
        monkeypatch.setattr(sunspots, "LENGTH", 12)
        monkeypatch.setattr(cli, "SunspotForecaster", lambda: ShortForecaster(hidden_size=2, truncate=1))


class ShortForecaster(sunspots.SunspotForecaster):
    def known(self):
        return [tuple(part[:20] for part in super().known()[0])]

    def _outputs(self):
        return numpy.zeros_like(self._inputs)


def run(*arguments):
    return CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "300"})


def test_the_data_are_what_they_should_be():
    months, numbers = datasets.sunspots()
    assert len(months) == len(numbers) == 3120
    assert (numpy.diff(months) == numpy.timedelta64(1, "M")).all()
    assert str(months[0]) == "1749-01"
    assert str(months[-1]) == "2008-12"
    assert (numbers >= 0).all()
    assert numbers[months == numpy.datetime64("1957-10")] == 253.8  # the highest month of the highest cycle


@pytest.mark.long
def test_quick_demo(small, tmp_path):
    result = run("demo", "--quick", "--output", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    for text in ("persistence", "seasonal", "baselines", "NumPy oracle", "times faster"):
        assert text in result.output
    picture = (tmp_path / "out" / "forecast.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(picture) > 20_000
    assert Trainer.load(tmp_path / "out" / "model.safetensors").epoch == 2


@pytest.mark.long
@pytest.mark.skipif(JIT_OFF, reason="trains for a minute when interpreted")
def test_the_quick_demos_training_beats_both_baselines():
    forecaster = sunspots.SunspotForecaster()
    losses = forecaster.trainer.fit(forecaster.batches, epochs=10)["loss"]
    errors = forecaster.errors()
    assert losses[-1] < losses[0]
    assert errors["LSTM"] < 0.9 * min(errors["persistence"], errors["seasonal"])
    assert errors["persistence"] == pytest.approx(39.8, abs=0.1)


@pytest.mark.skipif(JIT_OFF, reason="needs the whole data")
def test_training_never_sees_a_held_out_month():
    forecaster = sunspots.SunspotForecaster(hidden_size=2)
    later = forecaster.held_out.start
    forecaster._inputs[later:] = numpy.nan
    forecaster._targets[later - sunspots.AHEAD :] = numpy.nan
    for X, Y, _ in forecaster.batches(numpy.random.default_rng(0)):
        assert numpy.isfinite(X).all()
        assert numpy.isfinite(Y).all()


def test_forecasts_use_only_what_was_known():
    forecaster = sunspots.SunspotForecaster(hidden_size=2)
    found, t = forecaster.forecasts(), 2000
    assert found["persistence"][t] == forecaster.numbers[t - 12]
    assert found["seasonal"][t] == forecaster.numbers[t - 132]
    assert numpy.isnan(found["LSTM"][:12]).all()
    known = found["LSTM"][t]
    forecaster._inputs[t - 11 :] = 9
    assert forecaster.forecasts()["LSTM"][t] == known


@pytest.mark.parametrize(("begun", "said"), [(1, "no epoch"), (2, "no epoch"), (3, "holds epoch 1")])
def test_ctrl_c_leaves_the_last_completed_epoch(small, tmp_path, monkeypatch, begun, said):
    calls = []
    honest = sunspots.SunspotForecaster.batches

    def batches(self, random):
        calls.append(self)
        if len(calls) == begun:  # the first is the warm-up
            signal.raise_signal(signal.SIGINT)
        yield from honest(self, random)

    monkeypatch.setattr(sunspots.SunspotForecaster, "batches", batches)
    monkeypatch.setattr(cli, "QUICK_EPOCHS", 5)
    result = run("demo", "--quick", "--output", str(tmp_path))
    assert result.exit_code == 130, result.output
    assert said in result.output
    assert len(calls) == begun
    assert (tmp_path / "model.safetensors").exists() == (begun == 3)
    if begun == 3:
        assert Trainer.load(tmp_path / "model.safetensors").epoch == 1


@pytest.mark.parametrize("known", [True, False])
def test_the_grammar_example_tells_what_it_found(tmp_path, monkeypatch, known):
    monkeypatch.setattr(cli, "REACHES", (2, 7))
    monkeypatch.setattr(cli, "accuracy", lambda truncate, seed: 0.5 + 0.47 * (known and truncate > 3))
    result = run("grammar", "--seeds", "2", "--output", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert ("97%" in result.output) == known
    assert (tmp_path / "out" / "memory.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.long
def test_the_verdict_is_honest(small, monkeypatch, tmp_path):
    monkeypatch.setattr(sunspots.SunspotForecaster, "errors", lambda self: {"LSTM": 3.0, "persistence": 2.0})
    assert "does not beat both baselines" in run("demo", "--quick", "--output", str(tmp_path)).output


def test_version_and_help(monkeypatch, capsys):
    assert run("version").output.strip() == fastlstm.__version__
    assert "demo" in run("--help").output
    monkeypatch.setattr(sys, "argv", ["fastlstm", "version"])
    monkeypatch.delitem(sys.modules, "fastlstm.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("fastlstm", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == fastlstm.__version__


def test_without_the_extra_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastlstm.demo.cli", None)
    with pytest.raises(SystemExit, match="pip install 'fastlstm\\[cli\\]'"):
        main()


@pytest.mark.process
@pytest.mark.parametrize("command", ["demo", "grammar"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, command):
    (tmp_path / "file").write_text("kept")
    monkeypatch.setattr(sys, "argv", ["fastlstm", command, "--output", str(tmp_path / "file" / "out")])
    with pytest.raises(SystemExit, match=r"fastlstm: .*Not a directory"):
        main()
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.process
def test_the_library_needs_numpy_and_numba_only():
    code = (
        "import sys; import numba, numpy; theirs = set(sys.modules); import fastlstm; "
        "print(sorted({'scipy', 'torch', 'typer', 'rich', 'matplotlib', 'pandas'} & set(sys.modules) - theirs))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert found.stdout.strip() == "[]"
