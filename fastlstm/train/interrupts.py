"""Ctrl-C at moments when nothing is half done; and SIGTERM, with which clusters announce that they take a machine back.

Both ask a training to end, and are the same to it from the first to the last one: another one, while it is brought to
its end, changes nothing.
"""

import os
import signal
import threading
from collections.abc import Iterator
from itertools import islice
from types import FrameType
from typing import Any

DEFAULTS: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""What handles each where nobody has chosen another handler."""


class Interrupts:
    """Holds Ctrl-C and SIGTERM back while it is entered, but for the time in which `take` waits, when both raise.

    For a ``with`` statement. Only in the main thread, and each only where it has its default handler: others are left
    alone.

    Attributes
    ----------
    pending : bool
        Whether there was one since it was entered.
    """

    def __init__(self) -> None:
        self.pending = self._waiting = False
        self._process = os.getpid()
        self._held: list[signal.Signals] = []

    def __enter__(self) -> "Interrupts":
        self.pending, self._process = False, os.getpid()
        if threading.current_thread() is threading.main_thread():
            for number, default in DEFAULTS.items():  # Ctrl-C first, and last below: it must not raise in between
                if signal.getsignal(number) == default:
                    signal.signal(number, self._handle)
                    self._held.append(number)
        return self

    def __exit__(self, *_: object) -> None:
        while self._held:
            signal.signal(self._held[-1], DEFAULTS[self._held[-1]])
            self._held.pop()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and os.getpid() != self._process:  # of a child, such as one that prepares data
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        self.pending = True
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt

    def take(self, iterator: Iterator[Any]) -> list[Any]:
        """The next item in a list, which is empty at the end or where a signal came first."""
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
        """Items up to the end or to a signal."""
        while got := self.take(iterator):
            yield got[0]
