"""Arrays that lie in files: mapped ones, and those that read themselves slice by slice, as of h5py and zarr."""

import mmap
from typing import Any

import numpy

from fastlstm import checks
from fastlstm.checks import Array


def sliceable(name: str, value: Any) -> Any:
    """`value` itself where slices of it can be read, else an array of all of it.

    Parameters
    ----------
    name : str
        For messages.
    value : array-like
        It reads itself by slices if it has ``shape``, ``dtype``, ``len()`` and ``[begin:end]``.

    Raises
    ------
    TypeError, ValueError
        It holds no real numbers, or has no regular shape.
    """
    if isinstance(value, numpy.ndarray | list | tuple):
        return checks.real_array(name, value)
    if not all(hasattr(value, wanted) for wanted in ("shape", "dtype", "__len__", "__getitem__")):
        return checks.real_array(name, value)
    try:
        kind = numpy.dtype(value.dtype).kind
    except TypeError:  # another library's dtype
        return checks.real_array(name, value)
    if kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {value.dtype}")
    return value


def mapped(array: Any) -> numpy.memmap[Any, Any] | None:
    """The mapped file that holds an array, if there is one."""
    while array is not None and not isinstance(array, numpy.memmap):
        array = getattr(array, "base", None)
    return array


def releasable(array: Any) -> Any:
    """The mapping of an array whose pages the process can give back without losing what they hold, or None."""
    file: Any = mapped(array)  # a memmap has attributes that its stub does not name
    kept = file is None or file.mode == "c"  # such changes are nowhere else
    return None if kept or not hasattr(mmap, "MADV_DONTNEED") else file._mmap


def reference(array: Any) -> Any:
    """What stands for an array in a pickle: for a mapped one where it lies, not what it holds."""
    file: Any = mapped(array)
    if file is None or file.mode == "c" or file.filename is None or not array.flags.c_contiguous:
        return array
    first = numpy.frombuffer(file._mmap, numpy.uint8).__array_interface__["data"][0]
    # The mapping begins at a whole page, which may lie before the array.
    begin = file.offset - file.offset % mmap.ALLOCATIONGRANULARITY
    offset = begin + array.__array_interface__["data"][0] - first
    return Mapped(str(file.filename), array.dtype, offset, array.shape)


class Mapped:
    """Where a mapped array lies.

    Parameters
    ----------
    filename : str
    dtype : dtype
    offset : int
        Bytes before it in the file.
    shape : tuple of int
    """

    def __init__(self, filename: str, dtype: numpy.dtype[Any], offset: int, shape: tuple[int, ...]) -> None:
        self._place = filename, dtype, offset, shape

    def open(self) -> Array:
        """The array, mapped anew, to be read."""
        filename, dtype, offset, shape = self._place
        return numpy.asarray(numpy.memmap(filename, dtype, "r", offset, shape))
