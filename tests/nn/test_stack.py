"""`fastlstm.nn.LSTM` with layers over layers, both directions, projections and sequences of several lengths."""

import copy
import pickle

import numpy
import pytest

from fastlstm import nn
from tests.tools.helpers import JIT_OFF
from tests.tools.stacks import LENGTHS, ROOM, SHAPES, WIDE, by_oracle, close, drawn, gradients_match, ragged, run, same

both = pytest.mark.parametrize("dtype", ["float32", "float64"])
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def past_ends(batch_first=False):
    """Where sequences of LENGTHS have ended."""
    mask = numpy.arange(ROOM) >= numpy.reshape(LENGTHS, (-1, 1))
    return mask if batch_first else mask.T


@pytest.mark.parametrize("seed", range(4 if JIT_OFF else 20))
def test_outputs_and_states_are_the_oracles(seed):
    case = drawn(seed, batch_first=False, batch=seed % 4 + 1, lengths=None)
    lengths = numpy.random.default_rng(seed).integers(0, case.steps, case.batch, endpoint=True)
    layer, (x, state, _, _) = case.layer(), case.given()
    y, (h, c) = layer(x, state, lengths)
    for name, value in by_oracle(layer, x, state, lengths).items():
        close({"y": y, "h_n": h, "c_n": c}[name], value, case.dtype, f"{name} of {case}")


@pytest.mark.long
@shapes
def test_gradients_are_those_of_the_oracle(shape):
    given = ragged(shape)
    found = run(*given)
    for seed in range(3):
        gradients_match(found, *given, seed)


def alone(k, length, batch_first, layer, x, state, dy, d_state, **truncation):
    """What a layer gives for one sequence, and where a batch of them has it."""
    steps, own = slice(length), slice(k, k + 1)
    place = (own, steps) if batch_first else (steps, own)
    state, d_state = (tuple(part[:, own] for part in pair) for pair in (state, d_state))
    found = run(layer, x[place], state, None, dy[place], d_state, **truncation)
    return found, {"y": place, "dx": place} | dict.fromkeys(("h_n", "c_n", "dh_0", "dc_0"), (slice(None), own))


@both
@shapes
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_sequence_has_the_same_bits_alone(shape, dtype, batch_first):
    layer, x, state, lengths, dy, d_state = given = ragged(shape, dtype, batch_first)
    layer.n_threads = 3
    together, total = run(*given), numpy.zeros_like(layer.gradients.flat)
    layer.n_threads = 1
    for k, length in enumerate(lengths):
        found, places = alone(k, length, batch_first, layer, x, state, dy, d_state)
        total += layer.gradients.flat
        for name, place in places.items():
            numpy.testing.assert_array_equal(together[name][place], found[name], f"{name} of {k}", strict=True)
    close(numpy.concatenate([together[name].ravel() for name in layer.gradients]), total, dtype)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "projection" not in shape], ids=str)
@pytest.mark.parametrize("truncation", [{"truncate": 0}, {"truncate": 2}, {"truncate": 1, "stride": 3}], ids=str)
def test_a_sequence_is_truncated_as_alone(shape, truncation):
    layer, x, state, lengths, dy, d_state = given = ragged(shape)
    together, total = run(*given, **truncation), numpy.zeros_like(layer.gradients.flat)
    for k, length in enumerate(lengths):
        found, places = alone(k, length, False, layer, x, state, dy, d_state, **truncation)
        total += layer.gradients.flat
        for name, place in places.items():
            close(found[name], together[name][place], "float64", f"{name} of {k}")
    close(numpy.concatenate([together[name].ravel() for name in layer.gradients]), total, "float64")


