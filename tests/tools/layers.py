"""Numba's threading layers and forks, for tests in processes of their own."""

import os

import pytest

from tests.tools.processes import run

LAYERS = ["workqueue", "omp", "tbb"]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


def layer_or_skip(layer: str) -> dict[str, str]:
    """Environment that chooses a threading layer, where there is one; with at least four threads."""
    chosen = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "4"}
    there = run("""
import numba
from numba.np.ufunc.parallel import _launch_threads
try:
    _launch_threads()
    print(numba.threading_layer())
except ValueError:
    print("none")
""", **chosen)
    if there.strip() != layer:
        pytest.skip(f"Numba's {layer} threading layer is not installed")
    return chosen


FORK = """
import os, time, warnings

def fork_and_check():
    # From Python 3.12 on, os.fork warns wherever the parent has other threads; that it works all the same is the claim.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        child = os.fork()
    if not child:
        status = 1
        try:
            check_all()
            status = 0
        finally:
            os._exit(status)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            assert status == 0, f"the child ended with {status}"
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hung")
"""
"""A function for scripts that have a function `check_all`, which their children run."""
