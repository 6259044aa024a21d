"""One flat buffer for all parameters of a model, or all gradients, with named views into it."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy

from fastlstm.checks import Array, shaped_array

ALIGNMENT = 64
"""Bytes; a cache line."""


class Buffer(Mapping[str, Array]):
    """Named arrays that lie one after the other in one flat array.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Names and shapes, in the order in which they lie.
    dtype : dtype
        Of all of them.

    Attributes
    ----------
    flat : (n,) array
        The whole buffer, aligned to 64 bytes unless it is a `part`. Changing it changes the named views, and the other
        way round; assigning to it copies into it.
    views : tuple of arrays
        The named ones, in order.
    is_part : bool
        Whether it came from `part`. A copy of a part, or one unpickled, is a buffer of its own.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: numpy.dtype[Any]) -> None:
        size = sum(map(math.prod, shapes.values()))
        room = numpy.zeros(size + ALIGNMENT // dtype.itemsize, dtype)
        skip = -room.__array_interface__["data"][0] % ALIGNMENT // dtype.itemsize
        self._lay(shapes, room[skip : skip + size], False)

    def _lay(self, shapes: Mapping[str, tuple[int, ...]], flat: Array, is_part: bool) -> None:
        self._shapes, self._flat, self.is_part = dict(shapes), flat, is_part
        self._stacked: dict[tuple[str, str], Array] = {}
        self._views: dict[str, Array] = {}
        self._places: dict[str, slice] = {}
        start = 0
        for name, shape in self._shapes.items():
            place = self._places[name] = slice(start, start + math.prod(shape))
            self._views[name] = self.flat[place].reshape(shape)
            start = place.stop
        self.views = tuple(self._views.values())

    @property
    def flat(self) -> Array:
        """The whole buffer, (n,)."""
        return self._flat

    @flat.setter
    def flat(self, value: Any) -> None:
        if value is not self._flat:  # as after ``flat -= …``, which has changed it already
            self._flat[...] = shaped_array("flat", value, self._flat.shape, self._flat.dtype)

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def assign(self, name: str, value: Any) -> None:
        """Copy `value` into the view `name`.

        Raises
        ------
        TypeError, ValueError
            Not real numbers, or another shape.
        """
        view = self._views[name]
        view[...] = shaped_array(name, value, view.shape, view.dtype)

    def stacked(self, first: str, last: str) -> Array:
        """Views `first` to `last`, which differ in their first axis only, as one view stacked along it."""
        found = self._stacked.get((first, last))
        if found is None:
            run = self.flat[self._places[first].start : self._places[last].stop]
            found = self._stacked[first, last] = run.reshape((-1, *self._shapes[first][1:]))
        return found

    def part(self, prefix: str) -> "Buffer":
        """The arrays whose names begin with `prefix` and a dot, as a buffer over the same memory.

        Parameters
        ----------
        prefix : str
            Of names that follow each other; the part has them without it.

        Raises
        ------
        KeyError
            There is no such name.
        """
        held = [name for name in self._shapes if name.startswith(prefix + ".")]
        if not held:
            raise KeyError(f"no name begins with {prefix}.; the names are {', '.join(self._shapes)}")
        flat = self.flat[self._places[held[0]].start : self._places[held[-1]].stop]
        part = Buffer.__new__(Buffer)
        part._lay({name[len(prefix) + 1 :]: self._shapes[name] for name in held}, flat, True)
        return part

    def empty_like(self) -> "Buffer":
        """A new buffer with the same names, shapes and dtype, all zero."""
        return Buffer(self._shapes, self.flat.dtype)

    def same_layout(self, other: "Buffer") -> bool:
        """Whether another buffer has the same names, shapes and dtype."""
        return self._shapes == other._shapes and self.flat.dtype == other.flat.dtype

    def __getstate__(self) -> tuple[dict[str, tuple[int, ...]], Array]:
        return self._shapes, numpy.array(self.flat)

    def __setstate__(self, state: tuple[dict[str, tuple[int, ...]], Array]) -> None:
        shapes, flat = state
        Buffer.__init__(self, shapes, flat.dtype)
        self.flat[:] = flat

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name} {shape}" for name, shape in self._shapes.items())
        return f"Buffer({self.flat.size} {self.flat.dtype}: {arrays})"


class View:
    """Attribute of a model that is a view of its `parameters`; assigning to it copies into the view."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Array:
        if instance is None:
            return self  # type: ignore[return-value]
        view: Array = instance.parameters[self._name]
        return view

    def __set__(self, instance: Any, value: Any) -> None:
        instance.parameters.assign(self._name, value)
