"""`fastlstm.nn.LSTM` against `torch.nn.LSTM` and its autograd."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)

from fastlstm import nn
from tests.helpers import JIT_OFF

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}

shapes = st.tuples(
    st.sampled_from([1, 3, 17, 37] if not JIT_OFF else [1, 3, 5]),
    st.sampled_from([1, 3, 17, 37] if not JIT_OFF else [1, 3, 17]),
    st.sampled_from([1, 3, 7, 17, 48] if not JIT_OFF else [1, 3, 7]),
    st.sampled_from([1, 2, 33] if not JIT_OFF else [1, 2, 5]),  # torch takes no sequence without steps
)
"""Input, hidden, batch, T."""

booleans = st.booleans()


def torch_twin(layer):
    """The same layer in PyTorch, in float64."""
    twin = torch.nn.LSTM(layer.input_size, layer.hidden_size, bias=layer.bias, batch_first=layer.batch_first).double()
    twin.load_state_dict({name: torch.from_numpy(value).double() for name, value in layer.state_dict().items()})
    return twin


def close(ours, theirs, dtype):
    theirs = theirs.detach().numpy()
    assert ours.dtype == dtype
    assert ours.shape == theirs.shape
    atol = TOLERANCE[dtype] * numpy.abs(theirs).max(initial=0)
    numpy.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


def compare(shape, dtype, bias=True, batch_first=False, batched=True, state_given=True, d_state_given=True):
    """Outputs, final states and all gradients of one random run."""
    inputs, size, batch, steps = shape
    rng = numpy.random.default_rng(shape)
    layer = nn.LSTM(inputs, size, bias=bias, batch_first=batch_first, dtype=dtype, seed=3)
    twin = torch_twin(layer)

    def draw(*shape):
        value = rng.standard_normal(shape).astype(dtype)
        return value, torch.from_numpy(value).double().requires_grad_()

    lead = ((batch, steps) if batch_first else (steps, batch)) if batched else (steps,)
    of_state = (1, batch, size) if batched else (1, size)
    x, their_x = draw(*lead, inputs)
    dy, their_dy = draw(*lead, size)
    state, their_state = zip(draw(*of_state), draw(*of_state), strict=True)
    d_state, their_d_state = zip(draw(*of_state), draw(*of_state), strict=True)

    y, final, tape = layer.forward(x, state if state_given else None)
    dx, d_initial = layer.backward(tape, dy, d_state if d_state_given else None)
    their_y, their_final = twin(their_x, their_state if state_given else None)
    loss = (their_y * their_dy).sum()
    if d_state_given:
        loss = loss + sum((a * b).sum() for a, b in zip(their_final, their_d_state, strict=True))
    loss.backward()

    close(y, their_y, dtype)
    close(dx, their_x.grad, dtype)
    for k in range(2):
        close(final[k], their_final[k], dtype)
        if state_given:
            close(d_initial[k], their_state[k].grad, dtype)
    for name, parameter in twin.named_parameters():
        close(layer.gradients[name], parameter.grad, dtype)


@given(shapes, booleans, booleans, booleans, booleans, booleans)
def test_float64(shape, bias, batch_first, batched, state_given, d_state_given):
    compare(shape, "float64", bias, batch_first, batched, state_given, d_state_given)


@given(shapes, booleans, booleans, booleans, booleans, booleans)
def test_float32(shape, bias, batch_first, batched, state_given, d_state_given):
    compare(shape, "float32", bias, batch_first, batched, state_given, d_state_given)


@pytest.mark.skipif(JIT_OFF, reason="too large for kernels in plain Python")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(129, 200, 7, 33), (200, 129, 1, 33), (3, 129, 48, 5), (37, 200, 17, 100)], ids=str
)
def test_large(shape, dtype):
    compare(shape, dtype)


def test_parameters_have_torchs_names_shapes_and_bounds():
    layer, theirs = nn.LSTM(3, 5), torch.nn.LSTM(3, 5).state_dict()
    assert {name: value.shape for name, value in layer.state_dict().items()} == {
        name: tuple(value.shape) for name, value in theirs.items()
    }
    assert list(layer.parameters) == list(theirs)
    assert numpy.abs(layer.parameters.flat).max() <= 5**-0.5


def test_a_state_dict_of_tensors_loads():
    theirs, layer = torch.nn.LSTM(3, 5), nn.LSTM(3, 5, seed=0)
    layer.load_state_dict(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        numpy.testing.assert_array_equal(layer.parameters[name], value.numpy(), strict=True)
