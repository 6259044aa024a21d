"""Phases: how the workers of one parallel region wait for each other.

Where a step needs all of the step before, the work goes in phases, each in as many parts as there are workers: ask for
the `next_part`, do it, `finish` it, until nothing is left. Nobody enters a phase before the last one has ended. Going
from one phase to the next costs 0.1 to 0.2 µs, where a region of its own costs 2 to 5.

A part whose worker has not come (its thread sleeps, or does another worker's work first, as a threading layer may
choose) is taken over by one who waits. So whoever holds a part has a thread, and no layer and no number of threads can
make it hang; a thread that the system has stopped is waited for.
"""

import os
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.jit import jit

_TRIPLE = llvm.get_process_triple()
_X86 = _TRIPLE.startswith(("x86_64", "i686"))
_ARM = _TRIPLE.startswith(("aarch64", "arm64"))
_INT = ir.IntType(64)

SYNC_LINE = 32
"""Elements of a worker's line in `sync`, where workers tell each other how far they are: two pairs of cache lines."""

_TAKEN, _DONE = intp(0), intp(16)
"""Where, in a part's line, the number of phases stands that were taken and done. Others only watch the second."""

PATIENCE = 0 if numba.config.DISABLE_JIT else 100
"""Looks at a part that nobody has taken before one takes it over; about 2 µs."""

_RESTLESS = 2000
"""Looks after which a waiting thread offers its core to others."""


def _at(builder: Any, signature: Any, context: Any, sync: Any, index: Any) -> Any:
    return builder.gep(make_array(signature.args[0])(context, builder, sync).data, [index])


@intrinsic  # type: ignore[untyped-decorator]
def _emit_exchange(typingctx: Any, sync: Any, index: Any, old: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _at(builder, signature, context, args[0], args[1])
        result = builder.cmpxchg(place, args[2], builder.add(args[2], _INT(1)), "acq_rel", "monotonic")
        return builder.extract_value(result, 1)

    return types.boolean(sync, types.intp, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _emit_read(typingctx: Any, sync: Any, index: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_at(builder, signature, context, *args), "acquire", 8)

    return types.intp(sync, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _emit_write(typingctx: Any, sync: Any, index: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], _at(builder, signature, context, args[0], args[1]), "release", 8)
        return context.get_dummy_value()

    return types.void(sync, types.intp, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _emit_rest(typingctx: Any, looks: Any) -> Any:
    """A short pause; after many of them, a yield to other threads of the system where it has one (POSIX)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)] if _ARM else [])
        name = "llvm.aarch64.hint" if _ARM else "llvm.x86.sse2.pause"
        if _ARM or _X86:
            pause = cgutils.get_or_insert_function(builder.module, kind, name)
            builder.call(pause, [ir.IntType(32)(1)] if _ARM else [])
        if os.name == "posix":
            with builder.if_then(builder.icmp_signed(">", args[0], _INT(_RESTLESS))):
                kind = ir.FunctionType(ir.IntType(32), [])
                builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(types.intp), codegen


def _exchange_in_python(sync: Array, index: int, old: int) -> bool:
    if sync.flat[index] != old:
        return False
    sync.flat[index] = old + 1
    return True


def _write_in_python(sync: Array, index: int, value: int) -> None:
    sync.flat[index] = value


if numba.config.DISABLE_JIT:
    _exchange: Any = _exchange_in_python
    _read: Any = lambda sync, index: int(sync.flat[index])  # noqa: E731
    _write: Any = _write_in_python
    _rest: Any = lambda looks: None  # noqa: E731
else:
    _exchange, _read, _write, _rest = _emit_exchange, _emit_read, _emit_write, _emit_rest


@jit(device=True)
def _agreed_part(sync: Array, worker: int, workers: int, phase: int) -> int:
    """`next_part` of several workers."""
    if _exchange(sync, worker * SYNC_LINE + _TAKEN, phase):
        return worker
    looks = 0
    while True:
        waits = False
        for part in range(workers):
            if _read(sync, part * SYNC_LINE + _DONE) <= phase:
                waits = True
                if looks >= PATIENCE and _exchange(sync, part * SYNC_LINE + _TAKEN, phase):
                    return part
        if not waits:
            return -1
        looks += 1
        _rest(looks)


@jit(device=True, inline=True)
def next_part(sync: Array, worker: int, workers: int, phase: int) -> int:
    """The next part of a phase that a worker is to do, or -1 once all of them are done.

    Parameters
    ----------
    sync : (workers, SYNC_LINE) int64 array
        Zeros before the first phase.
    worker, workers : int
        Who asks, of how many; there are as many parts as workers, and a worker's own comes first.
    phase : int
        0, 1, 2, … in turn; every worker goes through all of them.
    """
    # With nobody to agree with, two calls and two exchanges would be a quarter of a step of 16 units.
    if workers == 1:
        return 0 if _read(sync, _DONE) <= phase else -1
    return _agreed_part(sync, worker, workers, phase)


@jit(device=True, inline=True)
def finish(sync: Array, part: int, phase: int) -> None:
    """Say that a part of a phase is done."""
    _write(sync, part * SYNC_LINE + _DONE, phase + 1)


@jit(device=True)
def next_turn(sync: Array, worker: int, workers: int, turns: int, chained: bool) -> int:
    """The next turn of one of two layers that a worker is to do, or -1 once both have had theirs; `finish` ends it.

    Parameters
    ----------
    sync : (2 or more, SYNC_LINE) int64 array
        Zeros before the first turn; a line for each layer.
    worker, workers : int
        Who asks, of how many. Worker 0 has the first layer and worker 1 the second, whose weights its cache then
        holds; the other one's turns are taken over where it has not come.
    turns : int
        Of each layer, in order.
    chained : bool
        Whether a turn of the second layer waits for the same of the first.

    Returns
    -------
    int
        Twice the number of the turn, and 1 more for one of the second layer.
    """
    looks = 0
    while True:
        left = False
        for k in range(2):
            layer = (worker + k) % 2
            turn: int = _read(sync, layer * SYNC_LINE + _DONE)
            if turn == turns:
                continue
            left = True
            ready = layer == 0 or not chained or _read(sync, _DONE) > turn
            mine = k == 0 or workers == 1 or looks >= PATIENCE
            if ready and mine and _exchange(sync, layer * SYNC_LINE + _TAKEN, turn):
                return 2 * turn + layer
        if not left:
            return -1
        looks += 1
        _rest(looks)
