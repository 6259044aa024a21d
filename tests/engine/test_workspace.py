"""Working arrays are the same memory again, whatever shape is asked for."""

import numpy

from fastlstm.engine.workspace import Workspace

F4, F8 = numpy.dtype(numpy.float32), numpy.dtype(numpy.float64)


def test_a_working_array_that_is_asked_for_again_is_itself():
    arrays = Workspace()
    first = arrays.array("a", (3, 4), F8)
    assert arrays.array("a", (3, 4), F8) is first
    assert not numpy.shares_memory(arrays.array("b", (3, 4), F8), first)


def test_in_another_shape_or_dtype_it_is_the_same_memory_where_that_is_enough():
    arrays = Workspace()
    first = arrays.array("a", (3, 4), F8)
    for shape, dtype in (((4, 3), F8), ((3, 4), F4), ((2,), F8), ((3, 4), F8)):
        again = arrays.array("a", shape, dtype)
        assert (again.shape, again.dtype) == (shape, dtype)
        assert numpy.shares_memory(again, first)
    assert not numpy.shares_memory(arrays.array("a", (5, 4), F8), first)
