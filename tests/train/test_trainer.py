"""The trainer: every update is that of the loop one would write by hand, whatever the data come as."""

import signal
import threading
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlstm import nn, train
from fastlstm.parameters import Buffer
from fastlstm.train import history as histories
from tests.tools import processes, streams
from tests.tools.helpers import JIT_OFF
from tests.tools.streams import arrays, assert_same, chunks, trainer, weights


def by_hand(pieces: Any, dtype: Any = numpy.float64, **walk: Any) -> tuple[Any, list[float]]:
    """Weights and losses after an update for each (x, y, reset, mask), written out."""
    model, loss, optimizer, state, losses = streams.model(dtype), train.SquaredError(), train.Adam(0.01), None, []
    for x, y, reset, mask in pieces:
        if reset is not None and state is not None:
            state = tuple(part and tuple(numpy.where(reset[None, :, None], 0, each) for each in part) for part in state)
        output, state, tape = model.forward(x, state)
        value, gradient = loss(output, y, mask)
        model.zero_grad()
        model.backward(tape, gradient, **walk)
        optimizer.step(model.parameters.flat, model.gradients.flat)
        losses.append(value)
    return model.parameters.flat, losses


def assert_is(ours: train.Trainer, hand: Any) -> None:
    numpy.testing.assert_array_equal(ours.model.parameters.flat, hand[0])
    numpy.testing.assert_array_equal(ours.history["loss"], hand[1])


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_chunks_as_they_are(dtype: Any) -> None:
    data = chunks([4, 3, 1, 5], dtype=dtype)
    ours = trainer(dtype)
    assert ours.fit(data) is ours.history
    assert_is(ours, by_hand([(*chunk, None, None) for chunk in data], dtype))
    assert (ours.epoch, ours.chunk, ours.step, ours.updates, ours.steps) == (1, 0, 0, 4, 26)
    numpy.testing.assert_array_equal(ours.history["updates"], [1, 2, 3, 4])
    numpy.testing.assert_array_equal(ours.history["steps"], [8, 14, 16, 26])
    assert (numpy.diff(ours.history["seconds"]) > 0).all()


@pytest.mark.parametrize("settings", [{"k1": 3}, {"k1": 3, "k2": 3}])
def test_pieces_of_k1_steps(settings: Any) -> None:
    x, y = arrays(11)
    cut = [(x[a:b], y[a:b], None, None) for a, b in [(0, 3), (3, 6), (6, 7), (7, 10), (10, 11)]]
    ours = trainer(**settings)
    ours.fit([(x[:7], y[:7]), (x[7:], y[7:])])
    assert_is(ours, by_hand(cut))


@pytest.mark.parametrize("settings", [{"k1": 3}, {"k1": 3, "k2": 8}])
def test_one_long_chunk_is_many_short_ones(settings: Any) -> None:
    x, y = arrays(15)
    one, many, lists = trainer(**settings), trainer(**settings), trainer(**settings)
    one.fit([(x, y)])
    many.fit(train.Chunks(x, y, 3))
    lists.fit([[x[k : k + 3].tolist(), y[k : k + 3].tolist()] for k in range(0, 15, 3)])
    assert_same(one, many)
    numpy.testing.assert_array_equal(weights(one), weights(lists))


def test_truncation_within_a_piece() -> None:
    x, y = arrays(12)
    ours = trainer(k1=6, truncate=2, stride=2)
    ours.fit([(x, y)])
    assert_is(ours, by_hand([(x[k : k + 6], y[k : k + 6], None, None) for k in (0, 6)], truncate=2, stride=2))


def test_without_a_batch_axis() -> None:
    x, y = arrays(9, batch=1)
    flat, batched = trainer(k1=2, k2=4), trainer(k1=2, k2=4)
    again = numpy.array([True])
    flat.fit([(x[:, 0], y[:, 0]), (x[:, 0], y[:, 0], again)])
    batched.fit([(x, y), (x, y, again)])
    assert_same(flat, batched)


