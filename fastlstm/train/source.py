"""Where the chunks of an epoch come from, and how far one has come in it."""

import inspect
from typing import Any

import numpy

from fastlstm.train.chunk import Chunk, as_chunk
from fastlstm.train.interrupts import Interrupts


def check_data(data: Any, epochs: int, updates: int | None) -> None:
    """Raise unless `data` can be gone through so many times.

    Raises
    ------
    TypeError, ValueError
        It cannot.
    """
    if callable(data):
        return
    if not hasattr(data, "__iter__"):
        raise TypeError(f"data must be an iterable of chunks, or a function that gives one, got {type(data).__name__}")
    if epochs > 1 and updates is None and is_one_shot(data):
        raise ValueError(f"data must be a list, Chunks or a function, for {epochs} epochs: "
                         f"a {type(data).__name__} can be gone through once")


def is_one_shot(data: Any) -> bool:
    """Whether it is an iterator, which can be gone through once."""
    return hasattr(data, "__next__")


class Source:
    """The chunks of one epoch, one after the other.

    Parameters
    ----------
    data : iterable or callable
        As `Trainer.fit` takes it.
    seed : list of int
        Of the generator that a callable is given.
    consumed : int
        Chunks to leave out.
    held : Interrupts

    Attributes
    ----------
    data : iterable or callable
    is_open : bool
        Whether it can go on; not where Ctrl-C came before `consumed` chunks, nor where the data's code has been broken
        off.

    Raises
    ------
    TypeError, ValueError
        The callable gave no iterable; or there are not so many chunks.
    """

    def __init__(self, data: Any, seed: list[int], consumed: int, held: Interrupts) -> None:
        self.data, self.is_open = data, False
        self._held = held
        self._taken: list[Any] = []
        self._chunk: Chunk | None = None
        made = held.take(map(data, [numpy.random.default_rng(seed)])) if callable(data) else [data]
        if made:
            self._open(made[0], consumed)

    def _open(self, chunks: Any, consumed: int) -> None:
        if not hasattr(chunks, "__iter__"):
            raise TypeError(f"data must give an iterable of chunks when it is called, got {type(chunks).__name__}")
        if consumed and hasattr(chunks, "from_chunk"):
            self._iterator = chunks.from_chunk(consumed)
        else:
            self._iterator = iter(chunks)
            for n in range(consumed):
                if not self._held.take(self._iterator):
                    if self._held.pending:
                        return
                    raise ValueError(f"data must be the same as before, where chunk {consumed} was to be the next; "
                                     f"it ended after {n}")
        self.is_open = True

    def next(self) -> Chunk | None:
        """The first chunk that is not done; None at the end, or where Ctrl-C came first.

        Raises
        ------
        TypeError, ValueError
            It is no chunk; or whatever the data raise.
        """
        if not self._taken:
            self.is_open = False
            self._taken = self._held.take(self._iterator)
            self.is_open = bool(self._taken) or not self._held.pending or self._goes_on()
        if self._taken and self._chunk is None:
            self._chunk = as_chunk(self._taken[0])
        return self._chunk

    def done(self) -> None:
        """Go on to the next chunk."""
        self._taken, self._chunk = [], None

    def _goes_on(self) -> bool:
        """Whether the user's own iterator outlives a Ctrl-C in the midst of it; a generator does not."""
        closed = inspect.isgenerator(self.data) and inspect.getgeneratorstate(self.data) == inspect.GEN_CLOSED
        return is_one_shot(self.data) and not closed
