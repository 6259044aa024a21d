"""Recurrent states, whatever the layer: None, an array (1, batch, hidden), or a tuple of such."""

from typing import Any

from fastlstm.checks import Array


def zero_rows(state: Any, rows: Array) -> Any:
    """A copy of a state with zeros for some sequences.

    Parameters
    ----------
    state : None, (1, batch, hidden) array, or tuple
    rows : (batch,) bool array
    """
    if state is None:
        return None
    if isinstance(state, tuple):
        return tuple(zero_rows(part, rows) for part in state)
    copy = state.copy()
    copy[:, rows] = 0
    return copy


def is_bidirectional(model: Any) -> bool:
    """Whether any layer also runs from the last step to the first."""
    return any(map(is_bidirectional, getattr(model, "layers", ()))) or bool(getattr(model, "bidirectional", False))


def carried(model: Any, state: Any) -> Any:
    """What of a final state the next steps begin with: a reverse direction ended at the first step, and begins anew.

    Parameters
    ----------
    model : layer
    state
        After the newest step.
    """
    if state is None or not is_bidirectional(model):
        return state
    if hasattr(model, "layers"):
        return tuple(carried(layer, part) for layer, part in zip(model.layers, state, strict=True))
    parts = tuple(part.copy() for part in state)
    for part in parts:
        part[1::2] = 0
    return parts


def pack(state: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Put the arrays of a state among others, under names that begin with `name`.

    Returns
    -------
    None, str or list
        The state for JSON, with names in place of arrays.
    """
    if state is None:
        return None
    if isinstance(state, tuple):
        return [pack(part, f"{name}.{k}", arrays) for k, part in enumerate(state)]
    arrays[name] = state
    return name


def unpack(packed: Any, arrays: dict[str, Array]) -> Any:
    """The state of which `pack` gave this."""
    if packed is None:
        return None
    if isinstance(packed, list):
        return tuple(unpack(part, arrays) for part in packed)
    return arrays[packed]
