"""Optimizers: a step changes the parameters, and what the optimizer keeps, in one pass over flat arrays.

A step is bound by memory, so that each array goes through the cache once, and what clips the gradient or adds weight
decay to it happens in registers on the way: without them it is arithmetic that changes nothing. All arrays of a
kernel have one dtype; its numbers come in an array `rates`: those of `Clipping`, then those of the optimizer.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.jit import jit
from fastlstm_kernels.rows import each_vector, load_at, store_at
from fastlstm_kernels.simd import Count, Machine, Place, operation
from fastlstm_kernels.threads import share, span

BLOCK = 4096
"""Elements that one worker takes at a time."""


class Clipping(NamedTuple):
    """What is done to the gradient first.

    Attributes
    ----------
    limit : float
        Its elements are cut off at ± this; infinity: they are not.
    scale : float
        It is then multiplied by this; 1: not at all.
    """

    limit: float
    scale: float


class SGDRates(NamedTuple):
    """Numbers of `sgd_step`: `decay` times the parameters is added to the gradient; `descent` is minus the rate."""

    decay: float
    descent: float
    momentum: float


class AdamRates(NamedTuple):
    """Numbers of `adam_step`.

    Attributes
    ----------
    decay : float
        This times the parameters is added to the gradient.
    descent : float
        Minus the learning rate over 1 - β₁ᵗ.
    eps : float
    keep : float
        What the parameters are multiplied by.
    beta1, rest1, beta2, rest2 : float
        β₁, 1 - β₁, β₂, 1 - β₂.
    unbias : float
        1 over √(1 - β₂ᵗ).
    """

    decay: float
    descent: float
    eps: float
    keep: float
    beta1: float
    rest1: float
    beta2: float
    rest2: float
    unbias: float


class RMSpropRates(NamedTuple):
    """Numbers of `rmsprop_step`; the first two as in `SGDRates`, `rest` is 1 - `alpha`."""

    decay: float
    descent: float
    eps: float
    alpha: float
    rest: float
    momentum: float


PLAIN, MOMENTUM, NESTEROV = range(3)
"""Forms of `sgd_step`."""

CENTRED, MOVING = 1, 2
"""Parts of the form of `rmsprop_step`: the mean is taken off, there is momentum."""

_SUMS = 4
"""Sums of squares side by side in a block: each is the shorter, and the more exact."""


def _clipped(v: Machine, g: Any, limit: Any) -> Any:
    """The gradient cut off at ± limit; a NaN stays one."""
    lowest = 0.0 - limit
    return v.select(g > limit, limit, v.select(g < lowest, lowest, g))


def _rates(v: Machine, kind: Any, rates: Any) -> Any:
    """The optimizer's numbers, each in all lanes."""
    first = len(Clipping._fields)
    return kind(*(v.broadcast(rates + (first + k)) for k in range(len(kind._fields))))


def _step(
    v: Machine, n: Any, rates: Any, parameters: Any, gradients: Any, kept: Sequence[Any],
    update: Callable[..., Sequence[Any]],
) -> None:
    """Run ``p, *kept = update(p, g, *kept)`` along n elements, g the gradient clipped and with weight decay."""
    limit, scale, decay = (v.broadcast(rates + k) for k in range(len(Clipping._fields) + 1))

    def step(offset: Any, mask: Any) -> None:
        p, g, *before = (load_at(v, place + offset, mask) for place in (parameters, gradients, *kept))
        after = update(p, v.fma(decay, p, _clipped(v, g, limit) * scale), *before)
        for place, value in zip((parameters, *kept), after, strict=True):
            store_at(v, place + offset, value, mask)

    # Prefetching 128 elements ahead made Adam 6 % slower on one core, 512 ahead 9 %.
    each_vector(v, n, step)


@operation
def _sgd(
    v: Machine, form: Count, n: Count, rates: Place, parameters: Place, gradients: Place, momenta: Place
) -> None:
    _, descent, momentum = _rates(v, SGDRates, rates)

    def moving(p: Any, g: Any, b: Any, nesterov: bool) -> list[Any]:
        b = v.fma(momentum, b, g)
        return [v.fma(descent, v.fma(momentum, b, g) if nesterov else b, p), b]

    def run(kept: list[Any], update: Callable[..., list[Any]]) -> None:
        _step(v, n, rates, parameters, gradients, kept, update)

    v.choose(form, {
        PLAIN: lambda: run([], lambda p, g: [v.fma(descent, g, p)]),
        MOMENTUM: lambda: run([momenta], lambda p, g, b: moving(p, g, b, False)),
        NESTEROV: lambda: run([momenta], lambda p, g, b: moving(p, g, b, True)),
    })


@operation
def _adam(
    v: Machine, n: Count, rates: Place, parameters: Place, gradients: Place, means: Place, squares: Place
) -> None:
    of = _rates(v, AdamRates, rates)

    def update(p: Any, g: Any, m: Any, s: Any) -> list[Any]:
        m = v.fma(of.beta1, m, of.rest1 * g)
        s = v.fma(of.beta2, s, of.rest2 * g * g)
        return [v.fma(of.descent, m / v.fma(v.sqrt(s), of.unbias, of.eps), p * of.keep), m, s]

    _step(v, n, rates, parameters, gradients, [means, squares], update)


