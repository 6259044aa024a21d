"""Layers from what their `config` methods give."""

from collections.abc import Mapping
from typing import Any

from fastlstm.nn.dense import Dense
from fastlstm.nn.lstm import LSTM
from fastlstm.nn.sequential import Sequential


def from_config(config: Mapping[str, Any]) -> LSTM | Dense | Sequential:
    """A layer made as another one was, with initial parameters of its own.

    Parameters
    ----------
    config : mapping
        From the `config` method of a layer, or read from JSON.

    Returns
    -------
    LSTM, Dense or Sequential

    Raises
    ------
    TypeError, ValueError
        Something else, or arguments that the layer does not take.

    Examples
    --------
    >>> fastlstm.nn.from_config({"kind": "Dense", "input_size": 3, "output_size": 2})
    Dense(3, 2, bias=True, dtype=float32, n_threads=None)
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a mapping, got {type(config).__name__}")
    arguments = dict(config)
    kind = arguments.pop("kind", None)
    if kind == "Sequential":
        return Sequential(*map(from_config, arguments.pop("layers", ())), **arguments)
    if kind == "LSTM":
        return LSTM(**arguments)
    if kind == "Dense":
        return Dense(**arguments)
    raise ValueError(f"config must have a kind of 'LSTM', 'Dense' or 'Sequential', got {kind!r}")
