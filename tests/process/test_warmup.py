"""`fastlstm.warmup` leaves nothing to compile."""

import numpy
import pytest

import fastlstm
from tests.tools.helpers import JIT_OFF
from tests.tools.processes import run

COUNT = """
import importlib, pkgutil
import fastlstm, fastlstm_kernels, numpy
from numba.core.dispatcher import Dispatcher

def compiled():
    found = {}
    for module in pkgutil.iter_modules(fastlstm_kernels.__path__, "fastlstm_kernels."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Dispatcher):
                found[value.__module__, name] = len(value.overloads)
    assert found
    return {name: count for name, count in found.items() if count}
"""

USE = """
def public(kind):
    return {n for n in dir(kind) if not n.startswith("_") and callable(getattr(kind, n))}

def use_layer(dtype, tmp):
    x = numpy.ones((5, 4, 3), dtype)
    for kind in (
        {}, {"num_layers": 2, "bidirectional": True, "dropout": 0.5, "recurrent_dropout": 0.5}, {"proj_size": 5}
    ):
        layer = fastlstm.nn.LSTM(3, 37, **kind, dtype=dtype)
        for part, lengths in ((x, None), (x, [5, 0, 3, 1]), (x[:1], None)):
            layer(part, None, lengths)
            y, state, tape = layer.forward(part, layer.forward(part)[1], lengths)
            layer.backward(tape, y)
            layer.backward(tape, y, state, None if kind == {"proj_size": 5} else 1)
        layer.zero_grad()
        layer.load_state_dict(layer.state_dict())
        if not layer.proj_size:
            layer.panels()
            layer.compiled_step()
        if not layer.bidirectional:
            step = layer.stepper(4)
            step(x[0])
            step.reset(0)
            step.state = step.state
            step(x[0])
    assert public(fastlstm.nn.LSTM) == {
        "forward", "backward", "zero_grad", "state_dict", "load_state_dict", "stepper", "panels", "config",
        "compiled_step", "generators",
    }
    assert public(fastlstm.nn.Stepper) == {"reset"}

def use_sequential(dtype, tmp):
    model = fastlstm.nn.Sequential(fastlstm.nn.LSTM(3, 37, dtype=dtype), fastlstm.nn.Dense(37, 2, dtype=dtype))
    x = numpy.ones((5, 4, 3), dtype)
    model(x)
    y, state, tape = model.forward(x)
    model.backward(tape, y)
    model.backward(tape, y, truncate=1)
    others = {"forward", "backward", "zero_grad", "state_dict", "load_state_dict", "config", "generators"}
    assert public(fastlstm.nn.Sequential) == public(fastlstm.nn.Dense) == others

def use_model(dtype, tmp):
    kinds = {"cross_entropy": ["tanh", "tanh", "softmax"], "squared_error": ["relu", "sigmoid", "identity"]}
    for loss, afuncs in kinds.items():
        for gradient in ("exact", "reference"):
            for truncate in (0, 3, None):
                use(fastlstm.LSTM(3, 2, 37, 0, afuncs, None, truncate, 0.1, loss, gradient=gradient, dtype=dtype), tmp)

def use(model, tmp):
    dtype = model.dtype
    X, Y = numpy.ones((4, 5, 3), dtype), numpy.ones((4, 5, 2), dtype)
    h, x = numpy.ones(37, dtype), numpy.ones(3, dtype)
    gate = numpy.ones((37, 3), dtype), numpy.ones((37, 37), dtype), numpy.ones(37, dtype)
    ragged = [X[0], X[1, :3]], [Y[0], Y[1, :3]]
    calls = {
        "compute_layer": lambda f: f(x),
        "feed_forward": lambda f: (f(X), f(X[0]), f(ragged[0])),
        "predict_proba": lambda f: f(X),
        "predict": lambda f: f(X),
        "feed_forward_and_cache": lambda f: f(X),
        "compute_error_vector": lambda f: f(Y[0], Y[0]),
        "init_gradients": lambda f: f(Y[0], numpy.ones((6, 37), dtype)),
        "back_prop_forget_gate": lambda f: f(h, h.copy(), h, h, h, x, gate, None),
        "back_prop_input_gate": lambda f: f(h, h.copy(), h, h, h, x, gate, None),
        "back_prop_candidate_gate": lambda f: f(h, h.copy(), h, h, h, x, gate, None),
        "back_prop_hidden_filter_gate": lambda f: f(h, h.copy(), h, h, x, gate, None),
        "back_propagate_through_time": lambda f: (f(X, Y), f(X[0], Y[0]), f(*ragged, out=model.gradients)),
        "loss_function": lambda f: f(X, Y),
        "train": lambda f: f(X, Y),
        "reset": lambda f: f(),
        "copy": lambda f: f(),
        "save": lambda f: f(tmp + "/model.npz"),
        "load": lambda f: f(tmp + "/model.npz"),
    }
    assert set().union(*map(public, fastlstm.LSTM.__mro__[:-1])) == set(calls)
    for name, call in calls.items():
        call(getattr(model, name))
"""


@pytest.mark.process
@pytest.mark.skipif(JIT_OFF, reason="nothing is compiled")
@pytest.mark.parametrize("dtypes", [("float32",), ("float64",), ("float32", "float64")], ids=str)
def test_afterwards_no_call_compiles(tmp_path, dtypes):
    run(f"""
{COUNT}{USE}
assert not compiled(), "importing compiles nothing"
fastlstm.warmup({dtypes!r})
before = compiled()
assert before
for dtype in {dtypes!r}:
    for use_all in (use_layer, use_sequential, use_model):
        use_all(dtype, {str(tmp_path)!r})
        assert compiled() == before, (dtype, use_all)
""")


@pytest.mark.process
@pytest.mark.skipif(JIT_OFF, reason="nothing is compiled")
def test_it_compiles_each_kernel_once_for_the_dtypes_given_only():
    run(f"""
{COUNT}
from numba import float32
fastlstm.warmup("float64")
for name in vars(fastlstm_kernels):
    signatures = getattr(getattr(fastlstm_kernels, name), "signatures", ())
    assert len(signatures) <= 1, (name, signatures)
    for signature in signatures:
        assert float32 not in {{getattr(kind, "dtype", None) for kind in signature}}, name
""")


def test_it_returns_none_and_draws_no_random_numbers():
    state = numpy.random.get_state()[1].copy()
    assert fastlstm.warmup() is None
    assert fastlstm.warmup([numpy.float32]) is None
    assert fastlstm.warmup(()) is None
    numpy.testing.assert_array_equal(numpy.random.get_state()[1], state)


@pytest.mark.parametrize("dtype", [None, int, "float16", (numpy.float32, int), [None]], ids=repr)
def test_other_dtypes_raise(dtype):
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got"):
        fastlstm.warmup(dtype)
