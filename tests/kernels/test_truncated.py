"""Windows by themselves, against the oracle."""

import pytest

from tests.tools.helpers import assert_matches
from tests.tools.loops import Loop, both, codes, sizes


@both
@sizes
@codes
@pytest.mark.parametrize(("truncate", "stride"), [(0, 1), (2, 1), (1, 2)])
def test_windows_give_truncated_gradients(rng, dtype, size, codes, truncate, stride):
    loop = Loop(rng, dtype, size, codes, 1, truncate, stride)
    for found, value in zip(loop.back(truncate, stride), loop.wanted(), strict=True):
        assert_matches(found, value, dtype)
