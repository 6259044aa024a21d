"""The on-disk cache of compiled kernels: Numba's, made safe for editing, sharing and places that cannot be written.

Numba looks at a kernel's own file only, so that an edit in a file it imports would go unseen; it reads nothing where it
could not write, raises where no directory can be written or a file is damaged; and processes that compile at once may
mix up each other's entries. The source stamp here covers every file of the package, kernels are read wherever they lie,
what fails costs a warning and a compilation, and an entry tells what it is and is looked at before it is used. (Numba's
key already holds the CPU's name and features, and the width of a vector follows from these.)
"""

import contextlib
import functools
import hashlib
import importlib.resources
import inspect
import warnings
from typing import Any

import llvmlite
from numba.core.caching import NullCache

from fastlstm_kernels.places import KINDS, Place


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


class KernelCache(NullCache):  # type: ignore[misc]
    """Cache of one kernel: read wherever Numba may have kept it, written where that works first."""

    def __init__(self, function: Any) -> None:
        self._function = function
        # Now, for what runs is what was imported, whatever the file holds by the time a kernel is compiled. The content
        # counts, and not the file's time as in Numba before 0.68: archives and images of disks round it.
        lines, _ = inspect.findsource(function)
        self._stamp = hashlib.sha256("".join(lines).encode()).hexdigest() + package_stamp()
        self._found: list[Place] | None = None

    @property
    def _places(self) -> list[Place]:
        # Not functools.cached_property, whose lock a child forked meanwhile would wait for (before Python 3.12).
        if self._found is None:
            self._found = self._look()
        return self._found

    def _look(self) -> list[Place]:
        found: dict[str, Place] = {}
        for kind in KINDS:
            with contextlib.suppress(Exception):  # not a kind for this function: Numba has several errors for it
                place = Place(self._function, kind, self._stamp)
                found.setdefault(place.cache_path, place)
        return list(found.values())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """A compiled kernel from disk, or None where there is none that can be used."""
        for place in self._places:
            try:
                found = place.load_overload(sig, target_context)
            except Exception:  # no permission, a damaged or foreign file: whatever unpickling it raised
                continue
            if found is not None:
                # What has to run before this kernel can, starting the threads, a kernel compiled with it inherits
                # from here. Numba leaves it out: loading that kernel then ends a process that has started none.
                found.library._reload_init.update(found.reload_init)
                return found
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel on disk, if that can be done."""
        reasons = []
        for place in self._places:
            try:
                return place.save_overload(sig, data)
            except Exception as error:
                reasons.append(getattr(error, "strerror", None) or type(error).__name__)
        _warn(next(iter(reasons), "no directory can be written"))

    def flush(self) -> None:
        """Forget what is on disk, before a kernel is compiled anew."""
        for place in self._places:
            with contextlib.suppress(OSError):
                place.flush()


def enable(dispatcher: Any) -> None:
    """Give a dispatcher its cache."""
    try:
        dispatcher._cache = KernelCache(dispatcher.py_func)
    except Exception:  # Numba's is there to stay: it keeps nothing
        _warn("no sources can be read")
