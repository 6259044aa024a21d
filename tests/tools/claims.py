"""Kernels that tell who has the cores, or keep them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy

from fastlstm_kernels import claim, phases, threads


@numba.njit
def _note(worker: int, workers: int, seen: Any) -> None:
    seen[worker] = workers


@numba.njit(nogil=True)
def _shared_note(seen: Any, workers: int) -> None:
    threads.share(_note, (seen,), workers)


def noted(workers: int = 3) -> list[int]:
    """What each worker of a region finds their number to be; 0 where there is no such worker."""
    seen = numpy.zeros(workers, numpy.int64)
    _shared_note(seen, workers)
    return list(seen.tolist())


@numba.njit
def _ask(worker: int, workers: int, seen: Any) -> None:
    seen[worker] = numba.get_num_threads()


@numba.njit
def _shared_ask(seen: Any, workers: int) -> None:
    threads.share(_ask, (seen,), workers)


def awake(workers: int) -> list[int]:
    """How many of Numba's threads each worker of a region is one of."""
    seen = numpy.zeros(workers, numpy.int64)
    _shared_ask(seen, workers)
    return list(seen.tolist())


SHARED, ALONE = [3, 3, 3], [1, 0, 0]
"""What `noted` gives where there are cores, and where there are none."""


@numba.njit
def _stay(worker: int, workers: int, door: Any) -> None:
    looks = 0
    while phases._read(door, 0) == 0:
        looks += 1
        phases._rest(looks)


@numba.njit(nogil=True)
def _shared_stay(door: Any, workers: int) -> None:
    threads.share(_stay, (door,), workers)


@contextmanager
def occupied() -> Iterator[None]:
    """Another thread is in a parallel region meanwhile."""
    _shared_stay(numpy.ones(1, numpy.int64), 1)  # compiled before
    door = numpy.zeros(1, numpy.int64)
    thread = threading.Thread(target=_shared_stay, args=(door, 2), daemon=True)
    thread.start()
    while claim.flag.value != claim.TAKEN:
        time.sleep(0.001)
    try:
        yield
    finally:
        door[0] = 1
        thread.join(60)
        assert not thread.is_alive()
