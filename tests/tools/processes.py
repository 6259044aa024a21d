"""Python processes of their own, for what a test cannot do to the one it runs in."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 300
"""Seconds after which a process counts as hung."""


def start(script: Any, *arguments: str, path: Any = (ROOT, ROOT / "kernels"), **environment: str) -> Any:
    """A Python process that runs a text or a file, warnings being errors; `environment` is added to ours."""
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **environment}
    what = [str(script)] if isinstance(script, Path) else ["-c", script]
    return subprocess.Popen(
        [sys.executable, "-W", "error", *what, *arguments], env=given, text=True, cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: Any) -> str:
    """Output of a process, which must end well and in time, without a word on its standard error."""
    try:
        output, errors = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        raise AssertionError(f"hung:\n{output}{errors}") from None
    assert (process.returncode, errors) == (0, ""), f"exit status {process.returncode}:\n{output}{errors}"
    return str(output)


def run(script: Any, *arguments: str, **settings: Any) -> str:
    """Output of a process that `start` makes and `finish` waits for."""
    return finish(start(script, *arguments, **settings))
