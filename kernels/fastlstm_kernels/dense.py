"""An affine layer over many rows at once: the output layer, and each layer of the dense network.

Its weights (n, k) lie in panels like those of the gates (see `pack`), but that a panel's columns are simply the next
outputs: ``panels (n / 4 L rounded up, 1 + k, 4 L)`` with the biases first, and on the way back
``transposed (k / 4 L rounded up, 1 + n rounded up, 4 L)``.
"""

from typing import Any

from fastlstm_kernels.activations import SOFTMAX, activate, softmax
from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.backward import weight_gradients
from fastlstm_kernels.forward import NONE, WHOLE
from fastlstm_kernels.jit import jit
from fastlstm_kernels.pack import copy_row, from_panel, to_panel
from fastlstm_kernels.simd import Count, Machine, Place, lanes, operation
from fastlstm_kernels.threads import share, span
from fastlstm_kernels.tile import WIDTH, multiply


def dense_shape(inputs: int, outputs: int, dtype: Any) -> tuple[int, int, int]:
    """Shape of the panels of a layer's weights, and of the gradient at them."""
    width = WIDTH * lanes(dtype)
    return -(-outputs // width), 1 + inputs, width


def dense_transposed_shape(inputs: int, outputs: int, dtype: Any) -> tuple[int, int, int]:
    """Shape of the transposed panels of a layer's weights."""
    width = WIDTH * lanes(dtype)
    return -(-inputs // width), 1 + -(-outputs // width) * width, width


@operation
def _delta_row(v: Machine, columns: Count, delta: Place, out: Place) -> None:
    """Up to a panel's row of deltas, and -0 in place and behind of them where there is no error."""
    for j in range(WIDTH):
        x = v.load_part(delta + j * v.lanes, v.first(columns - j * v.lanes))
        v.store(out + j * v.lanes, v.select(v.is_zero(x), -0.0, x))


@jit(device=True)
def _pack(w: Array, b: Array, panels: Array) -> None:
    outputs, width = w.shape[0], panels.shape[2]
    vector = width // WIDTH
    for p in range(panels.shape[0]):
        copy_row(outputs - p * width, b, p * width, panels, p * panels.shape[1] * width)
        for row in range(p * width, (p + 1) * width, vector):
            to_panel(w, row, max(0, min(vector, outputs - row)), panels, p, WHOLE, row - p * width)


@jit(device=True)
def _pack_transposed(w: Array, panels: Array) -> None:
    outputs, inputs, width = w.shape[0], w.shape[1], panels.shape[2]
    for p in range(panels.shape[0]):
        line = p * panels.shape[1] * width
        copy_row(NONE, w, NONE, panels, line)
        for k in range(panels.shape[1] - 1):
            row = min(k, outputs - 1)
            copy_row(
                inputs - p * width if k < outputs else 0, w, row * inputs + p * width, panels, line + (1 + k) * width
            )


@jit(device=True)
def _forward_worker(
    worker: int, workers: int, x: Array, panels: Array, code: int, z: Array, args: Array, out: Array
) -> None:
    width, outputs, depth = panels.shape[2], out.shape[1], x.shape[1]
    first, last = span(worker, workers, x.shape[0])
    multiply(
        x, first * depth, depth, WHOLE, WHOLE, NONE, depth, last - first, panels, width, panels.shape[1] * width, NONE,
        panels.shape[0], outputs, True, z, first * width, width, z.shape[1] * width,
    )
    for n in range(first, last):
        for p in range(panels.shape[0]):
            for j in range(p * width, min(outputs, (p + 1) * width)):
                args[n, j] = z[p, n, j - p * width]
        if code == SOFTMAX:
            softmax(outputs, args, n * outputs, out, n * outputs)
        else:
            activate(code, outputs, args, n * outputs, out, n * outputs)


@jit()
def dense_forward(
    x: Array, w: Array, b: Array, code: int, panels: Array, z: Array, args: Array, out: Array, workers: int
) -> None:
    """``args = x w.T + b; out = activation(args)``; mirrors the output line of `oracle.LSTM.feed_forward_and_cache`.

    Parameters
    ----------
    x, w, b : (N, k), (n, k) and (n,) arrays
    code : int
        Activation code.
    panels, z : array of `dense_shape`, (n / 4 lanes rounded up, N, 4 lanes) array
        Overwritten.
    args, out : (N, n) arrays
        Written.
    workers : int
        Shares of the work, by rows.

    Notes
    -----
    2 N n k flops.
    """
    _pack(w, b, panels)
    share(_forward_worker, (x, panels, code, z, args, out), workers)


@jit()
def dense_backward(
    delta: Array, x: Array, w: Array, rows: Index, transposed: Array, dz: Array, gradients: Array, scratch: Array,
    d_w: Array, d_b: Array, d_x: Array, workers: int,
) -> None:
    """Gradients of an affine layer; mirrors `oracle.LSTM.init_gradients` and ``delta @ W_o``.

    Parameters
    ----------
    delta : (N, n) array
        Gradient at the layer's pre-activations.
    x, w : (N, k) and (n, k) arrays
        Its input and weights.
    rows : (2,) intp array
        0 and N.
    transposed, dz, gradients : arrays of `dense_transposed_shape`, like z of `dense_forward`, of `dense_shape`
        Overwritten.
    scratch : (workers, `backward.SCRATCH`) array
        Overwritten.
    d_w, d_b, d_x : (n, k), (n,) and (N, k) arrays
        Written: ``delta.T @ x``, ``delta.sum(axis=0)``, ``delta @ w``. A `d_x` without rows asks for none.
    workers : int
        Shares of the work.

    Notes
    -----
    4 N n k flops. Every element is summed in one order, whoever sums it.
    """
    outputs, width = w.shape[0], dz.shape[2]
    vector = width // WIDTH
    for p in range(dz.shape[0]):
        for n in range(delta.shape[0]):
            _delta_row(outputs - p * width, delta, n * outputs + p * width, dz, (p * dz.shape[1] + n) * width)
    if d_x.shape[0]:
        _pack_transposed(w, transposed)
    d_w[:] = 0
    weight_gradients(
        NONE, WHOLE, rows, x, x.ravel()[:0].reshape(0, 0), dz, transposed, gradients, d_x, scratch, workers
    )
    for p in range(dz.shape[0]):
        for j in range(p * width, min(outputs, (p + 1) * width)):
            d_b[j] = gradients[p, 0, j - p * width]
        for row in range(p * width, (p + 1) * width, vector):
            from_panel(d_w, row, max(0, min(vector, outputs - row)), gradients, p, WHOLE, row - p * width)
