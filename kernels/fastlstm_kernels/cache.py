"""The on-disk cache of compiled kernels: Numba's, made safe for editing, sharing and places that cannot be written.

Numba looks at the date of a kernel's own file only, so that an edit in a file it imports would go unseen; it raises
where no directory can be written; and two processes that compile at once may mix up each other's entries. The source
stamp here covers every file of the package, what fails costs a warning and a compilation, and an entry is looked at
before it is used. (Numba's key already holds the CPU's name and features.)
"""

import functools
import hashlib
import pathlib
import warnings
from typing import Any

from numba.core.caching import FunctionCache, NullCache


class CacheWarning(UserWarning):
    """Compiled kernels cannot be kept on disk; each process compiles them again."""


@functools.cache
def package_stamp() -> str:
    """A fingerprint of all source files of the package."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _warn(reason: str) -> None:
    """Once a process."""
    warnings.warn(
        f"compiled kernels cannot be kept on disk ({reason}), so each process compiles them again; set "
        "NUMBA_CACHE_DIR to a directory that can be written",
        CacheWarning,
        stacklevel=2,
    )


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Cache of one kernel."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = package_stamp()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """A compiled kernel from disk, or None where there is none that can be used."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a damaged or foreign file: whatever unpickling it raised
            return None
        if found is None or found.signature.args != tuple(sig.args if hasattr(sig, "args") else sig):
            return None
        # Numba runs these when a kernel comes from disk, but forgets to pass them on to what is compiled upon the
        # kernel; that, once cached itself, would enter the threading layer before it is started, and crash.
        found.library._reload_init.update(found.reload_init)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel on disk, if that can be done."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn(error.strerror or type(error).__name__)


def enable(dispatcher: Any) -> None:
    """Give a dispatcher its cache."""
    try:
        dispatcher._cache = KernelCache(dispatcher.py_func)
    except (RuntimeError, OSError):  # no directory for it can be written
        dispatcher._cache = NullCache()
        _warn("no directory can be written")
