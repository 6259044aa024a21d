"""Settings of the whole suite."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy
import pytest
from hypothesis import HealthCheck, settings

from tests.tools.helpers import JIT_OFF
from tests.tools.processes import ROOT
from tests.tools.threads import use_all_of_numbas

# A shell's background jobs ignore Ctrl-C, and so would what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Without the JIT every kernel is a Python loop: fewer examples.
settings.register_profile(
    "suite",
    max_examples=8 if JIT_OFF else 40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

# A run with more threads than cores is to use them.
if "NUMBA_NUM_THREADS" in os.environ:
    use_all_of_numbas()


@pytest.fixture
def rng() -> numpy.random.Generator:
    return numpy.random.default_rng(20240229)


@pytest.fixture(scope="module")
def own_settings() -> Iterator[None]:
    """Processes compile for this computer, and keep kernels where they would, whatever the suite does."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "CACHE_LOCATOR_CLASSES"):
            patch.delenv(f"NUMBA_{name}", raising=False)
        yield


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of the kernels, to be edited."""
    copied = tmp_path / "root"
    shutil.copytree(ROOT / "kernels", copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def pytest_report_header() -> str:
    return f"numba {numba.__version__}, numpy {numpy.__version__}, JIT {'off' if JIT_OFF else 'on'}"
