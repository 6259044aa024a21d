"""The table of single steps."""

import datetime
import json

import numpy
import pytest

pytest.importorskip("asv", reason="asv knows the machine")

from asv_bench import latency, readme, stored


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(latency, "WARM", 10)
    monkeypatch.setattr(latency, "CALLS", 100)
    monkeypatch.setattr(latency, "HIDDEN", [8, 16])


def test_the_median_call_and_a_slow_one(monkeypatch):
    clock, calls = [0], []
    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: clock[0])

    def step():
        calls.append(None)
        clock[0] += 9000 if len(calls) <= 10 or len(calls) % 40 == 0 else 1000  # the first ones do not count

    assert latency.latencies(step) == [1.0, 9.0]
    assert len(calls) == 110


def test_a_side_in_this_process(capsys):
    latency.main(["--side", "fastlstm"])
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2
    assert all(0 < median <= slow for median, slow in found)


def test_each_side_takes_its_turn_and_the_table_is_written(monkeypatch, tmp_path, capsys):
    order = []

    def elsewhere(side):
        order.append(side)
        late = 10 * (len(order) <= len(latency.SIDES))  # the first round
        return [[2.0 + late, 3.0 + late], [6.0 + late, 7.5 + late]] if side == "ONNX Runtime" else [[1.0, 1.5]] * 2

    date = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    run = stored.Run("0123456789", date, {"cpu": "A processor", "num_cpu": "2"}, {"numpy": "2.1.0"}, {})
    monkeypatch.setattr(latency, "elsewhere", elsewhere)
    monkeypatch.setattr(latency, "here", lambda: run)
    document = tmp_path / "latency.md"
    document.write_text(f"before\n{latency.START}\nold\n{latency.END}\nafter\n")
    latency.main([], document)
    assert "old" in document.read_text()
    latency.main(["--write"], document)
    assert order == [*latency.SIDES] * 2 * latency.ROUNDS
    text = document.read_text()
    assert "old" not in text
    assert "A processor, 2 cores, numpy 2.1.0; commit 01234567 of 2026-01-01." in text
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert lines[0][:4] == ["hidden units", "fastlstm: median", "fastlstm: 99 %", "ONNX Runtime: median"]
    assert lines[2][:5] == ["8", "1.0", "1.5", "2.0", "3.0"]
    assert [line[-1] for line in lines[2:]] == ["2.0x", "6.0x"]
    assert text in capsys.readouterr().out + text


def test_the_document_has_a_place_for_it():
    text, new = readme.filled(latency.DOCUMENT, latency.START, latency.END, "a table")
    assert "a table" in new
    assert len(text.partition(latency.END)[2]) > 500


def test_the_machine_is_described(monkeypatch):
    monkeypatch.setattr(latency, "PACKAGES", ["numpy"])
    run = latency.here()
    assert run.versions["numpy"] == numpy.__version__
    assert readme.origin(run).replace("\n", " ").endswith(f"commit {run.commit[:8]} of {run.date:%Y-%m-%d}.")
