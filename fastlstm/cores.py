"""How many cores a call may use: enough work for each, never two calls at once, never in a child that must not.

Numba's workqueue layer aborts the process when two Python threads enter it at once, and GNU's OpenMP when a forked
child does whose parent has used it. So one call at a time gets several cores, whatever the layer; a call that finds
them taken runs on the one it has, with bitwise the same result. So does every call in such a child. A fork waits for
what Numba compiles, or counts, in other threads, whose locks nobody would release in the child.
"""

import os
import threading

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

SHARE = 200_000
"""Flops that make a thread worth waking: about 10 µs of work, where waking it costs 2 to 5."""

_taken = threading.Lock()
_counting = threading.RLock()
_alone = False


def available() -> int:
    """How many cores a call may use at most: Numba's number of threads, and one in a child that must not."""
    if _alone:
        return 1  # not even counted: another thread of the parent may have held the locks of Numba that this takes
    with _counting:
        return int(numba.get_num_threads())


def _before_fork() -> None:
    global_compiler_lock.acquire()
    _counting.acquire()


def _release() -> None:
    _counting.release()
    global_compiler_lock.release()


def _in_child() -> None:
    global _taken, _alone
    _release()
    _taken = threading.Lock()
    _alone = _alone or bool(getattr(parallel, "_is_initialized", True))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_release,
        after_in_child=_in_child,
    )


class borrowed:
    """Cores for one call, for a ``with`` statement; a class, since a generator costs 1 µs more.

    Parameters
    ----------
    n_threads : int or None
        At most so many; None for Numba's number.
    flops : int
        Work of the call's parallel regions.

    Notes
    -----
    Entering gives an int: how many workers to use.
    """

    __slots__ = ("_lock", "_useful")

    def __init__(self, n_threads: int | None, flops: int) -> None:
        self._useful = flops // SHARE
        if self._useful > 1:
            self._useful = min(self._useful, available() if n_threads is None else n_threads)
        self._lock: threading.Lock | None = None

    def __enter__(self) -> int:
        lock = _taken
        if self._useful <= 1 or _alone or not lock.acquire(blocking=False):
            return 1
        self._lock = lock
        return self._useful

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.release()
