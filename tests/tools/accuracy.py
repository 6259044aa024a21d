"""Largest errors of exp, sigmoid and tanh; ``python -m tests.tools.accuracy`` measures them and prints the table.

float32 over every finite argument, against NumPy in float64; float64 over a sample, against NumPy in long double.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy

from fastlstm_kernels import activations

NAMES = ["exp", "sigmoid", "tanh"]
CHUNK = 1 << 16
"""Arguments at a time: all their arrays stay in the second-level cache."""

LARGEST_BITS = {numpy.float32: 0x7F7FFFFF, numpy.float64: 0x7FEFFFFFFFFFFFFF}
"""Bits of the largest finite number."""

MOVING = {"exp": (-746, 710), "sigmoid": (-745, 40), "tanh": (-20, 20)}
"""Where a function is neither constant nor its argument."""


@numba.njit
def exponentiated(x, out):
    activations.exponentials(x.shape[0], x, 0, out, 0)


@numba.njit
def activated(code, x, out):
    activations.activate(code, x.shape[0], x, 0, out, 0)


def kernel(name: str, x: Any) -> Any:
    """A function as the kernels compute it."""
    out = numpy.empty_like(x)
    with numpy.errstate(over="ignore"):  # without the JIT it is NumPy that computes
        if name == "exp":
            exponentiated(x, out)
        else:
            activated(activations.SIGMOID if name == "sigmoid" else activations.TANH, x, out)
    return out


def exact(name: str, x: Any) -> Any:
    """A function in the next larger format, whose own errors are below 1/500 of a unit of the smaller."""
    x = x.astype(numpy.float64 if x.dtype == numpy.float32 else numpy.longdouble)
    with numpy.errstate(over="ignore", under="ignore"):
        if name == "sigmoid":
            return 1 / (1 + numpy.exp(-x))
        return numpy.exp(x) if name == "exp" else numpy.tanh(x)


def ulps(found: Any, wanted: Any) -> Any:
    """Errors in units in the last place of the correctly rounded result.

    A subnormal result has the unit of all subnormal numbers. An infinite one counts as the power of two that would
    come after the largest finite number, in the unit of that number.
    """
    dtype = found.dtype
    after = wanted.dtype.type(2) ** (128 if dtype == numpy.float32 else 1024)
    wanted = numpy.minimum(wanted, after)
    with numpy.errstate(over="ignore", under="ignore"):
        nearest = numpy.minimum(numpy.abs(wanted.astype(dtype)), numpy.finfo(dtype).max)
        unit = numpy.spacing(nearest).astype(wanted.dtype)
    error = numpy.minimum(found.astype(wanted.dtype), after) - wanted
    return numpy.abs(error) / unit


def numbered(places: Any, dtype: Any) -> Any:
    """Finite numbers by their place in rising order, 0 being the positive zero and -1 the negative one."""
    bits = places.astype(numpy.int32 if dtype == numpy.float32 else numpy.int64)
    return _folded(bits).view(dtype)


def place(x: Any) -> Any:
    """The reverse of `numbered`."""
    return _folded(x.view(numpy.int32 if x.dtype == numpy.float32 else numpy.int64)).astype(numpy.int64)


def _folded(bits: Any) -> Any:
    return numpy.where(bits >= 0, bits, ~bits | numpy.iinfo(bits.dtype).min)


def every_float32() -> Iterator[Any]:
    """All finite numbers in rising order, a chunk at a time."""
    for first in range(-LARGEST_BITS[numpy.float32] - 1, LARGEST_BITS[numpy.float32] + 1, CHUNK):
        yield numbered(numpy.arange(first, min(first + CHUNK, LARGEST_BITS[numpy.float32] + 1)), numpy.float32)


def sample(name: str, dtype: Any, count: int, seed: int = 0) -> Any:
    """Finite numbers in rising order, a fifth each: even where the function moves, even about 0, even in the
    logarithm of their magnitude, of any bits, and in runs of consecutive numbers.
    """  # fmt: skip
    rng, fifth = numpy.random.default_rng(seed), count // 5
    (low, high), most = MOVING[name], LARGEST_BITS[dtype]
    magnitudes = 10 ** rng.uniform(-20, numpy.log10(max(-low, high)), fifth) * rng.choice([-1, 1], fifth)
    parts = [rng.uniform(low, high, fifth), rng.uniform(-3, 3, fifth), magnitudes]
    starts = place(rng.choice(numpy.concatenate(parts), -(-fifth // 512)).astype(dtype))
    runs = (starts[:, None] + numpy.arange(512)).ravel()[:fifth]
    places = [rng.integers(-most - 1, most + 1, count - 4 * fifth), runs]
    return numpy.sort(numpy.concatenate([part.astype(dtype) for part in parts] + [numbered(p, dtype) for p in places]))


def falls(found: Any) -> Any:
    """Where a result is smaller than the one before."""
    return numpy.flatnonzero(found[1:] < found[:-1]) + 1


@dataclass
class Record:
    """What a sweep has seen of a function."""

    name: str
    most: float = 0
    where: Any = None
    count: int = 0
    lowest: float = numpy.inf
    highest: float = -numpy.inf
    fallen: int = 0
    fall: float = 0
    fall_where: Any = None
    _last: Any = ((), ())

    def see(self, x: Any) -> None:
        """Take in arguments in rising order, none below those before."""
        found = kernel(self.name, x)
        errors = ulps(found, exact(self.name, x))
        k = int(numpy.argmax(errors))  # the first NaN, if there is one
        if not errors[k] <= self.most:
            self.most, self.where = float(errors[k]), x[k]
        self.count += x.size
        self.lowest, self.highest = min(self.lowest, found.min()), max(self.highest, found.max())
        arguments, values = (numpy.append(a, b).astype(x.dtype) for a, b in zip(self._last, (x, found), strict=True))
        self._last = x[-1:], found[-1:]
        places = falls(values)
        if places.size:
            self.fallen += places.size
            drops = (values[places - 1] - values[places]) / numpy.spacing(numpy.abs(values[places]))
            if drops.max() > self.fall:
                k = places[int(numpy.argmax(drops))]
                self.fall, self.fall_where = float(drops.max()), (arguments[k - 1], arguments[k])

    def __str__(self) -> str:
        falling = f"falls {self.fallen} times, by {self.fall:.3g} ULP at most, between {self.fall_where}"
        return (
            f"{self.name:8} {self.most:.3f} ULP at {self.where!r}; {self.count} arguments; values {self.lowest!r} to "
            f"{self.highest!r}; {falling if self.fallen else 'never falls'}"
        )


def measure(name: str, dtype: Any, count: int) -> Record:
    """One function over all float32 numbers, or a sample of float64 numbers."""
    record, done = Record(name), 0
    if dtype == numpy.float32:
        for x in every_float32():
            record.see(x)
            if record.count >> 28 > done:
                done = record.count >> 28
                print(f"  {name}: {record.count} of 4278190080 arguments", flush=True)
        return record
    turn = 1 << 22
    for seed in range(-(-count // turn)):
        x = sample(name, dtype, turn, seed)
        record._last = (), ()  # each sample rises by itself
        for first in range(0, x.size, CHUNK):
            record.see(x[first : first + CHUNK])
        if seed % 8 == 7:
            print(f"  {name}: {record.count} arguments", flush=True)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "float64"], default=["float32", "float64"])
    parser.add_argument("--count", type=int, default=100_000_000, help="arguments in float64")
    given = parser.parse_args()
    if "float64" in given.dtypes and numpy.finfo(numpy.longdouble).nmant < 63:
        parser.error("this platform's long double is no wider than float64")
    table = {}
    for dtype in given.dtypes:
        for name in given.functions:
            table[name, dtype] = measure(name, getattr(numpy, dtype), given.count)
            print(dtype, table[name, dtype], flush=True)
    print("function  " + "".join(f"{dtype:>9}" for dtype in given.dtypes))
    for name in given.functions:
        print(f"{name:10}" + "".join(f"{table[name, dtype].most:9.2f}" for dtype in given.dtypes))


if __name__ == "__main__":
    main()
