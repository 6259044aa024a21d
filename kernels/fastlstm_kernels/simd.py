"""The vector vocabulary: formulas over vectors, written once and run by either of two backends.

A formula is a Python function whose first argument is a backend `v`. With `Emitter` it writes LLVM IR for vectors of
the host's width, which is how `operation` compiles it into a kernel; with `Simulator` the same function runs on NumPy
arrays, to be stepped through and tested (and it is what runs under ``NUMBA_DISABLE_JIT=1``). Values of both take the
Python operators; everything else is a method of the backend.

Products and sums fuse only where a formula says `fma`, so a formula gives the same bits in whatever kernel it stands.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias, get_type_hints

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from fastlstm_kernels.arrays import Array

Backend: TypeAlias = Any
"""An `Emitter` or a `Simulator`."""

Pointer: TypeAlias = Annotated[Any, "an array and an index"]
"""A pointer to an element; a kernel gives it as an array and a flat index, and a tuple holds these as a `Place`."""

Int: TypeAlias = Annotated[Any, "an integer"]


class Place(NamedTuple):
    """An element of an array, as kernels give it to a formula in a tuple; there it is a `Pointer`."""

    array: Array
    at: int


_INT = ir.IntType(64)


def _host() -> tuple[int, int, bool]:
    """Bytes of a vector register, how many registers there are, and whether a product and a sum can be fused.

    By the features that Numba compiles for.
    """
    given = numba.config.CPU_FEATURES
    features = str(get_host_cpu_features() if given is None else given).split(",")
    arm = llvm.get_process_triple().startswith(("aarch64", "arm64"))
    fused = arm or "+fma" in features
    if "+avx512f" in features:
        return 64, 32, fused
    if "+avx" in features:
        return 32, 16, fused
    return 16, 32 if arm else 16, fused


VECTOR_BYTES, REGISTERS, FUSED = _host()

LINE = 64
"""Bytes of a cache line; where they are more, some are asked for twice."""

SHORTEST = 16
"""Bytes of the shortest vector register."""


@functools.cache
def lanes(dtype: Any) -> int:
    """Elements of one vector of a float dtype (NumPy's or Numba's)."""
    return VECTOR_BYTES // int(dtype.bitwidth // 8 if isinstance(dtype, types.Float) else np.dtype(dtype).itemsize)


class Value:
    """A value in LLVM IR: a scalar integer, a vector of floats or integers, a mask, or a pointer to a float."""

    __slots__ = ("emitter", "ir")

    def __init__(self, emitter: "Emitter", value: ir.Value) -> None:
        self.emitter, self.ir = emitter, value

    def _with(self, name: str, other: Any, swapped: bool = False) -> "Value":
        emitter, mine = self.emitter, self.ir
        theirs = emitter.like(other, mine.type)
        element = mine.type.element if isinstance(mine.type, ir.VectorType) else mine.type
        real = isinstance(element, ir.FloatType | ir.DoubleType)
        operation = getattr(emitter.builder, ("f" if real and name in ("add", "sub", "mul", "div") else "") + name)
        return Value(emitter, operation(theirs, mine) if swapped else operation(mine, theirs))

    def __add__(self, other: Any) -> "Value":
        if isinstance(self.ir.type, ir.PointerType):
            return Value(self.emitter, self.emitter.builder.gep(self.ir, [self.emitter.like(other, _INT)]))
        return self._with("add", other)

    def __sub__(self, other: Any) -> "Value":
        return self._with("sub", other)

    def __rsub__(self, other: Any) -> "Value":
        return self._with("sub", other, swapped=True)

    def __mul__(self, other: Any) -> "Value":
        return self._with("mul", other)

    def __truediv__(self, other: Any) -> "Value":
        return self._with("div", other)

    def __rtruediv__(self, other: Any) -> "Value":
        return self._with("div", other, swapped=True)

    def __and__(self, other: Any) -> "Value":
        return self._with("and_", other)

    def __or__(self, other: Any) -> "Value":
        return self._with("or_", other)

    def __lshift__(self, other: Any) -> "Value":
        return self._with("shl", other)

    def __rshift__(self, other: Any) -> "Value":
        return self._with("ashr", other)

    def _compare(self, sign: str, other: Any) -> "Value":
        builder, theirs = self.emitter.builder, self.emitter.like(other, self.ir.type)
        real = isinstance(self.ir.type, ir.VectorType)
        compare = builder.fcmp_ordered if real else builder.icmp_signed
        return Value(self.emitter, compare(sign, self.ir, theirs))

    def __lt__(self, other: Any) -> "Value":
        return self._compare("<", other)

    def __gt__(self, other: Any) -> "Value":
        return self._compare(">", other)

    def __ge__(self, other: Any) -> "Value":
        return self._compare(">=", other)

    __radd__, __rmul__ = __add__, __mul__


class Emitter:
    """Writes vector code in LLVM IR.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Where to.
    dtype : dtype
        float32 or float64: of all vectors.
    count : int, optional
        Elements of a vector; by default those of a register.

    Attributes
    ----------
    lanes : int
        Elements of a vector.
    dtype : dtype
    """

    def __init__(self, builder: ir.IRBuilder, dtype: Any, count: int | None = None) -> None:
        self.builder, self.dtype, self.lanes = builder, np.dtype(dtype), count or lanes(dtype)
        self._size = self.dtype.itemsize
        element = ir.FloatType() if self._size == 4 else ir.DoubleType()
        self._float = ir.VectorType(element, self.lanes)
        self._bits = ir.VectorType(ir.IntType(8 * self._size), self.lanes)
        self._suffix = f"v{self.lanes}f{8 * self._size}"

    def shortened(self, count: int) -> "Emitter":
        """One that writes at the same place, of vectors of so many elements."""
        return Emitter(self.builder, self.dtype, count)

    def like(self, value: Any, kind: ir.Type) -> ir.Value:
        """`value` as an IR value of a type; Python numbers become constants of it."""
        if isinstance(value, Value):
            return value.ir
        if isinstance(kind, ir.VectorType):
            return ir.Constant(kind, [_number(value, kind.element)] * kind.count)
        return ir.Constant(kind, value)

    def _call(self, name: str, result: ir.Type, *args: ir.Value) -> Value:
        kind = ir.FunctionType(result, [a.type for a in args])
        return Value(self, self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), args))

    def fill(self, number: float) -> Value:
        """A vector of one number."""
        return Value(self, self.like(number, self._float))

    def load(self, pointer: Value) -> Value:
        """The vector at a pointer, which need not be aligned."""
        place = self.builder.bitcast(pointer.ir, self._float.as_pointer())
        return Value(self, self.builder.load(place, align=self._size))

    def store(self, pointer: Value, value: Value) -> None:
        """Write a vector."""
        place = self.builder.bitcast(pointer.ir, self._float.as_pointer())
        self.builder.store(value.ir, place, align=self._size)

    def fetch(self, pointer: Value, write: bool = False, level: int = 1) -> None:
        """Ask for the cache line of a pointer, which need not belong to an array, into the cache of a level."""
        place = self.builder.bitcast(pointer.ir, ir.IntType(8).as_pointer())
        self._call("llvm.prefetch.p0", ir.VoidType(), place, *(ir.IntType(32)(n) for n in (int(write), 4 - level, 1)))

    def fetch_ahead(self, pointer: Value, write: bool = False) -> None:
        """Ask for the cache line behind that of a pointer."""
        self.fetch(pointer + LINE // self._size, write)

    def opaque(self, pointer: Value) -> Value:
        """The same pointer, of which the compiler does not know how it was computed."""
        kind = pointer.ir.type
        return Value(self, self.builder.asm(ir.FunctionType(kind, [kind]), "", "=r,0", [pointer.ir], False))

    def first(self, count: Any) -> Value:
        """A mask of the first `count` lanes; none where it is negative, all where it is large."""
        wide = ir.VectorType(_INT, self.lanes)
        numbers = ir.Constant(wide, list(range(self.lanes)))
        return Value(self, self.builder.icmp_signed("<", numbers, self._splat(self.like(count, _INT), wide)))

    def _splat(self, scalar: ir.Value, kind: ir.VectorType) -> ir.Value:
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(nothing, scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(one, nothing, zeros)

    def load_part(self, pointer: Value, mask: Value) -> Value:
        """The masked lanes at a pointer, and zeros; nothing else is read."""
        place = self.builder.bitcast(pointer.ir, self._float.as_pointer())
        zero = self.like(0.0, self._float)
        name = f"llvm.masked.load.{self._suffix}.p0"
        return self._call(name, self._float, place, ir.IntType(32)(self._size), mask.ir, zero)

    def store_part(self, pointer: Value, value: Value, mask: Value) -> None:
        """Write the masked lanes; nothing else is touched."""
        place = self.builder.bitcast(pointer.ir, self._float.as_pointer())
        name = f"llvm.masked.store.{self._suffix}.p0"
        self._call(name, ir.VoidType(), value.ir, place, ir.IntType(32)(self._size), mask.ir)

    def broadcast(self, pointer: Value) -> Value:
        """The number at a pointer in every lane."""
        return Value(self, self._splat(self.builder.load(pointer.ir), self._float))

    def fma(self, a: Any, b: Any, c: Any) -> Value:
        """a · b + c, rounded once where the host can (a host without fused multiply-add rounds twice)."""
        values = [self.like(x, self._float) for x in (a, b, c)]
        return self._call(f"llvm.fmuladd.{self._suffix}", self._float, *values)

    def sqrt(self, a: Value) -> Value:
        """Square root."""
        return self._call(f"llvm.sqrt.{self._suffix}", self._float, a.ir)

    def select(self, mask: Value, a: Any, b: Any) -> Value:
        """a where the mask is set, else b."""
        return Value(self, self.builder.select(mask.ir, self.like(a, self._float), self.like(b, self._float)))

    def is_zero(self, value: Value) -> Value:
        """A mask of the lanes that are zero, of either sign; a NaN is not."""
        return Value(self, self.builder.fcmp_ordered("==", value.ir, self.like(0.0, self._float)))

    def bits(self, value: Value) -> Value:
        """The same bits as integers."""
        return Value(self, self.builder.bitcast(value.ir, self._bits))

    def floats(self, value: Value) -> Value:
        """The same bits as floats."""
        return Value(self, self.builder.bitcast(value.ir, self._float))

    def shuffle(self, a: Value, b: Value, places: Sequence[int]) -> Value:
        """Elements of a, then b, by place; a and b may be longer than the result."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), list(places))
        return Value(self, self.builder.shuffle_vector(a.ir, b.ir, mask))

    def repeat(self, count: Any, carried: Sequence[Value], body: Callable[..., Sequence[Value]]) -> list[Value]:
        """Run ``carried = body(k, *carried)`` for k = 0 … count - 1, and return what is carried."""
        builder, entry = self.builder, self.builder.block
        head, inside, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(_INT)
        phis = [builder.phi(value.ir.type) for value in carried]
        builder.cbranch(builder.icmp_signed("<", k, self.like(count, _INT)), inside, after)
        builder.position_at_end(inside)
        new = body(Value(self, k), *(Value(self, phi) for phi in phis))
        k.add_incoming(_INT(0), entry)
        k.add_incoming(builder.add(k, _INT(1)), builder.block)
        for phi, start, value in zip(phis, carried, new, strict=True):
            phi.add_incoming(start.ir, entry)
            phi.add_incoming(value.ir, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return [Value(self, phi) for phi in phis]

    def choose(self, code: Any, cases: dict[int, Callable[[], Any]]) -> Any:
        """What the function of the case `code` returns (a vector, several, or None); the last case is all others."""
        builder, number = self.builder, self.like(code, _INT)
        blocks = {case: builder.append_basic_block(f"case{case}") for case in cases}
        after = builder.append_basic_block("chosen")
        *others, last = cases
        switch = builder.switch(number, blocks[last])
        for case in others:
            switch.add_case(_INT(case), blocks[case])
        results, ends = [], []
        for case, function in cases.items():
            builder.position_at_end(blocks[case])
            results.append(function())
            ends.append(builder.block)
            builder.branch(after)
        builder.position_at_end(after)
        if results[0] is None:
            return None
        several = isinstance(results[0], list)
        phis = []
        for values in zip(*(r if several else [r] for r in results), strict=True):
            phi = builder.phi(values[0].ir.type)
            for value, end in zip(values, ends, strict=True):
                phi.add_incoming(value.ir, end)
            phis.append(Value(self, phi))
        return phis if several else phis[0]

    def shared(self, formula: Callable[..., None], *values: Any) -> None:
        """Run ``formula(v, *values)`` as a function of its own, written once however often it is run in a kernel."""
        given = [self.like(value, _INT) for value in _leaves(values)]
        module, name = self.builder.module, f"fastlstm_kernels.{formula.__name__}.{self._suffix}"
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in given])
        if name not in module.globals:
            function = ir.Function(module, kind, name)
            function.linkage = "linkonce_odr"
            for attribute in ("noinline", "optsize"):
                function.attributes.add(attribute)
            inside = Emitter(ir.IRBuilder(function.append_basic_block()), self.dtype)
            formula(inside, *_like_these(values, iter([Value(inside, argument) for argument in function.args])))
            inside.builder.ret_void()
        self.builder.call(module.globals[name], given)

    def truth(self, condition: Value) -> Value:
        """A scalar condition as the integer 1 or 0, for `choose`."""
        return Value(self, self.builder.zext(condition.ir, _INT))

    def least(self, a: Value, b: Any) -> Value:
        """The lesser of two integers."""
        other = self.like(b, _INT)
        return Value(self, self.builder.select(self.builder.icmp_signed("<", a.ir, other), a.ir, other))

    def quotient(self, n: Value, divisor: Any) -> Value:
        """n // divisor, of integers that are not negative."""
        return Value(self, self.builder.udiv(n.ir, self.like(divisor, _INT)))


