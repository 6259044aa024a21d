"""The names and signatures of the NumPy classes that `fastlstm` replaces: change one import line, keep the rest."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy
import numpy.typing

from fastlstm.model.lstm import LSTM
from fastlstm.model.network import NeuralNetwork

__all__ = ["NeuralNetwork", "lstm"]


class lstm(LSTM):
    """`fastlstm.LSTM` with ``gradient="reference"`` as its default, so that numbers stay what they were."""

    def __init__(
        self,
        input_size: int,
        output_size: int,
        hidden_size: int = 100,
        seed: Any = None,
        afuncs: Sequence[Any] | None = None,
        afunc_primes: Sequence[Any] | None = None,
        bptt_truncate: int | None = 4,
        learning_rate: float = 0.005,
        loss_func: str | None = None,
        *,
        gradient: Literal["exact", "reference"] = "reference",
        dtype: numpy.typing.DTypeLike = numpy.float64,
        n_threads: int | None = None,
        bptt_stride: int = 1,
    ) -> None:
        super().__init__(
            input_size, output_size, hidden_size, seed, afuncs, afunc_primes, bptt_truncate, learning_rate, loss_func,
            gradient=gradient, dtype=dtype, n_threads=n_threads, bptt_stride=bptt_stride,
        )
