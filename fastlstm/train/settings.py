"""Settings of optimizers: checked whenever they are assigned, by the constructor or later."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from fastlstm import checks

if TYPE_CHECKING:
    from fastlstm.train.optimizer import Optimizer

Check: TypeAlias = Callable[[str, Any], Any]
"""``check(name, value)`` returns the value as it is to be kept, or raises a TypeError or ValueError."""


class Setting:
    """An attribute of an optimizer, which is either what its check has let through or as it was.

    Parameters
    ----------
    check : callable
        See `Check`.

    Notes
    -----
    The value stands in the optimizer's dictionary under the attribute's own name. Assigning it first asks the
    optimizer whether it goes with the others, and then lets it drop the arrays that are no longer in use.
    """

    def __init__(self, check: Check) -> None:
        self._check = check

    def __set_name__(self, kind: type, name: str) -> None:
        self._name = name

    if TYPE_CHECKING:  # without this method Python finds the value in the dictionary, five times as fast
        def __get__(self, optimizer: Any, kind: Any = None) -> Any: ...

    def __set__(self, optimizer: "Optimizer", value: Any) -> None:
        checked = self._check(self._name, value)
        optimizer._check_together(vars(optimizer) | {self._name: checked})
        vars(optimizer)[self._name] = checked
        optimizer._drop_unused()


def number(name: str, value: Any) -> float:
    """`value` as a float that is not negative."""
    found = checks.real(name, value)
    if found < 0:
        raise ValueError(f"{name} must be at least 0, got {value!r}")
    return found


def positive(name: str, value: Any) -> float:
    """`value` as a positive float."""
    found = checks.real(name, value)
    if found <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return found


def fraction(name: str, value: Any) -> float:
    """`value` as a float in [0, 1)."""
    found = number(name, value)
    if found >= 1:
        raise ValueError(f"{name} must be below 1, got {value!r}")
    return found


def rate(name: str, value: Any) -> Any:
    """`value` as a float that is not negative; a callable, which gives such numbers later, as it is."""
    return value if callable(value) else number(name, value)


def limit(name: str, value: Any) -> float | None:
    """`value` as a positive float, or None for None."""
    return None if value is None else positive(name, value)


def flag(name: str, value: Any) -> bool:
    """Whether `value` is true."""
    return bool(value)


def threads(name: str, value: Any) -> int | None:
    """`value` as an int of at least 1, or None for None."""
    return checks.optional_integer(name, value, 1)


def betas(name: str, value: Any) -> tuple[Any, float]:
    """`value` as two floats in [0, 1); the first may be a callable, which gives such numbers later."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name} must be two numbers, got {value!r}")
    first = value[0] if callable(value[0]) else fraction(f"{name}[0]", value[0])
    return first, fraction(f"{name}[1]", value[1])