def _number(value: Any, kind: ir.Type) -> Any:
    if isinstance(kind, ir.IntType):
        return int(value)
    return float(np.float32(value)) if isinstance(kind, ir.FloatType) else float(value)


class ArrayPointer:
    """A place in a flat NumPy array."""

    __slots__ = ("array", "at")

    def __init__(self, array: Array, at: int) -> None:
        self.array, self.at = array, at

    def __add__(self, offset: int) -> "ArrayPointer":
        return ArrayPointer(self.array, self.at + offset)


class Simulator:
    """Runs vector code on NumPy arrays; the methods are those of `Emitter`.

    Parameters
    ----------
    dtype : dtype
        float32 or float64: of all vectors. Elementwise formulas take arrays of any length.
    count : int, optional
        As for `Emitter`.
    """

    def __init__(self, dtype: Any, count: int | None = None) -> None:
        self.dtype, self.lanes = np.dtype(dtype), count or lanes(dtype)
        self._bits = np.dtype(f"i{self.dtype.itemsize}")

    def shortened(self, count: int) -> "Simulator":
        """See `Emitter`."""
        return Simulator(self.dtype, count)

    def fill(self, number: float) -> Any:
        """See `Emitter`."""
        return self.dtype.type(number)

    def load(self, pointer: ArrayPointer) -> Any:
        """See `Emitter`."""
        return self.load_part(pointer, np.ones(self.lanes, bool))

    def store(self, pointer: ArrayPointer, value: Any) -> None:
        """See `Emitter`."""
        self.store_part(pointer, value, np.ones(self.lanes, bool))

    def fetch(self, pointer: ArrayPointer, write: bool = False, level: int = 1) -> None:
        """See `Emitter`; does nothing."""

    def fetch_ahead(self, pointer: ArrayPointer, write: bool = False) -> None:
        """See `Emitter`; does nothing."""

    def opaque(self, pointer: ArrayPointer) -> ArrayPointer:
        """See `Emitter`."""
        return pointer

    def first(self, count: int) -> Any:
        """See `Emitter`."""
        return np.arange(self.lanes) < count

    def load_part(self, pointer: ArrayPointer, mask: Any) -> Any:
        """See `Emitter`; a lane outside the array raises."""
        found = np.zeros(self.lanes, self.dtype)
        found[mask] = pointer.array[_inside(pointer, mask)]
        return found

    def store_part(self, pointer: ArrayPointer, value: Any, mask: Any) -> None:
        """See `Emitter`; a lane outside the array raises."""
        pointer.array[_inside(pointer, mask)] = np.broadcast_to(value, self.lanes)[mask]

    def broadcast(self, pointer: ArrayPointer) -> Any:
        """See `Emitter`."""
        return np.full(self.lanes, pointer.array[pointer.at])

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """See `Emitter`; rounded once for float32 (nearly always), twice for float64."""
        if self.dtype == np.float32:
            a, b, c = (np.asarray(x, np.float32).astype(np.float64) for x in (a, b, c))
            return (a * b + c).astype(np.float32)
        return a * b + c

    def sqrt(self, a: Any) -> Any:
        """See `Emitter`."""
        return np.sqrt(a)

    def select(self, mask: Any, a: Any, b: Any) -> Any:
        """See `Emitter`."""
        return np.where(mask, a, b).astype(self.dtype)

    def is_zero(self, value: Any) -> Any:
        """See `Emitter`."""
        return value == 0

    def bits(self, value: Any) -> Any:
        """See `Emitter`."""
        return value.view(self._bits)

    def floats(self, value: Any) -> Any:
        """See `Emitter`."""
        return value.view(self.dtype)

    def shuffle(self, a: Any, b: Any, places: Sequence[int]) -> Any:
        """See `Emitter`."""
        return np.concatenate(np.broadcast_arrays(a, b))[list(places)]

    def repeat(self, count: int, carried: Sequence[Any], body: Callable[..., Sequence[Any]]) -> list[Any]:
        """See `Emitter`."""
        for k in range(count):
            carried = body(k, *carried)
        return list(carried)

    def choose(self, code: int, cases: dict[int, Callable[[], Any]]) -> Any:
        """See `Emitter`."""
        return cases.get(int(code), cases[next(reversed(cases))])()

    def shared(self, formula: Callable[..., None], *values: Any) -> None:
        """See `Emitter`."""
        formula(self, *values)

    def truth(self, condition: bool) -> int:
        """See `Emitter`."""
        return int(condition)

    def least(self, a: int, b: int) -> int:
        """See `Emitter`."""
        return min(a, b)

    def quotient(self, n: int, divisor: int) -> int:
        """See `Emitter`."""
        return n // divisor