@operation
def _rmsprop(
    v: Machine, form: Count, n: Count, rates: Place, parameters: Place, gradients: Place, squares: Place,
    means: Place, momenta: Place,
) -> None:
    _, descent, eps, alpha, rest, momentum = _rates(v, RMSpropRates, rates)

    def run(centred: int, moving: int) -> None:
        def update(p: Any, g: Any, s: Any, *others: Any) -> list[Any]:
            s = v.fma(alpha, s, rest * g * g)
            spread, kept = s, [s]
            if centred:
                m = v.fma(alpha, others[0], rest * g)
                spread = v.fma(m * -1.0, m, s)
                kept.append(m)
            step = g / (v.sqrt(spread) + eps)
            if moving:
                step = v.fma(momentum, others[-1], step)
                kept.append(step)
            return [v.fma(descent, step, p), *kept]

        _step(v, n, rates, parameters, gradients, [squares, *[means][:centred], *[momenta][:moving]], update)

    v.choose(form, {c * CENTRED + m * MOVING: lambda c=c, m=m: run(c, m) for c in (0, 1) for m in (0, 1)})


@operation
def _squares(v: Machine, n: Count, limit: Place, gradients: Place, sums: Place) -> None:
    most, group = v.broadcast(limit), _SUMS * v.lanes

    def added(totals: Sequence[Any], vectors: Sequence[Any]) -> list[Any]:
        cut = [_clipped(v, g, most) for g in vectors]
        return [v.fma(g, g, total) for g, total in zip(cut, totals, strict=True)]

    def inside(k: Any, *totals: Any) -> list[Any]:
        return added(totals, [v.load(gradients + (k * group + j * v.lanes)) for j in range(_SUMS)])

    groups = v.quotient(n, group)
    totals = v.repeat(groups, [v.fill(0.0)] * _SUMS, inside)
    end = groups * group
    parts = [(end + j * v.lanes, n - end - j * v.lanes) for j in range(_SUMS)]
    a, b, c, d = added(totals, [v.load_part(gradients + at, v.first(rest)) for at, rest in parts])
    v.store(sums, (a + b) + (c + d))


@jit(device=True)
def _sgd_worker(
    worker: int, workers: int, form: int, rates: Array, parameters: Array, gradients: Array, momenta: Array
) -> None:
    first, last = span(worker, workers, parameters.size, BLOCK)
    _sgd(form, last - first, rates, intp(0), parameters, first, gradients, first, momenta, first)


@jit()
def sgd_step(
    form: int, rates: Array, parameters: Array, gradients: Array, momenta: Array, workers: int
) -> None:
    """Stochastic gradient descent; mirrors `oracle.optimizers.sgd`.

    Parameters
    ----------
    form : int
        PLAIN, MOMENTUM or NESTEROV.
    rates : (5,) array
        `Clipping`, then `SGDRates`.
    parameters, gradients : (n,) arrays
        The parameters are changed.
    momenta : (n,) array
        Changed; empty for PLAIN.
    workers : int
        Shares of the work.
    """
    share(_sgd_worker, (form, rates, parameters, gradients, momenta), workers)


@jit(device=True)
def _adam_worker(
    worker: int, workers: int, rates: Array, parameters: Array, gradients: Array, means: Array, squares: Array
) -> None:
    first, last = span(worker, workers, parameters.size, BLOCK)
    _adam(last - first, rates, intp(0), parameters, first, gradients, first, means, first, squares, first)


@jit()
def adam_step(
    rates: Array, parameters: Array, gradients: Array, means: Array, squares: Array, workers: int
) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1), and with decoupled weight decay; mirrors `oracle.optimizers.adam`.

    Parameters
    ----------
    rates : (11,) array
        `Clipping`, then `AdamRates`.
    parameters, gradients : (n,) arrays
        The parameters are changed.
    means, squares : (n,) arrays
        Running means of the gradient and of its square; changed.
    workers : int
        Shares of the work.
    """
    share(_adam_worker, (rates, parameters, gradients, means, squares), workers)


@jit(device=True)
def _rmsprop_worker(
    worker: int, workers: int, form: int, rates: Array, parameters: Array, gradients: Array, squares: Array,
    means: Array, momenta: Array,
) -> None:
    first, last = span(worker, workers, parameters.size, BLOCK)
    _rmsprop(
        form, last - first, rates, intp(0), parameters, first, gradients, first, squares, first, means, first,
        momenta, first,
    )


@jit()
def rmsprop_step(
    form: int, rates: Array, parameters: Array, gradients: Array, squares: Array, means: Array, momenta: Array,
    workers: int,
) -> None:
    """RMSprop (Tieleman & Hinton 2012; centred: Graves 2013, section 4.2); mirrors `oracle.optimizers.rmsprop`.

    Parameters
    ----------
    form : int
        The sum of CENTRED and MOVING, or of one of them, or 0.
    rates : (8,) array
        `Clipping`, then `RMSpropRates`.
    parameters, gradients : (n,) arrays
        The parameters are changed.
    squares, means, momenta : (n,) arrays
        Changed; `means` is empty unless CENTRED, `momenta` unless MOVING.
    workers : int
        Shares of the work.
    """
    share(_rmsprop_worker, (form, rates, parameters, gradients, squares, means, momenta), workers)


@jit(device=True)
def _squares_worker(worker: int, workers: int, limit: Array, gradients: Array, sums: Array) -> None:
    first, last = span(worker, workers, sums.shape[0])
    for block in range(first, last):
        at = block * BLOCK
        _squares(min(BLOCK, gradients.size - at), limit, intp(0), gradients, at, sums, block * sums.shape[1])


@jit()
def gradient_squares(limit: Array, gradients: Array, sums: Array, workers: int) -> None:
    """Sums of the squares of a gradient, block by block; mirrors `oracle.optimizers.clipped`.

    The blocks are the same for any number of workers, and so is a norm that is made of their sums.

    Parameters
    ----------
    limit : (1,) array
        The gradient's elements are cut off at ± this.
    gradients : (n,) array
    sums : (n / BLOCK rounded up, lanes) array
        Written; all of it together is the square of the norm.
    workers : int
        Shares of the work.
    """
    share(_squares_worker, (limit, gradients, sums), workers)
