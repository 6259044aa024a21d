"""Sequences as users give them (one, a 3-D array of equal ones, a list of ragged ones) and as kernels take them."""

from collections.abc import Iterable
from typing import Any

import numpy

from fastlstm.checks import Array, kernel_array, real_array
from fastlstm.engine.batch import Batch, RaggedBatch
from fastlstm.engine.workspace import empty, workspace

SINGLE, STACKED, LISTED = "one sequence", "a 3-D array", "a list"


class Sequences:
    """A set of sequences.

    Parameters
    ----------
    form : {SINGLE, STACKED, LISTED}
        What the user gave, and gets.
    items : list of (T_i, width) arrays
        The sequences.
    stack : (n, T, width) array, optional
        They together, for the form STACKED.

    Attributes
    ----------
    lengths : list of int
        T_i.
    shape : tuple
        What tells apart how rows lie.
    """

    def __init__(self, form: str, items: list[Array], stack: Array | None = None) -> None:
        self.form, self.items, self.stack = form, items, stack
        self.lengths = [len(item) for item in items]
        self.shape = (form, *self.lengths) if stack is None else (form, *stack.shape[:2])

    def restore(self, items: list[Array], width: int) -> Any:
        """One (T_i, width) array for each sequence, in the user's form."""
        if self.form is SINGLE:
            return items[0]
        if self.stack is None:
            return items
        return numpy.array(items, self.stack.dtype).reshape(*self.stack.shape[:2], width)


class Layout:
    """How sequences of some shape lie as the rows of one (N, width) array, step by step; see `fastlstm_kernels.batch`.

    Parameters
    ----------
    X : Sequences
        Some of that shape.
    n_threads : int or None
        At most so many threads.

    Attributes
    ----------
    batch : Batch
    """

    def __init__(self, X: Sequences, n_threads: int | None) -> None:
        self._form, count = X.form, len(X.items)
        steps = max(X.lengths, default=0) if X.stack is None else X.stack.shape[1]
        if X.form is LISTED:
            self.batch: Batch = RaggedBatch(steps, count, False, numpy.array(X.lengths, numpy.intp), n_threads)
            rank = numpy.empty(count, numpy.intp)
            rank[self.batch.places] = numpy.arange(count)
            self._rows = [self.batch.offsets[:n] + r for n, r in zip(X.lengths, rank, strict=True)]
        else:
            self.batch = Batch(steps, count, False, n_threads)

    def pack(self, X: Sequences, name: str) -> Array:
        """All time steps of sequences: a working array of that name, or a single sequence itself."""
        if len(X.items) == 1:
            return X.items[0]
        like = X.items[0] if X.stack is None else X.stack
        rows = workspace.array(name, (self.batch.rows, like.shape[-1]), like.dtype)
        if self._form is STACKED:
            stack = numpy.array(X.items) if X.stack is None else X.stack  # targets may come as a list
            self.batch.give(rows)[...] = stack.transpose(1, 0, 2)
        else:
            for item, where in zip(X.items, self._rows, strict=True):
                rows[where] = item
        return rows

    def result(self, name: str, shape: tuple[int, ...], dtype: numpy.dtype[Any]) -> Array:
        """An array that goes through `unpack`: one sequence's goes to the user as it is."""
        return empty(shape, dtype) if self._form is SINGLE else workspace.array(name, shape, dtype)

    def unpack(self, rows: Array) -> Any:
        """Rows of any width, packed as by `pack`, in the user's form; new arrays, but for one sequence's own."""
        if self._form is SINGLE:
            return rows
        if self._form is STACKED:
            return numpy.array(self.batch.give(rows).transpose(1, 0, 2), order="C")
        return [rows[where] for where in self._rows]

    def unpack_each(self, arrays: Iterable[Array]) -> list[Any]:
        """`unpack` of several."""
        return list(arrays) if self._form is SINGLE else [self.unpack(rows) for rows in arrays]


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
    if isinstance(value, list | tuple) and _is_list_of_sequences(value):
        items = []
        for k, element in enumerate(value):
            item = real_array(f"{name}[{k}]", element)
            if item.ndim != 2 or item.shape[1] != width:
                raise ValueError(f"{name}[{k}] must have shape (T, {width}), got {item.shape}")
            items.append(kernel_array(item, dtype))
        return Sequences(LISTED, items)
    array = real_array(name, value)
    if array.ndim not in (2, 3) or array.shape[-1] != width:
        expected = f"(T, {width}), (n, T, {width}) or a list of (T_i, {width})"
        if array.ndim not in (2, 3):
            raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
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