@shapes
@pytest.mark.parametrize("batch_first", [False, True])
def test_what_lies_past_the_ends_is_zero_and_not_looked_at(shape, batch_first):
    layer, x, state, lengths, dy, d_state = given = ragged(shape, batch_first=batch_first)
    wanted, past = run(*given), past_ends(batch_first)
    assert not wanted["y"][past].any()
    assert not wanted["dx"][past].any()
    for rubbish in (numpy.nan, numpy.inf):
        x[past] = dy[past] = rubbish
        same(run(*given), wanted)
        numpy.testing.assert_array_equal(layer(x, state, lengths)[0], wanted["y"], strict=True)
    ended = [k for k, length in enumerate(lengths) if not length]
    for a, b in [("h_n", state[0]), ("c_n", state[1]), ("dh_0", d_state[0]), ("dc_0", d_state[1])]:
        numpy.testing.assert_array_equal(wanted[a][:, ended], b[:, ended])


@pytest.mark.parametrize("lengths", [
    numpy.array(LENGTHS, numpy.uint8), tuple(LENGTHS), numpy.repeat(LENGTHS, 2)[::2], numpy.array(LENGTHS, ">i4"),
], ids=["uint8", "tuple", "strided", "big-endian"])  # fmt: skip
def test_lengths_of_other_kinds(lengths):
    layer, x, state, *_ = ragged({"layers": 2})
    numpy.testing.assert_array_equal(layer(x, state, lengths)[0], layer(x, state, LENGTHS)[0], strict=True)


@shapes
def test_equal_lengths_are_none(shape):
    layer, x, state, _, dy, d_state = ragged(shape)
    whole = run(layer, x, state, None, dy, d_state)
    same(run(layer, x, state, [len(x)] * x.shape[1], dy, d_state), whole)


@shapes
@pytest.mark.parametrize(("steps", "lengths"), [(0, None), (0, [0, 0]), (4, [0, 0])])
def test_without_steps_states_and_their_gradients_pass_through(shape, steps, lengths):
    layer, _, state, _, _, d_state = ragged(shape)
    state, d_state = (tuple(part[:, :2] for part in pair) for pair in (state, d_state))
    found = run(layer, numpy.ones((steps, 2, 3)), state, lengths, numpy.ones((steps, 2, layer.output_size)), d_state)
    assert found["y"].shape == (steps, 2, layer.output_size)
    assert found["dx"].shape == (steps, 2, 3)
    for a, b in zip(("h_n", "c_n", "dh_0", "dc_0"), (*state, *d_state), strict=True):
        numpy.testing.assert_array_equal(found[a], b, strict=True)
    assert not found["y"].any()
    assert not found["dx"].any()
    assert not layer.gradients.flat.any()


@shapes
@pytest.mark.parametrize("lengths", [None, []])
def test_an_empty_batch_gives_empty_results(shape, lengths):
    layer, _, state, *_ = ragged(shape)
    y, (h, c), tape = layer.forward(numpy.ones((4, 0, 3)), None, lengths)
    dx, _ = layer.backward(tape, y)
    assert (y.shape, dx.shape) == ((4, 0, layer.output_size), (4, 0, 3))
    assert (h.shape, c.shape) == tuple((len(part), 0, part.shape[2]) for part in state)
    assert not layer.gradients.flat.any()


def parts_of(layer):
    """Layers of one layer and one direction with the parameters of another's, in torch's order."""
    parts, directions = [], ["", "_reverse"] if layer.bidirectional else [""]
    for k in range(layer.num_layers):
        for end in directions:
            given = {name: value for name, value in layer.parameters.items() if name.endswith(f"_l{k}{end}")}
            width = given[f"weight_ih_l{k}{end}"].shape[1]
            part = nn.LSTM(width, layer.hidden_size, bias=layer.bias, proj_size=layer.proj_size, dtype=layer.dtype)
            part.load_state_dict({name.replace(f"_l{k}{end}", "_l0"): value for name, value in given.items()})
            parts.append(part)
    return parts


