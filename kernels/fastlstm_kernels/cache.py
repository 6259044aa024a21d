"""The on-disk cache of compiled kernels: Numba's, made safe for editing, sharing and places that cannot be written.

Numba looks at a kernel's own file only, so that an edit in a file it imports would go unseen; it raises where no
directory can be written or a file is damaged; and processes that compile at once may mix up each other's entries. The
source stamp here covers every file of the package, what fails costs a warning and a compilation, and an entry tells
what it is and is looked at before it is used. (Numba's key already holds the CPU's name and features, and the width
of a vector follows from these.)
"""

import functools
import hashlib
import importlib.resources
import pickle
import warnings
from typing import Any

import llvmlite
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache
from numba.core.serialize import dumps


class CacheWarning(UserWarning):
    """Compiled kernels cannot be kept on disk; each process compiles them again."""


@functools.cache
def package_stamp() -> str:
    """A fingerprint of all source files of the package, which may lie in an archive, and of the compiler."""
    digest = hashlib.sha256(llvmlite.__version__.encode())
    for file in sorted(importlib.resources.files("fastlstm_kernels").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


_warned: list[str] = []


def _warn(reason: str) -> None:
    """Once a process."""
    if _warned:
        return
    _warned.append(reason)
    warnings.warn(
        f"compiled kernels cannot be kept on disk ({reason}), so each process compiles them again; set "
        "NUMBA_CACHE_DIR to a directory that can be written",
        CacheWarning,
        stacklevel=2,
    )


class Entries(IndexDataCacheFile):  # type: ignore[misc]
    """Index and entries of one kernel.

    Numba numbers the entries. Processes that write at once may take one number for two: for two dtypes, for two kinds
    of computer that share a home directory, for sources before and after an edit.
    """

    def save(self, key: Any, data: Any) -> None:
        """Write an entry, with what it is and a checksum: running damaged machine code would end the process."""
        entry = dumps((self._source_stamp, key, data))
        super().save(key, (hashlib.sha256(entry).digest(), entry))

    def load(self, key: Any) -> Any:
        """The entry of this key, or None."""
        found = super().load(key)
        if found is None or hashlib.sha256(found[1]).digest() != found[0]:
            return None
        stamp, its_key, data = pickle.loads(found[1])
        return data if (stamp, its_key) == (self._source_stamp, key) else None

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except Exception:  # damaged or foreign, whatever unpickling it raised: as good as none
            return {}


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Cache of one kernel."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp(), package_stamp()
        self._cache_file: Any = Entries(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """A compiled kernel from disk, or None where there is none that can be used."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a damaged or foreign file: whatever unpickling it raised
            return None
        if found is not None:
            # What has to run before this kernel can, starting the threads, a kernel that is compiled with it inherits
            # from here. Numba leaves it out: loading that kernel then ends a process that has started none.
            found.library._reload_init.update(found.reload_init)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel on disk, if that can be done."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _warn(getattr(error, "strerror", None) or type(error).__name__)


def enable(dispatcher: Any) -> None:
    """Give a dispatcher its cache."""
    try:
        dispatcher._cache = KernelCache(dispatcher.py_func)
    except Exception:  # no directory for it can be written, or no source can be read: Numba has several errors for it
        dispatcher._cache = NullCache()
        _warn("no directory can be written")
