"""The oracle itself: its exact gradient against finite differences and the complex step."""

import numpy
import pytest

from fastlstm import oracle
from fastlstm.oracle import activations as af
from fastlstm.oracle.lstm import GATES, loss
from tests.tools.helpers import NAMES, flatten, one_hot

T, I, O, H = 7, 3, 2, 5  # noqa: E741
ORDER = [kind + "_" + g for g in GATES for kind in "WUb"] + ["W_o", "b_o"]
FUNCTIONS = {
    "tanh": (af.tanh, af.tanh_prime),
    "sigmoid": (af.sigmoid, af.sigmoid_prime),
    "identity": (af.identity, af.identity_prime),
    "softmax": (af.softmax, af.softmax_prime),
}


def model(output="tanh", truncate=None, gradient="exact", dtype=numpy.float64, **kwargs):
    function, prime = FUNCTIONS[output]
    return oracle.LSTM(
        I, O, H, 3, [af.tanh, af.tanh, function], [af.tanh_prime, af.tanh_prime, prime], truncate, gradient=gradient,
        dtype=dtype, **kwargs,
    )


def worst_error(m, X, Y, numerical):
    """Largest relative error of each gradient, by name."""
    value = oracle.windowed_loss(m, X, Y)
    found = dict(zip([*ORDER, "X"], flatten(m.back_propagate_through_time(X, Y)), strict=True))
    arrays = {name: getattr(m, name) for name in NAMES} | {"X": X}
    errors = {}
    for name, array in arrays.items():
        wanted = numerical(value, array)
        errors[name] = numpy.abs(numpy.real(found[name]) - wanted).max() / numpy.abs(wanted).max()
    return errors


WINDOWS = [(0, 1), (1, 1), (4, 1), (T - 1, 1), (None, 1), (0, 3), (1, 2), (2, 5), (0, T + 1)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("output", "truncate", "stride"),
    [("tanh", *window) for window in WINDOWS]
    + [(output, *window) for output in ("softmax", "identity", "sigmoid") for window in ((4, 1), (1, 2))],
)
def test_exact_gradient_by_finite_differences(rng, truncate, stride, output):
    m = model(output, truncate, bptt_stride=stride)
    errors = worst_error(m, rng.standard_normal((T, I)), one_hot(rng, T, O), oracle.finite_difference)
    assert max(errors.values()) < 1e-7


@pytest.mark.long
@pytest.mark.parametrize(("truncate", "stride"), WINDOWS)
@pytest.mark.parametrize(
    ("output", "loss_func"), [("tanh", None), ("softmax", "squared_error"), ("softmax", "cross_entropy")]
)
def test_exact_gradient_by_complex_step(rng, truncate, stride, output, loss_func):
    m = model(output, truncate, dtype=numpy.complex128, loss_func=loss_func, bptt_stride=stride)
    X, Y = rng.standard_normal((T, I)).astype(complex), one_hot(rng, T, O).astype(complex)
    assert max(worst_error(m, X, Y, oracle.complex_step).values()) < 1e-13


def test_reference_gradient_is_not_exact(rng):
    m = model("tanh", None, "reference", loss_func="squared_error")
    errors = worst_error(m, rng.standard_normal((T, I)), rng.uniform(-1, 1, (T, O)), oracle.finite_difference)
    assert errors["W_o"] < 1e-7
    assert errors["b_o"] < 1e-7
    wrong = [errors[name] for name in errors if not name.endswith("_o")]
    assert min(wrong) > 0.01
    assert max(wrong) < 2


def test_gradients_agree_where_windows_are_one_step(rng):
    X, Y = rng.standard_normal((T, I)), rng.uniform(-1, 1, (T, O))
    exact, reference = (flatten(model("tanh", 0, g).back_propagate_through_time(X, Y)) for g in ("exact", "reference"))
    for a, b in zip(exact[:-1], reference[:-1], strict=True):
        numpy.testing.assert_array_equal(a, b)
    assert not numpy.allclose(exact[-1], reference[-1])


