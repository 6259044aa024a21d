"""A dense feed-forward network with sigmoid layers: forward and backward for a whole mini-batch in one call.

Parameters lie in one flat array, layer after layer from layer 1 on: weights (sizes[l], sizes[l - 1]), then biases
(sizes[l],). Values of a mini-batch of n examples lie in flat arrays too, layer after layer from layer 0 on, each
(n, sizes[l]).
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastlstm_kernels.activations import SIGMOID, times_slope
from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.backward import SCRATCH
from fastlstm_kernels.dense import dense_backward, dense_forward
from fastlstm_kernels.jit import jit
from fastlstm_kernels.simd import lanes
from fastlstm_kernels.tile import WIDTH


def network_work(sizes: Sequence[int], n: int, workers: int, dtype: Any) -> int:
    """Elements of the `work` array of the kernels below, for mini-batches of `n` examples."""
    width = WIDTH * lanes(dtype)
    padded = [-(-size // width) * width for size in sizes]
    each = itertools.pairwise(padded)
    return workers * SCRATCH + max(
        (2 * (1 + inputs) * outputs + inputs * (1 + outputs) + n * outputs for inputs, outputs in each), default=0
    )


@jit(device=True)
def _matrix(flat: Array, start: int, rows: int, columns: int) -> Array:
    return flat[start : start + rows * columns].reshape(rows, columns)


@jit(device=True)
def _panels(flat: Array, start: int, count: int, depth: int, width: int) -> Array:
    return flat[start : start + count * depth * width].reshape(count, depth, width)


@jit()
def network_forward(
    sizes: Index, parameters: Array, n: int, zs: Array, activations: Array, work: Array, width: int, workers: int
) -> None:
    """Run a mini-batch through the network; mirrors `oracle.NeuralNetwork._forward_prop`.

    Parameters
    ----------
    sizes : (layers,) intp array
        Width of each layer, input layer first.
    parameters : flat array
        Weights and biases; see above.
    n : int
        Examples in the mini-batch.
    zs, activations : flat arrays, n · sum(sizes) elements
        Layer 0 of `activations` holds the input; the later layers of both are written.
    work : flat array of `network_work` elements
        Overwritten.
    width : int
        Elements of a panel's row, 4 lanes.
    workers : int
        Shares of the work, by examples.

    Notes
    -----
    2 flops per example and weight.
    """
    at_parameter, at_value = 0, 0
    for layer in range(1, sizes.shape[0]):
        inputs, outputs = sizes[layer - 1], sizes[layer]
        count = (outputs + width - 1) // width
        w = _matrix(parameters, at_parameter, outputs, inputs)
        at_parameter += outputs * inputs
        x = _matrix(activations, at_value, n, inputs)
        at_value += n * inputs
        z, a = _matrix(zs, at_value, n, outputs), _matrix(activations, at_value, n, outputs)
        panels = _panels(work, 0, count, 1 + inputs, width)
        dense_forward(
            x, w, parameters[at_parameter : at_parameter + outputs], SIGMOID, panels,
            _panels(work, panels.size, count, n, width), z, a, workers,
        )
        at_parameter += outputs


@jit()
def network_backward(
    sizes: Index, parameters: Array, n: int, activations: Array, errors: Array, gradients: Array, work: Array,
    width: int, workers: int,
) -> None:
    """Gradients of a mini-batch, summed over its examples; mirrors `oracle.NeuralNetwork._back_prop`.

    Parameters
    ----------
    sizes, parameters, n, work, width, workers
        As for `network_forward`.
    activations : flat array
        From `network_forward`.
    errors : flat array, n · sum(sizes) elements
        The last layer holds activation minus target on entry; overwritten.
    gradients : flat array, like `parameters`
        Written.

    Notes
    -----
    4 flops per example and weight.
    """
    at_parameter, at_value = parameters.shape[0], errors.shape[0] - n * sizes[-1]
    rows = np.empty(2, np.intp)
    rows[0], rows[1] = 0, n
    scratch = _matrix(work, 0, workers, SCRATCH)
    for layer in range(sizes.shape[0] - 1, 0, -1):
        inputs, outputs = sizes[layer - 1], sizes[layer]
        count, across = (outputs + width - 1) // width, (inputs + width - 1) // width
        error = _matrix(errors, at_value, n, outputs)
        times_slope(SIGMOID, n * outputs, activations, at_value, errors, at_value)
        at_value -= n * inputs
        at_parameter -= outputs
        d_b = gradients[at_parameter : at_parameter + outputs]
        at_parameter -= outputs * inputs
        transposed = _panels(work, scratch.size, across, 1 + count * width, width)
        dz = _panels(work, scratch.size + transposed.size, count, n, width)
        sums = _panels(work, scratch.size + transposed.size + dz.size, count, 1 + inputs, width)
        dense_backward(
            error, _matrix(activations, at_value, n, inputs), _matrix(parameters, at_parameter, outputs, inputs), rows,
            transposed, dz, sums, scratch, _matrix(gradients, at_parameter, outputs, inputs), d_b,
            _matrix(errors, at_value, n if layer > 1 else 0, inputs), workers,
        )


@jit()
def network_gradients(
    sizes: Index, parameters: Array, n: int, targets: Array, zs: Array, activations: Array, errors: Array,
    gradients: Array, work: Array, width: int, workers: int,
) -> None:
    """Forward and backward of a mini-batch in one call; mirrors one mini-batch of `oracle.NeuralNetwork.fit`.

    Parameters
    ----------
    targets : flat array, n · sizes[-1] elements
        What the last layer should have been.
    sizes, parameters, n, zs, activations, errors, gradients, work, width, workers
        As for `network_forward` and `network_backward`; `errors` need not be set.

    Notes
    -----
    6 flops per example and weight.
    """
    network_forward(sizes, parameters, n, zs, activations, work, width, workers)
    last = errors.shape[0] - targets.shape[0]
    for k in range(targets.shape[0]):
        errors[last + k] = activations[last + k] - targets[k]
    network_backward(sizes, parameters, n, activations, errors, gradients, work, width, workers)
