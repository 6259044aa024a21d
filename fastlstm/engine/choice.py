"""How many workers the calls of a plan use: what has turned out to be fastest, on this machine and in this company.

Results are bitwise the same for any number of workers, so that trying costs time only. The first calls try each
candidate in turn. Later ones use the best, and now and then another, as seldom as what was lost by it allows. Where the
system puts a thread aside for another process, the others wait for it: what is lost is set off against what so many
workers gain, and fewer do the work for a while if that is not enough. It is a cumulative sum test (E. S. Page,
"Continuous inspection schemes", Biometrika 41, 1954).

Ctrl-C may come between any two operations, and the object is used on: every assignment leaves something to go on from.
"""

from collections.abc import Callable

TRIES = 3
"""Calls of a candidate before it is judged."""

COST = 0.02
"""Share of the time that may be lost by trying."""

CALLS = 20
"""Calls, at least, from one try of another number to the next."""

BETTER = 0.97
"""Share of the usual time that another number must stay below to be used from then on."""

SLOW = 2.5
"""Times the usual that a call counts as at most; where it takes longer, something came in between."""

STALL = 1e-3
"""Seconds above the usual that end a try, if they are SLOW too: a thread waits for its turn, which takes 1 to 16 ms."""

CREDIT = 12e-3
"""Seconds of gain over fewer workers that are set off against later losses."""

DEBT = 6e-3
"""Seconds of loss, without credit, after which fewer workers take over. With it, it takes two turns of others."""

RECENT = 16
"""Calls, about, that a usual time is the mean of."""


def candidates(most: int) -> list[int]:
    """1, 2, 4, … and `most`."""
    powers = [1 << k for k in range(most.bit_length())]
    return powers if powers[-1] == most else [*powers, most]


class Choice:
    """Of the number of workers, for calls that always do the same work.

    Parameters
    ----------
    shares : callable
        ``shares(workers)``: whether all of so many get some of it, as far as is known beforehand.
    """

    _best: int
    _queue: list[int]  # what the next calls use, to learn or to try
    _learns: bool
    _fewer: int  # the next candidate below the best one
    _lost: float  # seconds, so far, by not using `_fewer`
    _spent: float  # seconds of all calls
    _next_try: float  # what is spent by then

    def __init__(self, shares: Callable[[int], bool]) -> None:
        self._shares = shares
        self._begin(1)

    def workers(self, most: int) -> int:
        """How many the next call uses, of at most `most`, 2 or more; `took` is told afterwards how long it took."""
        if most != self._most:
            self._begin(most)
        return self._queue[0] if self._queue else self._best

    def took(self, seconds: float) -> None:
        """The time of the call that `workers` gave the number for."""
        self._spent += seconds
        if self._learns:
            self._learn(seconds)
            return
        best = self._best
        usual = self._usual[best]
        if self._queue:
            self._judge(seconds, usual)
            return
        if best > 1:
            self._lost = max(-CREDIT, self._lost + seconds - self._usual[self._fewer])
            if self._lost > DEBT:
                self._wait(self._lost)
                self._use(self._fewer)
                return
        self._usual[best] = usual + (min(seconds, SLOW * usual) - usual) / RECENT
        if self._spent > self._next_try:
            self._try()

    def _begin(self, most: int) -> None:
        """Learn anew, as there are other numbers than before. What seems best comes first."""
        self._every = candidates(most)
        self._best = next((n for n in reversed(self._every) if n > 1 and self._shares(n)), most)
        others = [n for n in reversed(self._every) if n != self._best]
        self._queue, self._learns = TRIES * [self._best, *others], True
        self._order = [*others, self._best]  # the number that was tried longest ago first
        self._usual: dict[int, float] = {}  # seconds of a call with each number
        self._times: list[float] = []  # of the calls of a try
        self._spent = self._next_try = self._lost = 0.0
        self._most = most  # last: until then the next call begins again

    def _learn(self, seconds: float) -> None:
        """Each number has the shortest of its calls, for the first ones meet new memory and new code."""
        if self._queue:
            n, *rest = self._queue
            self._usual[n] = min(seconds, self._usual.get(n, seconds))
            self._queue = rest
        if not self._queue:
            self._use(min(self._every, key=self._usual.__getitem__))
            self._learns = False
            self._wait(0)

    def _try(self) -> None:
        """Let the number that was tried longest ago have the next calls."""
        n = next(n for n in self._order if n != self._best)
        self._order = [*(k for k in self._order if k != n), n]
        self._times = []
        self._queue = TRIES * [n]

    def _judge(self, seconds: float, usual: float) -> None:
        """A call of a try: its number is used from now on if its calls are shorter than usual."""
        n, *rest = self._queue
        self._times.append(seconds)
        stalled = seconds > max(SLOW * usual, usual + STALL)
        self._queue = [] if stalled else rest
        if self._queue:
            return
        count = len(self._times)
        mean = sum(self._times) / count
        if not stalled:
            self._usual[n] = mean
        if mean < BETTER * usual:
            self._use(n)
        self._wait(count * (mean - usual))

    def _use(self, n: int) -> None:
        """Let all calls but tries have this number from now on."""
        self._fewer = max((k for k in self._every if k < n), default=1)
        self._lost = 0.0
        self._best = n

    def _wait(self, lost: float) -> None:
        """Until so much time has been spent that what was lost is a small share of it."""
        self._next_try = self._spent + max(lost / COST, CALLS * self._usual[self._best])
