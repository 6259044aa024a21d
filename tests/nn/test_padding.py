"""What no target depends on changes nothing: padding behind a mask, or behind the end of a sequence."""

from typing import Any

import numpy
import pytest

from fastlstm import nn, train
from tests.tools.helpers import JIT_OFF
from tests.tools.streams import assert_same

BAD = numpy.nan, numpy.inf, -numpy.inf
LENGTHS = 9, 5, 0
T, B, I, H, O = 9, 3, 3, 5, 2  # noqa: E741


def network(dtype: Any = numpy.float64, **options: Any) -> nn.Sequential:
    lstm = nn.LSTM(I, H, seed=1, dtype=dtype, n_threads=options.pop("n_threads", 1), **options)
    return nn.Sequential(lstm, nn.Dense(lstm.output_size, O, seed=2, dtype=dtype))


def data(dtype: Any = numpy.float64, fill: float = 0.0, sizes: Any = LENGTHS) -> tuple[Any, Any, Any]:
    """Inputs and targets that are `fill` behind the ends of the sequences, and where they are not."""
    rng = numpy.random.default_rng(0)
    x, y = (rng.standard_normal((T, len(sizes), n)).astype(dtype) for n in (I, O))
    there = numpy.arange(T)[:, None] < numpy.array(sizes)
    x[~there], y[~there] = fill, fill
    return x, y, there


OPTIONS = [
    {}, {"num_layers": 2}, {"proj_size": 2}, {"num_layers": 3, "dropout": 0.2, "recurrent_dropout": 0.1},
]
WALKS = [{}, {"truncate": 3}, {"truncate": 2, "stride": 3}, {"k1": 4}, {"k1": 3, "k2": 7}]


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("walk", WALKS)
def test_padding_behind_a_mask_changes_no_parameter(dtype: Any, options: Any, walk: Any) -> None:
    if "proj_size" in options and "truncate" in walk:
        pytest.skip("truncation does not go with a projection")
    found = []
    for fill in (0.0, *BAD):
        x, y, there = data(dtype, fill)
        trainer = train.Trainer(network(dtype, **options), train.SquaredError(), train.SGD(0.1), **walk)
        trainer.fit([(x, y, None, there)])
        found.append(trainer.model.parameters.flat.copy())
    assert numpy.isfinite(found[0]).all()
    for other in found[1:]:
        numpy.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("bad", BAD)
def test_padding_sends_nothing_back(dtype: Any, bad: float) -> None:
    """Many steps and workers, so that they are shared and their gradients are formed in several chunks."""
    steps, units = (9, 5) if JIT_OFF else (300, 40)
    end = steps * 2 // 5
    lstm = nn.LSTM(2, units, seed=3, dtype=dtype, n_threads=3)
    rng = numpy.random.default_rng(1)
    dy = rng.standard_normal((steps, 4, units)).astype(dtype)
    dy[end:, 1] = dy[:, 2] = 0
    x = rng.standard_normal((steps, 4, 2)).astype(dtype)
    gradients = []
    for fill in (0.0, bad):
        x[end:, 1] = x[:, 2] = fill
        lstm.zero_grad()
        _, _, tape = lstm.forward(x)
        d_x, (d_h, d_c) = lstm.backward(tape, dy)
        gradients.append([lstm.gradients.flat.copy(), d_x, d_h, d_c])
        assert not d_x[end:, 1].any()
        assert not d_x[:, 2].any()
        assert not d_h[:, 2].any()
    for one, other in zip(*gradients, strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_an_input_without_an_error_of_its_own_still_counts() -> None:
    """An infinite input whose gates are saturated has no gradient, but the step is one that a target depends on."""
    lstm = nn.LSTM(1, 1, seed=0, dtype=numpy.float64)
    _, _, tape = lstm.forward([[[1.0]], [[numpy.inf]]])
    lstm.backward(tape, numpy.array([[[0.0]], [[1.0]]]))
    assert numpy.isnan(lstm.gradients["weight_ih_l0"]).any()


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_dense_rows_without_an_error(dtype: Any) -> None:
    dense = nn.Dense(3, 70, seed=0, dtype=dtype)
    rng = numpy.random.default_rng(2)
    x, dy = rng.standard_normal((300, 3)).astype(dtype), rng.standard_normal((300, 70)).astype(dtype)
    dy[7:290] = 0
    gradients = []
    for fill in (0.0, *BAD):
        x[7:290] = fill
        dense.zero_grad()
        _, _, tape = dense.forward(x)
        d_x, _ = dense.backward(tape, dy)
        gradients.append([dense.gradients.flat.copy(), d_x])
    for other in gradients[1:]:
        for one, two in zip(gradients[0], other, strict=True):
            numpy.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}])
