"""Files that are whole or not there: whenever the process or the machine stops, the old or the new one is there.

What is being written has a name of its own beside the target, which says that it is ours. It goes away when writing
fails; what a killed process has left is removed by the next one that writes there, and nothing else ever is.
"""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ModuleNotFoundError:  # pragma: no cover - Windows, where an open file cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

LONGEST = 200
"""Bytes of a target's name that go into the temporary one; file systems take 255."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file, for a ``with`` statement, at whose end it takes the place of `path` in one step.

    Parameters
    ----------
    path : path
        Of the file; where it is a link, the file that it points to is replaced.

    Yields
    ------
    binary file
        On the disk, whole, when the statement has ended.

    Raises
    ------
    OSError
        The file cannot be written, or `path` is something else than a file. An old file is as it was.
    """
    target = _target(path)
    _clear(target)
    temporary = _temporary(target)
    try:
        with temporary.open("xb") as file:
            _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere folders cannot be opened
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def check(path: str | os.PathLike[str]) -> None:
    """Raise unless a file can be written there.

    Raises
    ------
    OSError
        It cannot: there is no such folder, or no permission, or something else than a file in its place.
    """
    temporary = _temporary(_target(path))
    try:
        with temporary.open("xb"):
            pass
    finally:
        temporary.unlink(missing_ok=True)


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "It is no file, and must not be replaced by one", str(path))
    if not target.parent.exists():
        raise FileNotFoundError(errno.ENOENT, f"There is no folder {target.parent}", str(path))
    return target


def _stem(target: Path) -> str:
    name = os.fsencode(target.name)
    return os.fsdecode(name[:LONGEST]) if len(name) > LONGEST else target.name


def _temporary(target: Path) -> Path:
    return target.with_name(f"{_stem(target)}.fastlstm-{secrets.token_hex(4)}.tmp")


def _clear(target: Path) -> None:
    """Remove what killed processes have left of the target."""
    ours = re.compile(re.escape(_stem(target)) + r"\.fastlstm-[0-9a-f]{8}\.tmp")
    for left in target.parent.iterdir():
        if ours.fullmatch(left.name) and left.is_file() and not left.is_symlink():
            # An error: another process is writing it, or it is gone.
            with contextlib.suppress(OSError), left.open("rb+") as file:
                _lock(file)
                left.unlink()


def _lock(file: BinaryIO) -> None:
    """Show other processes that the file is being written, until it is closed; raise if another one shows that."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
