"""The losses of `fastlstm.train` against the oracle, PyTorch and finite differences."""

import numpy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastlstm import oracle
from fastlstm.oracle import losses as plain
from fastlstm.train import CrossEntropy, elementwise, entropy
from tests.tools.helpers import JIT_OFF, dtypes, sizes
from tests.tools.losses import BY_ELEMENT, DELTA, KINDS, both, check, drawn, kinds


@given(
    st.sampled_from(list(KINDS)), st.sampled_from([0, 1, 3, 8]), st.sampled_from([0, 1, 2, 7]), sizes, dtypes,
    st.sampled_from([None, "rows", "elements"]), st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip
@example("squared error", 3, 2, 2500, numpy.float32, "rows", 0.5)  # rows of more than a piece
@example("Huber", 3, 1, 2500, numpy.float64, "elements", 0.5)
@example("labels", 2, 1, 2500, numpy.float32, None, 1.0)
@example("rows", 2, 1, 2500, numpy.float32, None, 1.0)
@example("squared error", 700, 3, 1, numpy.float32, "rows", 0.9)  # more rows than a piece
def test_values_and_gradients_are_the_oracles(kind, T, batch, n, dtype, masked, share):
    loss, twin = KINDS[kind]
    outputs, targets = drawn(kind, (T, batch, n), dtype)
    elements = masked == "elements" and kind in BY_ELEMENT
    mask = numpy.random.default_rng(1).random(outputs.shape if elements else (T, batch)) < share if masked else None
    whole = outputs.astype(numpy.float64), targets if kind == "labels" else targets.astype(numpy.float64)
    check(loss(outputs, targets, mask), twin(*whole, mask), dtype)


@both
@pytest.mark.parametrize("n", [1, 5, 37])
@pytest.mark.parametrize("draw", [
    lambda rng, shape: 3 * rng.random(shape), lambda rng, shape: rng.standard_normal(shape),
    lambda rng, shape: -rng.random(shape), lambda rng, shape: -numpy.eye(shape[-1])[rng.integers(0, shape[-1], 4)],
], ids=["of any sum", "of both signs", "negative", "one class, negative"])  # fmt: skip
def test_rows_of_weights_need_not_sum_to_one(rng, n, draw, dtype):
    outputs, targets = (2 * rng.standard_normal((4, n))).astype(dtype), draw(rng, (4, n)).astype(dtype)
    outputs[0] = 30 * outputs[0]  # next to certain
    check(CrossEntropy()(outputs, targets), plain.cross_entropy(outputs.astype(float), targets.astype(float)), dtype)


@kinds
def test_gradients_are_those_of_finite_differences(kind):
    loss, _ = KINDS[kind]
    outputs, targets = drawn(kind, (2, 3, 5), "float64")
    mask = numpy.array([[True, False, True], [True, True, False]])
    wanted = oracle.finite_difference(lambda: loss(outputs, targets, mask)[0], outputs)
    numpy.testing.assert_allclose(loss(outputs, targets, mask)[1], wanted, rtol=0, atol=1e-9)


@kinds
@both
@pytest.mark.parametrize("n", [1, 3, 17, 37])
@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_torchs(rng, kind, dtype, n, masked):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
    outputs, targets = drawn(kind, (5, 4, n), dtype)
    mask = rng.random((5, 4)) < 0.5 if masked else None
    rows = slice(None) if mask is None else torch.from_numpy(mask)
    leaf = torch.from_numpy(outputs).double().requires_grad_()
    theirs = leaf[rows].reshape(-1, n)
    wanted = torch.from_numpy(targets)[rows]
    wanted = wanted.reshape(-1) if kind == "labels" else wanted.double().reshape(-1, n)
    if kind in ("labels", "rows"):
        value = torch.nn.functional.cross_entropy(theirs, wanted)
    elif kind == "Huber":
        value = torch.nn.functional.huber_loss(theirs, wanted, reduction="sum", delta=DELTA) / len(theirs)
    else:
        value = torch.nn.functional.mse_loss(theirs, wanted, reduction="sum") / (2 * len(theirs))
    value.backward()
    check(KINDS[kind][0](outputs, targets, mask), (value.item(), leaf.grad.numpy()), dtype)


@kinds
@both
@pytest.mark.parametrize("shape", [(5, 4, 3), (0, 4, 3), (5, 0, 3)])
def test_without_any_target_the_value_is_nan_and_the_gradient_zero(kind, dtype, shape):
    outputs, targets = drawn(kind, shape, dtype)
    value, gradient = KINDS[kind][0](outputs, targets, numpy.zeros(shape[:-1], bool))
    assert numpy.isnan(value)
    numpy.testing.assert_array_equal(gradient, numpy.zeros(shape, dtype), strict=True)


@pytest.mark.parametrize("kind", BY_ELEMENT)
def test_a_mask_of_rows_is_one_of_their_elements(rng, kind):
    loss, _ = KINDS[kind]
    outputs, targets = drawn(kind, (5, 4, 3), "float64")
    mask = rng.random((5, 4)) < 0.5
    by_element = numpy.repeat(mask[..., None], 3, axis=-1)
    check(loss(outputs, targets, by_element), loss(outputs, targets, mask), "float64")


@both
@pytest.mark.parametrize("n", [1, 3, 17])
def test_labels_are_one_hot_rows(dtype, n):
    outputs, labels = drawn("labels", (5, 4, n), dtype)
    rows = numpy.eye(n)[labels]
    check(CrossEntropy()(outputs, labels), CrossEntropy()(outputs, rows), dtype)
    for kind in (numpy.int8, numpy.uint64, ">i4"):
        assert CrossEntropy()(outputs, labels.astype(kind))[0] == CrossEntropy()(outputs, labels)[0]


@kinds
@both
@pytest.mark.parametrize("shape", [(37, 5, 3), (9, 1, 1), (3, 2, 1500)])
def test_any_number_of_workers_gives_the_same_bits(rng, monkeypatch, kind, dtype, shape):
    if JIT_OFF and shape[2] > 1000:
        shape = (3, 2, 1030)
    outputs, targets = drawn(kind, shape, dtype)
    for mask in (None, rng.random(shape[:-1]) < 0.5):
        found = []
        for workers in (1, 2, 3, 8):
            for module in (elementwise, entropy):
                monkeypatch.setattr(module, "useful", lambda *_, workers=workers: workers)
            found.append(KINDS[kind][0](outputs, targets, mask))
        for value, gradient in found[1:]:
            assert value == found[0][0]
            numpy.testing.assert_array_equal(gradient, found[0][1])


@kinds
@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (2, 3, 1)])
def test_any_number_of_axes(kind, shape):
    loss, twin = KINDS[kind]
    outputs, targets = drawn(kind, (*shape, 4), "float64")
    check(loss(outputs, targets), twin(outputs, numpy.asarray(targets), None), "float64")
    assert loss(outputs, targets, numpy.ones(shape, bool))[0] == loss(outputs, targets)[0]
