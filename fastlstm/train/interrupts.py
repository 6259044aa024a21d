"""Ctrl-C at moments when nothing is half done."""

import signal
import threading
from collections.abc import Iterator
from itertools import islice
from types import FrameType
from typing import Any


class Interrupts:
    """Holds Ctrl-C back while it is entered, but for the time in which `take` waits; for a ``with`` statement.

    Only in the main thread, and only where Ctrl-C would raise KeyboardInterrupt: other handlers are left alone.

    Attributes
    ----------
    pending : bool
        Whether there was one since it was entered.
    """

    def __init__(self) -> None:
        self.pending = self._waiting = self._installed = False

    def __enter__(self) -> "Interrupts":
        self.pending = False
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.pending = True
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt

    def take(self, iterator: Iterator[Any]) -> list[Any]:
        """The next item in a list, which is empty at the end or where Ctrl-C came first."""
        got: list[Any] = []
        try:
            try:
                self._waiting = True
                if not self.pending:
                    got.extend(islice(iterator, 1))  # an item is in the list before Python can handle a signal
            finally:
                self._waiting = False
        except KeyboardInterrupt:
            self.pending = True
        return got

    def each(self, iterator: Iterator[Any]) -> Iterator[Any]:
        """Items up to the end or to Ctrl-C."""
        while got := self.take(iterator):
            yield got[0]
