"""Layers from what their `config` methods give."""

from collections.abc import Mapping
from typing import Any

from fastlstm import kinds
from fastlstm.nn.layer import Layer


def from_config(config: Mapping[str, Any]) -> Any:
    """A layer made as another one was, with initial parameters of its own.

    Parameters
    ----------
    config : mapping
        From the `config` method of a layer, or read from JSON.

    Returns
    -------
    Layer
        An LSTM, Dense or Sequential, or of another subclass of `Layer` that has been defined.

    Raises
    ------
    TypeError, ValueError
        Something else, an unknown kind, or arguments that the layer does not take.

    Examples
    --------
    >>> fastlstm.nn.from_config({"kind": "Dense", "input_size": 3, "output_size": 2})
    Dense(3, 2, bias=True, dtype=float32, n_threads=None)
    """
    return kinds.made(Layer, config)
