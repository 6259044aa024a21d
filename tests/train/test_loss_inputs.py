"""What the losses of `fastlstm.train` do with their arguments, and say of them."""

import json
import re

import numpy
import pytest

from fastlstm.train import CrossEntropy, Huber, SquaredError
from tests.tools.losses import KINDS, drawn, kinds

LAYOUTS = {
    "Fortran order": numpy.asfortranarray,
    "every other element": lambda a: numpy.repeat(a, 2, axis=-1)[..., ::2],
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": lambda a: numpy.frombuffer(b"." + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "nested lists": lambda a: a.tolist(),
}


@kinds
@pytest.mark.parametrize("changed", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_gives_the_same_bits(rng, kind, changed):
    loss, _ = KINDS[kind]
    outputs, targets = drawn(kind, (5, 4, 3), "float64")
    mask = rng.random((5, 4)) < 0.5
    value, gradient = loss(outputs, targets, mask)
    other, other_gradient = loss(changed(outputs), changed(targets), changed(mask))
    assert other == value
    numpy.testing.assert_array_equal(other_gradient, gradient, strict=True)


@kinds
def test_arguments_are_not_modified_and_the_gradient_is_a_new_array(kind):
    loss, _ = KINDS[kind]
    outputs, targets = drawn(kind, (5, 4, 3), "float32")
    given = outputs.copy(), targets.copy(), numpy.ones((5, 4), bool)
    for array in given:
        array.flags.writeable = False
    _, gradient = loss(*given)
    numpy.testing.assert_array_equal(given[0], outputs)
    numpy.testing.assert_array_equal(given[1], targets)
    kept = gradient.copy()
    assert not any(numpy.shares_memory(gradient, array) for array in given)
    loss(2 * outputs, targets)
    numpy.testing.assert_array_equal(gradient, kept)


def zeros(*shape, dtype=float):
    return numpy.zeros(shape, dtype)


Y = zeros(5, 4, 3)
BAD = [
    (Huber(), (Y.astype(numpy.float16), Y), TypeError, "outputs must be of float32 or float64, got float16"),
    (Huber(), (Y.astype(int), Y), TypeError, "outputs must be of float32 or float64, got int64"),
    (Huber(), (Y + 0j, Y), TypeError, "outputs must hold real numbers, got dtype complex128"),
    (Huber(), (0.5, 0.5), ValueError, "outputs must have shape (..., n) with n at least 1, got ()"),
    (Huber(), (zeros(5, 0), zeros(5, 0)), ValueError, "with n at least 1, got (5, 0)"),
    (SquaredError(), (Y, Y[..., 0]), ValueError, "targets must have shape (5, 4, 3), got (5, 4)"),
    (SquaredError(), (Y, Y + 0j), TypeError, "targets must hold real numbers, got dtype complex128"),
    (SquaredError(), (Y, Y, Y), TypeError, "mask must be of bool, got dtype float64"),
    (SquaredError(), (Y, Y, Y[0] == 0), ValueError, "mask must have shape (5, 4) or (5, 4, 3), got (4, 3)"),
    (CrossEntropy(), (Y, Y[0]), ValueError, "labels of shape (5, 4) or rows of shape (5, 4, 3), got shape (4, 3)"),
    (CrossEntropy(), (Y, Y[..., 0]), TypeError, "must be integer labels, got dtype float64"),
    (CrossEntropy(), (Y, Y[..., 0] == 0), TypeError, "must be integer labels, got dtype bool"),
    (CrossEntropy(), (Y, zeros(5, 4, dtype=int) + 3), ValueError, "targets must be labels from 0 to 2, got 3"),
    (CrossEntropy(), (Y, zeros(5, 4, dtype=int) - 1), ValueError, "targets must be labels from 0 to 2, got -1"),
    (CrossEntropy(), (Y, zeros(5, 4, dtype="u8") - 1), ValueError, "from 0 to 2, got 18446744073709551615"),
    (CrossEntropy(), (Y, Y, Y == 0), ValueError, "mask must have shape (5, 4), got (5, 4, 3)"),
    (Huber(), (Y, Y, zeros(5, 1) == 0), ValueError, "mask must have shape (5, 4) or (5, 4, 3), got (5, 1)"),
    (Huber(), (Y, Y, zeros(5, 4, 1) == 0), ValueError, "mask must have shape (5, 4) or (5, 4, 3), got (5, 4, 1)"),
    (Huber(), (Y, Y, True), ValueError, "mask must have shape (5, 4) or (5, 4, 3), got ()"),
    (Huber(), (Y, Y, None, 1.0), ValueError, "sample_weight must have shape (5, 4) or (5, 4, 3), got ()"),
    (Huber(), (Y, Y, None, Y[:, :1]), ValueError, "sample_weight must have shape (5, 4) or (5, 4, 3), got (5, 1, 3)"),
    (Huber(), (Y, Y, None, Y + 0j), TypeError, "sample_weight must hold real numbers, got dtype complex128"),
    (Huber(), (Y, Y, None, Y - 1), ValueError, "sample_weight must be finite and at least 0, got -1.0"),
    (Huber(), (Y, Y, None, Y + numpy.nan), ValueError, "sample_weight must be finite and at least 0, got nan"),
    (Huber(), (Y, Y, None, Y + numpy.inf), ValueError, "sample_weight must be finite and at least 0, got inf"),
    (Huber(), (Y, Y, None, Y + 1e308), ValueError, "the weights of the rows must have a finite sum, got inf"),
    (Huber(1, [1, 2]), (Y, Y), ValueError, "weight must have shape (3,) as outputs have rows of 3, got (2,)"),
    (SquaredError([1]), (Y, Y), ValueError, "weight must have shape (3,) as outputs have rows of 3, got (1,)"),
    (CrossEntropy([1, 2]), (Y, Y), ValueError, "weight must have shape (3,) as outputs have rows of 3, got (2,)"),
    (CrossEntropy(), (Y, Y, None, Y), ValueError, "sample_weight must have shape (5, 4), got (5, 4, 3)"),
    (CrossEntropy([1e300] * 3), (Y, zeros(5, 4, dtype=int), None, Y[..., 0] + 1e9), ValueError, "finite sum, got inf"),
    (CrossEntropy(None, 1), (Y, Y), ValueError, "labels of shape (5, 4) with an ignore_index, got shape (5, 4, 3)"),
]


@pytest.mark.parametrize(("loss", "arguments", "error", "message"), BAD, ids=[message for *_, message in BAD])
def test_bad_input(loss, arguments, error, message):
    for call in (loss, loss.total_weight):
        with numpy.errstate(over="ignore"), pytest.raises(error, match=re.escape(message)):
            call(*arguments)


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "message"),
    [
        (Huber, (0,), ValueError, "delta must be positive, got 0"),
        (Huber, (-1.0,), ValueError, "delta must be positive, got -1.0"),
        (Huber, (numpy.inf,), ValueError, "delta must be finite, got inf"),
        (Huber, ("1",), TypeError, "delta must be a number, got '1'"),
        (Huber, (1, [1, -2]), ValueError, "weight must be finite and at least 0, got -2.0"),
        (SquaredError, ([1, numpy.nan],), ValueError, "weight must be finite and at least 0, got nan"),
        (SquaredError, (2.0,), ValueError, "weight must have shape (n,), got ()"),
        (CrossEntropy, ([1, numpy.inf],), ValueError, "weight must be finite and at least 0, got inf"),
        (CrossEntropy, ([[1, 2]],), ValueError, "weight must have shape (n,), got (1, 2)"),
        (CrossEntropy, ([0, 0],), ValueError, "weight must have a positive number, got none"),
        (CrossEntropy, ([],), ValueError, "weight must have a positive number, got none"),
        (CrossEntropy, (["a"],), TypeError, "weight must hold real numbers, got dtype <U1"),
        (CrossEntropy, (None, 1.5), TypeError, "ignore_index must be an integer, got 1.5"),
    ],
)
def test_bad_constructions(kind, arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        kind(*arguments)


LOSSES = [
    (SquaredError(), "SquaredError()", {"kind": "SquaredError", "weight": None}),
    (SquaredError([0, 0.1]), "SquaredError(weight=[0.0, 0.1])", {"kind": "SquaredError", "weight": [0.0, 0.1]}),
    (Huber(), "Huber()", {"kind": "Huber", "delta": 1.0, "weight": None}),
    (Huber(2), "Huber(2.0)", {"kind": "Huber", "delta": 2.0, "weight": None}),
    (Huber(2, (1, 3)), "Huber(2.0, weight=[1.0, 3.0])", {"kind": "Huber", "delta": 2.0, "weight": [1.0, 3.0]}),
    (CrossEntropy(), "CrossEntropy()", {"kind": "CrossEntropy", "weight": None, "ignore_index": None}),
    (CrossEntropy(numpy.ones(1), numpy.int8(-1)), "CrossEntropy(weight=[1.0], ignore_index=-1)",
     {"kind": "CrossEntropy", "weight": [1.0], "ignore_index": -1}),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "shown", "config"), LOSSES, ids=[shown for _, shown, _ in LOSSES])
def test_configs_and_representations(loss, shown, config):
    assert repr(loss) == repr(eval(shown)) == shown
    assert loss.config() == config
    arguments = json.loads(json.dumps(loss.config()))
    assert type(loss).__name__ == arguments.pop("kind")
    assert type(loss)(**arguments).config() == config


def test_weights_of_a_loss_are_its_own():
    weight = numpy.ones(3)
    loss = SquaredError(weight)
    weight[0] = 7
    assert loss.config()["weight"] == [1, 1, 1]
