"""What a model keeps: parameters, state, settings, copies and files."""

import copy
import pickle

import numpy
import pytest

import fastlstm
from fastlstm import LSTM, PerformanceWarning, compat, oracle
from fastlstm.model.files import write_model
from fastlstm.parameters import Buffer
from tests.tools.helpers import NAMES, assert_matches, flatten, one_hot, pair

T, I, O, H = 7, 3, 2, 5  # noqa: E741


@pytest.fixture
def model():
    return LSTM(I, O, H, seed=1, bptt_truncate=2)


@pytest.fixture
def data(rng):
    return rng.standard_normal((T, I)), one_hot(rng, T, O)


def test_parameters_are_views_of_one_flat_buffer(model):
    assert list(model.parameters) == NAMES
    assert len(model.parameters) == 14
    assert model.parameters.flat.size == 4 * H * (I + H + 1) + O * (H + 1)
    assert model.parameters.flat.ctypes.data % 64 == 0
    for name, view in model.parameters.items():
        assert getattr(model, name) is view
        assert numpy.shares_memory(view, model.parameters.flat)
        assert view.flags.c_contiguous
    assert numpy.shares_memory(model.parameters.stacked("W_f", "W_hf"), model.W_c)
    assert "W_hf (5, 3)" in repr(model.parameters)
    assert LSTM.W_f is not LSTM.W_i  # on the class, the descriptors themselves


@pytest.mark.parametrize("name", NAMES)
def test_every_way_of_changing_a_weight_is_seen(data, name):
    X, _ = data
    ways = {
        "in place": lambda m: m.parameters[name].__isub__(0.25),
        "augmented": lambda m: setattr(m, name, getattr(m, name).__isub__(0.25)),
        "item": lambda m: getattr(m, name).__setitem__(..., getattr(m, name) - 0.25),
        "assigned": lambda m: setattr(m, name, (getattr(m, name) - 0.25).tolist()),
    }
    _, twin = pair(I, O, H, seed=1)
    setattr(twin, name, getattr(twin, name) - 0.25)
    for way in ways.values():
        model = LSTM(I, O, H, seed=1)
        model.feed_forward(X)
        model.reset(), twin.reset()
        way(model)
        assert_matches(model.feed_forward(X), twin.feed_forward(X))


def test_assignment_copies(model):
    mine = numpy.ones((H, I))
    model.W_f = mine
    mine[:] = 7
    assert (model.W_f == 1).all()


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (numpy.zeros((I, H)), ValueError),
        (numpy.zeros(H), ValueError),
        ([[1.0, 2.0], [3.0]], ValueError),
        (numpy.full((H, I), "a"), TypeError),
        (numpy.zeros((H, I), object), TypeError),
        (numpy.zeros((H, I), complex), TypeError),
    ],
)
def test_bad_weights_change_nothing(model, value, error):
    before = model.W_f.copy()
    with pytest.raises(error, match="W_f must"):
        model.W_f = value
    numpy.testing.assert_array_equal(model.W_f, before)


def test_state_is_carried_from_call_to_call(model, data):
    X, _ = data
    whole = model.feed_forward(X)
    state = model.S.copy(), model.h_t.copy()
    model.reset()
    assert not model.S.any()
    assert not model.h_t.any()
    parts = [model.feed_forward(X[:3]), model.feed_forward(X[3:3]), model.feed_forward(X[3:4])]
    parts += [[model.compute_layer(x)] for x in X[4:]]
    assert_matches(numpy.concatenate(parts), whole)
    for a, b in zip((model.S, model.h_t), state, strict=True):
        assert_matches(a, b)


def test_state_kept_by_the_user_stays_what_it_was(model, data):
    model.feed_forward(data[0])
    kept = model.S
    was = kept.copy()
    model.feed_forward(data[0])
    numpy.testing.assert_array_equal(kept, was)


def test_state_can_be_set(model, data):
    X, _ = data
    model.feed_forward(X[:3])
    S, h = model.S, model.h_t
    wanted = model.feed_forward(X[3:])
    model.S, model.h_t = S.tolist(), h
    numpy.testing.assert_array_equal(model.feed_forward(X[3:]), wanted)
    with pytest.raises(ValueError, match=r"S must have shape \(5,\), got \(4,\)"):
        model.S = numpy.zeros(4)


