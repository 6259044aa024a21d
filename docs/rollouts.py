"""Thousands of rollouts of an LSTM policy in one compiled loop; run it with ``python docs/rollouts.py``.

A pole stands on a cart, in gusts of wind. The policy, an LSTM with a linear readout, sees the cart and the pole, and
pushes the cart. The same loop runs from Python, through `LSTM.stepper`, and compiled, on one core and on all of them;
docs/kernels.md tells what the kernels take. Then the compiled loop looks for a readout that keeps the pole up.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy
from numba import njit, prange
from numba.extending import register_jitable

import fastlstm_kernels as kernels
from fastlstm import nn

UNITS, STEPS, ROLLOUTS, READOUTS = 8, 200, 4096, 64

TOGETHER = 16
"""Rollouts that step as the rows of one batch: while one waits for a result of its own, the core computes another."""


@register_jitable
def cart_pole(state: Any, force: float) -> float:
    """Move on by 20 ms, in place: position and velocity of the cart, angle and angular velocity of the pole.

    A cart of 1 kg, a pole of 0.1 kg and 1 m, no friction (Barto, Sutton & Anderson 1983, appendix).

    Returns
    -------
    float
        The reward: how high the tip of the pole was, 1 for upright, -1 for hanging.
    """
    velocity, angle, spin = state[1], state[2], state[3]
    sine, cosine = math.sin(angle), math.cos(angle)
    push = (force + 0.05 * spin * spin * sine) / 1.1
    turn = (9.8 * sine - cosine * push) / (2.0 / 3.0 - 0.05 * cosine * cosine / 1.1)
    state[0] += 0.02 * velocity
    state[1] += 0.02 * (push - 0.05 * turn * cosine / 1.1)
    state[2] += 0.02 * spin
    state[3] += 0.02 * turn
    return cosine


def wind(count: int, steps: int, seed: int) -> Any:
    """Gusts (rollouts, steps) in newtons. Every rollout has a seed of its own, so the same wind in any company."""
    return numpy.stack([numpy.random.default_rng([seed, k]).standard_normal(steps) for k in range(count)])


def from_python(layer: nn.LSTM, readout: Any, gusts: Any) -> Any:
    """Mean reward of each rollout, with a call of the stepper for every step."""
    step, x, rewards = layer.stepper(batch_size=1), numpy.empty((1, 4), layer.dtype), numpy.zeros(len(gusts))
    for k, of_rollout in enumerate(gusts.tolist()):
        step.reset()
        state, total = [0.0, 0.0, 0.0, 0.0], 0.0
        for gust in of_rollout:
            x[0, 0], x[0, 1], x[0, 2], x[0, 3] = state
            force = step(x).dot(readout).item()
            total += cart_pole(state, force + gust)
        rewards[k] = total / len(of_rollout)
    return rewards


def rollouts(panels: Any, readout: Any, gusts: Any, together: int) -> Any:
    """The same, to be compiled: `panels` are the weights, from `LSTM.panels`."""
    count, steps = gusts.shape
    blocks, _, width = panels.shape
    rewards = numpy.zeros(count)
    for group in prange((count + together - 1) // together):
        first = group * together
        rows = min(together, count - first)
        x = numpy.empty((rows, 4), panels.dtype)
        z = numpy.empty((blocks, rows, width), panels.dtype)
        cells = numpy.zeros((blocks, rows, width // 4), panels.dtype)
        hidden = numpy.zeros((2, rows, len(readout)), panels.dtype)
        states = numpy.zeros((rows, 4))
        for t in range(steps):
            x[:] = states
            kernels.step(x, panels, z, cells, hidden, t % 2, 1)
            for n in range(rows):
                force = gusts[first + n, t]
                for j in range(len(readout)):
                    force += hidden[1 - t % 2, n, j] * readout[j]
                rewards[first + n] += cart_pole(states[n], force) / steps
    return rewards


# A division by zero gives infinity, as in NumPy: without the error to raise, Numba leaves out a good deal more.
serial = njit(nogil=True, error_model="numpy")(rollouts)
parallel = njit(nogil=True, error_model="numpy", parallel=True)(rollouts)


def timed(run: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a function returns, and how many seconds it takes: the best of three times."""
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        result = run(*arguments)
        best = min(best, time.perf_counter() - start)
    return result, best


def main() -> None:
    """Compare rewards and speeds, then search."""
    layer = nn.LSTM(input_size=4, hidden_size=UNITS, seed=0)
    panels, gusts = layer.panels(), wind(ROLLOUTS, STEPS, seed=0)
    readouts = numpy.random.default_rng(0).normal(0, 30, (READOUTS, UNITS)).astype(layer.dtype)
    few, readout = gusts[:100], readouts[0]
    for run in (serial, parallel):
        run(panels, readout, few, TOGETHER)  # compiles

    expected, seconds = timed(from_python, layer, readout, few)
    slow = few.size / seconds
    print(f"{'Python, through the stepper':45}{slow:12,.0f} steps/s")
    reference = None
    for name, run, together in (
        ("compiled, one rollout at a time", serial, 1),
        (f"compiled, {TOGETHER} rollouts at a time", serial, TOGETHER),
        (f"compiled, {TOGETHER} rollouts at a time, all cores", parallel, TOGETHER),
    ):
        rewards, seconds = timed(run, panels, readout, gusts, together)
        print(f"{name:45}{gusts.size / seconds:12,.0f} steps/s, {gusts.size / seconds / slow:.0f}x")
        # NumPy sums the readout in another order than the compiled loops, which agree with each other to the last bit.
        numpy.testing.assert_allclose(rewards[: len(few)], expected, rtol=0, atol=1e-4)
        reference = rewards if reference is None else reference
        numpy.testing.assert_array_equal(rewards, reference)

    start = time.perf_counter()
    means = [parallel(panels, readout, gusts[:256], TOGETHER).mean() for readout in readouts]
    print(f"mean reward of the best of {len(means)} random readouts {max(means):.3f}, of the median one "
          f"{numpy.median(means):.3f}; found in {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
