"""Compiled kernels in one directory: Numba's files, each of which says what it is.

Where Numba would look for a directory that can be written, and take the first, each is a place to read from here.
"""

import functools
import hashlib
import pickle
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator
from numba.core.serialize import dumps

KINDS: list[Any] = CompileResultCacheImpl._locator_classes
"""Numba's kinds of directories, in its order: NUMBA_CACHE_DIR, beside the source, the user's own, and special ones."""


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


class Place(FunctionCache):  # type: ignore[misc]
    """One kernel's files in one directory, which need not exist, nor let itself be written, before there is a need.

    Parameters
    ----------
    function : callable
        The kernel, in Python.
    kind : type
        Numba's locator of the directory. The setting ``NUMBA_CACHE_LOCATOR_CLASSES`` takes its place.
    stamp : str
        Of the sources: files with another count as none.
    """

    def __init__(self, function: Any, kind: Any, stamp: str) -> None:
        self._impl_class = _choice(kind)
        super().__init__(function)
        self._cache_file: Any = Entries(self._cache_path, self._impl.filename_base, stamp)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a compiled kernel."""
        _CacheLocator.ensure_cache_path(self._impl.locator)
        super().save_overload(sig, data)


@functools.cache
def _choice(kind: Any) -> Any:
    """Numba's choice of a directory, which has this kind only to choose from, and takes it unasked."""
    unasked = type(kind.__name__, (kind,), {"ensure_cache_path": lambda self: None})
    return type("Choice", (CompileResultCacheImpl,), {"_locator_classes": [unasked]})
