"""Compiled kernels on disk: found again, never stale, never mixed up, and never in the way."""

import shutil

import llvmlite.binding
import numpy
import pytest

from fastlstm_kernels.activations import TANH
from fastlstm_kernels.gate_methods import FORGET
from fastlstm_kernels.places import Entries
from tests.tools.helpers import JIT_OFF
from tests.tools.processes import finish, run, start

pytestmark = [
    pytest.mark.process, pytest.mark.usefixtures("own_settings"),
    pytest.mark.skipif(JIT_OFF, reason="nothing is compiled"),
]

DELTA = f"""
import sys, warnings
import numpy

def delta(dtype):
    from fastlstm_kernels import gate_delta
    a, b, argument = numpy.linspace(-2, 2, 15).reshape(3, 5).astype(dtype)
    result = numpy.empty_like(a)
    gate_delta({FORGET}, {TANH}, a, b, argument, result)
    return result

def hits(dtype):
    from fastlstm_kernels import gate_delta
    return sum(n for kinds, n in gate_delta.stats.cache_hits.items() if kinds[-1].dtype.name == dtype)
"""

ANSWER = DELTA + """
for dtype in sys.argv[1:]:
    print(*delta(dtype).tolist())
    print(hits(dtype))
"""
"""Prints the result and the number of kernels read from the cache, for each dtype."""

WARNED = DELTA + """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for dtype in sys.argv[1:]:
        print(*delta(dtype).tolist())
for warning in caught:
    print(warning.category.__name__, warning.message)
"""
"""Prints the result for each dtype, then the warnings."""


def right(line, dtype="float64", factor=1.0):
    """Whether a line of output is the forget gate's delta."""
    a, b, argument = numpy.linspace(-2, 2, 15).reshape(3, 5)
    sigmoid = 1 / (1 + numpy.exp(-argument))
    wanted = a * b * sigmoid * (1 - sigmoid) * factor
    found = [float(word) for word in line.split()]
    return numpy.allclose(found, wanted, rtol={"float32": 1e-5, "float64": 1e-12}[dtype])


ALONE = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
"""Settings with which nothing is read that was compiled beside this checkout."""


def answer(cache, *dtypes, **settings):
    """Kernels read from the cache by a process whose results are right and that warns of nothing."""
    given = {"NUMBA_CACHE_DIR": str(cache), **({} if "path" in settings else ALONE), **settings}
    lines = run(ANSWER, *(dtypes or ("float64",)), **given).splitlines()
    for dtype, line in zip(dtypes or ("float64",), lines[::2], strict=True):
        assert right(line, dtype)
    return [int(line) for line in lines[1::2]]