def test_long_truncation_is_none(rng):
    X, Y = rng.standard_normal((T, I)), one_hot(rng, T, O)
    whole = flatten(model(truncate=None).back_propagate_through_time(X, Y))
    for a, b in zip(flatten(model(truncate=T - 1).back_propagate_through_time(X, Y)), whole, strict=True):
        numpy.testing.assert_array_equal(a, b)


def test_jacobian_prime_is_applied_as_a_matrix(rng):
    X, Y = rng.standard_normal((T, I)), one_hot(rng, T, O)
    functions, primes = [af.tanh, af.tanh, af.softmax], [af.tanh_prime, af.tanh_prime, af.softmax_jacobian]
    with_jacobian = oracle.LSTM(I, O, H, 3, functions, primes, gradient="reference")
    exact = oracle.LSTM(I, O, H, 3, functions, gradient="exact", loss_func="squared_error")
    for m in (with_jacobian, exact):
        *_, O_args, Os, _ = m.feed_forward_and_cache(X)
        m.delta = m.output_delta(O_args, Os, Y)
    numpy.testing.assert_array_equal(with_jacobian.delta, exact.delta)


@pytest.mark.parametrize("name", ["identity", "tanh", "sigmoid", "relu", "softmax"])
def test_derivatives(rng, name):
    x = rng.standard_normal((3, 4))
    function, prime = getattr(af, name), getattr(af, name + "_prime")
    moved = numpy.zeros_like(x)
    for index in numpy.ndindex(x.shape):
        step = numpy.zeros_like(x)
        step[index] = 1e-6
        moved[index] = (function(x + step) - function(x - step))[index] / 2e-6
    numpy.testing.assert_allclose(prime(x), moved, rtol=1e-7, atol=1e-9)
    if name == "softmax":
        numpy.testing.assert_array_equal(numpy.diagonal(af.softmax_jacobian(x), axis1=1, axis2=2), prime(x))


def test_saturated_activations_are_quiet():
    x = numpy.array([-1e4, -750.0, 0.0, 750.0, 1e4, numpy.inf, -numpy.inf, numpy.nan])
    numpy.testing.assert_array_equal(af.sigmoid(x)[[0, 2, 4, 5, 6]], [0, 0.5, 1, 1, 0])
    assert numpy.isnan(af.sigmoid(x)[7])
    assert numpy.isnan(af.relu(x)[7])


def test_training_lowers_the_loss(rng):
    m = model("softmax", 2, learning_rate=0.05)
    X = [rng.standard_normal((T, I)) for _ in range(3)]
    Y = [one_hot(rng, T, O) for _ in range(3)]
    before = m.loss_function(X, Y)
    for _ in range(20):
        assert m.train(X, Y) is m
    assert m.loss_function(X, Y) < before
    assert numpy.isnan(m.loss_function([], []))


def test_losses():
    Os, Y = numpy.array([[0.25, 0.75], [1.0, 0.0]]), numpy.array([[1.0, 0.0], [0.0, 1.0]])
    numpy.testing.assert_allclose(loss("cross_entropy", Os, Y), [numpy.log(4), numpy.inf])
    numpy.testing.assert_allclose(loss("squared_error", Os, Y), [0.75**2, 1.0])


def test_network_gradient_by_finite_differences(rng):
    numpy.random.seed(3)
    net = oracle.NeuralNetwork([4, 3, 5, 2])
    x, y = rng.standard_normal((4, 1)), rng.uniform(size=(2, 1))

    def value():
        net._forward_prop(x)
        return 0.5 * numpy.sum((net._activations[-1] - y) ** 2)

    value()
    nabla_b, nabla_w = net._back_prop(x, y)
    for found, parameters in ((nabla_b, net.biases), (nabla_w, net.weights)):
        for layer in range(1, 4):
            wanted = oracle.finite_difference(value, parameters[layer])
            numpy.testing.assert_allclose(found[layer], wanted, rtol=1e-6, atol=1e-10)
    assert 0 <= net.predict(x) < 2