def _inside(pointer: ArrayPointer, mask: Any) -> Any:
    places = pointer.at + np.flatnonzero(mask)
    if places.size and (places[0] < 0 or places[-1] >= pointer.array.size):
        raise IndexError(f"lanes {places[0]} to {places[-1]} of an array of {pointer.array.size}")
    return places


def operation(formula: Callable[..., None]) -> Callable[..., None]:
    """Make a formula callable from a kernel.

    Parameters
    ----------
    formula : callable
        ``formula(v, ...)``, whose further arguments are annotated as `Pointer`, as `Int`, or as a NamedTuple of these.

    Returns
    -------
    callable
        For compiled code: a pointer is given as an array and a flat index into it, one after the other, and in a tuple
        as a `Place`; all arrays have one dtype. Nothing is checked.
    """
    kinds = _kinds(formula)
    if numba.config.DISABLE_JIT:
        return _simulated(formula)

    def emitted(typingctx: Any, *args: Any) -> Any:
        taken = [a if isinstance(a, types.Array | types.BaseTuple) else types.intp for a in args]
        dtype = next(a.dtype for a in _leaves(taken) if isinstance(a, types.Array))

        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            # Formulas are unrolled as they should be; LLVM's own unrolling doubled the compilation and gained nothing.
            builder.function.attributes.add("optsize")
            v = Emitter(builder, str(dtype))
            given: list[Value] = []
            pointer = None
            for kind, value in _leaf_values(builder, signature.args, values):
                if isinstance(kind, types.Array):
                    pointer = make_array(kind)(context, builder, value).data
                    continue
                index = context.cast(builder, value, kind, types.intp)
                given.append(Value(v, index if pointer is None else builder.gep(pointer, [index])))
                pointer = None
            formula(v, *_as_annotated(kinds, iter(given)))
            return context.get_dummy_value()

        return types.void(*taken), codegen

    # Numba counts the arguments by the signature.
    names = ["typingctx", *(f"{part}{k}" for k, kind in enumerate(kinds) for part in _PARTS.get(kind, ("group",)))]
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    emitted.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, positional) for name in names]
    )
    function: Callable[..., None] = intrinsic(emitted)
    return function


