"""A dense feed-forward network with sigmoid layers: forward and backward for a whole mini-batch in one call.

Parameters lie in one flat array, layer after layer from layer 1 on: weights (sizes[l], sizes[l - 1]), then biases
(sizes[l],). Values of a mini-batch of n examples lie in flat arrays too, layer after layer from layer 0 on, each
(n, sizes[l]).
"""

import numpy as np

from fastlstm_kernels.activations import SIGMOID, times_slope
from fastlstm_kernels.arrays import Array, Index
from fastlstm_kernels.dense import dense_backward, dense_forward
from fastlstm_kernels.jit import jit


@jit(device=True, inline=True)
def _matrix(flat: Array, start: int, rows: int, columns: int) -> Array:
    return flat[start : start + rows * columns].reshape(rows, columns)


@jit()
def network_forward(
    sizes: Index, parameters: Array, n: int, zs: Array, activations: Array, scratch: Array, workers: int
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
    scratch : (workers, `dense.dense_scratch`) array
        Overwritten.
    workers : int
        Shares of the work, by examples.

    Notes
    -----
    2 flops per example and weight.
    """
    at_parameter, at_value = 0, 0
    for layer in range(1, sizes.shape[0]):
        inputs, outputs = sizes[layer - 1], sizes[layer]
        w = _matrix(parameters, at_parameter, outputs, inputs)
        at_parameter += outputs * inputs
        x = _matrix(activations, at_value, n, inputs)
        at_value += n * inputs
        z, a = _matrix(zs, at_value, n, outputs), _matrix(activations, at_value, n, outputs)
        dense_forward(x, w, parameters[at_parameter : at_parameter + outputs], SIGMOID, z, a, scratch, workers)
        at_parameter += outputs


@jit()
def network_backward(
    sizes: Index, parameters: Array, n: int, activations: Array, errors: Array, gradients: Array, scratch: Array,
    workers: int,
) -> None:
    """Gradients of a mini-batch, summed over its examples; mirrors `oracle.NeuralNetwork._back_prop`.

    Parameters
    ----------
    sizes, parameters, n, scratch, workers
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
    gradients[:] = 0
    for layer in range(sizes.shape[0] - 1, 0, -1):
        inputs, outputs = sizes[layer - 1], sizes[layer]
        error = _matrix(errors, at_value, n, outputs)
        times_slope(SIGMOID, n * outputs, activations, at_value, errors, at_value)
        at_value -= n * inputs
        at_parameter -= outputs
        d_b = gradients[at_parameter : at_parameter + outputs]
        at_parameter -= outputs * inputs
        dense_backward(
            error, _matrix(activations, at_value, n, inputs), _matrix(parameters, at_parameter, outputs, inputs),
            _matrix(gradients, at_parameter, outputs, inputs), d_b,
            _matrix(errors, at_value, n if layer > 1 else 0, inputs), scratch, workers,
        )


@jit()
def example_forward(sizes: Index, parameters: Array, x: Array, values: Array, scratch: Array) -> None:
    """`network_forward` of one example.

    Parameters
    ----------
    sizes, parameters, scratch
        As for `network_forward`.
    x : (sizes[0], 1) array
    values : (2 · sum(sizes), 1) array
        Written: `zs`, whose layer 0 is zero, then `activations`.
    """
    total, zs = values.shape[0] // 2, values.ravel()
    activations = zs[total:]
    zs[: sizes[0]] = 0
    for k in range(sizes[0]):  # to assign a part of one array to another takes 2 s to compile
        activations[k] = x[k, 0]
    network_forward(sizes, parameters, 1, zs[:total], activations, scratch, 1)


@jit()
def example_backward(
    sizes: Index, parameters: Array, values: Array, target: Array, gradients: Array, scratch: Array
) -> None:
    """`network_backward` of one example.

    Parameters
    ----------
    sizes, parameters, scratch
        As for `network_backward`.
    values : (2 · sum(sizes), 1) array
        From `example_forward`.
    target : (sizes[-1], 1) array
        What the last layer should have been.
    gradients : (n, 1) array
        Written.
    """
    activations = values.ravel()[values.shape[0] // 2 :]
    errors = np.empty_like(activations)
    _last_error(activations, target.ravel(), errors)
    network_backward(sizes, parameters, 1, activations, errors, gradients.ravel(), scratch, 1)


@jit(device=True, inline=True)
def _last_error(activations: Array, targets: Array, errors: Array) -> None:
    last = errors.shape[0] - targets.shape[0]
    for k in range(targets.shape[0]):
        errors[last + k] = activations[last + k] - targets[k]


@jit()
def network_gradients(
    sizes: Index, parameters: Array, n: int, targets: Array, activations: Array, errors: Array, gradients: Array,
    scratch: Array, workers: int,
) -> None:
    """Forward and backward of a mini-batch in one call; mirrors one mini-batch of `oracle.NeuralNetwork.fit`.

    Parameters
    ----------
    targets : flat array, n · sizes[-1] elements
        What the last layer should have been.
    sizes, parameters, n, activations, errors, gradients, scratch, workers
        As for `network_forward` and `network_backward`; `errors` need not be set.

    Notes
    -----
    6 flops per example and weight.
    """
    network_forward(sizes, parameters, n, errors, activations, scratch, workers)  # errors come where zs were
    _last_error(activations, targets, errors)
    network_backward(sizes, parameters, n, activations, errors, gradients, scratch, workers)
