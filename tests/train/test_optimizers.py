"""Optimizers: against the oracle, with any number of threads, stopped and continued, and bad input."""

import functools
import json
import math
import os
import subprocess
import sys

import numpy
import pytest

from fastlstm.oracle import optimizers as oracle
from fastlstm.train import SGD, Adam, AdamW, RMSprop, clipping, optimizer
from tests.tools.helpers import JIT_OFF

both = pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
CASES = [
    (SGD, {}),
    (SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    (SGD, {"momentum": 0.8, "nesterov": True}),
    (Adam, {}),
    (Adam, {"betas": [0.3, 0.9], "eps": 1e-3, "weight_decay": 0.1}),
    (AdamW, {"weight_decay": 0.1}),
    (RMSprop, {}),
    # Where weight decay cancels the gradient, ε bounds what the rounding that is left comes to.
    (RMSprop, {"eps": 1e-2, "momentum": 0.9, "weight_decay": 0.1}),
    (RMSprop, {"alpha": 0.9, "centered": True}),
    (RMSprop, {"eps": 1e-3, "momentum": 0.9, "centered": True}),
]
CLIPS = [{}, {"clip_norm": 2.0}, {"clip_value": 0.7}, {"clip_norm": 2.0, "clip_value": 0.7}, {"clip_norm": 1e9}]
cases = pytest.mark.parametrize(("kind", "options"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
SMALL_BLOCK = 48


@pytest.fixture(autouse=True)
def several_blocks_and_workers(monkeypatch):
    monkeypatch.setattr("fastlstm.engine.cores.SHARE", 1)
    if JIT_OFF:
        for module in ("fastlstm_kernels.optimize", "fastlstm.train.clipping"):
            monkeypatch.setattr(sys.modules[module], "BLOCK", SMALL_BLOCK)


def long():
    """A size of several blocks and a bit."""
    return 3 * clipping.BLOCK + 37


def twin(optimizer, parameters, gradients, state):
    """A step of the oracle, as the optimizer would take it; returns the norm."""
    g, norm = oracle.clipped(gradients, optimizer.clip_norm, optimizer.clip_value)
    o, common = optimizer, (optimizer.learning_rate,)
    if isinstance(o, SGD):
        oracle.sgd(parameters, g, state, *common, o.momentum, o.nesterov, o.weight_decay)
    elif isinstance(o, Adam):
        decoupled = isinstance(o, AdamW)
        oracle.adam(parameters, g, state, o.updates, *common, o.betas, o.eps, o.weight_decay, decoupled)
    else:
        oracle.rmsprop(parameters, g, state, *common, o.alpha, o.eps, o.weight_decay, o.momentum, o.centered)
    return norm


def close(ours, wanted, dtype, scale=0):
    """Relative to the largest element; or, of few that have come near zero, to the scale they came from."""
    assert ours.dtype == dtype
    largest = numpy.abs(wanted).max(initial=scale)
    rtol, atol = (0, 1e-6) if dtype == numpy.float32 else (1e-12, 1e-14)
    numpy.testing.assert_allclose(ours, wanted, rtol=rtol, atol=atol * largest)


def steps(optimizer, parameters, count, seed=0):
    """Take some steps with random gradients; returns the norms."""
    rng = numpy.random.default_rng(seed)
    draw = functools.partial(rng.standard_normal, parameters.size)
    return [optimizer.step(parameters, draw().astype(parameters.dtype)) for _ in range(count)]


@pytest.mark.long
@both
@cases
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_steps_are_those_of_the_oracle(rng, kind, options, clip, dtype):
    for size in (0, 1, 3, 17, 37, long()):
        optimizer = kind(0.01, **options, **clip)
        parameters, state = rng.standard_normal(size).astype(dtype), {}
        wanted = parameters.astype(numpy.float64)
        scale = numpy.abs(wanted).max(initial=0)
        for updates in range(4):
            assert optimizer.updates == updates
            gradients = rng.standard_normal(size).astype(dtype)
            norm = twin(optimizer, wanted, gradients.astype(numpy.float64), state)
            given = gradients.copy()
            found = optimizer.step(parameters, gradients)
            numpy.testing.assert_array_equal(gradients, given)
            assert found == (norm if norm is None else pytest.approx(norm, rel=1e-6, abs=1e-30))
        close(parameters, wanted, dtype, scale)
        assert list(optimizer.arrays) == list(state)
        for name, kept in optimizer.arrays.items():
            close(kept, state[name], dtype)


@both
@cases
@pytest.mark.parametrize("clip", [{}, CLIPS[3]], ids=str)
def test_any_number_of_threads_gives_the_same_bits(kind, options, clip, dtype):
    runs = []
    for n_threads in (1, 2, 3, 8):
        optimizer = kind(**options, **clip, n_threads=n_threads)
        parameters = numpy.linspace(-2, 2, long()).astype(dtype)
        norms = steps(optimizer, parameters, 2)
        runs.append([numpy.array(norms), parameters, *optimizer.arrays.values()])
    for run in runs[1:]:
        for found, wanted in zip(run, runs[0], strict=True):
            numpy.testing.assert_array_equal(found, wanted, strict=True)


@both
@cases
def test_it_goes_on_from_where_another_was(kind, options, dtype):
    parameters = numpy.linspace(-2, 2, 37).astype(dtype)
    through = kind(**options, clip_norm=1.0)
    steps(through, parameters, 3)
    other = parameters.copy()
    config = json.loads(json.dumps(through.config()))
    assert config.pop("kind") == kind.__name__
    resumed = kind(**config)
    assert resumed.config() == through.config()
    resumed.load(through.updates, through.arrays)
    assert resumed.updates == 3
    for name, kept in resumed.arrays.items():
        assert not numpy.shares_memory(kept, through.arrays[name])
    assert steps(resumed, other, 3, seed=1) == steps(through, parameters, 3, seed=1)
    numpy.testing.assert_array_equal(other, parameters)


def test_an_optimizer_without_steps_is_restored_too():
    optimizer = Adam()
    steps(optimizer, numpy.ones(3), 1)
    optimizer.load(0, {})
    assert (optimizer.updates, optimizer.arrays) == (0, {})
    steps(optimizer, numpy.ones(5), 1)


@both
def test_a_learning_rate_may_depend_on_the_updates_done(dtype):
    rates, asked = [0.5, 0.25, 0.0], []

    def rate(updates):
        asked.append(updates)
        return rates[updates]

    optimizer, parameters = SGD(rate), numpy.zeros(3, dtype)
    assert optimizer.config()["learning_rate"] is None
    for wanted in (-0.5, -0.75, -0.75):
        optimizer.step(parameters, numpy.ones(3, dtype))
        assert (parameters == wanted).all()
    assert asked == [0, 1, 2]


@pytest.mark.parametrize(("rate", "error"), [(lambda _: -1.0, ValueError), (lambda _: "fast", TypeError)])
def test_a_learning_rate_that_is_none_changes_nothing(rate, error):
    optimizer, parameters = Adam(rate), numpy.ones(3)
    with pytest.raises(error, match="learning_rate"):
        optimizer.step(parameters, numpy.ones(3))
    assert (parameters == 1).all()
    assert (optimizer.updates, optimizer.arrays) == (0, {})


@both
def test_the_norm_of_a_long_gradient_is_accurate(dtype):
    gradients = numpy.full(long() if JIT_OFF else 10**6, 0.1, dtype)
    norm = SGD(clip_norm=1.0).step(numpy.zeros_like(gradients), gradients)
    assert norm == pytest.approx(0.1 * math.sqrt(gradients.size), rel=1e-6 if dtype == numpy.float32 else 1e-14)


@both
@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop])
def test_a_nan_stays_where_it_is_unless_the_norm_is_asked_for(kind, dtype):
    gradients = numpy.ones(37, dtype)
    gradients[5] = numpy.nan
    alone, all_of_them = numpy.ones((2, 37), dtype)
    assert kind(clip_value=0.5).step(alone, gradients) is None
    assert numpy.flatnonzero(numpy.isnan(alone)).tolist() == [5]
    assert math.isnan(kind(clip_norm=1.0).step(all_of_them, gradients))
    assert numpy.isnan(all_of_them).all()


@both
def test_infinities_are_cut_off(dtype):
    parameters = numpy.zeros(3, dtype)
    SGD(1.0, clip_value=0.5).step(parameters, numpy.array([numpy.inf, -numpy.inf, 0.25], dtype))
    assert parameters.tolist() == [-0.5, 0.5, -0.25]
    parameters[:] = 0
    assert SGD(1.0, clip_norm=1.0).step(parameters, numpy.array([numpy.inf, 1, 0], dtype)) == math.inf
    numpy.testing.assert_array_equal(parameters, [numpy.nan, 0, 0])


def test_a_limit_too_large_for_float32_is_none():
    parameters = numpy.zeros(1, numpy.float32)
    SGD(1.0, clip_value=1e300).step(parameters, numpy.full(1, 1e38, numpy.float32))
    assert parameters[0] == numpy.float32(-1e38)


def test_views_of_memory_on_disk_are_changed_in_place(tmp_path):
    parameters = numpy.memmap(tmp_path / "p", numpy.float64, "w+", shape=(5,))
    SGD(1.0).step(parameters, numpy.ones(5))
    assert (parameters == -1).all()


def test_gradients_may_be_read_only_and_strided():
    gradients = numpy.arange(10.0)[::2]
    gradients.flags.writeable = False
    parameters = numpy.zeros(5)
    SGD(1.0).step(parameters, gradients)
    assert parameters.tolist() == [0, -2, -4, -6, -8]


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: SGD(-0.1), ValueError, "learning_rate must be at least 0, got -0.1"),
        (lambda: SGD("0.1"), TypeError, "learning_rate must be a number"),
        (lambda: SGD(momentum=-1), ValueError, "momentum must be at least 0"),
        (lambda: SGD(nesterov=True), ValueError, "nesterov needs a positive momentum"),
        (lambda: Adam(math.nan), ValueError, "learning_rate must be finite"),
        (lambda: Adam(betas=0.9), TypeError, "betas must be two numbers, got 0.9"),
        (lambda: Adam(betas=(0.9,)), TypeError, "betas must be two numbers"),
        (lambda: Adam(betas=(0.9, 1)), ValueError, r"betas\[1\] must be below 1, got 1"),
        (lambda: Adam(eps=-1e-8), ValueError, "eps must be at least 0"),
        (lambda: AdamW(weight_decay=-1), ValueError, "weight_decay must be at least 0"),
        (lambda: RMSprop(alpha=1.5), ValueError, "alpha must be below 1"),
        (lambda: RMSprop(momentum=None), TypeError, "momentum must be a number"),
        (lambda: SGD(clip_norm=0), ValueError, "clip_norm must be positive, got 0"),
        (lambda: SGD(clip_value=-1), ValueError, "clip_value must be positive"),
        (lambda: SGD(n_threads=0), ValueError, "n_threads must be at least 1"),
    ],
)
def test_bad_arguments(make, error, match):
    with pytest.raises(error, match=match):
        make()


