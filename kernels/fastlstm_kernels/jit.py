"""The one decorator that holds every compiler flag.

Set ``NUMBA_DISABLE_JIT=1`` and every kernel runs as plain Python, so that a debugger can step through it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from fastlstm_kernels import cache
from fastlstm_kernels.device import DeviceCompiler

Function = TypeVar("Function", bound=Callable[..., Any])


def jit(
    *, device: bool = False, inline: bool = False, parallel: bool = False, kept: bool = True
) -> Callable[[Function], Function]:
    """Compile a kernel with the library's flags.

    A product and a sum may become one fused multiply-add. Nothing is assumed about NaN or infinity, which come out
    as they do in NumPy.

    Parameters
    ----------
    device : bool
        True for a device function, which only compiled code calls; leaving out what Python would need to call it
        takes a third off the compilation, and leaving it to its callers another; see `device`. It allocates nothing,
        and counts no references: those of its arrays are its caller's. (Counting, by atomic operations, took 60 ns of
        a step of 170, and threads that share an array would get into each other's way.)
    inline : bool
        True for a device function with one or two callers, or a few lines, to become part of them before types are
        inferred.
    parallel : bool
        True for a function with a ``prange``.
    kept : bool
        False for one of many functions that share a name, which the cache on disk could not tell apart.

    Returns
    -------
    callable
        A decorator. Compilation happens at the first call with a new set of types and is kept on disk; see `cache`.
    """
    flags: dict[str, Any] = {
        **({"pipeline_class": DeviceCompiler} if device else {}),
        "parallel": parallel,
        "fastmath": {"contract"},
        "error_model": "numpy",
        "nogil": True,
        "no_cpython_wrapper": device,
        "no_cfunc_wrapper": device,
        "inline": "always" if inline else "never",
        "_nrt": not device,
    }

    def decorate(function: Function) -> Function:
        compiled: Function = numba.njit(function, **flags)
        if kept and not numba.config.DISABLE_JIT:
            cache.enable(compiled)
        return compiled

    return decorate