def test_gradients_are_fresh_by_default(model, data):
    first, second = (flatten(model.back_propagate_through_time(*data)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert not numpy.shares_memory(a, b)
        numpy.testing.assert_array_equal(a, b)
    assert not model.gradients.flat.any()


def test_gradients_go_into_the_models_buffer(model, data):
    fresh = flatten(model.back_propagate_through_time(*data))
    model.gradients.flat[:] = numpy.nan
    kept = flatten(model.back_propagate_through_time(*data, out=model.gradients))
    for a, b in zip(fresh, kept, strict=True):
        numpy.testing.assert_array_equal(a, b)
    assert all(numpy.shares_memory(a, model.gradients.flat) for a in kept[:-1])
    numpy.testing.assert_array_equal(model.gradients["U_hf"], fresh[10])


@pytest.mark.parametrize("out", [[], numpy.zeros(3), LSTM(I, O, H + 1).gradients, LSTM(I, O, H, dtype="f4").gradients])
def test_out_must_fit(model, data, out):
    model.feed_forward(data[0])
    before = model.S.copy()
    with pytest.raises(TypeError, match="out must be a buffer"):
        model.back_propagate_through_time(*data, out=out)
    numpy.testing.assert_array_equal(model.S, before)


def test_out_must_not_be_the_parameters(model, data):
    before = model.parameters.flat.copy()
    with pytest.raises(TypeError, match="out must be a buffer"):
        model.back_propagate_through_time(*data, out=model.parameters)
    numpy.testing.assert_array_equal(model.parameters.flat, before)


@pytest.mark.parametrize(
    "duplicate", [LSTM.copy, copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["method", "copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("kind", [LSTM, fastlstm.compat.lstm])
def test_copies_are_equal_and_independent(data, duplicate, kind):
    X, Y = data
    model = kind(I, O, H, 1, ["relu", numpy.tanh, "identity"], bptt_truncate=None, dtype="f4", n_threads=2)
    model.feed_forward(X)
    model.back_propagate_through_time(X, Y, out=model.gradients)
    model.feed_forward(X[:2])
    twin = duplicate(model)
    assert type(twin) is kind
    assert repr(twin) == repr(model)
    numpy.testing.assert_array_equal(twin.gradients.flat, model.gradients.flat)
    assert twin.parameters.flat.ctypes.data % 64 == 0
    numpy.testing.assert_array_equal(twin.feed_forward(X), model.feed_forward(X))
    twin.W_f[:] = 0
    assert model.W_f.any()


def test_repr_tells_the_settings():
    text = repr(LSTM(I, O, H, afuncs=["relu", "tanh", "identity"], bptt_truncate=None, n_threads=1))
    for part in ("LSTM(3, 2, hidden_size=5", "relu", "bptt_truncate=None", "squared_error", "exact", "float64"):
        assert part in text


def test_settings_can_change(model, data):
    X, Y = data
    model.bptt_truncate, model.learning_rate, model.n_threads = None, 1, 3
    _, twin = pair(I, O, H, seed=1, bptt_truncate=None)
    for a, b in zip(
        flatten(model.back_propagate_through_time(X, Y)), flatten(twin.back_propagate_through_time(X, Y)), strict=True
    ):
        assert_matches(a, b)
    with pytest.raises(AttributeError):
        model.hidden_size = 7


@pytest.mark.parametrize("jacobian", [False, True])
def test_files(tmp_path, data, jacobian):
    X, _ = data
    primes = [fastlstm.activations.tanh_prime] * 2 + [fastlstm.activations.softmax_jacobian] if jacobian else None
    model = LSTM(I, O, H, 1, None, primes, None, 0.1, gradient="reference", dtype="f4")
    model.feed_forward(X)
    model.save(tmp_path / "model")
    loaded = LSTM.load(tmp_path / "model.npz")
    assert repr(loaded) == repr(model)
    assert loaded.afunc_primes == model.afunc_primes
    numpy.testing.assert_array_equal(loaded.feed_forward(X), model.feed_forward(X))
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]
    (tmp_path / "plain").touch()
    assert (tmp_path / "model.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failed_save_leaves_the_old_file(tmp_path, model, monkeypatch):
    model.save(tmp_path / "model.npz")
    before = (tmp_path / "model.npz").read_bytes()

    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(numpy, "savez", full)
    with pytest.raises(OSError, match="disk full"):
        model.save(tmp_path / "model.npz")
    assert (tmp_path / "model.npz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_bad_files(tmp_path, model):
    with pytest.raises(FileNotFoundError):
        LSTM.load(tmp_path / "none.npz")
    (tmp_path / "junk.npz").write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="not a fastlstm model file"):
        LSTM.load(tmp_path / "junk.npz")
    numpy.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match="not a fastlstm model file"):
        LSTM.load(tmp_path / "other.npz")
    fastlstm.compat.NeuralNetwork([2, 1]).save(tmp_path / "net.npz")
    write_model(tmp_path / "half", "LSTM", {"sizes": [3, 2, 5]}, {})
    with pytest.raises(ValueError, match="does not hold a whole LSTM"):
        LSTM.load(tmp_path / "half")
    with pytest.raises(ValueError, match="must hold a LSTM in format 1, got a NeuralNetwork"):
        LSTM.load(tmp_path / "net.npz")
    with pytest.warns(PerformanceWarning):
        custom = LSTM(I, O, H, afuncs=["tanh", "tanh", abs])
    with pytest.raises(ValueError, match="only pickled"):
        custom.save(tmp_path / "custom.npz")


def test_buffers_compare_layouts():
    a, b = (Buffer({"x": (2, n)}, numpy.dtype("f8")) for n in (1, 2))
    assert a.same_layout(a.empty_like())
    assert not a.same_layout(b)


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("kind", [fastlstm.LSTM, compat.lstm])
@pytest.mark.parametrize("logit", [0.0, 95.0, 800.0, 3e4])
def test_the_loss_of_an_unlikely_class_is_that_of_its_logit(dtype, kind, logit):
    """The output itself is smaller than any number that the dtype has."""
    model = kind(1, 2, 1, dtype=dtype)
    model.W_o, model.b_o = [[0], [0]], [0, logit]
    expected = numpy.logaddexp(0, logit)
    for X in ([[[1.0]]], numpy.ones((1, 1, 1))):
        assert model.loss_function(X, [[[1.0, 0.0]]]) == pytest.approx(expected, rel=1e-6)
    twin = oracle.LSTM(1, 2, 1)
    twin.W_o, twin.b_o = numpy.zeros((2, 1)), numpy.array([0, logit])
    assert twin.loss_function([numpy.ones((1, 1))], [numpy.array([[1.0, 0.0]])]) == pytest.approx(expected, rel=1e-12)


def test_the_squared_error_of_a_float32_model_may_be_larger_than_float32():
    model = fastlstm.LSTM(1, 1, 1, dtype=numpy.float32, afuncs=["tanh", "tanh", "identity"])
    model.W_o, model.b_o = [[0]], [3e30]
    assert model.loss_function([[[1.0]]], [[[0.0]]]) == pytest.approx(4.5e60, rel=1e-6)