def read_only():
    parameters = numpy.ones(3)
    parameters.flags.writeable = False
    return parameters


@pytest.mark.parametrize(
    ("parameters", "gradients", "error", "match"),
    [
        ([1.0, 2.0], numpy.ones(2), TypeError, "parameters must be an array, .* got list"),
        (numpy.ones(2, int), numpy.ones(2), TypeError, "dtype must be float32 or float64"),
        (numpy.ones(2, ">f8"), numpy.ones(2), TypeError, "dtype must be float32 or float64"),
        (numpy.ones((2, 2)), numpy.ones((2, 2)), ValueError, r"parameters must have shape \(n,\), got \(2, 2\)"),
        (numpy.ones(6)[::2], numpy.ones(3), ValueError, "parameters must be contiguous.* got strides"),
        (read_only(), numpy.ones(3), ValueError, "writable False"),
        (numpy.ones(3), numpy.ones(2), ValueError, r"gradients must have shape \(3,\) as the parameters, got \(2,\)"),
        (numpy.ones(3), numpy.ones(3, "f4"), TypeError, "gradients must have dtype float64 .* got float32"),
        (numpy.ones(3), ["a"] * 3, TypeError, "gradients must hold real numbers"),
        (numpy.ones(5), numpy.ones(5), ValueError, r"as in the steps before, float64 \(3,\) \(so is exp_avg\); got"),
        (numpy.ones(3, "f4"), numpy.ones(3, "f4"), ValueError, "as in the steps before, .* got float32"),
    ],
)
def test_bad_arrays_change_nothing(parameters, gradients, error, match):
    optimizer = Adam()
    steps(optimizer, numpy.ones(3), 1)
    kept = {name: array.copy() for name, array in optimizer.arrays.items()}
    with pytest.raises(error, match=match):
        optimizer.step(parameters, gradients)
    assert optimizer.updates == 1
    assert numpy.all(numpy.asarray(parameters) == numpy.asarray(parameters).astype(int))  # as they were
    for name, array in optimizer.arrays.items():
        numpy.testing.assert_array_equal(array, kept[name])


