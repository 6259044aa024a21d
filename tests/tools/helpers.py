"""What several test files need: models in pairs, shapes, and comparisons that look at shape and dtype too."""

from typing import Any

import numba
import numpy
from hypothesis import strategies as st

import fastlstm
from fastlstm import oracle
from fastlstm.oracle.lstm import GATES

JIT_OFF = bool(numba.config.DISABLE_JIT)
LARGEST = 9 if JIT_OFF else 37
TOLERANCE = {numpy.dtype(numpy.float64): 1e-10, numpy.dtype(numpy.float32): 1e-4}
NAMES = [kind + "_" + g for kind in "WUb" for g in GATES] + ["W_o", "b_o"]

sizes = st.sampled_from([n for n in (1, 2, 3, 5, 8, 17, 37) if n <= LARGEST])
lengths = st.sampled_from([n for n in (0, 1, 2, 3, 7, 17, 33) if n <= LARGEST])
strides = st.sampled_from([1, 1, 2, 3, 5, 16, 40])
truncations = st.sampled_from([0, 1, 2, 4, 16, 40, None])
dtypes = st.sampled_from([numpy.float32, numpy.float64])
gradients = st.sampled_from(["exact", "reference"])


def assert_matches(ours: Any, oracles: Any, dtype: Any = numpy.float64, floor: float = 1e-14) -> None:
    """Same shape and dtype, and values within the contract's tolerance."""
    ours, oracles, dtype = numpy.asarray(ours), numpy.asarray(oracles), numpy.dtype(dtype)
    assert ours.shape == oracles.shape
    assert ours.dtype == dtype
    if dtype == numpy.float32:
        largest = numpy.abs(oracles).max(initial=0)
        numpy.testing.assert_allclose(ours, oracles, rtol=0, atol=TOLERANCE[dtype] * max(largest, 1e-30))
    else:
        # An element that cancels to nearly nothing has no relative accuracy in any order of summation.
        largest = numpy.abs(oracles[numpy.isfinite(oracles)]).max(initial=0)
        numpy.testing.assert_allclose(ours, oracles, rtol=TOLERANCE[dtype], atol=floor * largest)


def flatten(gradients: Any) -> list[Any]:
    """The fifteen arrays of `back_propagate_through_time`."""
    *groups, d_x = gradients
    return [array for group in groups for array in group] + [d_x]


def pair(*args: Any, dtype: Any = numpy.float64, **kwargs: Any) -> tuple[fastlstm.LSTM, oracle.LSTM]:
    """Our model, and the oracle's in float64 with the very same parameters."""
    ours = fastlstm.LSTM(*args, dtype=dtype, **kwargs)
    twin = oracle.LSTM(*args, **{k: v for k, v in kwargs.items() if k != "n_threads"})
    for name in NAMES:
        setattr(twin, name, ours.parameters[name].astype(numpy.float64))
    return ours, twin


def one_hot(rng: numpy.random.Generator, steps: int, width: int) -> Any:
    """Random one-hot rows, (steps, width)."""
    return numpy.eye(width)[rng.integers(0, width, steps)].reshape(steps, width)


def by_row(gates: Any, size: int) -> Any:
    """Vectors of gates (blocks, N, 4 lanes), as kernels have them, as rows (N, 4 size)."""
    count, rows, width = gates.shape
    whole = gates.reshape(count, rows, 4, width // 4).transpose(1, 2, 0, 3).reshape(rows, 4, count * width // 4)
    return whole[:, :, :size].reshape(rows, 4 * size)
