"""How many workers the calls of a plan use: what has turned out to be fastest, on this machine and in this company.

Results are bitwise the same for any number of workers, so that trying costs time only. The first calls use what should
be best. Later ones try another number now and then, as seldom as what is lost by it allows, and keep the best. Where
the system puts a thread aside for another process, the others wait for it: what is lost is set off against what so many
workers gain, and fewer do the work for a while if that is not enough. It is a cumulative sum test (E. S. Page,
"Continuous inspection schemes", Biometrika 41, 1954).

Ctrl-C may come between any two operations, and the object is used on: every assignment leaves something to go on from.
"""

import math
from collections.abc import Callable

TRIES = 3
"""Calls of a try, at most."""

LONG = 20e-3
"""Seconds after which a try ends."""

RISK = 20e-3
"""Seconds that the first try of a number may lose without waiting for it."""

COST = 0.02
"""Share of the time that may be lost by trying."""

CALLS = 20
"""Calls, at least, between tries of numbers whose times are known."""

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

PAUSE = 0.2
"""Seconds that a call counts as at most, beyond what it may take with one worker: whoever stops longer is not busy
cores but Ctrl-Z, or a debugger, and need not be paid for."""

SHORT = 0.25
"""Share of the pause that a loss asks for which is made after the first of several; then twice, then all of it."""

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
    _fewer: int  # the next candidate below the best one
    _usual: dict[int, float]  # seconds of a call with each number; before its first try, what is expected
    _queue: list[int]  # what the next calls use, to learn or to try
    _times: list[float]  # of the calls of a try
    _spent: float  # seconds of all calls
    _next_try: float  # what is spent by then
    _lost: float  # seconds, so far, by not using `_fewer`
    _since: float  # what was spent when the best one came into use
    _share: float  # of the last pause after a loss, in what the loss asked for
    _rest: int  # how many calls to come use one worker, and are not timed

    def __init__(self, shares: Callable[[int], bool]) -> None:
        self._shares = shares
        self._begin(1)

    def rests(self) -> bool:
        """Whether the next call uses one worker, and nobody counts cores or looks at clocks, which takes 1.2 µs."""
        if self._rest:
            self._rest -= 1
            return True
        return False

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
        seconds = min(seconds, self._most * usual + PAUSE)
        if self._queue:
            self._judge(seconds, usual)
            return
        if best > 1:
            self._lost = max(-CREDIT, self._lost + seconds - self._usual[self._fewer])
            if self._lost > DEBT:
                self._fall_back(self._lost)
                return
        self._usual[best] = usual + (min(seconds, SLOW * usual) - usual) / RECENT
        if self._spent > self._next_try:
            self._try()

    def _begin(self, most: int) -> None:
        """Start anew, as there are other numbers than before."""
        self._every = candidates(most)
        self._spent = 0.0
        guess = next((n for n in reversed(self._every) if n > 1 and self._shares(n)), most)
        self._use(guess)
        self._order = [*(n for n in reversed(self._every) if n != guess), guess]  # tried longest ago first
        self._queue, self._learns = TRIES * [guess], True
        self._tried = {guess}
        self._usual, self._times, self._rest = {}, [], 0
        self._next_try, self._share = 0.0, SHORT / 2
        self._most = most  # last: until then the next call begins again

    def _learn(self, seconds: float) -> None:
        """The guess has the shortest of its calls, for the first ones meet new memory and new code."""
        best = self._best
        if self._queue:
            self._usual[best] = min(seconds, self._usual.get(best, seconds))
            self._expect()
            self._queue = self._queue[1:]
        if not self._queue:
            self._learns = False
            self._wait(0)

    def _expect(self) -> None:
        """Of new numbers, that all workers have the same share of what the best ones do."""
        best = self._best
        self._usual |= {n: self._usual[best] * max(1, best / n) for n in self._every if n not in self._tried}

    def _next(self) -> int:
        """What was tried longest ago, or never."""
        return next(n for n in self._order if n != self._best)

    def _calls(self, n: int) -> int:
        """Of a try."""
        return min(TRIES, math.ceil(LONG / self._usual[n]))

    def _try(self) -> None:
        n = self._next()
        self._times = []
        self._queue = self._calls(n) * [n]
        self._order = [*(k for k in self._order if k != n), n]

    def _judge(self, seconds: float, usual: float) -> None:
        """A call of a try: its number is used from now on if its calls are shorter than usual.

        A new number, as the guess, has the shortest.
        """
        n, *rest = self._queue
        self._times.append(seconds)
        count, new = len(self._times), n not in self._tried
        stalled = seconds > max(SLOW * usual, usual + STALL) and not (new and count == 1)
        self._queue = [] if stalled else rest
        if self._queue:
            return
        typical = min(self._times) if new else sum(self._times) / count
        self._tried.add(n)
        if not stalled:
            self._usual[n] = typical
        if typical < BETTER * usual:
            self._use(n)
            self._expect()
        self._wait(count * (typical - usual))

    def _fall_back(self, lost: float) -> None:
        """On fewer, for a short time if it is the first loss in a long one: most disturbances are over soon."""
        kept = self._spent - self._since
        self._share = SHORT if kept > lost / COST else min(1.0, 2 * self._share)
        self._use(self._fewer)
        self._wait(self._share * lost)

    def _use(self, n: int) -> None:
        """Let all calls but tries have this number from now on."""
        self._since = self._spent
        self._fewer = max((k for k in self._every if k < n), default=1)
        self._lost = 0.0
        self._best = n

    def _wait(self, lost: float) -> None:
        """Until so much time has been spent that what was lost is a small share of it.

        A number that is new need not wait if its try cannot lose much. With one worker most of the calls until then
        rest; the last ones are timed again, for the next number to be compared with.
        """
        usual, n = self._usual[self._best], self._next()
        pause = max(lost / COST, CALLS * usual)
        if n not in self._tried:
            risk = self._calls(n) * (self._usual[n] - usual)
            pause = 0.0 if risk < RISK else max(pause, risk / COST)
        if self._best == 1:
            self._rest = max(0, int(pause / usual) - RECENT)
            pause -= self._rest * usual
        self._next_try = self._spent + pause