def literal(x: Any, y: Any, k1: int, k2: int, resets: Any = (), lengths: Any = None) -> Any:
    """BPTT(k2; k1) step by step: the weights after each update.

    Each update runs every step of its window for itself, from the state before it, and walks the errors of the newest
    piece back step by step.
    """
    model, loss, optimizer = streams.model(), train.SquaredError(), train.Adam(0.01)
    states: dict[int, Any] = {0: None}
    found, start = [], 0
    for length in lengths or [k1] * (len(x) // k1):
        stop = start + length
        state, tapes, outputs = states[max(0, stop - k2)], [], []
        for n in range(max(0, stop - k2), stop):
            states[n] = state
            if n in dict(resets) and state is not None:
                state = ((*(numpy.where(dict(resets)[n][None, :, None], 0, part) for part in state[0]),), None)
            output, state, tape = model.forward(x[n : n + 1], state)
            tapes.append((n, tape))
            outputs.append(output)
        states[stop] = state
        _, gradient = loss(numpy.concatenate(outputs[-length:]), y[start:stop])
        model.zero_grad()
        final = None
        for n, tape in reversed(tapes):
            delta = gradient[n - start : n - start + 1] if n >= start else numpy.zeros_like(gradient[:1])
            _, final = model.backward(tape, delta, final)
            if n in dict(resets):
                final = ((*(numpy.where(dict(resets)[n][None, :, None], 0, part) for part in final[0]),), None)
        optimizer.step(model.parameters.flat, model.gradients.flat)
        found.append(model.parameters.flat.copy())
        start = stop
    return found


class Watch(train.Callback):
    """Keeps the weights after each update."""

    def __init__(self) -> None:
        self.weights: list[Any] = []

    def on_update(self, trainer: train.Trainer) -> None:
        self.weights.append(weights(trainer))


@pytest.mark.parametrize(("k1", "k2"), [(1, 3), (2, 4), (2, 5), (3, 4), (3, 8), (4, 20)])
@pytest.mark.parametrize("length", [1, 2, 24])
def test_errors_walked_back_further(k1: int, k2: int, length: int) -> None:
    x, y = arrays(12 if JIT_OFF else 24)
    watch = Watch()
    trainer(k1=k1, k2=k2).fit(train.Chunks(x, y, length * k1), callbacks=[watch])
    numpy.testing.assert_allclose(watch.weights, literal(x, y, k1, k2), rtol=1e-12, atol=1e-12)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=2 if JIT_OFF else 6), st.integers(1, 4), st.integers(0, 7))
def test_irregular_pieces_and_resets(lengths: list[int], k1: int, seed: int) -> None:
    """With a window as long as the stream, it matters not where it is cut: all are walked back to the begin."""
    x, y = arrays(sum(lengths))
    rng = numpy.random.default_rng(seed)
    ends = numpy.cumsum([0, *lengths])
    resets = [rng.random(2) < 0.4 for _ in lengths]
    data = [(x[a : a + n], y[a : a + n], r) for a, n, r in zip(ends, lengths, resets, strict=False)]
    at: dict[int, Any] = {}
    for a, rows in zip(ends.tolist(), resets, strict=False):
        at[a] = rows | at.get(a, False)
    pieces = [min(k1, n - a) for n in lengths for a in range(0, n, k1)]
    watch = Watch()
    trainer(k1=k1, k2=10**9).fit(data, callbacks=[watch])
    expected = literal(x, y, k1, 10**9, at.items(), pieces) if pieces else []
    numpy.testing.assert_allclose(watch.weights, expected, rtol=1e-11, atol=1e-12)


