"""One time step of one row, of a layer whose sizes the compiler knows: what `step` does, in less time.

The sums of a panel's gates stay in registers, and its cell takes vectors that are no longer than its units need: one
row of 8 units 85 to 50 ns, 16 units 99 to 67, 32 units 190 to 145, 64 units 680 to 610 (float32, Zen 4).
"""

import functools
from collections.abc import Callable
from typing import Any

from fastlstm_kernels.activations import TANH
from fastlstm_kernels.arrays import Array, intp
from fastlstm_kernels.gates import GATES, cell_states, gates_of
from fastlstm_kernels.jit import jit
from fastlstm_kernels.one_step import NEAR_BYTES, TOGETHER, along
from fastlstm_kernels.simd import SHORTEST, Backend, Int, Pointer, operation
from fastlstm_kernels.tile import WIDTH


def _gates_apart(v: Backend, short: Backend, sums: list[Any], units: int) -> list[Any]:
    """Vectors of each gate, of a panel whose gates lie `units` apart in as few vectors as hold them."""
    if units == v.lanes:
        return sums
    gates = []
    for k in range(GATES):
        vector, first = divmod(k * units, v.lanes)
        pair = sums[vector], sums[min(vector + 1, len(sums) - 1)]
        places = [first + min(n, units - 1) for n in range(short.lanes)]  # behind the last unit, that one once more
        gates.append(short.shuffle(*pair, places))
    return gates


def _cell(v: Backend, sums: list[Any], units: int, c: Any, h: Any) -> None:
    """What follows the sums of some units, in vectors no longer than these need; `c` is changed, `h` written."""
    lanes = SHORTEST // v.dtype.itemsize
    while lanes < units:
        lanes *= 2
    short = v.shortened(lanes)
    mask = short.first(units)  # a constant, which the compiler drops where all lanes exist
    before = short.load_part(c, mask)
    gates = gates_of(short, TANH, _gates_apart(v, short, sums, units))
    state, hidden = cell_states(short, TANH, gates, before)
    short.store_part(c, state, mask)
    short.store_part(h, hidden, mask)


def _formula(inputs: int, size: int) -> Callable[..., None]:
    def advance(
        v: Backend, turned: Int, x: Pointer, panels: Pointer, c: Pointer, h_prev: Pointer, h: Pointer
    ) -> None:
        width, blocks = WIDTH * v.lanes, -(-size // v.lanes)
        panel = (inputs + 1 + size) * width
        groups, whole = (blocks - 1) // TOGETHER, [v.lanes] * TOGETHER
        rest = [min(v.lanes, size - unit) for unit in range(groups * TOGETHER * v.lanes, size, v.lanes)]

        def group(first: Any, units: list[int]) -> list[Any]:
            """Panels from the first on, which hold so many units each."""
            counts = [-(-held * GATES // v.lanes) for held in units]
            columns = [q * panel + j * v.lanes for q, count in enumerate(counts) for j in range(count)]
            bias = [panels + (first * panel + column) for column in columns]
            sums = [v.load(place) for place in bias]
            for row, a, count in ((1, x, inputs), (1 + inputs, h_prev, size)):
                sums = v.repeat(count, sums, along(v, a, [place + row * width for place in bias]))
            for q, count in enumerate(counts):
                unit = first * v.lanes + q * v.lanes
                _cell(v, sums[:count], units[q], c + unit, h + unit)
                del sums[:count]
            return []

        def forwards() -> None:
            v.repeat(groups, [], lambda k: group(k * TOGETHER, whole))
            group(groups * TOGETHER, rest)

        def backwards() -> None:
            group(groups * TOGETHER, rest)
            v.repeat(groups, [], lambda k: group((groups - 1 - k) * TOGETHER, whole))

        if blocks * panel * v.dtype.itemsize > NEAR_BYTES:
            v.choose(turned, {0: forwards, 1: backwards})
        else:
            forwards()

    return advance


@functools.cache
def compiled_step(inputs: int, size: int) -> Callable[[Array, Array, Array, Array, int], None]:
    """Make a step of one row for a layer of such sizes; its bits are those of `step.step`.

    Parameters
    ----------
    inputs, size : int
        Sizes of the input, at least 0, and of the hidden state, at least 1.

    Returns
    -------
    callable
        For compiled code: ``advance(x, panels, c, h, now)`` with x (inputs,), the panels of `pack.pack`, cell states
        c (size,), which it changes, and hidden states h (2, size), of which it reads ``h[now]`` and writes
        ``h[1 - now]``. All are C contiguous, of one dtype. It is compiled into its caller.

        ValueError: an array has another size, as when compiled code was kept from a layer of other sizes.

    Notes
    -----
    8 size (inputs + size) flops. Denormal numbers are what the calling thread makes of them.
    """
    advance = operation(_formula(inputs, size))
    depth, message = inputs + 1 + size, f"the step was compiled for {inputs} inputs and {size} units"

    def step(x: Array, panels: Array, c: Array, h: Array, now: int) -> None:
        if x.size != inputs or panels.shape[1] != depth or c.size != size or h.shape[1] != size:
            raise ValueError(message)
        advance(now, x, intp(0), panels, intp(0), c, intp(0), h, now * size, h, (1 - now) * size)

    return jit(device=True, kept=False)(step)
