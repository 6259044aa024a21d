"""Losses with weights of rows, elements, outputs and classes: against the oracle, PyTorch and masks."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlstm import oracle
from fastlstm.train import CrossEntropy, Huber, SquaredError, elementwise, entropy
from tests.tools.helpers import dtypes, sizes
from tests.tools.losses import BY_ELEMENT, DELTA, KINDS, both, check, drawn, kinds, weighted

SHAPE = 5, 4, 3


def some(rng, shape, share=0.6):
    """Weights, zero but for a share of them."""
    return rng.random(shape) * (rng.random(shape) < share)


def columns(rng, n):
    """Weights, one of them zero if it is not the only one."""
    weight = rng.random(n) + 0.1
    weight[1:2] = 0
    return weight


@given(
    st.sampled_from(list(KINDS)), st.sampled_from([0, 1, 3, 8]), st.sampled_from([0, 1, 3]), sizes, dtypes,
    st.booleans(), st.sampled_from([None, "rows", "elements"]), st.sampled_from([None, "rows", "elements"]),
    st.integers(0, 9), st.sampled_from([None, -1, 0]),
)  # fmt: skip
def test_values_and_gradients_are_the_oracles(kind, T, batch, n, dtype, by_column, mask, weights, seed, ignored):
    shape, rng = (T, batch, n), numpy.random.default_rng(seed)
    shapes = {"rows": shape[:-1], "elements": shape if kind in BY_ELEMENT else shape[:-1]}
    outputs, targets = drawn(kind, shape, dtype)
    others = {"ignore_index": ignored} if kind == "labels" else {}
    loss, twin = weighted(kind, columns(rng, n) if by_column else None, **others)
    if kind == "labels" and ignored is not None:
        targets[rng.random(targets.shape) < 0.3] = ignored
    mask = None if mask is None else rng.random(shapes[mask]) < 0.7
    weights = None if weights is None else some(rng, shapes[weights]).astype(dtype)
    check(loss(outputs, targets, mask, weights), twin(outputs, targets, mask, weights), dtype)


@kinds
@pytest.mark.parametrize("by_element", [False, True])
def test_gradients_are_those_of_finite_differences(rng, kind, by_element):
    outputs, targets = drawn(kind, SHAPE, "float64")
    shape = SHAPE if by_element and kind in BY_ELEMENT else SHAPE[:-1]
    arguments = targets, rng.random(shape) < 0.7, some(rng, shape)
    for call in weighted(kind, columns(rng, 3)):
        wanted = oracle.finite_difference(lambda call=call: call(outputs, *arguments)[0], outputs)
        numpy.testing.assert_allclose(call(outputs, *arguments)[1], wanted, rtol=0, atol=1e-9)


@kinds
@both
@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("n", [3, 17])
def test_values_and_gradients_are_torchs(rng, kind, dtype, by_row, n):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
    outputs, targets = drawn(kind, (20, n), dtype)
    weight, rows = columns(rng, n), some(rng, 20) if by_row else None
    by = torch.from_numpy(weight), torch.ones(20).double() if rows is None else torch.from_numpy(rows)
    leaf = torch.from_numpy(outputs).double().requires_grad_()
    wanted = torch.from_numpy(targets if kind == "labels" else targets.astype(float))
    if kind in ("labels", "rows"):
        loss = CrossEntropy(weight, -100 if kind == "labels" else None)
        counted = by[1]
        if kind == "labels":
            counted = counted * by[0][wanted]
            targets[:3], wanted[:3], counted[:3] = -100, -100, 0
        theirs = torch.nn.functional.cross_entropy(leaf, wanted, by[0], reduction="none")
        if rows is None:
            value = torch.nn.CrossEntropyLoss(by[0])(leaf, wanted)
        else:
            value = (by[1] * theirs).sum() / counted.sum()
    else:
        loss = weighted(kind, weight)[0]
        function = torch.nn.functional.huber_loss if kind == "Huber" else torch.nn.functional.mse_loss
        theirs = function(leaf, wanted, reduction="none", **({"delta": DELTA} if kind == "Huber" else {}))
        value = (by[1] * (by[0] * theirs).sum(dim=1)).sum() / by[1].sum() / (1 if kind == "Huber" else 2)
    value.backward()
    check(loss(outputs, targets, None, rows), (value.item(), leaf.grad.numpy()), dtype)


def spoilt(array, where):
    """A copy with what must not be seen: NaN, or a label out of range."""
    other = array.copy()
    other[where] = numpy.nan if array.dtype.kind == "f" else -7
    return other


@kinds
@both
@pytest.mark.parametrize("masked", [False, True])
def test_weights_of_zero_and_one_are_a_mask(rng, kind, dtype, masked):
    loss = KINDS[kind][0]
    outputs, targets = drawn(kind, SHAPE, dtype)
    for shape in (SHAPE[:-1], *([SHAPE] if kind in BY_ELEMENT else [])):
        have = rng.random(shape) < 0.5
        mask = rng.random(SHAPE[:-1]) < 0.7 if masked else None
        there = have if mask is None else have & mask.reshape(*mask.shape, *[1] * (have.ndim - 2))
        arrays = spoilt(outputs, ~there), spoilt(targets, ~there)
        cases = [(mask, have.astype(form)) for form in (dtype, int, bool)] + [(there, numpy.where(there, 1, numpy.nan))]
        for case in cases:
            found = loss(*arrays, *case)
            check(found, loss(outputs, targets, there), dtype)
            assert not found[1][~there].any()
            assert loss.total_weight(*arrays, *case) == loss.total_weight(outputs, targets, there)


@pytest.mark.parametrize("kind", BY_ELEMENT)
@both
def test_an_output_of_weight_zero_is_as_good_as_masked(rng, kind, dtype):
    outputs, targets = drawn(kind, SHAPE, dtype)
    there = numpy.broadcast_to([True, False, True], SHAPE)
    loss = weighted(kind, [1, 0, 1])[0]
    for mask in (None, rng.random(SHAPE[:-1]) < 0.5, rng.random(SHAPE) < 0.2):
        wanted = there if mask is None else there & mask.reshape(*SHAPE[:2], -1)
        found = loss(spoilt(outputs, ~there), spoilt(targets, ~there), mask)
        check(found, KINDS[kind][0](outputs, targets, wanted), dtype)
        assert loss.total_weight(outputs, targets, mask) == wanted.any(axis=-1).sum()


@both
def test_labels_of_weight_zero_and_ignored_ones_are_as_good_as_masked(dtype):
    outputs, labels = drawn("labels", (30, 4, 3), dtype)
    have = labels != 1
    wanted = CrossEntropy()(outputs, labels, have)
    outputs = spoilt(outputs, ~have)
    found = CrossEntropy([1, 0, 1])(outputs, labels)
    check(found, wanted, dtype)
    assert not found[1][~have].any()
    for ignored in (1, -100, 2**40, -(2**63)):
        others = numpy.where(have, labels, ignored)
        found = CrossEntropy(None, ignored)(outputs, others)
        assert found[0] == wanted[0]
        numpy.testing.assert_array_equal(found[1], wanted[1])
        assert CrossEntropy(ignore_index=ignored).total_weight(outputs, others) == have.sum()
    assert CrossEntropy(ignore_index=300)(outputs, labels.astype("u1"), have)[0] == wanted[0]


@both
def test_targets_of_a_class_of_weight_zero_are_not_seen(dtype):
    outputs, rows = drawn("rows", SHAPE, dtype)
    loss = CrossEntropy([2, 0, 1])
    value, gradient = loss(outputs, rows)
    other = rows.copy()
    other[..., 1] = numpy.nan
    assert loss(outputs, other)[0] == value
    numpy.testing.assert_array_equal(loss(outputs, other)[1], gradient)
    only = numpy.broadcast_to(numpy.array([0, 1, 0], dtype), SHAPE)
    value, gradient = loss(outputs * numpy.nan, only)
    assert value == 0
    assert not gradient.any()


@kinds
@both
@pytest.mark.parametrize("shape", [(6, 3), (5, 4, 3), (700, 2, 1)])
def test_weights_of_one_are_none(kind, dtype, shape):
    outputs, targets = drawn(kind, shape, dtype)
    wanted = KINDS[kind][0](outputs, targets)
    check(weighted(kind, numpy.ones(shape[-1]))[0](outputs, targets), wanted, dtype)
    for ones in (shape[:-1], *([shape] if kind in BY_ELEMENT else [])):
        check(KINDS[kind][0](outputs, targets, None, numpy.ones(ones, int)), wanted, dtype)


@kinds
@both
@pytest.mark.parametrize("by", [1e-310, 1e-30, 7, 1e300])
def test_weights_count_in_proportion(rng, kind, dtype, by):
    outputs, targets = drawn(kind, SHAPE, dtype)
    weights = some(rng, SHAPE[:-1])
    check(KINDS[kind][0](outputs, targets, None, by * weights), KINDS[kind][0](outputs, targets, None, weights), dtype)


@kinds
@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("by_row", [None, "rows", "elements"])
def test_means_go_together_by_their_weights(rng, kind, by_column, by_row):
    outputs, targets = drawn(kind, (9, 4, 3), "float64")
    loss = weighted(kind, columns(rng, 3) if by_column else None)[0]
    mask = rng.random((9, 4)) < 0.6
    weights = some(rng, (9, 4, 3) if by_row == "elements" and kind in BY_ELEMENT else (9, 4)) if by_row else None
    whole = outputs, targets, mask, weights
    pieces = [tuple(None if a is None else a[part] for a in whole) for part in (slice(2), slice(2, 2), slice(2, 9))]
    values = [(loss(*piece)[0], loss.total_weight(*piece)) for piece in pieces]
    assert all(type(weight) is float for _, weight in values)
    assert values[1][1] == 0
    total = sum(weight for _, weight in values)
    assert loss.total_weight(*whole) == pytest.approx(total)
    assert sum(value * weight for value, weight in values if weight) / total == pytest.approx(loss(*whole)[0])


@kinds
@both
@pytest.mark.parametrize("shape", [SHAPE, (0, 4, 3), (5, 0, 3), (0, 3), (3,)])
def test_without_any_weight_the_value_is_nan_and_the_gradient_zero(kind, dtype, shape):
    outputs, targets = drawn(kind, shape, dtype)
    for loss in (KINDS[kind][0], weighted(kind, [1, 2, 0])[0]):
        arguments = outputs * numpy.nan, numpy.asarray(targets), None, numpy.zeros(shape[:-1])
        value, gradient = loss(*arguments)
        assert numpy.isnan(value)
        numpy.testing.assert_array_equal(gradient, numpy.zeros(shape, dtype), strict=True)
        assert loss.total_weight(*arguments) == 0


@kinds
@both
def test_any_number_of_workers_gives_the_same_bits(rng, monkeypatch, kind, dtype):
    outputs, targets = drawn(kind, (37, 5, 3), dtype)
    for weights in (some(rng, (37, 5)), some(rng, (37, 5, 3 if kind in BY_ELEMENT else 1)).squeeze()):
        found = []
        for workers in (1, 2, 8):
            for module in (elementwise, entropy):
                monkeypatch.setattr(module, "useful", lambda *_, workers=workers: workers)
            found.append(weighted(kind, [0.5, 0, 2])[0](outputs, targets, None, weights))
        for value, gradient in found[1:]:
            assert value == found[0][0]
            numpy.testing.assert_array_equal(gradient, found[0][1])


LAYOUTS = {
    "Fortran order": numpy.asfortranarray,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": lambda a: numpy.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "nested lists": lambda a: a.tolist(),
}


@pytest.mark.parametrize("changed", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_of_weights_gives_the_same_bits(rng, changed):
    outputs, targets = drawn("Huber", SHAPE, "float64")
    weights = some(rng, SHAPE)
    for loss, by in ((Huber(), weights), (SquaredError(weights[0, 0] + 1), weights[..., 0])):
        value, gradient = loss(outputs, targets, None, by)
        other, other_gradient = loss(outputs, targets, None, changed(by))
        assert other == value
        numpy.testing.assert_array_equal(other_gradient, gradient, strict=True)
