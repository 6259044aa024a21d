"""Who has several cores: one parallel region of the process at a time, of whatever kernel.

Numba's workqueue layer aborts the process when two threads enter it at once, and GNU's OpenMP when a forked child does
whose parent has used it. So a region begins with a claim; where another thread has the cores, or this is such a child,
the work is done by the thread that came with it.

The claim is a flag that compiled code sets and clears: no handler of Python's runs in between. A lock of Python's would
stay taken for ever where Ctrl-C comes between it and what gives it back.
"""

import ctypes
import os
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.np.ufunc import parallel

NAME = "fastlstm_cores"
"""Under which compiled code finds the flag: when it is linked, or loaded from the disk."""

FREE, TAKEN, NEVER = range(3)
"""Values of the flag; the last for a child that must not have several cores."""

_INT = ir.IntType(64)


def _flag() -> ctypes.c_int64:
    """The flag of the process, which outlives this module: what has been linked goes on using it."""
    if llvm.address_of_symbol(NAME) is None:
        made = ctypes.c_int64(FREE)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
        llvm.add_symbol(NAME, ctypes.addressof(made))
    return ctypes.c_int64.from_address(llvm.address_of_symbol(NAME))


flag = _flag()


def denied() -> bool:
    """Whether this process must do without a parallel region."""
    return flag.value == NEVER


def _place(builder: Any) -> Any:
    found = builder.module.globals.get(NAME)
    return ir.GlobalVariable(builder.module, _INT, NAME) if found is None else found


def emit_claim(builder: Any) -> Any:
    """Take the cores if they are free; whether they were."""
    result = builder.cmpxchg(_place(builder), _INT(FREE), _INT(TAKEN), "acquire", "monotonic")
    return builder.extract_value(result, 1)


def emit_release(builder: Any) -> None:
    """Give them back."""
    builder.store_atomic(_INT(FREE), _place(builder), "release", 8)


def _in_child() -> None:
    used = getattr(parallel, "_is_initialized", True)
    flag.value = NEVER if used or denied() else FREE  # whoever had the cores is not in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
