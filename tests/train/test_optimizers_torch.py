"""Optimizers against those of `torch.optim`, and clipping against `torch.nn.utils`."""

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)

from fastlstm import train
from tests.train.test_optimizers import CLIPS, cases, close

STEPS = 100


def compare(kind, options, clip, dtype, size=37):
    """A hundred steps of each, with random gradients."""
    rng = numpy.random.default_rng(0)
    ours = rng.standard_normal(size).astype(dtype)
    theirs = torch.nn.Parameter(torch.from_numpy(ours.copy()))
    optimizer = getattr(train, kind)(0.01, **options, **clip)
    twin = getattr(torch.optim, kind)([theirs], 0.01, **options)
    for _ in range(STEPS):
        gradients = rng.standard_normal(size).astype(dtype)
        theirs.grad = torch.from_numpy(gradients.copy())
        if "clip_value" in clip:
            torch.nn.utils.clip_grad_value_([theirs], clip["clip_value"])
        if "clip_norm" in clip:
            norm = torch.nn.utils.clip_grad_norm_([theirs], clip["clip_norm"]).item()
        found = optimizer.step(ours, gradients)
        assert found == (pytest.approx(norm, rel=1e-6) if "clip_norm" in clip else None)
        twin.step()
    close(ours, theirs.detach().numpy(), dtype)
    for name, kept in optimizer.arrays.items():
        close(kept, twin.state[theirs][name].numpy(), dtype)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@cases
def test_a_hundred_steps(kind, options, dtype):
    compare(kind.__name__, options, {}, dtype)


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("clip", CLIPS[1:], ids=str)
def test_clipping(kind, clip, dtype):
    compare(kind, {"weight_decay": 0.1}, clip, dtype)


@pytest.mark.parametrize(("kind", "rate", "options", "gradient"), [
    ("SGD", 1e-40, {}, 1e38),
    ("SGD", 1e-39, {"momentum": 0.9}, 1e38),
    ("Adam", 1e-3, {"eps": 1e-18}, 1e-19),
    ("Adam", 1e-3, {"eps": 0.0}, 1e-19),
    ("RMSprop", 1e-3, {"eps": 1e-18}, 1e-19),
    ("RMSprop", 1e-3, {"eps": 0.0}, 1e-19),
    ("RMSprop", 1e-3, {"eps": 1e-15}, 1e-19),
])
def test_numbers_that_float32_hardly_holds(kind, rate, options, gradient):
    ours, gradients = numpy.zeros((2, 3), numpy.float32)
    gradients[:] = gradient
    theirs = torch.nn.Parameter(torch.zeros(3))
    theirs.grad = torch.from_numpy(gradients.copy())
    optimizer = getattr(train, kind)(rate, **options)
    twin = getattr(torch.optim, kind)([theirs], rate, **options)
    for _ in range(2):
        optimizer.step(ours, gradients)
        twin.step()
    # PyTorch has few bits of what is denormal.
    numpy.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-3)