@pytest.mark.parametrize(
    ("updates", "arrays", "error", "match"),
    [
        (-1, {}, ValueError, "updates must be at least 0"),
        (1.5, {}, TypeError, "updates must be an integer"),
        (1, {"exp_avg": numpy.ones(3)}, ValueError, r"must be \['exp_avg', 'exp_avg_sq'\], got \['exp_avg'\]"),
        (0, {"exp_avg": numpy.ones(3)}, ValueError, r"after 0 updates must be \[\]"),
        (1, {"exp_avg": numpy.ones(3), "exp_avg_sq": numpy.ones(2)}, ValueError, "exp_avg_sq must have shape"),
        (1, {"exp_avg": numpy.ones((1, 3)), "exp_avg_sq": numpy.ones((1, 3))}, ValueError, "exp_avg must have shape"),
        (1, {"exp_avg": numpy.ones(3, int), "exp_avg_sq": numpy.ones(3, int)}, TypeError, "float32 or float64"),
        (1, {"exp_avg": numpy.ones(3), "exp_avg_sq": numpy.ones(3, "f4")}, TypeError, "dtype float64 as the others"),
    ],
)
def test_bad_state_changes_nothing(updates, arrays, error, match):
    optimizer = Adam()
    with pytest.raises(error, match=match):
        optimizer.load(updates, arrays)
    assert (optimizer.updates, optimizer.arrays) == (0, {})


def test_what_it_is_can_be_read():
    assert repr(SGD(0.1, momentum=0.9, n_threads=2)) == (
        "SGD(learning_rate=0.1, momentum=0.9, nesterov=False, weight_decay=0.0, clip_norm=None, clip_value=None, "
        "n_threads=2)"
    )


def test_the_base_class_is_no_optimizer():
    base = optimizer.Optimizer(0.1, 0.0, None, None, None)
    with pytest.raises(NotImplementedError):
        base.step(numpy.ones(3), numpy.ones(3))
    with pytest.raises(NotImplementedError):
        base.apply(numpy.ones(3), numpy.ones(3), numpy.ones(3), {}, 1)


@pytest.mark.process
def test_importing_fastlstm_does_not_import_training():
    code = "import sys, fastlstm; print('fastlstm.train' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.split() == ["False"]