class Counting:
    """A layer that does nothing but count its steps, and an optimizer that does nothing."""

    count = 0
    parameters = gradients = Buffer({"none": (1,)}, numpy.dtype(float))

    def forward(self, x: Any, state: Any) -> Any:
        self.count += len(x)
        return x, None, None

    def backward(self, tape: Any, dy: Any, dstate: Any) -> Any:
        return dy, None

    def zero_grad(self) -> None:
        pass

    def step(self, parameters: Any, gradients: Any) -> None:
        pass


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 12))
def test_the_window_is_long_enough_and_not_much_longer(lengths: list[int], k1: int, more: int) -> None:
    k2, model, windows = k1 + more, Counting(), []

    class Look(train.Callback):
        def on_update(self, trainer: train.Trainer) -> None:
            windows.append(model.count - sum(windows))

    data = [(numpy.ones((n, 1, 1)), numpy.ones((n, 1))) for n in lengths]
    train.Trainer(model, lambda x, y, mask: (0.0, x), model, k1=k1, k2=k2).fit(data, callbacks=[Look()])
    seen = numpy.cumsum([min(k1, n - a) for n in lengths for a in range(0, n, k1)])
    assert (numpy.minimum(seen, k2) <= windows).all()
    assert (windows <= numpy.minimum(seen, k2 - 1 + k1)).all()


def test_a_buffer_that_the_data_use_again() -> None:
    x, y = arrays(12)
    room = numpy.empty_like(x[:3])

    def overwritten() -> Any:
        for k in range(0, 12, 3):
            room[:] = x[k : k + 3]
            yield room, y[k : k + 3]

    one, two = trainer(k1=3, k2=7), trainer(k1=3, k2=7)
    one.fit(overwritten())
    two.fit([(x, y)])
    assert_same(one, two)


def test_resets_of_single_sequences() -> None:
    resets = [None, numpy.array([True, False]), numpy.array([False, False]), numpy.array([True, True])]
    data = [(*chunk, reset) for chunk, reset in zip(chunks([3, 2, 3, 2]), resets, strict=True)]
    ours = trainer()
    ours.fit(data)
    assert_is(ours, by_hand([(*chunk, None) for chunk in data]))


@pytest.mark.parametrize("settings", [{}, {"k1": 2, "k2": 5}])
def test_another_batch_size(settings: Any) -> None:
    first, second = chunks([3, 3], batch=2), chunks([4, 4], batch=3)
    ours, apart = trainer(**settings), trainer(**settings)
    ours.fit([*first, (*second[0], numpy.ones(3, bool)), second[1]])
    apart.fit(first)
    apart.fit(second)
    numpy.testing.assert_array_equal(weights(ours), weights(apart))
    with pytest.raises(ValueError, match=r"shape \(t, 2, input\) as in the chunk before, .* got \(4, 3, 3\)"):
        ours.fit([*first, second[1]])


def test_masks() -> None:
    (x, y), (x2, y2) = chunks([4, 4])
    mask = numpy.array([[True, False], [False, False], [True, True], [False, True]])
    y[~mask] = numpy.nan
    none = numpy.zeros((4, 2), bool)
    ours = trainer(k1=2)
    ours.fit([(x, y, None, mask), (x2, y2, None, none)])
    pieces = [(a[:2], b[:2], None, m[:2]) for a, b, m in [(x, y, mask), (x2, y2, none)]]
    rest = [(a[2:], b[2:], None, m[2:]) for a, b, m in [(x, y, mask), (x2, y2, none)]]
    assert_is(ours, by_hand([pieces[0], rest[0], pieces[1], rest[1]]))
    assert numpy.isnan(ours.history["loss"]).tolist() == [False, False, True, True]


def test_an_endless_generator() -> None:
    given = chunks([3] * 10)

    def endless() -> Any:
        while True:
            yield from given

    stream, ours, other = endless(), trainer(k1=2), trainer(k1=2)
    for updates in (1, 4, 0, 18):  # of two a chunk: stops in the middle of one
        ours.fit(stream, updates=updates)
    assert next(stream)[0] is given[2][0]
    other.fit([*given, *given], updates=23)
    assert_same(ours, other)
    assert (other.epoch, other.chunk, other.step) == (0, 11, 2)


