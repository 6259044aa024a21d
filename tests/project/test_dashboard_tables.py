"""The stored results as tables, their copies in the documents, and what a site is refused for."""

import math
import re
import shutil

import pytest

pytest.importorskip("asv", reason="asv reads the results")

from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.machine import Machine
from asv.results import Results
from asv.runner import BenchmarkResult

from asv_bench import readme, stored, tables
from asv_bench.site import chart, overview, publish, vendor
from tests.tools import measured

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm brings what asv's pages load")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return measured.project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def results(config):
    return stored.load(config)


def test_runs_are_those_of_each_commit_oldest_first(results):
    assert [f"{run.date:%d}" for run in results.runs] == [f"{day:02}" for day in range(1, 9)]
    assert results.runs[-1].versions == {"python": "3.11", "numba": "0.61.0", "numpy": "2.1.0", "torch": "2.13.0"}
    assert tables.machine(results.runs[-1])["memory"] == "24 GiB"


def test_what_was_not_measured_is_left_out(results):
    cases = results.runs[-1].cases["layer.LayerRatio.track_training"]
    assert {case.params["peer"] for case in cases} == {"torch"}
    assert len(cases) == len(measured.DTYPES) * len(measured.SHAPES)
    assert not any(math.isnan(case.value) for case in cases)


def test_a_row_a_shape_and_a_column_a_peer(results):
    run = results.runs[-1]
    table = tables.by_peer(tables.comparisons(run, results.benchmarks, tables.LAYER))
    assert table.stub == "T, batch, input, hidden"
    assert table.columns == [
        ("training, float32", "PyTorch"),
        ("training, float64", "PyTorch"),
        ("inference, float32", "PyTorch"),
        ("inference, float32", "ONNX Runtime"),
        ("inference, float64", "PyTorch"),
    ]
    assert [size for size, _ in table.rows] == [", ".join(map(str, shape)) for shape in measured.SHAPES]
    ours = measured.value("layer.LayerRatio.track_training", ("torch", "float32", measured.SHAPES[0]), 7)
    assert table.rows[0][1][0] == tables.times(1 / ours)


def test_a_gap_is_an_empty_cell(results):
    found = tables.comparisons(results.runs[-1], results.benchmarks, tables.ORACLE)
    assert "" in [cell for _, cells in tables.table(found[1:]).rows for cell in cells]


def test_every_other_ratio_is_listed(results):
    found = tables.others(results.runs[-1], results.benchmarks)
    assert [(each.computation, each.peer, each.names, each.shape) for each in found] == [
        ("dense network, an epoch", "the oracle", "layers", (64, 32, 10)),
        ("ragged training", "PyTorch", measured.STACK_NAMES[1], measured.RAGGED[0]),
        *[
            (computation, "PyTorch", measured.STACK_NAMES[1], shape)
            for computation in ("stack forward", "stack training") for _ in measured.DTYPES for shape in measured.STACKS
        ],
        ("training on a stream <of any length>", "PyTorch", "batch, hidden", (1, 64)),
        ("training on a stream <of any length>", "PyTorch", "batch, hidden", (32, 64)),
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(53.4, "53x"), (9.96, "10x"), (2.24, "2.2x"), (1.096, "1.1x"), (1.06, "1.06x"), (0.5, "0.50x")]
)
def test_digits(value, text):
    assert tables.times(value) == text


@pytest.mark.parametrize("values", [[1.0], [0.97, 17], [41, 46], [0.02, 900], [1.06]])
def test_ticks_enclose_what_is_drawn(values):
    ticks = chart.ticks(values)
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 16
    assert ticks[0] <= min(values)
    assert ticks[-1] >= max(values)


@pytest.fixture
def another(tmp_path):
    """A project of its own, to which a test adds results."""
    config = measured.project(tmp_path, commits=2)
    settings = Config.load(str(config))
    settings.results_dir = str(tmp_path / settings.results_dir)
    benchmarks = Benchmarks.load(settings)

    def add(machine, commit, environment, name, value):
        run = stored.load(config).runs[commit]
        described = {**run.machine, "machine": machine}
        if machine != "bench":
            new = Machine()
            new.__dict__.update(described)
            new.save(settings.results_dir)
        date = 1000 * int(run.date.timestamp())
        added = Results({**described, "python": "/home/me/python"}, {}, run.commit, date, "3.11", environment, {})
        size = math.prod(map(len, benchmarks[name]["params"]))
        result = BenchmarkResult([value] * size, [None] * size, [None] * size, 0, "", None)
        added.add_result(benchmarks[name], result)
        added.save(settings.results_dir)
        return stored.load(config)

    return add


def test_environments_of_a_commit_are_one_run(another):
    results = another("bench", 1, "another", "start.Start.track_import", 9.0)
    assert len(results.runs) == 2
    assert [case.value for case in results.runs[-1].cases["start.Start.track_import"]] == [9.0]
    assert "lstm.Ratio.track_forward" in results.runs[-1].cases