@pytest.mark.parametrize("truncation", [{}, {"truncate": 2}, {"truncate": 0, "stride": 3}], ids=str)
def test_layers_are_those_of_a_sequential(truncation):
    layer, x, (h, c), _, dy, (d_h, d_c) = ragged({"layers": 3})
    one_by_one = nn.Sequential(*parts_of(layer))
    whole = run(layer, x, (h, c), None, dy, (d_h, d_c), **truncation)
    y, final, tape = one_by_one.forward(x, tuple((h[k : k + 1], c[k : k + 1]) for k in range(3)))
    dx, initial = one_by_one.backward(tape, dy, tuple((d_h[k : k + 1], d_c[k : k + 1]) for k in range(3)), **truncation)
    numpy.testing.assert_array_equal(whole["y"], y, strict=True)
    numpy.testing.assert_array_equal(whole["dx"], dx, strict=True)
    for k in range(3):
        for name, value in zip(("h_n", "c_n", "dh_0", "dc_0"), (*final[k], *initial[k]), strict=True):
            numpy.testing.assert_array_equal(whole[name][k], value[0], name)
    numpy.testing.assert_array_equal(layer.gradients.flat, one_by_one.gradients.flat)


@pytest.mark.parametrize("truncation", [{}, {"truncate": 2}, {"truncate": 0, "stride": 3}], ids=str)
def test_the_reverse_direction_is_a_layer_on_reversed_sequences(truncation):
    layer, x, state, _, dy, d_state = given = ragged({"bidirectional": True})
    whole, total = run(*given, **truncation), 0
    for k, part in enumerate(parts_of(layer)):
        own, ways = slice(k * WIDE, (k + 1) * WIDE), [numpy.arange(ROOM) for _ in LENGTHS]
        for length, way in zip(LENGTHS, ways, strict=True):
            way[:length] = way[:length][:: -1 if k else 1]
        order = numpy.transpose(ways)[:, :, None]
        turned = [numpy.take_along_axis(a, order, 0) for a in (x, dy[:, :, own])]
        found = run(
            part, turned[0], tuple(a[k : k + 1] for a in state), LENGTHS, turned[1],
            tuple(a[k : k + 1] for a in d_state), **truncation,
        )
        numpy.testing.assert_array_equal(numpy.take_along_axis(found["y"], order, 0), whole["y"][:, :, own])
        for name in ("h_n", "c_n", "dh_0", "dc_0"):
            numpy.testing.assert_array_equal(found[name][0], whole[name][k], name)
        for name, value in part.gradients.items():
            numpy.testing.assert_array_equal(value, whole[name + ("_reverse" if k else "")], name)
        total = total + numpy.take_along_axis(found["dx"], order, 0)
    numpy.testing.assert_array_equal(whole["dx"], total)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_stacks_in_a_sequential(clone):
    def layers():
        return (
            nn.LSTM(3, 4, 2, bidirectional=True, dropout=0.5, recurrent_dropout=0.3, dtype="float64", seed=1),
            nn.LSTM(8, 5, 2, proj_size=3, dtype="float64", seed=2), nn.Dense(3, 2, dtype="float64", seed=3),
        )  # fmt: skip

    first, second, dense = layers()
    model = nn.Sequential(*layers())
    x, dy = numpy.random.default_rng(1).standard_normal((2, 4, 2, 3))
    dy = dy[..., :2]
    a, state, tape = first.forward(x)
    b, other, other_tape = second.forward(a)
    y, _, dense_tape = dense.forward(b)
    back = dense.backward(dense_tape, dy)[0]
    back, d_other = second.backward(other_tape, back, other)
    dx, d_state = first.backward(tape, back, state)
    wanted = numpy.concatenate([layer.gradients.flat for layer in (first, second, dense)])
    for each in (model, clone(nn.Sequential(*layers()))):
        output, final, held = each.forward(x)
        d_input, initial = each.backward(held, dy, final)
        for found, one, two in [(final, state, other), (initial, d_state, d_other)]:
            numpy.testing.assert_array_equal(found[0], one)
            numpy.testing.assert_array_equal([*found[1][0].ravel(), *found[1][1].ravel()], numpy.concatenate(
                [part.ravel() for part in two]))
        numpy.testing.assert_array_equal(output, y)
        numpy.testing.assert_array_equal(d_input, dx)
        numpy.testing.assert_array_equal(each.gradients.flat, wanted)
