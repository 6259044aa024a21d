"""How many cores the system lets this process use: containers and batch systems give fewer than the machine has.

Linux says so in two places: the affinity of the process, and the quotas of its control group and of those above it
(kernel documentation, "Control Group v2", cpu.max; for version 1, "CFS Bandwidth Control").
"""

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

GROUPS = Path("/sys/fs/cgroup")
"""Where control groups are mounted: version 2 here, of version 1 the controllers of processors in a folder of it."""

MEMBER = Path("/proc/self/cgroup")
"""Which groups the process is in: lines of a number, controllers (none for version 2) and a path, with colons."""


@functools.cache
def own_cores() -> int:
    """Cores for this process, at least 1; a quota of one and a half counts as 2. The system is asked once."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([count, *_quotas()])))


def _quotas() -> Iterator[float]:
    """Cores' worth of time of each control group above the process that has a limit."""
    for mount, path in _groups():
        for group in [path, *path.parents]:
            with contextlib.suppress(OSError, ValueError):
                yield _quota(mount / group.relative_to("/"))


def _groups() -> Iterator[tuple[Path, PurePosixPath]]:
    with contextlib.suppress(OSError, ValueError):
        for line in MEMBER.read_text("utf-8", "surrogateescape").splitlines():  # names are bytes, as those of files
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                yield GROUPS / ("cpu" if controllers else ""), PurePosixPath(path)


def _quota(group: Path) -> float:
    """Raises OSError where a group says nothing of it, and ValueError where there is no limit."""
    if (group / "cpu.max").exists():
        quota, period = map(float, (group / "cpu.max").read_text("utf-8").split())  # "max" without a limit
    else:
        quota, period = (float((group / f"cpu.cfs_{name}_us").read_text("utf-8")) for name in ("quota", "period"))
    if quota <= 0:  # -1 without a limit
        raise ValueError(quota)
    return quota / period