def test_machines_are_not_mixed(another):
    results = another("older", 0, "virtualenv-py3.11", "start.Start.track_import", 9.0)
    assert {run.machine["machine"] for run in results.runs} == {"bench"}


def test_no_results_is_said(config, tmp_path):
    shutil.copy(config, tmp_path)
    with pytest.raises(SystemExit, match=r"Benchmark list file .* missing"):
        stored.load(tmp_path / config.name)
    (tmp_path / "results").mkdir()
    shutil.copy(config.parent / "results" / "benchmarks.json", tmp_path / "results")
    with pytest.raises(SystemExit, match="no results in"):
        stored.load(tmp_path / config.name)


def test_the_page_takes_no_text_for_markup(results):
    page = overview.page(results)
    assert "A processor &lt;1 GHz&gt;" in page
    assert "stream &lt;of any length&gt;" in page
    assert "nan" not in page.lower()


def test_a_page_of_little(another):
    """Sections that nothing was measured for are left out."""
    results = another("newer", 1, "virtualenv-py3.11", "start.Start.track_import", 9.0)
    page = overview.page(results)
    assert "/home/me" not in page
    assert re.findall("<h2[^>]*>(.*?)</h2>", page) == ["A new process"]
    for section in readme.DOCUMENTS.values():
        with pytest.raises(SystemExit, match="has none for one of the speed tables"):
            section(results)


def test_contrast():
    """WCAG 2, level AA: 4.5 to 1, in either scheme, for everything that is read or drawn."""

    def luminance(colour):
        digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    schemes = re.findall(r":root \{(.*?)\}", overview.TEMPLATE.read_text("utf-8"), re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = {name: luminance(digits) for name, digits in re.findall("--([a-z0-9]+): #([0-9a-f]+);", scheme)}
        grounds = colours.pop("paper"), colours.pop("raised")
        del colours["rule"]
        for name, colour in colours.items():
            for ground in grounds:
                assert (max(colour, ground) + 0.05) / (min(colour, ground) + 0.05) >= 4.5, name


def test_tables_are_written_into_both_files_and_checked(config, tmp_path):
    (tmp_path / "docs").mkdir()
    paths = [tmp_path / name for name in readme.DOCUMENTS]
    for path in paths:
        path.write_text(f"before\n\n{readme.START}\nold\n{readme.END}\n\nafter\n")
    with pytest.raises(SystemExit, match="out of date"):
        readme.main(["--check"], tmp_path, config)
    assert all("old" in path.read_text() for path in paths)
    readme.main([], tmp_path, config)
    readme.main(["--check"], tmp_path, config)
    texts = [path.read_text() for path in paths]
    for text in texts:
        assert text.startswith("before\n\n")
        assert text.endswith("\n\nafter\n")
        assert "old" not in text
    assert "| T, batch, input, hidden | training, float32: PyTorch |" in texts[0]
    assert "| T, batch, input, hidden, layers, directions | training, float32: PyTorch |" in texts[1]
    assert "| T, input, output, hidden, K | forward: float32 |" in texts[1]
    paths[1].write_text(texts[1].replace("|", "/"))
    with pytest.raises(SystemExit, match=r"docs/speed\.md is out of date"):
        readme.main(["--check"], tmp_path, config)
    paths[1].write_text("no place")
    with pytest.raises(SystemExit, match="no place for the tables"):
        readme.main([], tmp_path, config)


@pytest.mark.skipif(not [*stored.CONFIG.parent.glob("results/*/*-*.json")], reason="no results are stored")
def test_the_speed_tables_are_up_to_date():
    readme.main(["--check"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index.html", '<script src="https://example.org/x.js"></script>'),
        ("index.html", '<link href="//example.org/x.css">'),
        ("asv.css", "@import url(//example.org/x.css)"),
        ("asv.js", "$.get('http://example.org')"),
    ],
)
def test_a_page_that_loads_from_outside_is_refused(tmp_path, name, text):
    (tmp_path / "index.html").write_text('<a href="https://example.org">a link loads nothing</a>')
    assert vendor.outside(tmp_path) == []
    (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit, match=r"still load from outside(.|\n)*example\.org"):
        vendor.localise(tmp_path, tmp_path)


@needs_npm
def test_a_package_that_is_not_the_one_of_the_lock_file_is_refused(tmp_path):
    for name in ("package.json", "package-lock.json"):
        shutil.copy(vendor.HERE / name, tmp_path)
    lock = tmp_path / "package-lock.json"
    damaged, changes = re.subn(r"sha512-[^=]{8}", "sha512-00000000", lock.read_text())
    assert changes == 6
    lock.write_text(damaged)
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(SystemExit, match="EINTEGRITY"):
        vendor.install(work, tmp_path)


def test_a_folder_of_other_files_is_not_overwritten(config, tmp_path):
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(SystemExit, match="not of this site"):
        publish.publish(tmp_path, config)
    assert (tmp_path / "thesis.txt").exists()
