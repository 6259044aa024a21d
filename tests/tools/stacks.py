"""Layers of every shape with data for them, for the tests of `nn.LSTM`."""

import random
from dataclasses import dataclass
from typing import Any

import numpy

from fastlstm import nn, oracle
from fastlstm_kernels.structs import Tape
from tests.tools.helpers import JIT_OFF


@dataclass(frozen=True)
class Case:
    """A layer, and what is given to it."""

    seed: int
    dtype: str
    inputs: int
    hidden: int
    layers: int
    bidirectional: bool
    projection: int
    bias: bool
    batch_first: bool
    steps: int
    batch: int | None
    lengths: tuple[int, ...] | None
    state: bool
    d_state: bool

    def layer(self, **options: Any) -> nn.LSTM:
        return nn.LSTM(
            self.inputs, self.hidden, self.layers, self.bias, self.batch_first, bidirectional=self.bidirectional,
            proj_size=self.projection, dtype=self.dtype, seed=self.seed, **options,
        )

    def given(self) -> tuple[Any, Any, Any, Any]:
        """x, the initial state or None, dy, and the gradient at the final state or None."""
        rng = numpy.random.default_rng(self.seed)
        axis = () if self.batch is None else (self.batch,)
        lead = (*axis, self.steps) if self.batch_first else (self.steps, *axis)

        def draw(*shapes: tuple[int, ...]) -> Any:
            return tuple(rng.standard_normal(shape).astype(self.dtype) for shape in shapes)

        size = self.projection or self.hidden
        x, dy = draw((*lead, self.inputs), (*lead, size * (1 + self.bidirectional)))
        state, d_state = draw(*self.states()), draw(*self.states())
        return x, state if self.state else None, dy, d_state if self.d_state else None

    def states(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of a state."""
        rows, axis = self.layers * (1 + self.bidirectional), () if self.batch is None else (self.batch,)
        return (rows, *axis, self.projection or self.hidden), (rows, *axis, self.hidden)


def drawn(seed: int, shortest: int = 0, **fixed: Any) -> Case:
    """A case drawn at random, but for what is `fixed`; sequences have at least so many steps."""
    draw = random.Random(seed)
    widths = (1, 3, 5) if JIT_OFF else (1, 3, 17, 37)
    inputs, hidden, batch = draw.choice(widths), draw.choice(widths), draw.choice((None, 1, 2, 3, 5))
    steps = draw.randint(shortest, 3 if JIT_OFF else 12)
    lengths = None
    if batch is not None and draw.random() < 0.7:
        lengths = tuple(draw.randint(shortest, steps) for _ in range(batch))
    values = {
        "dtype": draw.choice(("float32", "float64")), "inputs": inputs, "hidden": hidden,
        "layers": draw.randint(1, 2 if JIT_OFF else 4), "bidirectional": draw.random() < 0.5,
        "projection": draw.choice((0, 1, hidden // 2, hidden - 1)) if hidden > 1 else 0,
        "bias": draw.random() < 0.8, "batch_first": draw.random() < 0.5, "steps": steps, "batch": batch,
        "lengths": lengths, "state": draw.random() < 0.5, "d_state": draw.random() < 0.5,
    }
    return Case(seed, **values | fixed)


WIDE = 5 if JIT_OFF else 19
LENGTHS = [2, 0, 3] if JIT_OFF else [5, 0, 9, 3, 9, 1, 4]
"""Of sequences in a batch, in no order, and none as long as the batch."""
ROOM = max(LENGTHS) + 1

USUAL = {"hidden": WIDE, "layers": 1, "bidirectional": False, "projection": 0, "bias": True}
SHAPES: list[dict[str, Any]] = [
    {},
    {"layers": 2},
    {"bidirectional": True},
    {"layers": 3, "bidirectional": True, "bias": False},
    {"projection": 2},
    {"layers": 2, "bidirectional": True, "projection": 3},
]
"""What is not usual about a case."""


def ragged(shape: dict[str, Any], dtype: str = "float64", batch_first: bool = False, **options: Any) -> Any:
    """A layer, and for a batch of LENGTHS what `run` takes."""
    case = Case(
        1, dtype, 3, batch_first=batch_first, steps=ROOM, batch=len(LENGTHS), lengths=None, state=True,
        d_state=True, **USUAL | shape,
    )
    x, state, dy, d_state = case.given()
    return case.layer(**options), x, state, LENGTHS, dy, d_state


def by_oracle(layer: nn.LSTM, x: Any, state: Any = None, lengths: Any = None, **masks: Any) -> dict[str, Any]:
    """What `run` gives forwards, by the oracle, in float64; x is (T, batch, input)."""
    parameters = {name: value.astype(float) for name, value in layer.parameters.items()}
    if state is None:
        rows, size = layer.num_layers * (1 + layer.bidirectional), layer.proj_size or layer.hidden_size
        state = numpy.zeros((rows, x.shape[1], size)), numpy.zeros((rows, x.shape[1], layer.hidden_size))
    h, c = (part.astype(float) for part in state)
    return dict(zip(("y", "h_n", "c_n"), oracle.stacked_lstm(parameters, x, h, c, lengths, **masks), strict=True))


def masks(tape: Any) -> dict[str, Any]:
    """What was dropped, as `oracle.stacked_lstm` takes it."""
    batch = tape.batch
    found: dict[str, Any] = {}
    if tape.run.dropped:
        found["between"] = [batch.give(factors) for factors in tape.run.dropped]
    drawn = numpy.array([Tape(*run.tape).mask for run in tape.run.runs])
    if drawn.size:
        found["recurrent"] = numpy.empty_like(drawn)
        found["recurrent"][:, batch.places] = drawn
    return found


def close(ours: Any, wanted: Any, dtype: Any, what: Any = "") -> None:
    """Same shape, that dtype, and values within 1e-12 (float32: 1e-5) of the largest.

    Or of 1e-3: what saturated gates leave next to nothing of has few digits.
    """
    ours, wanted = numpy.asarray(ours), numpy.asarray(wanted)
    assert ours.dtype == dtype, what
    assert ours.shape == wanted.shape, what
    atol = {"float64": 1e-12, "float32": 1e-5}[numpy.dtype(dtype).name] * numpy.abs(wanted).max(initial=1e-3)
    numpy.testing.assert_allclose(ours, wanted, rtol=0, atol=atol, err_msg=str(what))


def run(layer: nn.LSTM, x: Any, state: Any, lengths: Any, dy: Any, d_state: Any, **truncation: Any) -> dict[str, Any]:
    """Everything that a layer computes, by name, from gradients of zero."""
    y, (h, c), tape = layer.forward(x, state, lengths)
    y = y.copy()
    layer.zero_grad()
    dx, (dh, dc) = layer.backward(tape, dy, d_state, **truncation)
    found = {"y": y, "h_n": h, "c_n": c, "dx": dx, "dh_0": dh, "dc_0": dc}
    return found | {name: value.copy() for name, value in layer.gradients.items()}


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The same names, and the same bits."""
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        numpy.testing.assert_array_equal(found[name], value, err_msg=name, strict=True)


def gradients_match(
    found: dict[str, Any], layer: nn.LSTM, x: Any, state: Any, lengths: Any, dy: Any, d_state: Any, seed: int = 0,
    **masks: Any,
) -> None:
    """What `run` found, along a random direction of each array, to rounding: the oracle takes a complex step."""
    arrays = {"dx": x, "dh_0": state[0], "dc_0": state[1], **layer.parameters}
    moved = {name: value.astype(complex) for name, value in arrays.items()}
    rng, rounding = numpy.random.default_rng(seed), {"float64": 1e-11, "float32": 1e-4}[layer.dtype.name]

    def loss() -> Any:
        x, h, c, *_ = moved.values()
        y, h_n, c_n = oracle.stacked_lstm(moved, x, h, c, lengths, **masks)
        return (y * dy).sum() + (h_n * d_state[0]).sum() + (c_n * d_state[1]).sum()

    for name, value in moved.items():
        direction, kept = rng.standard_normal(value.shape), value.copy()
        value += 1e-30j * direction
        # An error in one element of a large array is little beside the sum.
        scale = numpy.linalg.norm(found[name]) * numpy.linalg.norm(direction) / value.size**0.5
        assert abs((found[name] * direction).sum() - numpy.imag(loss()) / 1e-30) < rounding * scale, name
        value[...] = kept
