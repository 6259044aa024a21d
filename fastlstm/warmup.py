"""Compilation ahead of the first call that matters."""

from typing import Any

import numpy

from fastlstm import checks, nn
from fastlstm.model.lstm import LSTM


def warmup(dtype: Any = (numpy.float32, numpy.float64)) -> None:
    """Compile, or load from the cache, all that the layers of `nn`, the stepper and `LSTM` run.

    Afterwards no call of theirs compiles. Where compiled kernels are kept on disk this takes a fraction of a second;
    the first time on a machine, some seconds for each dtype.

    Parameters
    ----------
    dtype : {numpy.float32, numpy.float64}, or a list or tuple of them
        Of the models to come.

    Raises
    ------
    TypeError
        Another dtype. Nothing has been compiled.

    Examples
    --------
    >>> fastlstm.warmup(numpy.float32)
    """
    given = dtype if isinstance(dtype, list | tuple) else (dtype,)
    for each in [checks.float_dtype(value) for value in given]:
        _layer(each)
        _model(each)


def _layer(dtype: numpy.dtype[Any]) -> None:
    x = numpy.zeros((2, 1, 1), dtype)
    for layer in (
        nn.LSTM(1, 1, bidirectional=True, dtype=dtype, n_threads=1),
        nn.LSTM(1, 2, proj_size=1, dtype=dtype, n_threads=1), nn.LSTM(1, 1, dtype=dtype, n_threads=1),
    ):
        for part in (x, x[:1]):
            layer(part)
            output, state, tape = layer.forward(part)
            layer.backward(tape, output, state)
    layer.stepper()(x[0])


def _model(dtype: numpy.dtype[Any]) -> None:
    model, x = LSTM(1, 1, 1, seed=0, dtype=dtype, n_threads=1), numpy.zeros((2, 1), dtype)
    model.feed_forward(x)
    model.feed_forward_and_cache(x)
    model.loss_function([x], [x])
    for truncate in (0, None):
        model.bptt_truncate = truncate
        model.back_propagate_through_time(x, x)
    delta_h, row = numpy.zeros((2, 1), dtype)
    gradients = numpy.zeros((1, 1), dtype), numpy.zeros((1, 1), dtype), numpy.zeros(1, dtype)
    model.back_prop_forget_gate(row, delta_h, row, row, row, row, gradients, None)
