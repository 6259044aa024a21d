"""Masks of dropout: zeros at random, and for the rest what keeps the mean as it is."""

from typing import Any

import numpy

from fastlstm.checks import Array


def mask(generator: numpy.random.Generator, shape: tuple[int, ...], rate: float, dtype: numpy.dtype[Any]) -> Array:
    """A mask to multiply with (Srivastava et al. 2014, "Dropout", inverted as in use today).

    Parameters
    ----------
    generator : numpy.random.Generator
    shape : tuple of int
    rate : float
        Probability of a zero, from 0 to 1.
    dtype : dtype
        Of the mask.

    Returns
    -------
    array
        0 or 1 / (1 - rate).
    """
    scale = dtype.type(0 if rate == 1 else 1 / (1 - rate))
    drawn: Array = (generator.random(shape) >= rate) * scale
    return drawn
