"""No kernel touches memory outside its arrays, and no result depends on what scratch held before."""

import mmap
import os
import subprocess
import sys

import pytest

import fastlstm_kernels
from tests.tools.helpers import JIT_OFF

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(JIT_OFF or not hasattr(mmap, "PROT_READ"), reason="for compiled code on POSIX"),
]


def python(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NUMBA_NUM_THREADS": "3"}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", *arguments], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("side", ["end", "begin"])
def test_every_kernel_stays_inside_its_arrays(side):
    ended = python("-m", "tests.tools.guarded", side)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, f"last: {lines[-1:]}\n{ended.stderr[-5000:]}"
    assert {line.split()[0] for line in lines} == set(fastlstm_kernels.__all__)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(("side", "place"), [("end", "a.nbytes"), ("begin", "-1")])
def test_guards_are_where_arrays_end_and_begin(side, place, size):
    code = (
        f"import ctypes, numpy; from tests.tools.guarded import Guards; a = Guards({side!r}).copy(numpy.ones({size})); "
        "print(a.sum(), flush=True); ctypes.string_at(a.ctypes.data + {}, 1); print('alive')"
    )
    ended = python("-c", code.format(place))
    assert ended.stdout.split() == [str(float(size))]
    assert ended.returncode < 0
