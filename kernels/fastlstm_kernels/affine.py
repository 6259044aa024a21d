"""An affine layer over many rows at once: the output layer, the weight gradients of the gates, a dense layer."""

from numba import prange

from fastlstm_kernels.activations import SOFTMAX, activate, softmax_row
from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.forward import affine_rows
from fastlstm_kernels.jit import jit
from fastlstm_kernels.products import ONE, add_rows
from fastlstm_kernels.threads import span


@jit(parallel=True)
def affine_forward(x: Array, w: Array, b: Array, code: int, z: Array, out: Array, workers: int) -> None:
    """``z = x w.T + b; out = activation(z)``; mirrors the output line of `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    x, w, b : (N, k), (n, k) and (n,) arrays
    code : int
        Activation code.
    z, out : (N, n) arrays
        Written.
    workers : int
        Shares of the work, by rows.

    Notes
    -----
    2 N n k flops.
    """
    for share in prange(workers):
        worker = intp(share)
        first, last = span(worker, workers, x.shape[0])
        affine_rows(x, w, b, z, first, last, first)
        for n in range(first, last):
            if code == SOFTMAX:
                softmax_row(z[n], out[n])
            else:
                activate(code, z[n], out[n])


@jit()
def sum_outer_products(dz: Array, x: Array, d_w: Array, first: int, last: int) -> None:
    """Rows first to last - 1 of ``d_w = dz.T @ x``; every element is summed over the rows in one order."""
    for j in range(first, last):
        for k in range(d_w.shape[1]):
            d_w[j, k] = 0
    add_rows(dz.ravel(), first, ONE, dz.shape[1], last - first, dz.shape[0], x, d_w, first)


@jit()
def sum_rows(dz: Array, d_b: Array, first: int, last: int) -> None:
    """Elements first to last - 1 of ``d_b = dz.sum(axis=0)``."""
    for j in range(first, last):
        d_b[j] = 0
    for n in range(dz.shape[0]):
        for j in range(first, last):
            d_b[j] += dz[n, j]


@jit()
def _backward_worker(
    worker: int, workers: int, dz: Array, x: Array, w: Array, depth: int, d_w: Array, d_b: Array, d_x: Array
) -> None:
    first, last = span(worker, workers, dz.shape[1])
    sum_outer_products(dz, x, d_w, first, last)
    sum_rows(dz, d_b, first, last)
    first, last = span(worker, workers, dz.shape[0])
    for n in range(first, last):
        for k in range(d_x.shape[1]):
            d_x[n, k] = 0
    add_rows(dz.ravel(), first * dz.shape[1], dz.shape[1], ONE, last - first, depth, w, d_x, first)


@jit(parallel=True)
def affine_backward(
    dz: Array, x: Array, w: Array, depth: int, d_w: Array, d_b: Array, d_x: Array, workers: int
) -> None:
    """Gradients of an affine layer; mirrors `oracle.LSTM.init_gradients` and the input gradient of its BPTT.

    Parameters
    ----------
    dz : (N, n) array
        Gradient at the layer's pre-activations.
    x, w : (N, k) and (n, k) arrays
        Its input and weights.
    depth : int
        How many columns of `dz` reach `d_x`; n for the true gradient.
    d_w, d_b, d_x : (n, k), (n,) and (N, k) arrays
        Written: ``dz.T @ x``, ``dz.sum(axis=0)``, ``dz[:, :depth] @ w[:depth]``.
    workers : int
        Shares of the work: rows of `d_w`, then rows of `d_x`.

    Notes
    -----
    4 N n k flops.
    """
    for share in prange(workers):
        _backward_worker(intp(share), workers, dz, x, w, depth, d_w, d_b, d_x)


@jit(parallel=True)
def recurrent_weight_gradients(dz: Array, h_prev: Array, d_u: Array, workers: int) -> None:
    """``d_u = dz.T @ h_prev``; mirrors the recurrent weights' gradient in `oracle.LSTM.back_propagate_through_time`.

    Parameters
    ----------
    dz, h_prev : (N, 4 H) and (>= N, H) arrays
        Gradient at the pre-activations, and the hidden state before each row's step.
    d_u : (4 H, H) array
        Written.
    workers : int
        Shares of the work, by rows of `d_u`.

    Notes
    -----
    8 N H² flops.
    """
    for share in prange(workers):
        worker = intp(share)
        first, last = span(worker, workers, dz.shape[1])
        sum_outer_products(dz, h_prev, d_u, first, last)
