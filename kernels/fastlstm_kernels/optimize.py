"""Optimizers: a step changes the parameters, and what the optimizer keeps, in one pass over flat arrays.

A step is bound by memory, so that each array goes through the cache once, and what clips the gradient or adds weight
decay to it happens in registers on the way: without them it is arithmetic that changes nothing. All arrays of a
kernel have one dtype; its numbers come in an array `rates`, those of `GradientRates` and then the optimizer's own.

The names of those numbers stand here, once, for who fills the array and for the formulas. They do not reach Numba,
which looks at every letter of a NamedTuple in each call.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.jit import jit
from fastlstm_kernels.rows import each_vector, load_at, store_at
from fastlstm_kernels.simd import Backend, Int, Pointer, operation
from fastlstm_kernels.threads import share, span

BLOCK = 4096
"""Elements that one worker takes at a time."""

PLAIN, MOMENTUM, NESTEROV = range(3)
"""Forms of `sgd_step`."""

CENTRED, MOVING = 1, 2
"""Parts of the form of `rmsprop_step`: the mean is taken off, there is momentum."""

_SUMS = 4
"""Sums of squares side by side in a block: each is the shorter, and the more exact."""


class GradientRates(NamedTuple):
    """What becomes of the gradient before the step, in this order."""

    limit: Any  # its elements are cut off at ± this; infinity: they are not
    scale: Any  # it is multiplied with this; 1: not at all
    decay: Any  # this times the parameters is added to it; 0: nothing


class SGDRates(NamedTuple):
    """Numbers of `sgd_step`."""

    descent: Any  # minus the learning rate
    momentum: Any


class AdamRates(NamedTuple):
    """Numbers of `adam_step`."""

    descent: Any  # minus the learning rate over 1 - β₁ᵗ
    eps: Any
    keep: Any  # what the parameters are multiplied with
    beta1: Any
    rest1: Any  # 1 - β₁
    beta2: Any
    rest2: Any
    unbias: Any  # 1 / √(1 - β₂ᵗ)


class RMSpropRates(NamedTuple):
    """Numbers of `rmsprop_step`."""

    descent: Any  # minus the learning rate
    eps: Any
    alpha: Any
    rest: Any  # 1 - α
    momentum: Any


def _clipped(v: Backend, g: Any, limit: Any) -> Any:
    """The gradient cut off at ± limit; a NaN stays one."""
    lowest = 0.0 - limit
    return v.select(g > limit, limit, v.select(g < lowest, lowest, g))


def _numbers(v: Backend, rates: Any, kind: Any, first: int = len(GradientRates._fields)) -> Any:
    """The numbers of a kind, each in all lanes of a vector."""
    return kind(*(v.broadcast(rates + k) for k, _ in enumerate(kind._fields, first)))


def _step(
    v: Backend, n: Any, rates: Any, parameters: Any, gradients: Any, kept: Sequence[Any],
    update: Callable[..., Sequence[Any]],
) -> None:
    """Run ``p, *kept = update(p, g, *kept)`` along n elements, g the gradient clipped and with weight decay."""
    r = _numbers(v, rates, GradientRates, 0)

    def step(offset: Any, mask: Any) -> None:
        p, g, *before = (load_at(v, place + offset, mask) for place in (parameters, gradients, *kept))
        after = update(p, v.fma(r.decay, p, _clipped(v, g, r.limit) * r.scale), *before)
        for place, value in zip((parameters, *kept), after, strict=True):
            store_at(v, place + offset, value, mask)

    # Prefetching 128 elements ahead made Adam 6 % slower on one core, 512 ahead 9 %.
    each_vector(v, n, step)


@operation
def _sgd(
    v: Backend, form: Int, n: Int, rates: Pointer, parameters: Pointer, gradients: Pointer, momenta: Pointer
) -> None:
    r = _numbers(v, rates, SGDRates)

    def moving(p: Any, g: Any, b: Any, nesterov: bool) -> list[Any]:
        b = v.fma(r.momentum, b, g)
        return [v.fma(r.descent, v.fma(r.momentum, b, g) if nesterov else b, p), b]

    def run(kept: list[Any], update: Callable[..., list[Any]]) -> None:
        _step(v, n, rates, parameters, gradients, kept, update)

    v.choose(form, {
        PLAIN: lambda: run([], lambda p, g: [v.fma(r.descent, g, p)]),
        MOMENTUM: lambda: run([momenta], lambda p, g, b: moving(p, g, b, False)),
        NESTEROV: lambda: run([momenta], lambda p, g, b: moving(p, g, b, True)),
    })


@operation
def _adam(
    v: Backend, n: Int, rates: Pointer, parameters: Pointer, gradients: Pointer, means: Pointer, squares: Pointer
) -> None:
    r = _numbers(v, rates, AdamRates)

    def update(p: Any, g: Any, m: Any, s: Any) -> list[Any]:
        m = v.fma(r.beta1, m, r.rest1 * g)
        s = v.fma(r.beta2, s, r.rest2 * g * g)
        return [v.fma(r.descent, m / v.fma(v.sqrt(s), r.unbias, r.eps), p * r.keep), m, s]

    _step(v, n, rates, parameters, gradients, [means, squares], update)


@operation
def _rmsprop(
    v: Backend, form: Int, n: Int, rates: Pointer, parameters: Pointer, gradients: Pointer, squares: Pointer,
    means: Pointer, momenta: Pointer,
) -> None:
    r = _numbers(v, rates, RMSpropRates)

    def run(centred: int, moving: int) -> None:
        def update(p: Any, g: Any, s: Any, *others: Any) -> list[Any]:
            s = v.fma(r.alpha, s, r.rest * g * g)
            spread, kept = s, [s]
            if centred:
                m = v.fma(r.alpha, others[0], r.rest * g)
                spread = v.fma(m * -1.0, m, s)
                kept.append(m)
            step = g / (v.sqrt(spread) + r.eps)
            if moving:
                step = v.fma(r.momentum, others[-1], step)
                kept.append(step)
            return [v.fma(r.descent, step, p), *kept]

        _step(v, n, rates, parameters, gradients, [squares, *[means][:centred], *[momenta][:moving]], update)

    v.choose(form, {c * CENTRED + m * MOVING: lambda c=c, m=m: run(c, m) for c in (0, 1) for m in (0, 1)})


@operation
def _squares(v: Backend, n: Int, limit: Pointer, gradients: Pointer, sums: Pointer) -> None:
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
        `GradientRates`, then `SGDRates`.
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
        `GradientRates`, then `AdamRates`.
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
        `GradientRates`, then `RMSpropRates`.
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
