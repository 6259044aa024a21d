"""How many cores a call may use: enough work for each, never two calls at once, never in a child that must not.

Numba's workqueue layer aborts the process when two Python threads enter it at once, and GNU's OpenMP when a forked
child does whose parent has used it. So one call at a time gets several cores, whatever the layer; a call that finds
them taken runs on the one it has, with bitwise the same result. So does every call in such a child. A fork waits for
what Numba compiles in other threads, whose lock nobody would release in the child.
"""

import os
import threading

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

SHARE = 200_000
"""Flops that make a thread worth waking: about 10 µs of work, where waking it costs 2 to 5."""

_taken = threading.Lock()
_alone = False


def _before_fork() -> None:
    global_compiler_lock.acquire()


def _after_fork() -> None:
    global _taken, _alone
    global_compiler_lock.release()
    _taken = threading.Lock()
    _alone = _alone or bool(getattr(parallel, "_is_initialized", True))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork,
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
            self._useful = min(self._useful, numba.get_num_threads() if n_threads is None else n_threads)
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