def test_lengths_of_layers_one_after_the_other(batch_first: bool, options: Any) -> None:
    """Each sequence as if it were alone, both ways; what is behind its end is not looked at."""
    model = network(batch_first=batch_first, **options)
    x, y, _ = data(fill=numpy.nan)
    dy = numpy.where(numpy.isnan(y), numpy.inf, y)
    given, d_given = (a.swapaxes(0, 1) if batch_first else a for a in (x, dy))
    output, state, tape = model.forward(given, lengths=LENGTHS)
    numpy.testing.assert_array_equal(model(given, lengths=LENGTHS)[0], output)
    d_x, _ = model.backward(tape, d_given)
    found = model.gradients.flat.copy()
    model.zero_grad()
    if batch_first:
        output, d_x = output.swapaxes(0, 1), d_x.swapaxes(0, 1)
    for k, n in enumerate(LENGTHS):
        alone = x[:n, k][None] if batch_first else x[:n, k][:, None]
        own, own_state, own_tape = model.forward(alone)
        numpy.testing.assert_array_equal(output[:n, k], own.reshape(n, O))
        assert not output[n:, k].any()
        numpy.testing.assert_array_equal(state[0][0][:, k], own_state[0][0][:, 0])
        back = dy[:n, k][None] if batch_first else dy[:n, k][:, None]
        numpy.testing.assert_allclose(d_x[:n, k], model.backward(own_tape, back)[0].reshape(n, I), atol=1e-14)
        assert not d_x[n:, k].any()
    numpy.testing.assert_allclose(found, model.gradients.flat, rtol=1e-10, atol=1e-13)


def test_lengths_of_a_dense_layer_and_of_layers_within_layers() -> None:
    dense = nn.Dense(I, O, seed=1, dtype=numpy.float64)
    x, y, there = data(fill=numpy.nan)
    for model in (dense, nn.Sequential(nn.Sequential(dense), nn.Dense(O, O, seed=2, dtype=numpy.float64))):
        output, _, tape = model.forward(x, lengths=LENGTHS)
        assert numpy.isfinite(output).all()
        assert not output[~there].any()
        assert output[there].all()
        model.zero_grad()
        d_x, _ = model.backward(tape, y)
        assert numpy.isfinite(model.gradients.flat).all()
        assert not d_x[~there].any()
    assert model.batch_first is None
    for call in (dense, model):
        with pytest.raises(ValueError, match="lengths must be None for an input without a batch axis"):
            call(x[:, 0], lengths=[3])
        with pytest.raises(ValueError, match=r"lengths must have shape \(3,\)"):
            call(x, lengths=[3])


@pytest.mark.parametrize("settings", [{}, {"k1": 2}, {"k1": 4}, {"k1": 2, "k2": 5}, {"k1": 3, "k2": 9}])
def test_a_trainer_sees_no_step_behind_the_end(settings: Any) -> None:
    """The same as with a mask where the sequences are reset afterwards; their states are those of their own ends."""
    x, y, there = data(fill=numpy.nan)
    reset = numpy.array([False, True, True])
    more = data(sizes=(9, 9, 9))[:2]
    first, second = (
        train.Trainer(network(), train.SquaredError(), train.Adam(0.01), **settings) for _ in range(2)
    )
    first.fit([(x, y, None, None, LENGTHS), (*more, reset)])
    second.fit([train.Chunk(x, y, mask=there), (*more, reset)])
    numpy.testing.assert_allclose(first.model.parameters.flat, second.model.parameters.flat, rtol=1e-9)
    numpy.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-9)
    assert first.steps == sum(LENGTHS) + 27
    assert second.steps == 54


