"""What goes wrong with the cache of compiled kernels stays inside it; `test_cache` shows the same for processes."""

import warnings

import pytest
from numba.core.caching import FunctionCache

from fastlstm_kernels import cache, places


def kernel():
    """Some function that lies in a file."""


@pytest.fixture
def kept(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "_warned", [])
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("numba.config.CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator")
    return cache.KernelCache(kernel)


def fail(*_):
    raise OSError(28, "No space left on device")


def test_a_damaged_index_counts_as_empty(tmp_path):
    entries = places.Entries(str(tmp_path), "base", ("stamp",))
    entries.save(("key",), "kernel")
    assert entries.load(("key",)) == "kernel"
    for path in tmp_path.glob("*.nbi"):
        path.write_bytes(path.read_bytes()[:20])
    assert entries.load(("key",)) is None


def test_what_cannot_be_read_is_compiled(kept, monkeypatch):
    monkeypatch.setattr(FunctionCache, "load_overload", fail)
    assert kept.load_overload((), None) is None


def test_what_cannot_be_written_costs_one_warning(kept, monkeypatch):
    monkeypatch.setattr(FunctionCache, "save_overload", fail)
    with pytest.warns(cache.CacheWarning, match="No space left on device"):
        kept.save_overload((), None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept.save_overload((), None)


def test_without_sources_nothing_is_kept(kept, monkeypatch):
    monkeypatch.setattr("inspect.findsource", fail)

    class Dispatcher:
        py_func = kernel

    with pytest.warns(cache.CacheWarning, match="no sources can be read"):
        cache.enable(Dispatcher)
    assert not hasattr(Dispatcher, "_cache")


def test_what_is_compiled_anew_is_forgotten_first(kept):
    (place,) = kept._places
    place._cache_file.save("key", "kernel")
    assert place._cache_file.load("key") == "kernel"
    kept.flush()
    assert place._cache_file.load("key") is None
