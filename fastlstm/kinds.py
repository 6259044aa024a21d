"""Classes that files know by their names, so that a user's own are saved and read like those of the library.

A class is known from its definition on. A file holds its name and the arguments of its constructor; nothing in a file
can name code to be imported.
"""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy

PACKAGE = __name__.partition(".")[0]


class Registered:
    """Base of families of classes that files know: a direct subclass is a family, its subclasses are the kinds.

    Parameters
    ----------
    parts : type, optional
        Of a family: the family of the objects that may stand among a constructor's arguments; itself by default.

    Notes
    -----
    A class that is defined again, as in a cell of a notebook, takes the place of the earlier one. Different classes of
    one name may live side by side, but only fastlstm's own keep the name in files.
    """

    _kinds: ClassVar[dict[str, dict[tuple[str, str], type[Any]]]]
    """By name the classes, by module and qualified name."""

    _family: ClassVar[type[Any]]
    _parts: ClassVar[type[Any]]

    _left_out: ClassVar[tuple[str, ...]] = ()
    """Arguments of constructors that an object made from a file does without."""

    def __init_subclass__(cls, *, parts: type[Any] | None = None, **others: Any) -> None:
        super().__init_subclass__(**others)
        if Registered in cls.__bases__:
            cls._kinds, cls._family, cls._parts = {}, cls, parts or cls
        else:
            cls._kinds.setdefault(cls.__name__, {})[cls.__module__, cls.__qualname__] = cls

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, and the class's name as "kind"; for JSON.

        Returns
        -------
        dict
            Of each argument the attribute of its name.

        Raises
        ------
        TypeError
            There is no such attribute: then the class needs a `config` of its own.
        """
        return {"kind": type(self).__name__, **{name: _storable(value) for name, value in self._arguments().items()}}

    def _arguments(self, kind: type[Any] | None = None) -> dict[str, Any]:
        """The attributes that are named like the constructor's arguments; those of a class that it inherits from."""
        names = [name for name in inspect.signature(kind or type(self)).parameters if name not in self._left_out]
        missing = [name for name in names if not hasattr(self, name)]
        if missing:
            raise TypeError(f"{type(self).__name__} must have an attribute {missing[0]}, as its constructor takes an "
                            f"argument of this name, or a config of its own")
        return {name: getattr(self, name) for name in names}


def described(value: Registered) -> dict[str, Any]:
    """The `config` of an object, with its class's name as "kind", which files know the class by.

    Raises
    ------
    TypeError
        They know another class by this name.
    """
    kind = type(value)
    try:
        known = named(kind._family, kind.__name__)
    except ValueError as error:
        raise TypeError(f"{kind.__name__} cannot be saved: {error}") from None
    if _place(known) != _place(kind):
        raise TypeError(f"{_shown(kind)} cannot be saved, for files know {_shown(known)} by its name: give the class "
                        "another name")
    return {**value.config(), "kind": kind.__name__}


def made(family: type[Any], config: Any) -> Any:
    """An object of a family, made as another one was.

    Parameters
    ----------
    family : type
        A direct subclass of `Registered`.
    config : mapping
        From a `config` method, or read from JSON.

    Raises
    ------
    TypeError, ValueError
        It is something else, of an unknown kind, or has arguments that the class does not take.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a mapping, got {type(config).__name__}")
    kind = named(family, config.get("kind"))
    arguments = {name: _read(family._parts, value) for name, value in config.items() if name != "kind"}
    parameters = inspect.signature(kind).parameters
    many = next((k for k, p in enumerate(parameters.values()) if p.kind is p.VAR_POSITIONAL), None)
    if many is None:
        return kind(**arguments)
    *before, several = list(parameters)[: many + 1]
    first = [arguments.pop(name) for name in before if name in arguments]
    return kind(*first, *arguments.pop(several, ()), **arguments)


def named(family: type[Any], name: Any) -> type[Any]:
    """The class that files know by a name.

    Raises
    ------
    ValueError
        There is none, or more than one.
    """
    found = list(family._kinds.get(name, {}).values()) if isinstance(name, str) else []
    found = [kind for kind in found if kind.__module__.partition(".")[0] == PACKAGE] or found
    if not found:
        known = sorted(name for name in family._kinds if not name.startswith("_"))
        raise ValueError(f"config must have the kind of a known {family.__name__}, got {name!r}, known are "
                         f"{', '.join(known)}; a class is known once the module that defines it is imported")
    if len(found) > 1:
        raise ValueError(f"{name} is the name of several classes, {' and '.join(map(_shown, found))}: give all but one "
                         "of them other names")
    kind: type[Any] = found[0]
    return kind


def _place(kind: type[Any]) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _shown(kind: type[Any]) -> str:
    return ".".join(_place(kind))


def _storable(value: Any) -> Any:
    """An argument as JSON can hold it, if it can."""
    if isinstance(value, Registered):
        return described(value)
    if isinstance(value, list | tuple):
        return [_storable(each) for each in value]
    if isinstance(value, numpy.ndarray | numpy.generic):
        return value.tolist()
    return value.name if isinstance(value, numpy.dtype) else value


def _read(family: type[Any], value: Any) -> Any:
    """An argument, of what JSON held of it."""
    if isinstance(value, Mapping) and "kind" in value:
        return made(family, value)
    return [_read(family, each) for each in value] if isinstance(value, list | tuple) else value
