"""The loop forwards by itself, against the oracle."""

import numpy
import pytest

import fastlstm_kernels as kernels
from fastlstm.engine.vectors import from_vectors
from tests.tools.helpers import assert_matches, by_row
from tests.tools.loops import Loop, T, both, codes, nothing, sizes


@both
@sizes
@codes
@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_keeps_gates_cells_and_hidden_states(rng, dtype, size, codes, workers):
    loop = Loop(rng, dtype, size, codes, workers, None, 1)
    F_args, Fs, I_args, Is, C_args, Cs, Hf_args, Hfs, Hs, _, _, Ss = loop.twin.feed_forward_and_cache(
        loop.x.astype(float)
    )
    assert_matches(by_row(loop.gates, size), numpy.concatenate([Fs, Is, Cs, Hfs], axis=1), dtype)
    assert_matches(from_vectors(loop.cells, size)[1:], Ss[:T], dtype)
    assert_matches(loop.hidden[1:], Hs[:T], dtype)
    z = nothing(loop.gates.shape, dtype)
    kernels.preactivations(loop.x, loop.offsets, loop.panels, z, loop.hidden, workers)
    assert_matches(by_row(z, size), numpy.concatenate([F_args, I_args, C_args, Hf_args], axis=1), dtype)