@pytest.mark.parametrize("settings", [{}, {"k1": 2}, {"k1": 2, "k2": 5}, {"k1": 3, "k2": 50}])
def test_a_sequence_goes_on_from_its_own_end(settings: Any) -> None:
    """Its steps in two chunks, with padding between, are those of one sequence."""
    x, y, _ = data(sizes=(9,))
    padded = numpy.full((12, 1, I), numpy.nan)
    padded[:5] = x[:5]
    targets = numpy.zeros((12, 1, O))
    targets[:5] = y[:5]
    loose, plain = (train.Trainer(network(), train.SquaredError(), train.SGD(0.0), **settings) for _ in range(2))
    loose.fit([(padded, targets, None, None, [5]), (x[5:], y[5:])])
    plain.fit([(x[:5], y[:5]), (x[5:], y[5:])])
    numpy.testing.assert_allclose(loose.state[0], plain.state[0], rtol=1e-12)
    assert loose.last_loss == pytest.approx(plain.last_loss, rel=1e-12)
    assert loose.evaluate([(padded, targets, None, None, [5]), (x[5:], y[5:])]) == pytest.approx(
        plain.evaluate([(x, y)]), rel=1e-12
    )


def test_windows_over_a_padded_chunk_have_the_gradient_of_the_steps_alone() -> None:
    """Errors are walked back through the padding to the sequence's steps before it."""
    x, y, _ = data(sizes=(9,))
    padded = numpy.full((8, 1, I), numpy.nan)
    padded[:5] = x[:5]
    nothing = numpy.zeros((8, 1, O))
    trainer = train.Trainer(network(), train.SquaredError(), train.SGD(0.0), k1=8, k2=12)
    trainer.fit([(padded, nothing, None, numpy.zeros((8, 1), bool), [5]), (x[5:], y[5:])])
    found, model = trainer.model.gradients.flat.copy(), network()
    output, _, tape = model.forward(x)
    gradient = numpy.zeros_like(output)
    gradient[5:] = train.SquaredError()(output[5:], y[5:])[1]
    model.backward(tape, gradient)
    numpy.testing.assert_allclose(found, model.gradients.flat, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("settings", [{"k1": 4}, {"k1": 2, "k2": 7}])
def test_a_cut_within_padded_chunks_changes_nothing(settings: Any, tmp_path: Any) -> None:
    pytest.importorskip("safetensors")
    x, y, _ = data(fill=numpy.nan)
    chunks = [(x, y, None, None, LENGTHS), (numpy.nan_to_num(x), numpy.nan_to_num(y), None, None, [3, 9, 6])]
    whole, cut = (train.Trainer(network(), train.SquaredError(), train.Adam(0.01), **settings) for _ in range(2))
    whole.fit(chunks)
    for _ in range(whole.updates):
        cut.fit(chunks, updates=1)
        cut.save(tmp_path / "run")
        cut = train.Trainer.load(tmp_path / "run")
    cut.fit(chunks)
    assert_same(whole, cut)


@pytest.mark.parametrize(("lengths", "error", "message"), [
    ([1, 2], ValueError, r"lengths must have shape \(3,\)"),
    ([1, 2, 10], ValueError, "lengths must be from 0 to 9"),
    ([1.0, 2.0, 3.0], TypeError, "lengths must hold integers"),
])
def test_bad_lengths(lengths: Any, error: Any, message: str) -> None:
    x, y, _ = data()
    trainer = train.Trainer(network(), train.SquaredError(), train.SGD(0.1))
    before = trainer.model.parameters.flat.copy()
    for call in (
        lambda: trainer.fit([(x, y, None, None, lengths)]),
        lambda: trainer.evaluate([train.Chunk(x, y, lengths=lengths)]),
        lambda: train.Chunks(x, y, 2, lengths=lengths), lambda: trainer.model(x, lengths=lengths),
        lambda: trainer.model.forward(x, None, lengths),
    ):
        with pytest.raises(error, match=message):
            call()
    numpy.testing.assert_array_equal(trainer.model.parameters.flat, before)
    with pytest.raises(ValueError, match="lengths must be None for x without a batch axis"):
        trainer.fit([(x[:, 0], y[:, 0], None, None, [3])])
