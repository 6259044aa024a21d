"""How many cores a call may use: enough work for each, and none but its own where it must not share them.

That one call at a time gets several, and a forked child of a process that has used them never, is seen to where they
are entered: `fastlstm_kernels.claim`. A call that does not get them runs on the one it has, with bitwise the same
result. So does every call where other code may be in a threading layer that only one thread may enter.

A fork waits for what Numba compiles, or starts, in other threads, whose locks nobody would release in the child.
"""

import functools
import os
import sys
import threading

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

from fastlstm_kernels.claim import denied
from fastlstm_kernels.quota import own_cores

SHARE = 200_000
"""Flops that make a thread worth waking: about 10 µs of work, where waking it costs 2 to 5."""

_starting = threading.RLock()


def _before_fork() -> None:
    global_compiler_lock.acquire()
    _starting.acquire()


def _after_fork() -> None:
    _starting.release()
    global_compiler_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _count() -> int:
    """Numba's number of threads, for this Python thread; starts them."""
    # Numba's own function takes locks, one of them in Python, which Ctrl-C may leave taken: so it is called only once.
    count = getattr(parallel, "_get_num_threads", None)
    if count is not None:
        return count()  # type: ignore[no-any-return]
    with _starting:
        return int(numba.get_num_threads())


@functools.cache
def _is_single() -> bool:
    """Whether the process would be aborted when two threads are in Numba's threading layer at once."""
    _count()  # until they have been started, the layer has no name
    return bool(numba.threading_layer() == "workqueue")


def available(n_threads: int | None = None) -> int:
    """How many cores a call may use at most.

    Parameters
    ----------
    n_threads : int, optional
        No more than these; by default Numba's number, but no more than the process may use.
    """
    if n_threads == 1 or denied():
        return 1  # not even counted: in a child, another thread of the parent may have held Numba's locks
    if _is_single() and len(sys._current_frames()) > 1:
        return 1  # a function of another thread's may be in the layer
    return min(_count(), own_cores()) if n_threads is None else n_threads


def useful(n_threads: int | None, flops: int) -> int:
    """How many workers a call should use.

    Parameters
    ----------
    n_threads : int or None
        At most so many; None for Numba's number.
    flops : int
        Work of the call's parallel regions.
    """
    enough = flops // SHARE
    return min(enough, available(n_threads)) if enough > 1 else 1
