"""Who has several cores, and how many: one parallel region of the process at a time, of whatever kernel.

Numba's workqueue layer aborts the process when two threads enter it at once, and GNU's OpenMP when a forked child does
whose parent has used it. So a region begins with a claim; where another thread has the cores, or this is such a child,
the work is done by the thread that came with it.

The claim is a flag that compiled code sets and clears: no handler of Python's runs in between. A lock of Python's would
stay taken for ever where Ctrl-C comes between it and what gives it back.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils
from numba.np.ufunc import parallel

from fastlstm_kernels.quota import own_cores

NAME = "fastlstm_cores"
"""Under which compiled code finds the flag: when it is linked, or loaded from the disk."""

AWAKE = "fastlstm_awake"
"""The same of how many of Numba's threads a region wakes, unless more workers are asked for."""

FREE, TAKEN, NEVER = range(3)
"""Values of the flag; the last for a child that must not have several cores."""

_INT, _COUNT = ir.IntType(64), ir.IntType(32)


def _cell(name: str, first: int) -> ctypes.c_int64:
    """A number of the process, which outlives this module: what has been linked goes on using it."""
    if llvm.address_of_symbol(name) is None:
        made = ctypes.c_int64(first)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
        llvm.add_symbol(name, ctypes.addressof(made))
    return ctypes.c_int64.from_address(llvm.address_of_symbol(name))


flag = _cell(NAME, FREE)

awake = _cell(AWAKE, own_cores())


def denied() -> bool:
    """Whether this process must do without a parallel region."""
    return flag.value == NEVER


def _place(builder: Any, name: str) -> Any:
    found = builder.module.globals.get(name)
    return ir.GlobalVariable(builder.module, _INT, name) if found is None else found


def emit_claim(builder: Any) -> Any:
    """Take the cores if they are free; whether they were."""
    result = builder.cmpxchg(_place(builder, NAME), _INT(FREE), _INT(TAKEN), "acquire", "monotonic")
    return builder.extract_value(result, 1)


def emit_release(builder: Any) -> None:
    """Give them back."""
    builder.store_atomic(_INT(FREE), _place(builder, NAME), "release", 8)


def emit_awake(builder: Any, workers: Any, run: Callable[[], None]) -> None:
    """Emit `run` with no more threads than the process has cores, or than workers if these are more.

    A region wakes all threads that its own may use: with 16 on 2 cores two workers took 1.5 times as long. To wake no
    more than workers would be too few: GNU's OpenMP ends the threads that are left out, and the next region to want
    them, perhaps a user's, waits for new ones (16 after 2, on 2 cores: 1.8 ms).
    """
    count = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_COUNT, []), "get_num_threads")
    limit = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [_COUNT]), "set_num_threads")
    cores, before = builder.load(_place(builder, AWAKE)), builder.zext(builder.call(count, []), _INT)

    def choose(sign: str, a: Any, b: Any) -> Any:
        return builder.select(builder.icmp_signed(sign, a, b), a, b)

    builder.call(limit, [builder.trunc(choose("<", choose(">", cores, workers), before), _COUNT)])
    run()
    builder.call(limit, [builder.trunc(before, _COUNT)])


def _in_child() -> None:
    used = getattr(parallel, "_is_initialized", True)
    flag.value = NEVER if used or denied() else FREE  # whoever had the cores is not in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
