"""Every benchmark says what it is; ratios are what they say."""

import importlib
import inspect
import pkgutil

import numpy
import pytest

from asv_bench import benchmarks
from asv_bench.benchmarks import common
from asv_bench.benchmarks.peers import layer

KINDS = "time_", "track_", "peakmem_"


def found():
    for info in pkgutil.iter_modules(benchmarks.__path__):
        module = importlib.import_module(f"asv_bench.benchmarks.{info.name}")
        for kind in vars(module).values():
            if inspect.isclass(kind) and kind.__module__ == module.__name__:
                for name, method in vars(kind).items():
                    if name.startswith(KINDS):
                        yield f"{info.name}.{kind.__name__}.{name}", kind, method


@pytest.mark.parametrize(("name", "kind", "method"), [pytest.param(*each, id=each[0]) for each in found()])
def test_a_benchmark_says_what_it_measures(name, kind, method):
    assert kind.version.isdecimal()
    assert method.pretty_name
    assert method.unit
    params = getattr(method, "params", getattr(kind, "params", ()))
    assert len(params) == len(getattr(kind, "param_names", ()))


def test_no_two_have_the_same_name():
    names = [method.pretty_name for _, _, method in found()]
    assert len(names) == len(set(names)) > 20


@pytest.mark.parametrize("form", [{}, {"num_layers": 2, "bidirectional": True}, {"lengths": numpy.array([3, 1, 5])}])
def test_the_peer_does_the_same_work(form):
    pytest.importorskip("torch")
    ours, torchs = (layer(implementation, "float64", (6, 3, 4, 5), **form) for implementation in ("fastlstm", "torch"))
    numpy.testing.assert_allclose(ours.forward()[0], torchs.forward().numpy(), atol=1e-12)
    d_x, _ = ours.train()
    torchs.train()
    numpy.testing.assert_allclose(d_x, torchs.x.grad.numpy(), atol=1e-12)
    for name, parameter in torchs.layer.named_parameters():
        numpy.testing.assert_allclose(ours.layer.gradients[name], parameter.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize(("ours", "others"), [(0.001, 0.004), (0.004, 0.001), (1e-6, 1.0), (0.25, 0.25)])
def test_a_ratio_is_one_time_over_the_other(monkeypatch, ours, others):
    clock, calls = [0.0], []
    monkeypatch.setattr(common.time, "perf_counter", lambda: clock[0])

    def work(seconds):
        calls.append(seconds)
        clock[0] += seconds * (10 if len(calls) % 7 == 6 else 1)  # now and then something comes in between

    assert common.ratio(lambda: work(ours), lambda: work(others)) == pytest.approx(ours / others)
    assert calls.count(min(ours, others)) >= 5 * min(1000, max(1, 0.04 / min(ours, others)))


def test_the_limit_is_the_time_of_a_product_of_as_many_flops(monkeypatch):
    monkeypatch.setattr(common, "ratio", lambda *_: 0.5)  # of the product of LIMIT
    assert common.limit_distance(lambda: None, 2 * common.LIMIT**3, "float32") == 0.5
    assert common.limit_distance(lambda: None, common.LIMIT**3, "float32") == 1
