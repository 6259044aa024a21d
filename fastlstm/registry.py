"""Objects that a file describes: by the name of their class, and the arguments of its constructor."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy

T = TypeVar("T", bound="Registered")


class Registered:
    """Base of a family of classes, each of which a file can name: layers, losses, optimizers, schedules.

    A class that derives from one of a family belongs to it, a user's own too. Its constructor's arguments are
    attributes of the same names.
    """

    _family: ClassVar[dict[str, Any]] = {}
    """Classes by their names."""

    _not_described: ClassVar[tuple[str, ...]] = ()
    """Arguments of the constructor that no file needs."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if Registered in cls.__bases__:
            cls._family = {}
        elif not cls.__name__.startswith("_"):
            # The first of a name keeps it, in every file, unless the same lines define it again, as in a notebook.
            known = cls._family.get(cls.__name__)
            if known is None or (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__):
                cls._family[cls.__name__] = cls

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, and the class's name as "kind"; for JSON.

        Returns
        -------
        dict
            Arrays are in it as lists, a layer, loss, optimizer or schedule as its own `config`, any other callable as
            None. Seeds are left out.
        """
        return {"kind": type(self).__name__, **{name: _storable(value) for name, value in self._arguments().items()}}

    def _arguments(self) -> dict[str, Any]:
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names if name not in self._not_described}

    @classmethod
    def _from_arguments(cls: type[T], arguments: Mapping[str, Any]) -> T:
        return cls(**arguments)


def check(name: str, value: Any, family: type[Registered]) -> None:
    """Raise unless a file can describe an object.

    Raises
    ------
    TypeError
        It is none of the family; or its class has the name of another one.
    """
    kind, base = type(value).__name__, f"fastlstm {family.__name__}"
    if not isinstance(value, family):
        raise TypeError(f"{name} must be a {base}, or of a class derived from it, to be saved, got {kind}")
    known = family._family.get(kind)
    if known is not type(value):
        other = "begins with _" if known is None else f"is that of {known.__module__}.{known.__qualname__}"
        raise TypeError(f"{name} must be of a class with a name of its own to be saved, got {kind}, which {other}")


def made(config: Any, family: type[T]) -> T:
    """An object as another one was.

    Parameters
    ----------
    config : mapping
        From the `config` method of a member of the family, or read from JSON.
    family : class

    Raises
    ------
    TypeError, ValueError
        Something else, a class that is not known, or arguments that it does not take.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a mapping, got {type(config).__name__}")
    arguments = dict(config)
    kind = arguments.pop("kind", None)
    if kind not in family._family:
        raise ValueError(
            f"config must have a kind of {', '.join(map(repr, sorted(family._family)))}, or be of a class of yours "
            f"that has been defined by now, derived from {family.__name__}; got {kind!r}"
        )
    result: T = family._family[kind]._from_arguments(arguments)
    return result


def _storable(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Registered):
        return value.config()
    if isinstance(value, tuple | list):
        return [_storable(each) for each in value]
    if isinstance(value, numpy.dtype):
        return value.name
    if isinstance(value, numpy.ndarray | numpy.generic):
        return value.tolist()
    return None if callable(value) else value
