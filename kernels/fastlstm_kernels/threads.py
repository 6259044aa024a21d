"""How work is shared out: the one parallel region of the library, and who computes what.

A kernel runs ``share(function, arguments, workers)``, which calls ``function(worker, workers, *arguments)`` for each
worker. All kernels go through the same small `prange` loop, which calls them through a pointer: Numba's parallel
compilation (1.2 s a region) is paid once and not for every kernel. One worker is called directly, so that serial
work never enters a threading layer; and where the cores are taken (see `claim`) one worker does the work of all.

Within a region, work that has to wait for other work goes in phases; see `phases`.

Every result is bitwise the same for any number of workers, because each element is computed by one of them, in one
order. While a worker runs, denormal numbers count as zero (x86), and the thread's setting is restored afterwards:
saturated gates would make a step many times slower.
"""

from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import prange
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastlstm_kernels.arrays import intp
from fastlstm_kernels.claim import emit_awake, emit_claim, emit_release
from fastlstm_kernels.jit import jit

_FLUSH = 0x8040
"""MXCSR's bits for results (15) and operands (6) that are denormal."""

_X86 = llvm.get_process_triple().startswith(("x86_64", "i686"))
_INT, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()
_TASK = ir.FunctionType(ir.VoidType(), [_BYTES, _INT, _INT])


@jit(device=True, inline=True)
def span(worker: int, workers: int, rows: int, block: int = 1) -> tuple[int, int]:
    """First and last-plus-one row of a worker's share of `rows` rows, in whole blocks.

    Parameters
    ----------
    worker : int
        Which worker, from 0 to `workers` - 1.
    workers : int
        How many workers share the rows; at least 1.
    rows : int
        How many rows there are.
    block : int
        Rows that must not be cut.

    Returns
    -------
    first, last : int
        The half-open range; empty where there are fewer blocks than workers.

    Notes
    -----
    Inlined: across a call that might raise Numba counts references to all arrays at hand, by atomic operations. In a
    step of 8 units that was 60 ns of 170, and threads that share an array would get into each other's way.
    """
    if workers == 1:  # without a division
        return intp(0), rows
    blocks = (rows + block - 1) // block
    return min(rows, block * (worker * blocks // workers)), min(rows, block * ((worker + 1) * blocks // workers))


LONG_STEP = 6_000
"""Multiply-adds of a step and worker from which sharing the units of each step pays.

One sequence, a step by one worker and by two: 32 hidden units 0.31 µs and 0.33, 64: 0.92 and 0.60, 256: 13 and 5.8.
"""


BLOCK_ROWS = 3
"""Rows of a step that take as long as fetching the weights of a block."""


def share_units(batch: int, size: int, blocks: int, workers: int, ragged: bool) -> bool:
    """Whether workers share the units of each step, rather than the sequences; for Python, not compiled.

    Units come in blocks, so that one worker may have more of them than the others, who wait for it at each step. Of
    sequences of several lengths the first worker has the longest.
    """
    if workers == 1 or blocks < workers or 4 * batch * size * size // workers < LONG_STEP:
        return workers == 1
    by_unit = (blocks + workers - 1) // workers * (batch + BLOCK_ROWS)
    by_sequence = blocks * ((batch + workers - 1) // workers + BLOCK_ROWS)
    return ragged or batch < workers or by_unit <= by_sequence


shares_units = jit(device=True)(share_units)
"""The same for kernels."""


@intrinsic  # type: ignore[untyped-decorator]
def _invoke(typingctx: Any, task: Any, arguments: Any, worker: Any, workers: Any) -> Any:
    """Call a task through its address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        task, arguments, worker, workers = args
        function = builder.inttoptr(task, _TASK.as_pointer())
        builder.call(function, [builder.inttoptr(arguments, _BYTES), worker, workers])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), codegen


@jit(parallel=True)
def _region(task: int, arguments: int, workers: int) -> None:  # pragma: no cover - compiled only; JIT off goes without
    for worker in prange(workers):
        _invoke(task, arguments, intp(worker), workers)


def _flushing(builder: Any, run: Any) -> None:
    """Emit `run` with denormals flushed to zero, and the setting restored behind it."""
    if not _X86:
        run()
        return
    kind = ir.FunctionType(ir.VoidType(), [_BYTES])
    read, write = (
        cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}mxcsr") for name in ("st", "ld")
    )
    held, changed = cgutils.alloca_once(builder, ir.IntType(32)), cgutils.alloca_once(builder, ir.IntType(32))
    builder.call(read, [builder.bitcast(held, _BYTES)])
    builder.store(builder.or_(builder.load(held), ir.IntType(32)(_FLUSH)), changed)
    builder.call(write, [builder.bitcast(changed, _BYTES)])
    run()
    builder.call(write, [builder.bitcast(held, _BYTES)])


def _emit_share(typingctx: Any, function: Any, arguments: Any, workers: Any) -> Any:
    inner = typingctx.resolve_function_type(function, (types.intp, types.intp, *arguments), {})
    region = types.Dispatcher(_region)
    outer = typingctx.resolve_function_type(region, (types.intp, types.intp, types.intp), {})

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def call(builder: Any, kind: Any, sig: Any, values: Any) -> None:
            compiled = kind.dispatcher.get_compile_result(sig)
            context.active_code_library.add_linking_library(compiled.library)
            context.call_internal_no_propagate(builder, compiled.fndesc, sig, values)

        # The task takes its arguments from the caller's frame, where they stay until the region has ended.
        held = cgutils.alloca_once_value(builder, args[1])
        task = ir.Function(builder.module, _TASK, builder.module.get_unique_name("task"))
        task.linkage = "internal"
        inside = ir.IRBuilder(task.append_basic_block())
        values = inside.load(inside.bitcast(task.args[0], held.type))
        unpacked = [inside.extract_value(values, k) for k in range(len(arguments))]
        _flushing(inside, lambda: call(inside, function, inner, [task.args[1], task.args[2], *unpacked]))
        inside.ret_void()
        place = builder.bitcast(held, _BYTES)
        claimed = cgutils.alloca_once_value(builder, ir.IntType(1)(False))
        with builder.if_then(builder.icmp_signed(">", args[2], _INT(1))):
            builder.store(emit_claim(builder), claimed)
        with builder.if_else(builder.load(claimed)) as (together, alone):
            with together:
                addresses = [builder.ptrtoint(value, _INT) for value in (task, place)]
                emit_awake(builder, args[2], lambda: call(builder, region, outer, [*addresses, args[2]]))
                emit_release(builder)
            with alone:
                builder.call(task, [place, _INT(0), _INT(1)])
        return context.get_dummy_value()

    return types.void(function, arguments, types.intp), codegen


def _share_in_python(function: Any, arguments: tuple[Any, ...], workers: int) -> None:
    with np.errstate(all="ignore"):  # compiled code says nothing of overflow either
        for worker in range(workers):
            function(worker, workers, *arguments)


share: Any = _share_in_python if numba.config.DISABLE_JIT else intrinsic(_emit_share)
"""Run a device function for each of `workers`, or once for worker 0 of 1; see above. `arguments` is a tuple."""
