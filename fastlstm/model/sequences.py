"""Sequences as users give them (one, a 3-D array of equal ones, a list of ragged ones) and as kernels take them."""

from typing import Any

import numpy

from fastlstm.checks import Array, kernel_array, real_array
from fastlstm.engine.batch import Batch, RaggedBatch, running_rows
from fastlstm.engine.workspace import empty, workspace

SINGLE, STACKED, LISTED = "one sequence", "a 3-D array", "a list"


class Sequences:
    """A set of sequences, and the way back to the form in which they came.

    Parameters
    ----------
    form : {SINGLE, STACKED, LISTED}
        What the user gave, and gets.
    items : list of (T_i, width) arrays
        The sequences.
    stack : (n, T, width) array, optional
        They together, for the form STACKED.
    """

    def __init__(self, form: str, items: list[Array], stack: Array | None = None) -> None:
        self.form, self.items, self._stack = form, items, stack
        self.lengths = [len(item) for item in items]
        self.steps = stack.shape[1] if stack is not None else max(self.lengths, default=0)
        if form is LISTED:
            # The longest first, so that the sequences still running at a step are the first rows of the step.
            rank = numpy.empty(len(items), numpy.intp)
            rank[numpy.argsort([-n for n in self.lengths], kind="stable")] = numpy.arange(len(items))
            self.offsets = running_rows(numpy.array(self.lengths, numpy.intp), self.steps)
            self._rows = [self.offsets[:n] + r for n, r in zip(self.lengths, rank, strict=True)]
        else:
            self.offsets = numpy.arange(self.steps + 1, dtype=numpy.intp) * len(items)

    def batch(self, n_threads: int | None) -> Batch:
        """How the rows lie."""
        if self.form is LISTED:
            return RaggedBatch(self.steps, len(self.items), False, numpy.array(self.lengths, numpy.intp), n_threads)
        return Batch(self.steps, len(self.items), False, n_threads)

    def shape(self) -> tuple[Any, ...]:
        """What tells apart how rows lie."""
        return self.steps, len(self.items), tuple(self.lengths) if self.form is LISTED else ()

    def pack(self, name: str, reuse: bool = False) -> Array:
        """All time steps as the rows of one (N, width) array, step by step, as `fastlstm_kernels.batch` has them.

        Parameters
        ----------
        name : str
            Of the working array.
        reuse : bool
            Whether a working array of that name does; one sequence is its own.
        """
        if self.form is SINGLE:
            return self.items[0]
        like = self.items[0] if self._stack is None else self._stack
        shape = int(self.offsets[-1]), like.shape[-1]
        rows = workspace.array(name, shape, like.dtype) if reuse else empty(shape, like.dtype)
        if self._stack is not None:
            rows.reshape(self.steps, len(self.items), like.shape[-1])[...] = self._stack.transpose(1, 0, 2)
        else:
            for item, where in zip(self.items, self._rows, strict=True):
                rows[where] = item
        return rows

    def result(self, name: str, shape: tuple[int, ...], dtype: numpy.dtype[Any]) -> Array:
        """An array that goes through `unpack`: one sequence's goes to the user as it is."""
        return empty(shape, dtype) if self.form is SINGLE else workspace.array(name, shape, dtype)

    def unpack(self, rows: Array) -> Any:
        """Rows of any width, packed as by `pack`, in the user's form; new arrays, but for one sequence's own."""
        if self.form is SINGLE:
            return rows
        if self.form is STACKED:
            return numpy.array(rows.reshape(self.steps, len(self.items), rows.shape[1]).transpose(1, 0, 2), order="C")
        return [rows[where] for where in self._rows]

    def restore(self, items: list[Array], width: int) -> Any:
        """One (T_i, width) array for each sequence, in the user's form."""
        if self.form is SINGLE:
            return items[0]
        if self._stack is None:
            return items
        return numpy.array(items, self._stack.dtype).reshape(len(items), self.steps, width)


def sequences(name: str, value: Any, width: int, dtype: numpy.dtype[Any]) -> Sequences:
    """Check and convert sequences.

    Parameters
    ----------
    name : str
        For messages.
    value : array-like
        (T, width), (n, T, width), or a list or tuple of (T_i, width) arrays.
    width : int
        Features of a time step.
    dtype : dtype
        Of the result.

    Returns
    -------
    Sequences

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Another rank or width.
    """
    expected = f"(T, {width}), (n, T, {width}) or a list of (T_i, {width})"
    if isinstance(value, list | tuple) and _is_list_of_sequences(value):
        items = []
        for k, element in enumerate(value):
            item = real_array(f"{name}[{k}]", element)
            if item.ndim != 2 or item.shape[1] != width:
                raise ValueError(f"{name}[{k}] must have shape (T, {width}), got {item.shape}")
            items.append(kernel_array(item, dtype))
        return Sequences(LISTED, items)
    array = real_array(name, value)
    if array.ndim not in (2, 3):
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
    if array.shape[-1] != width:
        raise ValueError(f"{name} must have {width} features a time step, so shape {expected}; got {array.shape}")
    array = kernel_array(array, dtype)
    return Sequences(SINGLE, [array]) if array.ndim == 2 else Sequences(STACKED, list(array), array)


def _is_list_of_sequences(value: Any) -> bool:
    """Whether a list holds 2-D arrays, or sequences of several lengths; else it spells one regular array."""
    if any(getattr(element, "ndim", 0) > 1 for element in value):
        return True
    try:
        numpy.asarray(value)
        return False
    except ValueError:
        try:
            return all(numpy.ndim(element) == 2 for element in value)
        except ValueError:
            return False


def matching(name: str, value: Any, width: int, dtype: numpy.dtype[Any], other: Sequences) -> Sequences:
    """`sequences`, which must also be as many and as long as `other`, the inputs X.

    Raises
    ------
    TypeError, ValueError
        As `sequences`, or other lengths.
    """
    found = sequences(name, value, width, dtype)
    if (found.form is SINGLE) != (other.form is SINGLE):
        raise ValueError(f"{name} must be {other.form} like X, got {found.form}")
    if len(found.lengths) != len(other.lengths):
        raise ValueError(f"{name} must hold {len(other.lengths)} sequences like X, got {len(found.lengths)}")
    for k, (got, wanted) in enumerate(zip(found.lengths, other.lengths, strict=True)):
        if got != wanted:
            which = name if found.form is SINGLE else f"{name}[{k}]"
            raise ValueError(f"{which} must have {wanted} time steps like X, got {got}")
    return found
