"""The sweep back by itself, against the oracle."""

import pytest

from tests.tools.helpers import assert_matches
from tests.tools.loops import Loop, both, codes, sizes


@both
@sizes
@codes
@pytest.mark.parametrize("workers", [1, 3])
def test_a_sweep_back_gives_all_gradients(rng, dtype, size, codes, workers):
    loop = Loop(rng, dtype, size, codes, workers, None, 1)
    for found, value in zip(loop.back(), loop.wanted(), strict=True):
        assert_matches(found, value, dtype)
