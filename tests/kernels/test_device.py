"""A device function is compiled within the kernels that call it, and nowhere else."""

import numpy
import pytest

from fastlstm_kernels.jit import jit
from tests.tools.helpers import JIT_OFF
from tests.tools.processes import run

pytestmark = pytest.mark.skipif(JIT_OFF, reason="nothing is compiled")


@jit(device=True, kept=False)
def product(a, b):
    return a * b


@jit(device=True, kept=False)
def cube(a):
    return product(a, product(a, a))


@jit(kept=False)
def cubes(a):
    for k in range(len(a)):
        a[k] = cube(a[k])


def test_machine_code_is_that_of_the_kernel_only():
    a = numpy.arange(5.0)
    cubes(a)
    numpy.testing.assert_array_equal(a, numpy.arange(5.0) ** 3)
    (kernel,) = cubes.overloads.values()
    assert kernel.library.get_pointer_to_function(kernel.fndesc.llvm_func_name)
    for function in (cube, product):
        (compiled,) = function.overloads.values()
        name = compiled.fndesc.llvm_func_name
        assert not compiled.library.get_pointer_to_function(name)
        assert name not in str(kernel.library.get_function(kernel.fndesc.llvm_func_name)), "it has become part of it"


def test_each_set_of_types_is_a_function_of_its_own():
    for dtype in (numpy.float32, numpy.complex128, numpy.int64):
        a = numpy.array([2, 3], dtype)
        cubes(a)
        numpy.testing.assert_array_equal(a, numpy.array([8, 27], dtype))


def test_python_does_not_get_at_it():
    cubes(numpy.ones(1))
    with pytest.raises(KeyError):
        product(1.0, 2.0)


KEPT = """
import sys
import numpy
from numba.core import event
from fastlstm_kernels.jit import jit

@jit(device=True)
def twice(a):
    return a + a

@jit()
def first(a):
    return twice(a)

@jit()
def second(a):
    return twice(twice(a))

with event.install_recorder("numba:compile") as compiled:
    print(globals()[sys.argv[1]](1.5), len(compiled.buffer) // 2)
"""


@pytest.mark.process
def test_another_kernel_finds_it_on_disk(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KEPT, "utf-8")
    settings = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    found = [run(script, kernel, **settings).split() for kernel in ("first", "second", "second", "first")]
    assert found == [["3.0", "2"], ["6.0", "1"], ["6.0", "0"], ["3.0", "0"]]
