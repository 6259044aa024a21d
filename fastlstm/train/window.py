"""The steps before the newest ones, for errors that are walked back further than an update goes on."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy

from fastlstm.checks import Array
from fastlstm.train.chunk import Chunk
from fastlstm.train.states import pack, unpack, zero_rows


class Window:
    """Inputs of the last steps, and states between them.

    An update runs from one of those states, with the present weights, over the steps since and the new piece: a window
    of at least `length` steps, as soon as there were so many. It is cut where the next one is to begin, if the next
    piece is as long as expected; if it is shorter, the next window begins earlier.

    Parameters
    ----------
    length : int
        Steps of a window, the new piece included.
    dtype : dtype
        Of the inputs.
    """

    def __init__(self, length: int, dtype: numpy.dtype[Any]) -> None:
        self.length, self.dtype = length, dtype
        self.clear()

    def clear(self) -> None:
        """Forget everything: the next step follows zero state."""
        self._x = numpy.empty((0, 0), self.dtype)
        self._end = 0
        self._states: dict[int, Any] = {0: None}  # before the steps of these numbers, ascending
        self._next: dict[int, Any] = {}
        self._resets: dict[int, Array] = {}  # rows that begin anew with the steps of these numbers
        self._ragged: dict[int, tuple[int, Array]] = {}  # from these steps up to others, so many of each sequence

    def reset(self, rows: Array) -> None:
        """Let some of the sequences begin anew with the next step."""
        before = self._resets.get(self._end)
        self._resets[self._end] = rows.copy() if before is None else before | rows

    def run(self, model: Any, piece: Chunk, expected: int, loss: Any) -> tuple[Array, float, Any]:
        """Run over the window, and walk the errors of its new piece back to its begin.

        Parameters
        ----------
        model : layer
            Its gradients are added to.
        piece : Chunk
            The new steps.
        expected : int
            Steps of the next piece.
        loss : callable
            As `Trainer` takes it.

        Returns
        -------
        outputs : array
            Of the new piece.
        value : float
            Their loss.
        state
            After the new piece.

        Raises
        ------
        TypeError, ValueError
            As from `model` and `loss`. Nothing has changed.

        Notes
        -----
        The piece is not counted before `move`.
        """
        self._append(piece.x)
        end = self._end + len(piece.x)
        self._ragged.pop(self._end, None)  # of a run that failed
        if piece.lengths is not None:
            self._ragged[self._end] = end, piece.lengths
        begin = _latest(self._states, end - self.length)
        cuts = self._cuts(begin, end, expected)
        state, states, tapes, outputs = self._states[begin], {}, [], []
        for start, stop in pairwise(cuts):
            states[start] = state
            if start in self._resets:
                state = zero_rows(state, self._resets[start])
            steps = Chunk(self._x[start:stop], None, lengths=self._lengths(start, stop))
            output, state, tape = steps.run(model.forward, state)
            tapes.append((start, stop, tape, output.shape))
            if start >= self._end:
                outputs.append(output)
        states[end] = state
        output = outputs[0] if len(outputs) == 1 else numpy.concatenate(outputs)
        value, gradient = piece.loss(loss, output)
        final = None
        for start, stop, tape, shape in reversed(tapes):
            if start >= self._end:
                delta = gradient[start - self._end : stop - self._end]
            else:
                delta = numpy.zeros(shape, gradient.dtype)
            _, final = model.backward(tape, delta, final)
            if start in self._resets:
                final = zero_rows(final, self._resets[start])
        self._next = states
        return output, value, state

    def move(self) -> None:
        """Count the piece that `run` was given, and forget what lies before every window to come."""
        self._end = max(self._next)
        first = _latest(self._next, self._end - (self.length - 1))
        self._states = {n: state for n, state in self._next.items() if n >= first}
        self._resets = {n: rows for n, rows in self._resets.items() if n >= first}
        self._ragged = {n: ragged for n, ragged in self._ragged.items() if ragged[0] > first}

    def _lengths(self, start: int, stop: int) -> Array | None:
        """Steps of each sequence from `start` to `stop`, which lie in one piece if it has lengths; None for all."""
        for n, (end, lengths) in self._ragged.items():
            if n <= start < end:
                found: Array = numpy.clip(lengths - (start - n), 0, stop - start)
                return found
        return None

    def _append(self, x: Array) -> None:
        """Write a piece behind the last step, without counting it yet."""
        begin = min(self._states)
        kept = self._x[begin : self._end]
        if len(kept) and x.shape[1:] != kept.shape[1:]:
            raise ValueError(f"x must have shape (t, {', '.join(map(str, kept.shape[1:]))}) as before, got {x.shape}")
        if not len(kept) or self._end + len(x) > len(self._x):
            self._x = numpy.empty((2 * (len(kept) + len(x)), *x.shape[1:]), self.dtype)
            if len(kept):
                self._x[: len(kept)] = kept
            self._states = {n - begin: state for n, state in self._states.items()}
            self._resets = {n - begin: rows for n, rows in self._resets.items()}
            self._ragged = {n - begin: (stop - begin, lengths) for n, (stop, lengths) in self._ragged.items()}
            self._end = len(kept)
        self._x[self._end : self._end + len(x)] = x

    def _cuts(self, begin: int, end: int, expected: int) -> list[int]:
        """Where the segments of a window begin, and its end."""
        cuts = {self._end, end - (self.length - expected), *self._resets, *self._ragged}
        cuts.update(stop for stop, _ in self._ragged.values())
        if end - begin > self.length:  # a window was too long, for pieces are irregular: the next one shall not grow
            cuts.add(end - (self.length - 1))
        return [begin, *sorted(n for n in cuts if begin < n < end), end]

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """All of it, as what JSON can hold and arrays."""
        begin = min(self._states)
        arrays = {"x": self._x[begin : self._end]}
        for n, rows in self._resets.items():
            arrays[f"reset.{n - begin}"] = rows
        states = [[n - begin, pack(state, f"state.{n - begin}", arrays)] for n, state in self._states.items()]
        for n, (_, lengths) in self._ragged.items():
            arrays[f"lengths.{n - begin}"] = lengths
        ragged = [[n - begin, stop - begin] for n, (stop, _) in self._ragged.items()]
        return {"states": states, "resets": [n - begin for n in self._resets], "ragged": ragged}, arrays

    def load_state(self, values: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Go on from what `state` gave."""
        self._x = arrays["x"]
        self._end = len(self._x)
        self._states = {n: unpack(state, arrays) for n, state in values["states"]}
        self._resets = {n: arrays[f"reset.{n}"] for n in values["resets"]}
        self._ragged = {n: (stop, arrays[f"lengths.{n}"]) for n, stop in values.get("ragged", ())}


def _latest(numbers: Iterable[int], limit: int) -> int:
    """The largest of some numbers that are at most `limit`, or the smallest of all."""
    given = list(numbers)
    return max((n for n in given if n <= limit), default=min(given))
