"""A network's mini-batches, called as they are: against the oracle's examples one by one."""

from itertools import pairwise

import numpy
from hypothesis import given
from hypothesis import strategies as st

import fastlstm_kernels as kernels
from fastlstm import oracle
from fastlstm_kernels.dense import dense_scratch
from tests.tools.helpers import assert_matches, dtypes, sizes

batches = st.sampled_from([0, 1, 3, 7, 17])


def drawn(widths, n, dtype):
    """The oracle's network, its parameters in a flat array of a dtype, and n examples as columns."""
    numpy.random.seed(len(widths))
    net = oracle.NeuralNetwork(widths)
    parts = [part.ravel() for pair in zip(net.weights[1:], net.biases[1:], strict=True) for part in pair]
    rng = numpy.random.default_rng(n)
    x, y = rng.standard_normal((n, widths[0], 1)), rng.uniform(size=(n, widths[-1], 1))
    return net, numpy.concatenate([*parts, []]).astype(dtype), x.astype(dtype), y.astype(dtype)


def by_layer(flat, widths, n):
    """The values of each layer, (n, width), in a flat array."""
    ends = numpy.cumsum([0, *widths]) * n
    return [flat[a:b].reshape(n, width) for (a, b), width in zip(pairwise(ends), widths, strict=True)]


def scratch(workers, dtype):
    return numpy.empty((workers, dense_scratch(numpy.dtype(dtype))), dtype)


@given(st.lists(sizes, min_size=1, max_size=4), batches, dtypes, st.sampled_from([1, 3]))
def test_forwards_and_back(widths, n, dtype, workers):
    net, parameters, x, y = drawn(widths, n, dtype)
    shape, total = numpy.array(widths, numpy.intp), n * sum(widths)
    zs, activations, errors = numpy.full((3, total), numpy.nan, dtype)
    activations[: x.size] = x.ravel()
    kernels.network_forward(shape, parameters, n, zs, activations, scratch(workers, dtype), workers)
    errors[total - y.size :] = activations[total - y.size :] - y.ravel()
    gradients = numpy.full_like(parameters, numpy.nan)
    kernels.network_backward(shape, parameters, n, activations, errors, gradients, scratch(workers, dtype), workers)
    expected = numpy.zeros(parameters.size)
    found = [by_layer(values, widths, n) for values in (zs, activations)]
    for k in range(n):
        net._forward_prop(x[k].astype(float))
        for layer in range(1, len(widths)):
            assert_matches(found[0][layer][k], net._zs[layer][:, 0], dtype)
            assert_matches(found[1][layer][k], net._activations[layer][:, 0], dtype)
        nabla_b, nabla_w = net._back_prop(x[k].astype(float), y[k].astype(float))
        parts = [part.ravel() for pair in zip(nabla_w[1:], nabla_b[1:], strict=True) for part in pair]
        expected += numpy.concatenate([*parts, []])
    assert_matches(gradients, expected, dtype)
    both, again = numpy.full_like(parameters, numpy.nan), numpy.empty((2, total), dtype)
    again[0, : x.size] = x.ravel()
    kernels.network_gradients(shape, parameters, n, y.ravel(), *again, both, scratch(workers, dtype), workers)
    numpy.testing.assert_array_equal(both, gradients)


@given(st.lists(sizes, min_size=1, max_size=4), dtypes)
def test_an_example_is_a_mini_batch_of_one(widths, dtype):
    _, parameters, x, y = drawn(widths, 1, dtype)
    shape, total = numpy.array(widths, numpy.intp), sum(widths)
    zs, activations = numpy.zeros((2, total), dtype)
    activations[: widths[0]] = x[0, :, 0]
    kernels.network_forward(shape, parameters, 1, zs, activations, scratch(1, dtype), 1)
    values = numpy.full((2 * total, 1), numpy.nan, dtype)
    kernels.example_forward(shape, parameters, x[0], values, scratch(1, dtype))
    numpy.testing.assert_array_equal(values[:, 0], numpy.concatenate((zs, activations)))
    errors, gradients = numpy.empty(total, dtype), numpy.empty_like(parameters)
    errors[total - widths[-1] :] = activations[total - widths[-1] :] - y[0, :, 0]
    kernels.network_backward(shape, parameters, 1, activations, errors, gradients, scratch(1, dtype), 1)
    column = numpy.full((parameters.size, 1), numpy.nan, dtype)
    kernels.example_backward(shape, parameters, values, y[0], column, scratch(1, dtype))
    numpy.testing.assert_array_equal(column[:, 0], gradients)
