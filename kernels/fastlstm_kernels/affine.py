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


@jit(device=True)
def _backward_worker(
    worker: int, workers: int, dz: Array, x: Array, w: Array, depth: int, d_w: Array, d_b: Array, d_x: Array
) -> None:
    rows, width = dz.shape
    first, last = span(worker, workers, width)
    for j in range(first, last):
        d_b[j] = 0
        for k in range(d_w.shape[1]):
            d_w[j, k] = 0
    for n in range(rows):
        for j in range(first, last):
            d_b[j] += dz[n, j]
    add_rows(dz.ravel(), first, ONE, width, last - first, rows, x, d_w, first)
    first, last = span(worker, workers, d_x.shape[0])
    for n in range(first, last):
        for k in range(d_x.shape[1]):
            d_x[n, k] = 0
    add_rows(dz.ravel(), first * width, width, ONE, last - first, depth, w, d_x, first)


@jit(parallel=True)
def affine_backward(
    dz: Array, x: Array, w: Array, depth: int, d_w: Array, d_b: Array, d_x: Array, workers: int
) -> None:
    """Gradients of an affine layer; mirrors `oracle.LSTM.init_gradients` and the input gradient of its BPTT.

    Parameters
    ----------
    dz : (N, n) array
        Gradient at the layer's pre-activations.
    x, w : (>= N, k) and (n, k) arrays
        Its input, of which the first N rows count, and weights.
    depth : int
        How many columns of `dz` reach `d_x`; n for the true gradient.
    d_w, d_b, d_x : (n, k), (n,) and (N, k) arrays
        Written: ``dz.T @ x``, ``dz.sum(axis=0)``, ``dz[:, :depth] @ w[:depth]``. A `d_x` without rows asks for none.
    workers : int
        Shares of the work: rows of `d_w`, then rows of `d_x`.

    Notes
    -----
    4 N n k flops. Every element is summed in one order, whoever sums it.
    """
    for share in prange(workers):
        _backward_worker(intp(share), workers, dz, x, w, depth, d_w, d_b, d_x)