def test_other_data_go_on_where_the_first_stopped_or_after_a_rewind() -> None:
    given = chunks([3] * 6)
    whole, ours, anew = trainer(), trainer(), trainer()
    whole.fit(given, epochs=2)
    ours.fit(given, updates=4)
    ours.fit(train.Chunks(*arrays(18), 3))
    assert ours.epoch == 1
    ours.fit(iter(given))
    assert_same(whole, ours)
    anew.fit(given, updates=4)
    anew.rewind()
    anew.fit(given)
    assert (anew.epoch, anew.updates) == (1, 10)
    anew.fit(given, updates=4)
    with pytest.raises(ValueError, match="same as before, where chunk 4 was to be the next; it ended after 3"):
        anew.fit(given[:3])
    short = trainer(k1=2)
    short.fit(given, updates=1)
    with pytest.raises(ValueError, match="chunk 0 had more than 2 steps; now it has 2"):
        short.fit([(x[:2], y[:2]) for x, y in given])


def test_memory_maps(tmp_path: Path) -> None:
    x, y = arrays(20)
    maps = []
    for name, array in (("x", x), ("y", y)):
        numpy.save(tmp_path / f"{name}.npy", array)
        maps.append(numpy.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    one, two = trainer(k1=4, k2=6), trainer(k1=4, k2=6)
    data = train.Chunks(*maps, 8)
    assert all(numpy.shares_memory(part, maps[0]) for part, _ in data)
    one.fit(data, epochs=2)
    two.fit(train.Chunks(x, y, 8), epochs=2)
    assert_same(one, two)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="tells how much of a file is in memory on Linux only")
