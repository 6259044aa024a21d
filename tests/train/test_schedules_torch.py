"""Schedules against those of `torch.optim.lr_scheduler`, over whole runs."""

from typing import Any

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)

from fastlstm import train
from fastlstm.train.schedules import CosineDecay, ExponentialDecay, OneCycle, Plateau, StepDecay, Warmup

scheduler = torch.optim.lr_scheduler
UPDATES = 100
CYCLES = [(0.3, 0.85, 0.95), (0.45, 0.5, 0.9), (0.0, 0.8, 0.9)]


def sgd(rate: float) -> Any:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate, momentum=0.9)


def cycle(optimizer: Any, rise: float, low: float, high: float) -> Any:
    return scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=UPDATES, pct_start=rise, base_momentum=low, max_momentum=high
    )


@pytest.mark.parametrize(("ours", "theirs"), [
    (StepDecay(0.1, 7, 0.3), lambda o: scheduler.StepLR(o, 7, 0.3)),
    (ExponentialDecay(0.1, 0.97), lambda o: scheduler.ExponentialLR(o, 0.97)),
    (CosineDecay(0.1, UPDATES), lambda o: scheduler.CosineAnnealingLR(o, UPDATES)),
    (CosineDecay(0.1, UPDATES, 0.003), lambda o: scheduler.CosineAnnealingLR(o, UPDATES, 0.003)),
    (Warmup(0.1, 13, 0.01), lambda o: scheduler.LinearLR(o, 0.1, 1.0, 13)),
    (Warmup(CosineDecay(0.1, 80), 20, 0.001), lambda o: scheduler.SequentialLR(
        o, [scheduler.LinearLR(o, 0.01, 1.0, 20), scheduler.CosineAnnealingLR(o, 80)], [20])),
    *[(OneCycle(0.1, UPDATES, rise=rise[0]), lambda o, rise=rise: cycle(o, *rise)) for rise in CYCLES],
    (OneCycle(0.1, UPDATES, 0.01, 1e-3), lambda o: scheduler.OneCycleLR(
        o, 0.1, total_steps=UPDATES, div_factor=10, final_div_factor=10)),
], ids=lambda value: repr(value) if isinstance(value, train.schedules.Schedule) else "")
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_learning_rates(ours: Any, theirs: Any) -> None:
    optimizer = sgd(0.1)
    twin = theirs(optimizer)
    for updates in range(UPDATES):
        assert ours(updates) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12, abs=1e-15)
        optimizer.step()
        if updates < UPDATES - 1:
            twin.step()


@pytest.mark.parametrize("factor", [0.1, 0.7])
@pytest.mark.parametrize("patience", [0, 3])
def test_a_plateau(rng: Any, factor: float, patience: int) -> None:
    optimizer = sgd(0.1)
    twin = scheduler.ReduceLROnPlateau(
        optimizer, factor=factor, patience=patience, threshold=0.05, threshold_mode="abs", min_lr=1e-4, eps=0
    )
    ours = Plateau(0.1, factor, patience, 0.05, 1e-4)
    for loss in [*(3 / (1 + 0.2 * numpy.arange(UPDATES)) + rng.standard_normal(UPDATES)), float("nan"), 1.0, -9.0]:
        ours.observe(loss)
        twin.step(loss)
        assert ours(0) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
    assert ours(0) == 1e-4


@pytest.mark.parametrize(("rise", "low", "high"), CYCLES)
@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop"])
def test_a_run_with_one_cycle_of_rate_and_momentum(rng: Any, kind: str, rise: float, low: float, high: float) -> None:
    ours = rng.standard_normal(37)
    theirs = torch.nn.Parameter(torch.from_numpy(ours.copy()))
    settings: Any = {"betas": (high, 0.99)} if kind == "Adam" else {"momentum": high}
    optimizer = getattr(torch.optim, kind)([theirs], 0.1, **settings)
    twin = cycle(optimizer, rise, low, high)
    momentum = OneCycle(low, UPDATES, high, high, rise)
    settings = {"betas": (momentum, 0.99)} if kind == "Adam" else {"momentum": momentum}
    own = getattr(train, kind)(OneCycle(0.1, UPDATES, rise=rise), **settings)
    for updates in range(UPDATES):
        group = optimizer.param_groups[0]
        there = group["betas"][0] if kind == "Adam" else group["momentum"]
        assert momentum(updates) == pytest.approx(there, rel=1e-12)
        gradients = rng.standard_normal(37)
        theirs.grad = torch.from_numpy(gradients.copy())
        own.step(ours, gradients)
        optimizer.step()
        if updates < UPDATES - 1:
            twin.step()
    numpy.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-12 * numpy.abs(ours).max())
