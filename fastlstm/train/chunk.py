"""A chunk: consecutive time steps of a batch of sequences, with what says which of them count."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.nn import arguments


@dataclass(slots=True)
class Chunk:
    """Consecutive time steps of a batch of sequences; see `Trainer`.

    Attributes
    ----------
    x : (t, batch, input) or (t, input) array
        Inputs.
    y : (t, batch, ...) or (t, ...) array
        Targets, as the loss takes them.
    reset : (batch,) or (1,) bool array, optional
        Sequences that begin anew with this chunk, from zero state.
    mask : (t, batch) or (t,) bool array, optional
        True where there is a target; as the loss takes it.
    lengths : (batch,) integers, optional
        Steps of each sequence in this chunk, from 0 to t; what stands behind them does not count.
    sample_weight : (t, batch) or (t,) array, optional
        Weights of the targets; as the loss takes them.
    """

    x: Any
    y: Any
    reset: Any = None
    mask: Any = None
    lengths: Any = None
    sample_weight: Any = None

    def piece(self, begin: int, end: int) -> "Chunk":
        """The steps begin to end - 1, which go on where those before them ended."""
        if end - begin == len(self.x):
            return self
        mask, lengths, weight = self.mask, self.lengths, self.sample_weight
        return Chunk(
            self.x[begin:end], self.y[begin:end], None, None if mask is None else mask[begin:end],
            None if lengths is None else numpy.clip(lengths - begin, 0, end - begin),
            None if weight is None else weight[begin:end],
        )

    def steps(self) -> int:
        """Time steps of all sequences."""
        return math.prod(self.x.shape[:-1]) if self.lengths is None else int(self.lengths.sum())

    def run(self, call: Callable[..., Any], state: Any) -> Any:
        """``call(x, state)`` of a layer, with the lengths where there are some."""
        return call(self.x, state) if self.lengths is None else call(self.x, state, self.lengths)

    def loss(self, loss: Callable[..., Any], outputs: Array) -> Any:
        """``loss(outputs, y, mask)``, with the weights where there are some."""
        weight = () if self.sample_weight is None else (self.sample_weight,)
        return loss(outputs, self.y, self.mask, *weight)

    def weight(self, loss: Any, outputs: Array) -> float:
        """What the mean that `loss` gives is divided by: the targets, weighted as the loss does."""
        if hasattr(loss, "total_weight"):
            return float(loss.total_weight(outputs, self.y, self.mask, self.sample_weight))
        rows = self.x.shape[:-1]
        if self.mask is None:
            return float(math.prod(rows))
        return float(self.mask.reshape(*rows, -1).any(axis=-1).sum())


def as_chunk(given: Any) -> Chunk:
    """What a data source gave, as a chunk whose parts are arrays; they are not copied.

    The mask leaves out what lies behind the lengths.

    Raises
    ------
    TypeError, ValueError
        It is none, or its parts do not fit each other.
    """
    if isinstance(given, tuple | list) and 2 <= len(given) <= 6:
        given = Chunk(*given)
    if not isinstance(given, Chunk):
        came = f"{len(given)} items" if isinstance(given, tuple | list) else type(given).__name__
        raise TypeError("a chunk must be a Chunk or a tuple of up to six, (x, y, reset, mask, lengths, sample_weight), "
                        f"got {came}")

    def part(check: Callable[[str, Any], Array], name: str) -> Any:
        value = getattr(given, name)
        return None if value is None else check(name, value)

    chunk = Chunk(
        checks.real_array("x", given.x), checks.real_array("y", given.y), part(checks.boolean_array, "reset"),
        part(checks.boolean_array, "mask"), part(checks.real_array, "lengths"),
        part(checks.real_array, "sample_weight"),
    )
    check_shapes(chunk)
    if chunk.lengths is not None:
        there = arguments.there(chunk.lengths, chunk.x.shape, False)
        if chunk.mask is None:
            chunk.mask = there
        else:
            chunk.mask = chunk.mask & there.reshape(*there.shape, *[1] * (chunk.mask.ndim - 2))
    return chunk


def check_shapes(chunk: Chunk) -> None:
    """Raise unless the parts of a chunk, which need but have shapes, fit each other.

    Raises
    ------
    TypeError, ValueError
        They do not.
    """
    x = chunk.x
    if len(x.shape) not in (2, 3):
        raise ValueError(f"x must have shape (t, batch, input) or (t, input), got {x.shape}")
    rows = tuple(x.shape[:-1])
    for name, array, form in (
        ("y", chunk.y, f"({', '.join(map(str, rows))}, ...)"), ("mask", chunk.mask, rows),
        ("sample_weight", chunk.sample_weight, rows),
    ):
        if array is not None and tuple(array.shape[: len(rows)]) != rows:
            raise ValueError(f"{name} must have shape {form} as x has {x.shape}, got {array.shape}")
    if chunk.reset is not None and chunk.reset.shape != (rows[1:] or (1,)):
        raise ValueError(f"reset must have shape {rows[1:] or (1,)} as x has {x.shape}, got {chunk.reset.shape}")
    if chunk.lengths is not None:
        if len(rows) == 1:
            raise ValueError(f"lengths must be None for x without a batch axis, got {chunk.lengths!r}")
        arguments.lengths(chunk.lengths, *rows)
