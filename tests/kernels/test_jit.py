"""What the one decorator makes of a function."""

import numba
import numpy
import pytest

from fastlstm_kernels.jit import jit
from fastlstm_kernels.structs import Packed
from tests.tools.helpers import JIT_OFF

pytestmark = pytest.mark.skipif(JIT_OFF, reason="nothing is compiled")


def test_a_device_function_counts_no_references():
    """Not even of what it takes out of a tuple, between calls that Numba believes may raise."""

    @jit(device=True)
    def called(a):
        a[0] += 1

    @jit(device=True)
    def worker(packed, n):
        for _ in range(n):
            called(packed.panels)

    @numba.njit
    def call(a, n):
        worker(Packed(a, 0, 0), n)

    a = numpy.zeros(3)
    call(a, 5)
    assert a[0] == 5
    (compiled,) = worker.overloads.values()
    assert "NRT_incref" not in compiled.library.get_llvm_str()
    assert "NRT_incref" in next(iter(call.inspect_llvm().values()))


def test_a_device_function_cannot_allocate():
    @jit(device=True)
    def allocate(n):
        return numpy.zeros(n).sum()

    @numba.njit
    def call(n):
        return allocate(n)

    with pytest.raises(numba.core.errors.NumbaError, match=r"NRT required|Only accept returning of array"):
        call(3)


def test_products_and_sums_may_be_fused_and_nothing_else_is_assumed():
    @jit()
    def total(a):
        value = 0.0
        for x in a:
            value += x
        return value

    assert total(numpy.array([numpy.inf, -numpy.inf])) != total(numpy.array([numpy.inf, -numpy.inf]))
    assert total(numpy.array([1e16, 1.0, -1e16])) == 0.0
