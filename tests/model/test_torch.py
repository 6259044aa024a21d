"""PyTorch as an independent witness of the exact gradient."""

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)

from fastlstm import LSTM
from tests.tools.helpers import JIT_OFF

GATES = {"i": 0, "f": 1, "c": 2, "hf": 3}
"""Place of our gates in PyTorch's order."""


def torch_twin(model):
    """The same LSTM and output layer in PyTorch."""
    I, O, H = model.input_size, model.output_size, model.hidden_size  # noqa: E741
    layer, output = torch.nn.LSTM(I, H, batch_first=True).double(), torch.nn.Linear(H, O).double()
    with torch.no_grad():
        layer.bias_hh_l0.zero_()
        for g, place in GATES.items():
            rows = slice(place * H, (place + 1) * H)
            layer.weight_ih_l0[rows] = torch.from_numpy(getattr(model, "W_" + g))
            layer.weight_hh_l0[rows] = torch.from_numpy(getattr(model, "U_" + g))
            layer.bias_ih_l0[rows] = torch.from_numpy(getattr(model, "b_" + g))
        output.weight[:] = torch.from_numpy(model.W_o)
        output.bias[:] = torch.from_numpy(model.b_o)
    return layer, output


@pytest.mark.parametrize("loss_func", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize(("n", "T", "I", "O", "H"), [(1, 7, 3, 2, 5), (6, 9, 5, 4, 17 if not JIT_OFF else 3)])
def test_full_gradient_is_autograds(rng, loss_func, n, T, I, O, H):  # noqa: E741
    model = LSTM(I, O, H, 1, bptt_truncate=None, loss_func=loss_func)
    X, labels = rng.standard_normal((n, T, I)), rng.integers(0, O, (n, T))
    Y = numpy.eye(O)[labels]
    layer, output = torch_twin(model)
    x = torch.from_numpy(X).requires_grad_()
    logits = output(layer(x)[0])
    if loss_func == "cross_entropy":
        wanted = torch.from_numpy(labels.ravel())
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, O), wanted, reduction="sum")
    else:
        loss = 0.5 * ((logits.softmax(-1) - torch.from_numpy(Y)) ** 2).sum()
    loss.backward()
    assert model.loss_function(X, Y) * n * T == pytest.approx(loss.item(), rel=1e-12)
    d_f, d_i, d_c, d_hf, (d_w_o, d_b_o), d_x = model.back_propagate_through_time(X, Y)
    for g, found in zip(("f", "i", "c", "hf"), (d_f, d_i, d_c, d_hf), strict=True):
        rows = slice(GATES[g] * H, (GATES[g] + 1) * H)
        for ours, theirs in zip(found, (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0), strict=True):
            numpy.testing.assert_allclose(ours, theirs.grad[rows].numpy(), rtol=1e-10, atol=1e-13)
    numpy.testing.assert_allclose(d_w_o, output.weight.grad.numpy(), rtol=1e-10, atol=1e-13)
    numpy.testing.assert_allclose(d_b_o, output.bias.grad.numpy(), rtol=1e-10, atol=1e-13)
    numpy.testing.assert_allclose(d_x, x.grad.numpy(), rtol=1e-10, atol=1e-13)