@pytest.mark.parametrize(("mode", "kept"), [("r", False), ("r+", False), ("c", True)])
def test_memory_maps_do_not_stay_in_memory(tmp_path: Path, mode: Any, kept: bool) -> None:
    numpy.zeros(1 << 20).tofile(tmp_path / "numbers")
    file = numpy.memmap(tmp_path / "numbers", numpy.float64, mode, shape=(1 << 16, 1, 16))
    if mode != "r":
        file[5] = 1
    resident, total = [], 0.0
    for x, y in train.Chunks(numpy.asarray(file[:, :, :8]), file[:, :, 8:], 1000):
        total += float(x.sum() + y.sum())
        lines = Path("/proc/self/smaps").read_text().split(f"{tmp_path}/numbers\n")[1]
        resident.append(next(int(line.split()[1]) for line in lines.splitlines() if line.startswith("Rss")))
    late = min(resident[len(resident) // 2 :])  # KiB, of 8192; the system may map more at once than is read
    assert (late > 4000) if kept else (late < 2500), resident
    assert total == file.sum() == (0 if mode == "r" else 16)


def test_chunks_of_long_arrays() -> None:
    x, y = arrays(7)
    mask = numpy.ones((7, 2), bool)
    data = train.Chunks(x, y, 3, mask=mask)
    assert len(data) == 3
    assert [part[0].shape[0] for part in data] == [3, 3, 1]
    assert [len(part) for part in data] == [4, 4, 4]
    numpy.testing.assert_array_equal(next(data.from_chunk(2))[0], x[6:])
    assert list(data.from_chunk(3)) == []
    for n, error in ((4, ValueError), (-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="n must be"):
            data.from_chunk(n)  # type: ignore[arg-type]


def test_validation() -> None:
    data, other = chunks([3, 4]), chunks([5, 2], batch=3)
    mask = numpy.array([[True, False, True], [False, False, True]])
    other[1] = (*other[1], None, mask)
    ours = trainer()
    ours.fit(data, epochs=2, validation=other)
    output, _ = ours.model(numpy.concatenate([other[0][0], other[1][0]]))
    wanted = numpy.concatenate([other[0][1], other[1][1]])
    rows = 0.5 * ((output - wanted) ** 2).sum(axis=2)
    expected = (rows[:5].sum() + rows[5:][mask].sum()) / (15 + 3)
    assert ours.validation_loss == pytest.approx(expected, rel=1e-12)
    before = weights(ours), ours.state[0][0].copy()
    assert ours.evaluate(other) == ours.validation_loss == ours.history["validation"][-1]
    each = numpy.repeat(mask[..., None], 2, axis=2)
    each[..., 1] &= False  # of the elements of a row
    assert ours.evaluate([other[0], (*other[1][:3], each)]) < ours.validation_loss
    numpy.testing.assert_array_equal(before[0], weights(ours))
    numpy.testing.assert_array_equal(before[1], ours.state[0][0])
    numpy.testing.assert_array_equal(ours.history["epochs"], [1, 2])
    assert numpy.isnan(ours.evaluate([(*data[0], None, numpy.zeros((3, 2), bool))]))
    assert numpy.isnan(ours.evaluate([]))


class Turn(train.Callback):
    """Worsens the weights after a number of epochs."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, trainer: train.Trainer) -> None:
        if trainer.epoch == self.epoch:
            self.best = weights(trainer)
        if trainer.epoch >= self.epoch:
            trainer.model.parameters.flat[:] += 1.0


def test_early_stopping() -> None:
    data, ours, turn = chunks([3, 4]), trainer(), Turn(2)
    stopping = train.EarlyStopping(3)
    ours.fit(data, epochs=20, validation=data, callbacks=[stopping, turn])
    assert (ours.epoch, ours.stopped) == (5, True)
    numpy.testing.assert_array_equal(weights(ours), turn.best)
    assert stopping.best == ours.history["validation"].min() == ours.history["validation"][1]
    ours.fit(data, epochs=2, validation=data, callbacks=[stopping])
    assert not ours.stopped


def test_bad_early_stopping() -> None:
    with pytest.raises(ValueError, match="patience must be at least 1"):
        train.EarlyStopping(0)
    with pytest.raises(ValueError, match="min_delta must be at least 0, got -1"):
        train.EarlyStopping(1, -1)


def test_early_stopping_without_any_good_epoch() -> None:
    data = [(x, numpy.full_like(y, numpy.nan)) for x, y in chunks([3])]
    ours, stopping = trainer(), train.EarlyStopping(2, 0.5)
    ours.fit(chunks([3]), epochs=9, validation=data, callbacks=[stopping])
    assert (ours.epoch, stopping.best) == (2, numpy.inf)


def test_a_loss_that_is_no_number_is_recorded() -> None:
    (x, y), = chunks([3])
    ours = trainer()
    ours.fit([(x, y * numpy.nan, None, numpy.ones((3, 2), bool))])
    assert numpy.isnan(ours.last_loss)
    assert numpy.isnan(ours.history["loss"]).all()


class Diary(train.Callback):
    def __init__(self, stop_update: int = -1, stop_epoch: int = -1) -> None:
        self.stops = stop_update, stop_epoch
        self.lines: list[str] = []

    def on_update(self, trainer: train.Trainer) -> bool:
        self.lines.append(f"update {trainer.updates}: {trainer.epoch}, {trainer.chunk}, {trainer.step}")
        return trainer.updates == self.stops[0]

    def on_epoch(self, trainer: train.Trainer) -> bool:
        self.lines.append(f"epoch {trainer.epoch}")
        return trainer.epoch == self.stops[1]

    def on_end(self, trainer: train.Trainer) -> None:
        self.lines.append("end")


def test_what_callbacks_are_called_for() -> None:
    diary = Diary(stop_epoch=1)
    ours = trainer(k1=2)
    ours.fit(chunks([3]), epochs=5, callbacks=[diary, train.Callback()])
    assert diary.lines == ["update 1: 0, 0, 2", "update 2: 0, 1, 0", "epoch 1", "end"]
    assert ours.stopped
    diary = Diary(stop_update=3)
    ours.fit(chunks([3]), callbacks=[diary])
    assert diary.lines == ["update 3: 1, 0, 2", "end"]
    assert (ours.stopped, ours.step) == (True, 2)


def test_histories_merge_pairs_when_they_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "LIMIT", 8)
    history = train.History()
    for n in range(1, 44):
        history.add(None if n % 4 == 0 else float(n), n, 2 * n, n / 10)
        history.add_validation(float(n), n)
        assert len(history["loss"]) <= 8
    assert len(history) == 6
    interval = 8
    groups = [range(n, min(n + interval, 44)) for n in range(1, 44, interval)]
    numpy.testing.assert_array_equal(history["updates"], [group[-1] for group in groups])
    numpy.testing.assert_array_equal(history["steps"], [2 * group[-1] for group in groups])
    losses = [numpy.mean([n for n in group if n % 4]) for group in groups]
    numpy.testing.assert_allclose(history["loss"], losses, rtol=1e-15)
    numpy.testing.assert_allclose(history["validation"], [numpy.mean(group) for group in groups], rtol=1e-15)
    assert sorted(history) == ["epochs", "loss", "seconds", "steps", "updates", "validation"]
    assert repr(history) == "History(6 records, 6 validations)"
    assert repr(train.History()) == "History(0 records, 0 validations)"
    assert train.History()["loss"].shape == (0,)


@pytest.mark.parametrize(("wrong", "error", "message"), [
    ({"model": 3}, TypeError, "model must have forward"),
    ({"loss": 3}, TypeError, "loss must have __call__"),
    ({"optimizer": 3}, TypeError, "optimizer must have step"),
    ({"model": nn.LSTM(3, 2, batch_first=True)}, ValueError, "must take steps first"),
    ({"k1": 0}, ValueError, "k1 must be at least 1"),
    ({"k1": 4, "k2": 3}, ValueError, "k2 must be at least 4"),
    ({"k2": 1.5}, TypeError, "k2 must be an integer"),
    ({"truncate": -1}, ValueError, "truncate must be at least 0"),
    ({"stride": 0}, ValueError, "stride must be at least 1"),
    ({"k1": 2, "k2": 3, "truncate": 1}, ValueError, "truncate must be None with k2 > k1"),
    ({"seed": "x"}, TypeError, "SeedSequence expects int"),
])
def test_bad_trainers(wrong: Any, error: Any, message: str) -> None:
    settings = {"model": streams.model(), "loss": train.SquaredError(), "optimizer": train.SGD(), **wrong}
    with pytest.raises(error, match=message):
        train.Trainer(settings.pop("model"), settings.pop("loss"), settings.pop("optimizer"), **settings)


GOOD = chunks([3])[0]


@pytest.mark.parametrize(("wrong", "error", "message"), [
    ({"data": 3}, TypeError, "data must be an iterable of chunks, or a function"),
    ({"data": lambda rng: 3}, TypeError, "data must give an iterable of chunks when it is called, got int"),
    ({"data": iter([GOOD]), "epochs": 2}, ValueError, "data must be a list, Chunks or a function, for 2 epochs"),
    ({"data": []}, ValueError, "data must have a chunk for each epoch"),
    ({"epochs": -1}, ValueError, "epochs must be at least 0"),
    ({"updates": 1.5}, TypeError, "updates must be an integer"),
    ({"validation": iter([GOOD])}, TypeError, "validation must be an iterable .* list_iterator"),
    ({"validation": 3}, TypeError, "validation must be an iterable"),
    ({"callbacks": [3]}, TypeError, "callbacks must be objects of subclasses of Callback, got 3"),
    ({"callbacks": [train.EarlyStopping(1)]}, ValueError, "EarlyStopping needs a validation loss"),
    ({"checkpoint_every": 1}, ValueError, "checkpoint_every needs a checkpoint"),
    ({"checkpoint_every": 0, "checkpoint": "x"}, ValueError, "checkpoint_every must be at least 1"),
    ({"checkpoint": "/no such folder/x"}, FileNotFoundError, "no folder /no such folder: .*/x"),
])
def test_bad_fits(wrong: Any, error: Any, message: str) -> None:
    ours = trainer()
    with pytest.raises(error, match=message):
        ours.fit(**{"data": [GOOD], **wrong})
    assert ours.updates == 0
    numpy.testing.assert_array_equal(weights(ours), weights(trainer()))


X, Y = GOOD


@pytest.mark.parametrize(("chunk", "error", "message"), [
    (3, TypeError, "a chunk must be a Chunk or a tuple .* got int"),
    ((X,), TypeError, "a chunk must be a Chunk or a tuple .* got 1 items"),
    (("x", Y), TypeError, "x must hold real numbers"),
    ((X[0, 0], Y), ValueError, r"x must have shape \(t, batch, input\) or \(t, input\), got \(3,\)"),
    ((X, Y[:2]), ValueError, r"y must have shape \(3, 2, ...\) as x has"),
    ((X, Y[:, :1]), ValueError, "y must have shape"),
    ((X, Y, numpy.zeros(2)), TypeError, "reset must be of bool"),
    ((X, Y, numpy.zeros(3, bool)), ValueError, r"reset must have shape \(2,\)"),
    ((X, Y, None, numpy.ones((3, 2))), TypeError, "mask must be of bool"),
    ((X, Y, None, numpy.ones((2, 2), bool)), ValueError, r"mask must have shape \(3, 2\)"),
    ((X[..., :2], Y), ValueError, "must have shape .*3"),
    ((X, Y[..., :1]), ValueError, "targets must have shape"),
])
@pytest.mark.parametrize("settings", [{}, {"k1": 2, "k2": 4}])
def test_bad_chunks(chunk: Any, error: Any, message: str, settings: Any) -> None:
    """All before is kept, and the rest may be given another time."""
    first, third = chunks([3, 3])
    ours, other = trainer(**settings), trainer(**settings)
    data = [first, chunk, third]
    for _ in range(2):
        with pytest.raises(error, match=message):
            ours.fit(data)
    assert (ours.chunk, ours.step) == (1, 0)
    ours.fit([first, third, third])
    other.fit([first, third, third])
    assert_same(ours, other)


def test_an_error_of_the_data_passes_through_once() -> None:
    first, second = chunks([3, 3])
    fail = [True]

    def shaky(rng: Any) -> Any:
        yield first
        if fail.pop():
            raise OSError("no line")
        yield second

    ours, other = trainer(), trainer()
    with pytest.raises(OSError, match="no line"):
        ours.fit(shaky)
    fail.append(False)
    ours.fit(shaky)
    other.fit([first, second])
    assert_same(ours, other)


def test_an_error_of_the_optimizer_changes_nothing() -> None:
    fail = [False, True, False, False]
    data = chunks([2, 2, 2])

    def rate(updates: int) -> float:
        if fail.pop(0):
            raise ArithmeticError
        return 0.01

    ours = train.Trainer(streams.model(), train.SquaredError(), train.Adam(rate), k2=5)
    with pytest.raises(ArithmeticError):
        ours.fit(data)
    ours.fit(data)
    other = trainer(k2=5)
    other.fit(data)
    assert_same(ours, other)


@pytest.mark.parametrize("given", [{"epochs": 2}, {"updates": 3}, {"data": iter(chunks([2] * 4))}])
def test_progress(given: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    ours = trainer()
    ours.fit(**{"data": chunks([2, 2]), "progress": True, **given})
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "loss" in shown.err
    assert "steps/s" in shown.err


def test_progress_starts_no_thread() -> None:
    """Numba's threading layer workqueue is for one only."""
    pytest.importorskip("rich")

    class Count(train.Callback):
        def on_update(self, trainer: train.Trainer) -> None:
            found.append(threading.active_count())

    found, before = [], threading.active_count()
    trainer().fit(chunks([2, 2]), progress=True, callbacks=[Count()])
    assert found == [before] * 2


def interrupting(action: Any) -> Any:
    """The data of one epoch, with an action in the middle."""
    given = chunks([2] * 4)
    yield from given[:2]
    action()
    yield from given[2:]


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


class CtrlC(train.SquaredError):
    """A loss in whose third computation there is a Ctrl-C."""

    count = 0

    def __call__(self, *given: Any) -> Any:
        self.count += 1
        if self.count == 3:
            ctrl_c()
        return super().__call__(*given)


def test_ctrl_c_during_an_update_waits_for_its_end() -> None:
    ours, other, diary = trainer(), trainer(), Diary()
    ours.loss = CtrlC()
    stream = interrupting(lambda: None)
    history = ours.fit(stream, callbacks=[diary])
    assert (ours.interrupted, ours.updates, len(history["loss"])) == (True, 3, 3)
    assert "end" not in diary.lines
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ours.fit(stream)
    assert (ours.interrupted, ours.epoch) == (False, 1)
    other.fit(interrupting(lambda: None))
    assert_same(ours, other)


def test_ctrl_c_while_data_are_waited_for() -> None:
    presses = [ctrl_c, lambda: None]
    ours, other = trainer(), trainer()
    ours.fit(lambda rng: interrupting(presses.pop(0)))
    assert (ours.interrupted, ours.updates) == (True, 2)
    once = interrupting(ctrl_c)
    other.fit(once)
    with pytest.raises(ValueError, match="chunk 2 was to be the next; it ended after 0"):
        other.fit(once)  # a generator does not outlive it
    ours.fit(lambda rng: interrupting(presses.pop(0)))
    other.fit(interrupting(lambda: None))
    assert_same(ours, other)


class Pressing:
    """An iterator that is no generator, and may go on after a Ctrl-C in its midst."""

    def __init__(self) -> None:
        self._given, self._press = chunks([2] * 4), True

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if len(self._given) == 2 and self._press:
            self._press = False
            ctrl_c()
        if not self._given:
            raise StopIteration
        return self._given.pop(0)


def test_an_iterator_that_outlives_ctrl_c_goes_on() -> None:
    ours, other, stream = trainer(), trainer(), Pressing()
    ours.fit(stream)
    assert (ours.interrupted, ours.updates) == (True, 2)
    ours.fit(stream)
    other.fit(interrupting(lambda: None))
    assert_same(ours, other)


def test_ctrl_c_in_a_data_function_and_while_chunks_are_left_out() -> None:
    ours, other = trainer(), trainer()

    def pressed(rng: Any) -> Any:
        ctrl_c()
        return chunks([2] * 4)

    ours.fit(pressed)
    assert (ours.interrupted, ours.updates) == (True, 0)
    ours.fit(lambda rng: chunks([2] * 4), updates=3)
    assert (ours.interrupted, ours.updates) == (False, 3)
    ours.fit(interrupting(ctrl_c))
    assert (ours.interrupted, ours.updates) == (True, 3)
    ours.fit(interrupting(lambda: None))
    other.fit(chunks([2] * 4))
    assert_same(ours, other)


def test_ctrl_c_during_validation() -> None:
    presses = [lambda: None, ctrl_c, lambda: None]

    class Late:
        def __iter__(self) -> Any:
            return interrupting(presses.pop(0))

    ours, other, data = trainer(), trainer(), chunks([2, 2])
    ours.fit(data, epochs=2, validation=Late())
    assert (ours.interrupted, ours.epoch, ours.chunk, len(ours.history["validation"])) == (True, 1, 2, 1)
    ours.fit(data, validation=Late())
    other.fit(data, epochs=2, validation=chunks([2] * 4))
    assert_same(ours, other)


def test_other_handlers_and_threads_are_left_alone() -> None:
    seen: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        ours = trainer()
        ours.fit(interrupting(ctrl_c))
        assert (ours.interrupted, ours.updates, seen) == (False, 4, [signal.SIGINT])
    finally:
        signal.signal(signal.SIGINT, previous)
    thread = threading.Thread(target=lambda: ours.fit(interrupting(lambda: None)))
    thread.start()
    thread.join()
    assert ours.epoch == 2


@pytest.mark.process
def test_imports() -> None:
    """Nothing that is not needed is imported."""
    processes.run("""
import sys, fastlstm
assert "fastlstm.train" not in sys.modules
import fastlstm.train
assert not {"rich", "safetensors"} & set(sys.modules)
""")
