"""Initial parameters of `fastlstm.nn.LSTM`."""

import numpy
import pytest

from fastlstm import nn

SHAPE = {"num_layers": 2, "bidirectional": True}


def test_the_seed_decides():
    a, b, c = (nn.LSTM(3, 4, **SHAPE, seed=seed).parameters.flat for seed in (1, 1, 2))
    numpy.testing.assert_array_equal(a, b)
    assert not numpy.array_equal(a, c)
    assert not numpy.array_equal(nn.LSTM(3, 4).parameters.flat, nn.LSTM(3, 4).parameters.flat)


@pytest.mark.parametrize("options", [SHAPE, {"proj_size": 2}], ids=str)
def test_all_are_drawn_apart_from_within_the_bound(options):
    layer = nn.LSTM(3, 16, **options, dtype="float64", seed=1)
    assert numpy.abs(layer.parameters.flat).max() <= 0.25
    assert len(numpy.unique(layer.parameters.flat)) == layer.parameters.flat.size
    for value in layer.parameters.values():
        assert numpy.abs(value).max() > 0.2


@pytest.mark.parametrize("value", [1, -0.5, 0.0])
def test_forget_bias(value):
    plain = nn.LSTM(3, 5, **SHAPE, seed=1)
    layer = nn.LSTM(3, 5, **SHAPE, seed=1, forget_bias=value)
    assert layer.forget_bias == value
    for name, array in layer.parameters.items():
        own, others = array, plain.parameters[name].copy()
        if name.startswith("bias"):
            others[5:10] = value if name.startswith("bias_ih") else 0
        numpy.testing.assert_array_equal(own, others, name, strict=True)


@pytest.mark.parametrize("options", [SHAPE, {"proj_size": 3}, {"bias": False}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal_recurrent_weights(options, dtype):
    plain = nn.LSTM(3, 7, **options, dtype=dtype, seed=1)
    layer, twin = (
        nn.LSTM(3, 7, **options, dtype=dtype, seed=1, recurrent_initializer="orthogonal") for _ in range(2)
    )
    numpy.testing.assert_array_equal(layer.parameters.flat, twin.parameters.flat)
    seen = []
    for name, array in layer.parameters.items():
        if not name.startswith("weight_hh"):
            numpy.testing.assert_array_equal(array, plain.parameters[name], name)
            continue
        for gate in numpy.split(array.astype(float), 4):
            numpy.testing.assert_allclose(gate.T @ gate, numpy.eye(array.shape[1]), atol=100 * numpy.finfo(dtype).eps)
            assert not any(numpy.allclose(numpy.abs(gate), numpy.abs(other)) for other in seen)
            seen.append(gate)


def test_orthogonal_matrices_are_drawn_evenly():
    """Every element has mean 0 and mean square 1 / n, whatever its place."""
    n = 3
    layer = nn.LSTM(1, n, 200, dtype="float64", seed=1, recurrent_initializer="orthogonal")
    gates = numpy.concatenate([a.reshape(4, n, n) for name, a in layer.parameters.items() if "weight_hh" in name])
    assert numpy.abs(gates.mean(axis=0)).max() < 5 * numpy.sqrt(1 / n / len(gates))
    assert numpy.abs((gates**2).mean(axis=0) - 1 / n).max() < 5 * 0.3 / numpy.sqrt(len(gates))