@pytest.fixture(scope="module")
def one_filled(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    assert answer(cache) == [0]
    return cache


@pytest.fixture
def filled(one_filled, tmp_path):
    """A cache that holds the kernel for float64."""
    return shutil.copytree(one_filled, tmp_path / "cache")


def test_the_second_process_compiles_nothing(filled):
    assert answer(filled, "float32", "float64") == [0, 1]
    assert answer(filled, "float32", "float64") == [1, 1]


SHARING = """
import sys
import numpy
from fastlstm_kernels.jit import jit
from fastlstm_kernels.threads import share

@jit(device=True)
def add(worker, workers, a):
    a[worker] += 1

@jit()
def kernel(a, workers):
    share(add, (a,), workers)

a = numpy.zeros(2, sys.argv[1])
kernel(a, 1)
kernel(a, 2)
print(*a.tolist())
"""


def test_a_kernel_compiled_with_a_parallel_region_from_the_cache_runs_from_the_cache(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SHARING, "utf-8")
    for dtype in ("float32", "float64", "float64", "float32"):
        assert run(script, dtype, NUMBA_CACHE_DIR=str(tmp_path / "cache"), **ALONE).split() == ["2.0", "1.0"]


def test_importing_compiles_nothing():
    run("""
from numba.core import event
with event.install_recorder("numba:compile") as compiled:
    import fastlstm
assert not compiled.buffer
""")


def test_an_edit_in_an_imported_file_is_seen(package, tmp_path):
    cache = tmp_path / "cache"
    assert answer(cache, path=[package]) == [0]
    assert answer(cache, path=[package]) == [1]
    with (package / "fastlstm_kernels" / "activations.py").open("a") as file:
        file.write("\n\ndef sigmoid_slope(value):\n    return 2.0 * value * (1.0 - value)\n")
    line, hits = run(ANSWER, "float64", path=[package], NUMBA_CACHE_DIR=str(cache)).splitlines()
    assert right(line, factor=2)
    assert hits == "0"


@pytest.mark.parametrize("other", [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_ENABLE_AVX": "0"}], ids=str)
def test_another_cpu_does_not_take_the_kernels_of_this_one(filled, other):
    assert answer(filled, **other) == [0]
    assert answer(filled, **other) == [1]
    assert answer(filled) == [1]


def test_a_vector_is_as_wide_as_the_features_say_that_numba_compiles_for(filled):
    width = "from fastlstm_kernels.simd import VECTOR_BYTES; print(VECTOR_BYTES)"
    name = llvmlite.binding.get_host_cpu_name()
    assert run(width, NUMBA_CPU_NAME=name) == run(width)
    assert answer(filled, NUMBA_CPU_NAME=name) == [1], "to Numba it is the same CPU, named or not"
    assert run(width, NUMBA_ENABLE_AVX="0") == run(width, NUMBA_CPU_NAME="generic")


def entries(folder, stamp):
    folder.mkdir(exist_ok=True)
    return Entries(str(folder), "kernel", stamp)


@pytest.mark.parametrize(("stamp", "key"), [("another", "key"), ("stamp", "another")])
def test_an_entry_of_another_process_under_the_same_number_is_not_used(tmp_path, stamp, key):
    ours, theirs = entries(tmp_path / "a", "stamp"), entries(tmp_path / "b", stamp)
    ours.save("key", "our kernel")
    assert ours.load("key") == "our kernel"
    theirs.save(key, "their kernel")
    shutil.copytree(tmp_path / "b", tmp_path / "a", ignore=shutil.ignore_patterns("*.nbi"), dirs_exist_ok=True)
    assert ours.load("key") is None
    ours.save("key", "our kernel")
    assert ours.load("key") == "our kernel"


def test_no_changed_bit_goes_unnoticed(tmp_path):
    ours = entries(tmp_path, "stamp")
    ours.save("key", "kernel")
    (file,) = tmp_path.glob("*.nbc")
    content = file.read_bytes()
    for k in range(len(content)):
        file.write_bytes(content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :])
        try:
            found = ours.load("key")
        except Exception:  # which counts as none: see the damaged files
            continue
        assert found in (None, "kernel"), k


def test_sources_in_an_archive(package, tmp_path):
    archive, users = tmp_path / "kernels.zip", tmp_path / "cache"
    for stamp in range(2):
        with (package / "fastlstm_kernels" / "arrays.py").open("a") as file:
            file.write(f"# {stamp}\n")
        shutil.make_archive(str(archive.with_suffix("")), "zip", package)
        for hits in ([0], [1]):
            # Numba keeps what comes from an archive in the user's own folder.
            assert answer("", path=[archive], HOME=str(users), XDG_CACHE_HOME=str(users)) == hits


def test_processes_that_compile_at_once_do_not_mix_up_their_kernels(tmp_path):
    cache = tmp_path / "cache"
    kinds = [("float32",), ("float64",), ("float32", "float64"), ("float64", "float32")]
    processes = [(dtypes, start(ANSWER, *dtypes, NUMBA_CACHE_DIR=str(cache), **ALONE)) for dtypes in kinds]
    for dtypes, process in processes:
        for dtype, line in zip(dtypes, finish(process).splitlines()[::2], strict=True):
            assert right(line, dtype)
    answer(cache, "float32", "float64")
    assert answer(cache, "float32", "float64") == [1, 1]
    assert not list(cache.rglob("*.tmp.*"))


def nowhere(tmp_path, package):
    """Settings under which no directory can be written, whoever asks (root may write where the mode forbids it)."""
    file = tmp_path / "file"
    file.touch()
    (package / "fastlstm_kernels" / "__pycache__").touch()
    below = str(file / "below")
    places = dict.fromkeys(("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), below)
    return {"path": [package], "PYTHONDONTWRITEBYTECODE": "1", **places}


@pytest.mark.parametrize("chosen", [{}, ALONE], ids=["any place", "one place"])
def test_without_a_directory_it_warns_once_and_works(tmp_path, package, chosen):
    *results, warning = run(WARNED, "float32", "float64", **nowhere(tmp_path, package), **chosen).splitlines()
    assert right(results[0], "float32")
    assert right(results[1], "float64")
    assert len(results) == 2
    reason = "no directory can be written" if chosen else "Not a directory"
    assert warning.startswith(f"CacheWarning compiled kernels cannot be kept on disk ({reason})")
    assert "NUMBA_CACHE_DIR" in warning


def test_two_reasons_make_one_warning(tmp_path):
    *results, _ = run("""
import os
from numba.core import caching
numbers = iter((28, 122))
def failing(*args):
    number = next(numbers)
    raise OSError(number, os.strerror(number))
caching.os.replace = failing
""" + WARNED, "float32", "float64", NUMBA_CACHE_DIR=str(tmp_path), **ALONE).splitlines()
    assert len(results) == 2


FAILURES = {
    "no room": "from numba.core import caching; caching.os.replace = fail(28)",
    "no permission to write": "from numba.core import caching; caching.open = fail(13)",
    "no permission to make a directory": """
import fastlstm_kernels
from numba.core import caching; caching.os.makedirs = fail(13)
""",
    "a file system that is read-only after all": """
import fastlstm_kernels
from numba.core import caching; caching.tempfile.TemporaryFile = fail(30)
""",
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_what_cannot_be_kept_costs_one_warning(tmp_path, package, failure):
    broken = f"""
import builtins, os
def fail(number):
    def failing(*args, **kwargs):
        if args and str(args[0]).endswith(".py"):
            return builtins.open(*args, **kwargs)
        raise OSError(number, os.strerror(number))
    return failing
{failure}
"""
    settings = {"NUMBA_CACHE_DIR": str(tmp_path), "path": [package]}
    *results, warning = run(broken + WARNED, "float32", "float64", **settings).splitlines()
    assert len(results) == 2
    assert right(results[0], "float32")
    assert right(results[1], "float64")
    assert warning.startswith("CacheWarning compiled kernels cannot be kept on disk (")
    assert not list(tmp_path.rglob("*.tmp.*"))


DAMAGE = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "another pickle": lambda content: b"\x80\x04K\x01.",
}


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_is_written_anew(filled, kind):
    for name, damage in DAMAGE.items():
        files = list(filled.rglob(f"*gate_delta*.{kind}"))
        assert files
        for file in files:
            file.write_bytes(damage(file.read_bytes()))
        assert answer(filled) == [0], name
    assert answer(filled) == [1]


def test_a_data_file_that_has_gone_is_written_anew(filled):
    for file in filled.rglob("*gate_delta*.nbc"):
        file.unlink()
    assert answer(filled) == [0]
    assert answer(filled) == [1]


def test_a_cache_that_is_removed_meanwhile_is_made_anew(tmp_path):
    cache = tmp_path / "cache"
    gone = DELTA + f"delta('float32'); import shutil; shutil.rmtree({str(cache)!r})"
    assert right(run(gone + ANSWER, "float64", NUMBA_CACHE_DIR=str(cache), **ALONE).splitlines()[0])
    assert answer(cache) == [1]