def _kinds(formula: Callable[..., None]) -> list[Any]:
    return [p.annotation for p in list(inspect.signature(formula).parameters.values())[1:]]


_PARTS = {Pointer: ("array", "index"), Int: ("number",)}


def _leaves(values: Any) -> Iterator[Any]:
    """What tuples within tuples hold, or Numba's types of them, in order."""
    for value in values:
        if isinstance(value, tuple | types.BaseTuple):
            yield from _leaves(value)
        else:
            yield value


def _leaf_values(builder: Any, kinds: Any, values: Any) -> Iterator[tuple[Any, Any]]:
    """The types and values that Numba's tuples within tuples hold, in order."""
    for kind, value in zip(kinds, values, strict=True):
        if isinstance(kind, types.BaseTuple):
            yield from _leaf_values(builder, kind, cgutils.unpack_tuple(builder, value, len(kind)))
        else:
            yield kind, value


def _like_these(values: Any, given: Iterator[Any]) -> list[Any]:
    """What is given, in tuples as `values` are."""
    return [
        type(value)(*_like_these(value, given)) if isinstance(value, tuple) else next(given) for value in values
    ]


def _as_annotated(kinds: Any, given: Iterator[Any]) -> list[Any]:
    """What is given, in tuples as annotated."""
    found: list[Any] = []
    for kind in kinds:
        if kind in _PARTS:
            found.append(next(given))
        else:
            found.append(kind(*_as_annotated(get_type_hints(kind, include_extras=True).values(), given)))
    return found


def _simulated(formula: Callable[..., None]) -> Callable[..., None]:
    kinds = _kinds(formula)

    def run(*args: Any) -> None:
        given: list[Any] = []
        array = None
        leaves = [*_leaves(args)]
        dtype = next(a.dtype for a in leaves if isinstance(a, np.ndarray))
        for value in leaves:
            if isinstance(value, np.ndarray):
                array = value.reshape(-1)
            elif array is not None:
                given.append(ArrayPointer(array, int(value)))
                array = None
            else:
                given.append(int(value))
        with np.errstate(all="ignore"):  # compiled code says nothing of overflow either
            formula(Simulator(dtype), *_as_annotated(kinds, iter(given)))

    return run
