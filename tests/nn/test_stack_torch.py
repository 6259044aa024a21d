"""`fastlstm.nn.LSTM` in all its shapes against `torch.nn.LSTM` and its autograd."""

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fastlstm import nn
from tests.tools.helpers import JIT_OFF
from tests.tools.stacks import Case, by_oracle, close, drawn, run

COUNT = 12 if JIT_OFF else 60


def torch_twin(layer):
    """The same layer in PyTorch, in float64."""
    twin = torch.nn.LSTM(
        layer.input_size, layer.hidden_size, layer.num_layers, layer.bias, layer.batch_first,
        bidirectional=layer.bidirectional, proj_size=layer.proj_size,
    ).double()
    twin.load_state_dict({name: torch.from_numpy(value).double() for name, value in layer.state_dict().items()})
    return twin


def leaf(array):
    return torch.from_numpy(array).double().requires_grad_()


def torchs(case):
    """What `run` gives, by PyTorch."""
    twin, (x, state, dy, d_state) = torch_twin(case.layer()), case.given()
    x, (h, c) = leaf(x), map(leaf, state or map(numpy.zeros, case.states()))
    if case.lengths is None:
        y, final = twin(x, (h, c))
    else:
        packed, final = twin(pack_padded_sequence(x, case.lengths, case.batch_first, enforce_sorted=False), (h, c))
        y, _ = pad_packed_sequence(packed, case.batch_first, total_length=case.steps)
    loss = (y * torch.from_numpy(dy)).sum()
    if d_state is not None:
        loss = loss + sum((a * torch.from_numpy(b)).sum() for a, b in zip(final, d_state, strict=True))
    loss.backward()
    found = dict(zip(("y", "h_n", "c_n"), (y, *final), strict=True)) | {"dx": x.grad, "dh_0": h.grad, "dc_0": c.grad}
    found |= {name: value.grad for name, value in twin.named_parameters()}
    return {name: value.detach().numpy() for name, value in found.items()}


def compare(case):
    """Outputs, final states and all gradients."""
    layer, (x, state, dy, d_state) = case.layer(), case.given()
    found, wanted = run(layer, x, state, case.lengths, dy, d_state), torchs(case)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        close(found[name], value, case.dtype, f"{name} of {case}")
    y, final = layer(x, state, case.lengths)
    for name, value in zip(("y", "h_n", "c_n"), (y, *final), strict=True):
        numpy.testing.assert_array_equal(value, found[name], f"{name} of {case} called")


@pytest.mark.long
@pytest.mark.parametrize("case", [drawn(seed, shortest=1) for seed in range(COUNT)], ids=lambda case: str(case.seed))
def test_drawn_at_random(case):
    compare(case)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60, 360))
def test_many_more_drawn_at_random(seed):
    compare(drawn(seed, shortest=1))


@pytest.mark.skipif(JIT_OFF, reason="too large for kernels in plain Python")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [
    {"inputs": 129, "hidden": 200, "layers": 1, "bidirectional": False, "batch": 7, "steps": 33},
    {"inputs": 200, "hidden": 129, "layers": 1, "bidirectional": True, "batch": 1, "steps": 33},
    {"inputs": 3, "hidden": 129, "layers": 2, "bidirectional": False, "batch": 48, "steps": 5},
    {"inputs": 37, "hidden": 200, "layers": 1, "bidirectional": False, "batch": 17, "steps": 100},
    {"inputs": 37, "hidden": 130, "layers": 2, "bidirectional": True, "batch": 17, "steps": 30,
     "lengths": (30, 1, 7, 29, *range(2, 15))},
    {"inputs": 37, "hidden": 130, "layers": 2, "bidirectional": True, "batch": 17, "steps": 30, "projection": 70},
], ids=str)  # fmt: skip
@pytest.mark.long
def test_large(shape, dtype):
    usual = {"projection": 0, "lengths": None, "bias": True, "batch_first": False, "state": True, "d_state": True}
    compare(Case(0, dtype, **usual | shape))


@pytest.mark.parametrize("seed", range(6))
def test_the_oracle_is_torchs(seed):
    case = drawn(seed, shortest=1, dtype="float64", batch_first=False, batch=3, lengths=(1, 3, 2), steps=3)
    (x, state, _, _), wanted = case.given(), torchs(case)
    for name, value in by_oracle(case.layer(), x, state, case.lengths).items():
        close(value, wanted[name], "float64", f"{name} of {case}")


@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "bidirectional": True}, {"num_layers": 2, "proj_size": 2}])
def test_parameters_have_torchs_names_shapes_order_and_bounds(options):
    layer, theirs = nn.LSTM(3, 5, **options, seed=0), torch.nn.LSTM(3, 5, **options).state_dict()
    assert {name: value.shape for name, value in layer.state_dict().items()} == {
        name: tuple(value.shape) for name, value in theirs.items()
    }
    assert list(layer.parameters) == list(theirs)
    for value in layer.parameters.values():
        assert 0.5 * 5**-0.5 < numpy.abs(value).max() <= 5**-0.5


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "proj_size": 2}])
def test_a_state_dict_of_tensors_loads(options):
    theirs, layer = torch.nn.LSTM(3, 5, **options), nn.LSTM(3, 5, **options, seed=0)
    layer.load_state_dict(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        numpy.testing.assert_array_equal(layer.parameters[name], value.numpy(), strict=True)
