"""docs/rollouts.py: an LSTM policy in a user's compiled loop does what it does through the stepper."""

import importlib.util
import re

import numba
import numpy
import pytest

from fastlstm import nn
from tests.tools.helpers import JIT_OFF
from tests.tools.processes import ROOT

SPEC = importlib.util.spec_from_file_location("rollouts", ROOT / "docs" / "rollouts.py")
rollouts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(rollouts)

UNITS, STEPS, COUNT = 5, 4 if JIT_OFF else 60, 3 if JIT_OFF else 37


@pytest.fixture
def policy():
    """A layer, a readout and gusts."""
    rng = numpy.random.default_rng(1)
    return nn.LSTM(4, UNITS, seed=1), rng.normal(0, 30, UNITS).astype("float32"), rollouts.wind(COUNT, STEPS, 3)


@pytest.fixture
def threads():
    """Sets the number of threads, until the test has ended."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


@pytest.mark.long
def test_compiled_rollouts_earn_what_the_stepper_earns(policy, threads):
    layer, readout, gusts = policy
    expected = rollouts.from_python(layer, readout, gusts)
    assert len(set(expected)) == COUNT
    results = []
    most = numba.config.NUMBA_NUM_THREADS
    for run, count in [(rollouts.serial, 1), (rollouts.parallel, 1), (rollouts.parallel, most)]:
        threads(count)
        results += [run(layer.panels(), readout, gusts, together) for together in (1, 2, 16)]
    for rewards in results:
        numpy.testing.assert_array_equal(rewards, results[0])
        numpy.testing.assert_allclose(rewards, expected, rtol=0, atol=1e-5)


def test_a_rollout_has_the_same_wind_in_any_company():
    numpy.testing.assert_array_equal(rollouts.wind(5, 7, 1)[:3], rollouts.wind(3, 7, 1))


@pytest.mark.long
def test_the_example_compares_them_and_finds_a_readout(capsys, monkeypatch):
    if JIT_OFF:
        monkeypatch.setattr(rollouts, "STEPS", 2)
    monkeypatch.setattr(rollouts, "ROLLOUTS", 8 if JIT_OFF else 256)
    monkeypatch.setattr(rollouts, "READOUTS", 2 if JIT_OFF else 64)
    rollouts.main()
    *speeds, found = capsys.readouterr().out.splitlines()
    assert all("steps/s" in line for line in speeds)
    assert len(speeds) == 4
    best, median = map(float, re.findall(r" (-?[0-9.]+)[,;]", found))
    assert JIT_OFF or best > 0.95 > 0.5 > median
