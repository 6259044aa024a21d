"""Types shared by the kernels' annotations; Numba itself infers everything from the arguments."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""A C-contiguous float32 or float64 array; all floating arrays of one call have one dtype."""

Index: TypeAlias = npt.NDArray[np.intp]
"""A C-contiguous array of row numbers."""

intp: Callable[[int], int] = np.intp  # type: ignore[assignment]
"""An integer of one type, whatever it came from.

Numba compiles a function once more for a literal such as 0, and for the unsigned counter of a ``prange``.
"""

ZERO, ONE = intp(0), intp(1)
"""Places and strides; a literal would make Numba compile a function once more."""
