"""An affine layer over many rows through the kernels: allocates what they need and calls them."""

import functools
from typing import Any

import numpy

import fastlstm_kernels as kernels
from fastlstm.checks import Array
from fastlstm.engine.cores import useful
from fastlstm.engine.workspace import workspace
from fastlstm_kernels.activations import IDENTITY
from fastlstm_kernels.dense import dense_scratch

_elements = functools.cache(dense_scratch)


def scratch(workers: int, dtype: numpy.dtype[Any]) -> Array:
    """What the kernels of such a layer work in."""
    return workspace.array("dense", (workers, _elements(dtype)), dtype)


def forwards(
    x: Array, w: Array, b: Array, code: int, before: Array, values: Array, n_threads: int | None
) -> None:
    """Pre-activations and values of all rows.

    Parameters
    ----------
    x, w, b : (N, k), (n, k) and (n,) arrays
        Inputs and weights.
    code : int
        Activation code.
    before, values : (N, n) arrays
        Written; they may be one array, which then holds the values.
    n_threads : int or None
        At most so many threads.
    """
    workers = useful(n_threads, 2 * len(x) * w.size)
    kernels.dense_forward(x, w, b, code, before, values, scratch(workers, x.dtype), workers)


def backwards(
    delta: Array, x: Array, w: Array, d_w: Array, d_b: Array, d_x: Array, n_threads: int | None
) -> None:
    """Gradients, given those at the pre-activations.

    Parameters
    ----------
    delta : (N, n) array
        Gradients at the pre-activations.
    x, w : (N, k) and (n, k) arrays
        Inputs and weights.
    d_w, d_b : (n, k) and (n,) arrays
        Added to.
    d_x : (N, k) array
        Written.
    n_threads : int or None
        At most so many threads.
    """
    workers = useful(n_threads, 4 * len(x) * w.size)
    kernels.dense_backward(delta, x, w, d_w, d_b, d_x, scratch(workers, x.dtype), workers)


def linear(x: Array, w: Array, out: Array, n_threads: int | None) -> None:
    """The product x w.T, as `forwards` without a bias.

    Parameters
    ----------
    x, w : (N, k) and (n, k) arrays
    out : (N, n) array
        Written.
    n_threads : int or None
        At most so many threads.
    """
    forwards(x, w, numpy.zeros(len(w), w.dtype), IDENTITY, out, out, n_threads)


def linear_gradients(delta: Array, x: Array, w: Array, d_x: Array, n_threads: int | None) -> Array:
    """Gradients of `linear`, given that at its result.

    Parameters
    ----------
    delta, x, w : (N, n), (N, k) and (n, k) arrays
    d_x : (N, k) array
        Written: gradient at x.
    n_threads : int or None
        At most so many threads.

    Returns
    -------
    (n, k) array
        Gradient at w.
    """
    d_w = numpy.zeros_like(w)
    if len(x):
        backwards(delta, x, w, d_w, numpy.zeros(len(w), w.dtype), d_x, n_threads)
    return d_w
