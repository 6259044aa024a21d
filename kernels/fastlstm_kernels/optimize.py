"""Optimizers: a step changes the parameters, and what the optimizer keeps, in one pass over flat arrays.

A step is bound by memory, so that each array goes through the cache once, and what clips the gradient or adds weight
decay to it happens in registers on the way: without them it is arithmetic that changes nothing. All arrays of a
kernel have one dtype; its numbers come in an array `rates`, which begins with

- limit: the gradient's elements are cut off at ± this (infinity: they are not);
- scale: it is then multiplied with this (1: not at all);
- decay: this times the parameters is then added to it (0: nothing).
"""

from collections.abc import Callable, Sequence
from typing import Any

from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.jit import jit
from fastlstm_kernels.rows import each_vector, load_at, store_at
from fastlstm_kernels.simd import Count, Machine, Place, operation
from fastlstm_kernels.threads import share, span

BLOCK = 4096
"""Elements that one worker takes at a time."""

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


def _step(
    v: Machine, n: Any, rates: Any, parameters: Any, gradients: Any, kept: Sequence[Any],
    update: Callable[..., Sequence[Any]],
) -> None:
    """Run ``p, *kept = update(p, g, *kept)`` along n elements, g the gradient clipped and with weight decay."""
    limit, scale, decay = (v.broadcast(rates + k) for k in range(3))

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
    descent, momentum = (v.broadcast(rates + k) for k in (3, 4))

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
    descent, eps, keep, beta1, rest1, beta2, rest2, unbias = (v.broadcast(rates + k) for k in range(3, 11))

    def update(p: Any, g: Any, m: Any, s: Any) -> list[Any]:
        m = v.fma(beta1, m, rest1 * g)
        s = v.fma(beta2, s, rest2 * g * g)
        return [v.fma(descent, m / v.fma(v.sqrt(s), unbias, eps), p * keep), m, s]

    _step(v, n, rates, parameters, gradients, [means, squares], update)


@operation
def _rmsprop(
    v: Machine, form: Count, n: Count, rates: Place, parameters: Place, gradients: Place, squares: Place,
    means: Place, momenta: Place,
) -> None:
    descent, eps, alpha, rest, momentum = (v.broadcast(rates + k) for k in range(3, 8))

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
        As above, then minus the learning rate, and the momentum.
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
        As above, then minus the learning rate over 1 - β₁ᵗ, ε, what the parameters are multiplied with, β₁, 1 - β₁,
        β₂, 1 - β₂, and 1 / √(1 - β₂ᵗ).
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
        As above, then minus the learning rate, ε, α, 1 - α, and the momentum.
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
