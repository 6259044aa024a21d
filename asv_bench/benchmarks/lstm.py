"""The LSTM: forward, windowed back-propagation through time, and the gates."""

import numpy

from .common import DTYPES, IMPLEMENTATIONS, OF_ORACLE, SHAPE, SHAPES, data, model, ratio

GATES = ["forget", "input", "candidate", "hidden_filter"]


class Forward:
    """Outputs of a sequence."""

    params = (IMPLEMENTATIONS, SHAPES[:3])
    param_names = ("implementation", SHAPE)
    version = "1"

    def setup(self, implementation, shape):
        self.model, (self.X, _) = model(implementation, shape), data(shape)
        self.time_feed_forward(implementation, shape)
        self.time_feed_forward_and_cache(implementation, shape)

    def time_feed_forward(self, implementation, shape):
        self.model.feed_forward(self.X)

    time_feed_forward.pretty_name = "LSTM forward"
    time_feed_forward.unit = "seconds"

    def time_feed_forward_and_cache(self, implementation, shape):
        self.model.feed_forward_and_cache(self.X)

    time_feed_forward_and_cache.pretty_name = "LSTM forward, keeping everything"
    time_feed_forward_and_cache.unit = "seconds"


class TruncatedBPTT:
    """Gradients of a sequence, walked back K steps from every step."""

    params = (IMPLEMENTATIONS, SHAPES, ["exact", "reference"])
    param_names = ("implementation", SHAPE, "gradient")
    version = "1"

    def setup(self, implementation, shape, gradient):
        self.model, self.pair = model(implementation, shape, gradient=gradient), data(shape)
        if implementation == "fastlstm":
            self.time_gradients(implementation, shape, gradient)

    def time_gradients(self, implementation, shape, gradient):
        self.model.back_propagate_through_time(*self.pair)

    time_gradients.pretty_name = "LSTM truncated BPTT"
    time_gradients.unit = "seconds"


class Gates:
    """One gate-gradient update of one step."""

    params = (IMPLEMENTATIONS, GATES, [(100, 32), (256, 64)])
    param_names = ("implementation", "gate", "hidden, input")
    version = "1"

    def setup(self, implementation, gate, sizes):
        hidden, inputs = sizes
        rng = numpy.random.default_rng(0)
        vectors = [rng.standard_normal(hidden) for _ in range(4 if gate == "hidden_filter" else 5)]
        gradients = tuple(numpy.zeros(shape) for shape in ((hidden, inputs), (hidden, hidden), (hidden,)))
        self.arguments = [*vectors, rng.standard_normal(inputs), gradients, None]
        self.method = getattr(model(implementation, (1, inputs, 1, hidden, 0)), f"back_prop_{gate}_gate")
        self.time_update(implementation, gate, sizes)

    def time_update(self, implementation, gate, sizes):
        self.method(*self.arguments)

    time_update.pretty_name = "gate-gradient update"
    time_update.unit = "seconds"


class Reach:
    """Gradients of 100 steps of 100 units against how far they are walked back."""

    params = (DTYPES, [0, 1, 4, 16, 64])
    param_names = ("dtype", "K")
    version = "2"

    def setup(self, dtype, truncate):
        shape = (100, 32, 32, 100, truncate)
        self.model, self.pair = model("fastlstm", shape, dtype), data(shape, dtype)
        self.time_gradients(dtype, truncate)

    def time_gradients(self, dtype, truncate):
        self.model.back_propagate_through_time(*self.pair)

    time_gradients.pretty_name = "LSTM truncated BPTT by K"
    time_gradients.unit = "seconds"


def both(dtype, shape, threads=None):
    """Calls of the kernels and of the oracle, in float64, in pairs: forward, and truncated BPTT."""
    ours, theirs = model("fastlstm", shape, dtype, threads=threads), model("oracle", shape)
    pair, exact = data(shape, dtype), data(shape)
    return (
        (lambda: ours.feed_forward(pair[0]), lambda: theirs.feed_forward(exact[0])),
        (lambda: ours.back_propagate_through_time(*pair), lambda: theirs.back_propagate_through_time(*exact)),
    )


class Ratio:
    """Kernels against the oracle in float64."""

    params = (DTYPES, SHAPES)
    param_names = ("dtype", SHAPE)
    version = "2"

    def setup(self, dtype, shape):
        self.forward, self.truncated_bptt = both(dtype, shape)

    def track_forward(self, dtype, shape):
        return ratio(*self.forward)

    track_forward.pretty_name = "LSTM forward against the oracle"
    track_forward.unit = OF_ORACLE

    def track_truncated_bptt(self, dtype, shape):
        return ratio(*self.truncated_bptt, rounds=3)

    track_truncated_bptt.pretty_name = "LSTM truncated BPTT against the oracle"
    track_truncated_bptt.unit = OF_ORACLE


class KernelRatio:
    """The same on one core, as the oracle is: a second one that is busy with something else is no matter."""

    params = (DTYPES, SHAPES[:3])
    param_names = ("dtype", SHAPE)
    version = "1"

    def setup(self, dtype, shape):
        self.forward, self.truncated_bptt = both(dtype, shape, threads=1)

    def track_forward(self, dtype, shape):
        return ratio(*self.forward, rounds=11)

    track_forward.pretty_name = "LSTM forward on one core against the oracle"
    track_forward.unit = OF_ORACLE

    def track_truncated_bptt(self, dtype, shape):
        return ratio(*self.truncated_bptt)

    track_truncated_bptt.pretty_name = "LSTM truncated BPTT on one core against the oracle"
    track_truncated_bptt.unit = OF_ORACLE


class Batch:
    """Thirty-two sequences in one call against as many calls."""

    params = (["forward", "gradients"], [10, 20, 50, 100])
    param_names = ("computation", "T")
    version = "1"

    def setup(self, computation, steps):
        rng = numpy.random.default_rng(0)
        self.model = model("fastlstm", (steps, 32, 32, 64, 4))
        self.X = rng.standard_normal((32, steps, 32))
        self.Y = numpy.eye(32)[rng.integers(0, 32, (32, steps))]

    def track_batch(self, computation, steps):
        if computation == "forward":
            call = lambda x, y: self.model.feed_forward(x)  # noqa: E731
        else:
            call = self.model.back_propagate_through_time
        pairs = list(zip(self.X, self.Y, strict=True))
        return ratio(lambda: call(self.X, self.Y), lambda: [call(x, y) for x, y in pairs], rounds=15)

    track_batch.pretty_name = "32 sequences in one call against 32 calls"
    track_batch.unit = "time of one call / time of 32 calls"
