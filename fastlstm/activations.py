"""Activation functions by name or callable, and which of them run compiled.

The functions here take and return arrays; their `_prime` derivatives are functions of the same argument.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy

from fastlstm.oracle.activations import (
    identity,
    identity_prime,
    relu,
    relu_prime,
    sigmoid,
    sigmoid_prime,
    softmax,
    softmax_jacobian,
    softmax_prime,
    tanh,
    tanh_prime,
)
from fastlstm_kernels import activations as codes

__all__ = [
    "PerformanceWarning",
    "identity",
    "identity_prime",
    "relu",
    "relu_prime",
    "sigmoid",
    "sigmoid_prime",
    "softmax",
    "softmax_jacobian",
    "softmax_prime",
    "tanh",
    "tanh_prime",
]

Function: TypeAlias = Callable[..., Any]


class PerformanceWarning(UserWarning):
    """A model runs through NumPy, because a callable it was given is not one of the compiled functions."""


@dataclass(frozen=True)
class _Known:
    code: int
    function: Function
    primes: tuple[Function, ...]


_KNOWN = {
    "identity": _Known(codes.IDENTITY, identity, (identity_prime,)),
    "tanh": _Known(codes.TANH, tanh, (tanh_prime,)),
    "sigmoid": _Known(codes.SIGMOID, sigmoid, (sigmoid_prime,)),
    "relu": _Known(codes.RELU, relu, (relu_prime,)),
    "softmax": _Known(codes.SOFTMAX, softmax, (softmax_prime, softmax_jacobian)),
}
_BY_FUNCTION = {known.function: known for known in _KNOWN.values()} | {numpy.tanh: _KNOWN["tanh"]}


@dataclass(frozen=True)
class Activations:
    """The three activation functions of a model, a0 (candidate), a1 (cell state) and a2 (output), resolved.

    Attributes
    ----------
    functions : tuple of 3 callables
        On arrays.
    primes : tuple of 3 callables, or None
        Their derivatives; None where a custom function came without derivatives.
    codes : tuple of 3 int, or None
        Codes for the kernels; None where the model must run through NumPy.
    """

    functions: tuple[Function, Function, Function]
    primes: tuple[Function, Function, Function] | None
    codes: tuple[int, int, int] | None

    @property
    def softmax_output(self) -> bool:
        """Whether a2 is the softmax."""
        return self.functions[2] is softmax

    @property
    def jacobian(self) -> bool:
        """Whether the derivative of a2 is the softmax's full Jacobian."""
        return self.primes is not None and self.primes[2] is softmax_jacobian


def resolve(afuncs: Sequence[Any] | None, afunc_primes: Sequence[Any] | None, stacklevel: int) -> Activations:
    """Look the activation functions up.

    Parameters
    ----------
    afuncs : sequence of 3 names or callables, or None
        a0, a1, a2; None for tanh, tanh and softmax.
    afunc_primes : sequence of 3 callables, or None
        Their derivatives; None for those of the functions, if they are known.
    stacklevel : int
        Of the warning, counted from here.

    Returns
    -------
    Activations

    Raises
    ------
    ValueError
        Not three functions, or an unknown name.
    TypeError
        Neither a name nor a callable.

    Warns
    -----
    PerformanceWarning
        Where the model will run through NumPy.
    """
    given = _three("afuncs", ("tanh", "tanh", "softmax") if afuncs is None else afuncs)
    known = [_lookup(f) for f in given]
    functions = tuple(k.function if k else f for f, k in zip(given, known, strict=True))
    if afunc_primes is not None:
        primes: tuple[Any, ...] | None = _three("afunc_primes", afunc_primes)
        for prime in primes or ():
            if not callable(prime):
                raise TypeError(f"afunc_primes must hold callables, got {prime!r}")
    else:
        primes = tuple(k.primes[0] for k in known if k) if all(known) else None
    odd = [f for f, k in zip(given, known, strict=True) if not k]
    odd += [p for p, k in zip(primes or (), known, strict=False) if k and p not in k.primes]
    odd += [f for f in functions[:2] if f is softmax]  # a row at a time, where the kernels take a unit at a time
    compiled = None
    if odd:
        named = ", ".join(getattr(f, "__name__", repr(f)) for f in odd)
        warnings.warn(
            f"{named} does not run compiled: this model runs through NumPy, 20 or more times slower. Compiled are "
            f"{', '.join(_KNOWN)} (softmax as the output activation), by name or from fastlstm.activations.",
            PerformanceWarning,
            stacklevel=stacklevel,
        )
    else:
        compiled = tuple(k.code for k in known if k)
    return Activations(functions, primes, compiled)  # type: ignore[arg-type]


def name_of(function: Function) -> str | None:
    """Name of one of the compiled functions, or None."""
    return next((name for name, known in _KNOWN.items() if known.function is function), None)


def with_jacobian(names: Sequence[str]) -> tuple[Function, ...]:
    """Derivatives of the named functions; of the last, the softmax, the full Jacobian."""
    return (*(_KNOWN[name].primes[0] for name in names[:2]), softmax_jacobian)


def _three(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(values, str) or not hasattr(values, "__len__") or len(values) != 3:
        raise ValueError(f"{name} must hold three functions (candidate, cell state, output), got {values!r}")
    return tuple(values)


def _lookup(function: Any) -> _Known | None:
    if isinstance(function, str):
        if function not in _KNOWN:
            raise ValueError(f"afuncs must name one of {', '.join(_KNOWN)}, got {function!r}")
        return _KNOWN[function]
    if not callable(function):
        raise TypeError(f"afuncs must hold names or callables, got {function!r}")
    try:
        return _BY_FUNCTION.get(function)
    except TypeError:  # an unhashable callable
        return None
