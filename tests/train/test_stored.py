"""Chunks of data in files: what reads itself slice by slice, mapped files, copies and pickles."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest

from fastlstm import train
from tests.tools.streams import arrays, assert_same, chunks, trainer

X, Y = arrays(11)


class Lazy:
    """Reads itself by slices, as the arrays of h5py and zarr do, and remembers how much it read."""

    def __init__(self, values: Any) -> None:
        self._values, self.shape, self.dtype, self.read = values, values.shape, values.dtype, []

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: Any) -> Any:
        assert isinstance(key, slice)
        self.read.append(len(range(*key.indices(len(self)))))
        return self._values[key]

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("read as a whole")


def test_data_that_read_themselves_are_read_chunk_by_chunk() -> None:
    mask, weight = numpy.arange(22).reshape(11, 2) % 3 != 0, numpy.linspace(1, 2, 22).reshape(11, 2)
    lazy = [Lazy(values) for values in (X, Y, mask, weight)]
    one, two = (trainer(k1=2) for _ in range(2))
    one.fit(train.Chunks(lazy[0], lazy[1], 4, mask=lazy[2], sample_weight=lazy[3]), epochs=2)
    two.fit(train.Chunks(X, Y, 4, mask=mask, sample_weight=weight), epochs=2)
    assert_same(one, two)
    assert all(each.read == [4, 4, 3] * 2 for each in lazy)


def test_h5py(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        x, y = file.create_dataset("x", data=X), file.create_dataset("y", data=Y)
        one, two = trainer(), trainer()
        one.fit(train.Chunks(x, y, 4))
        two.fit(train.Chunks(X, Y, 4))
        assert_same(one, two)


class OtherDtype(Lazy):
    """As a tensor of another library, whose dtype NumPy does not know; it becomes an array."""

    def __init__(self, values: Any) -> None:
        super().__init__(values)
        self.dtype = "float of ours"

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self._values


class OnlyWhole:
    """Gives an array, and no slices."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        return X


@pytest.mark.parametrize("given", [OtherDtype(X), OnlyWhole(), X.tolist(), numpy.asfortranarray(X)])
def test_what_does_not_read_itself_becomes_an_array(given: Any) -> None:
    for (x, _), (wanted, _) in zip(train.Chunks(given, Y, 4), train.Chunks(X, Y, 4), strict=True):
        numpy.testing.assert_array_equal(x, wanted)


@pytest.mark.parametrize(("x", "y", "options", "error", "message"), [
    (Lazy(X.astype(complex)), Y, {}, TypeError, "x must hold real numbers, got dtype complex128"),
    (Lazy(X), Lazy(Y[:5]), {}, ValueError, r"y must have shape \(11, 2, ...\)"),
    (X, Y, {"mask": Lazy(numpy.ones((11, 2)))}, TypeError, "mask must be of bool, got dtype float64"),
    (X, Y, {"sample_weight": numpy.ones((11, 1))}, ValueError, r"sample_weight must have shape \(11, 2\)"),
])
def test_bad_data(x: Any, y: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        train.Chunks(x, y, 4, **options)


AGAIN = [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]


def mapped(path: Path, values: Any, mode: str = "r") -> Any:
    """An array mapped behind a header, as numpy.load would."""
    numpy.save(path, values)
    return numpy.load(path, mmap_mode=mode)


@pytest.mark.parametrize("again", AGAIN)
def test_copies_of_chunks(again: Any, tmp_path: Path) -> None:
    x, y = mapped(tmp_path / "x.npy", X), mapped(tmp_path / "y.npy", Y)
    for source in (
        train.Chunks(X, Y, 4, lengths=[11, 5]), train.Chunks(x, y, 4),
        train.Chunks(x[2:], y[2:], 4, mask=Y[2:, :, 0] > 0),
        train.Chunks(x[:, :1], y[::-1, :1], 3), train.Chunks(mapped(tmp_path / "c.npy", X, "c"), Y, 4),
    ):
        for one, other in zip(source, again(source), strict=True):
            for a, b in zip(one, other, strict=True):
                numpy.testing.assert_array_equal(a, b)


def test_a_pickle_of_mapped_data_holds_where_they_lie(tmp_path: Path) -> None:
    big = mapped(tmp_path / "big.npy", numpy.zeros((10_000, 2, 3)))
    source = train.Chunks(big[500:], big[500:, :, :1], 100)
    size = len(pickle.dumps(train.Chunks(big[500:], big[500:], 100)))
    assert size < 5000
    numpy.testing.assert_array_equal(next(iter(copy.deepcopy(source)))[0], big[500:600])


@pytest.mark.parametrize("again", AGAIN[1:])
@pytest.mark.parametrize("settings", [{}, {"k1": 2}, {"k1": 2, "k2": 5}])
def test_a_copy_of_a_trainer_in_the_midst_of_an_epoch_goes_on_alike(again: Any, settings: Any) -> None:
    ours, data = trainer(**settings), chunks([5, 2, 4])
    ours.fit((chunk for chunk in data), updates=2)
    other = again(ours)
    assert_same(ours, other)
    for each in (ours, other):
        each.fit(list(data))
    assert_same(ours, other)


def test_a_trainer_can_be_copied_from_a_callback() -> None:
    class Copy(train.Callback):
        made: Any = None

        def on_epoch(self, trainer: train.Trainer) -> None:
            self.made = copy.deepcopy(trainer)

    ours, callback = trainer(), Copy()
    ours.fit(chunks([3]), callbacks=[callback])
    assert_same(ours, callback.made)
