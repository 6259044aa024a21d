"""The layer: inference, a training step, frame by frame; beside PyTorch and ONNX Runtime where they are installed."""

from .common import DTYPES, OF_LIMIT, REST, limit_distance, ratio
from .peers import PEERS, layer

SHAPES = [
    (20, 1, 8, 16), (100, 1, 32, 100), (1000, 1, 64, 256), (5000, 1, 16, 64), (50, 32, 64, 64), (100, 32, 128, 256),
    (100, 64, 512, 512),
]
"""T, batch, input, hidden: tiny, one sequence, one with many weights, a long one; batches of small, medium, large."""
SIZES = [(8, 16), (32, 64), (64, 128), (64, 256)]
"""Input, hidden."""
SHAPE, SIZE, OF_PEER = "T, batch, input, hidden", "input, hidden", "fastlstm time / peer time"


class Layer:
    """A sequence in one call, and its gradients: forward, zeroed gradients, backward."""

    params = (DTYPES, SHAPES)
    param_names = ("dtype", SHAPE)
    version = "2"

    def setup(self, dtype, shape):
        self.made = layer("fastlstm", dtype, shape)
        self.made.train()

    def time_forward(self, dtype, shape):
        self.made.forward()

    time_forward.pretty_name = "layer forward"
    time_forward.unit = "seconds"

    def time_training(self, dtype, shape):
        self.made.train()

    time_training.pretty_name = "layer training step"
    time_training.unit = "seconds"


class Threads:
    """One thread, or as many as there are."""

    params = (["1", "all"], DTYPES, [(1000, 1, 64, 256), (100, 32, 128, 256)])
    param_names = ("threads", "dtype", SHAPE)
    version = "1"

    def setup(self, threads, dtype, shape):
        self.made = layer("fastlstm", dtype, shape, 1 if threads == "1" else None)
        self.made.train()

    def time_training(self, threads, dtype, shape):
        self.made.train()

    time_training.pretty_name = "layer training step by threads"
    time_training.unit = "seconds"


class Frame:
    """One time step of one sequence, the state carried on."""

    params = (DTYPES, SIZES)
    param_names = ("dtype", SIZE)
    version = "3"

    def setup(self, dtype, sizes):
        self.made = layer("fastlstm", dtype, (1, 1, *sizes))
        self.made.step()

    def time_step(self, dtype, sizes):
        self.made.step()

    time_step.pretty_name = "layer frame step"
    time_step.unit = "seconds"


class Memory:
    """The whole process, imports included."""

    params = (["fastlstm", "torch"], [(100, 64, 512, 512)])
    param_names = ("implementation", SHAPE)
    version = "1"

    def setup(self, implementation, shape):
        self.made = layer(implementation, "float32", shape)

    def peakmem_training(self, implementation, shape):
        self.made.train()

    peakmem_training.pretty_name = "peak memory of a layer training step, float32"
    peakmem_training.unit = "bytes"


class LayerRatio:
    """Sequences against a peer."""

    params = (PEERS, DTYPES, SHAPES)
    param_names = ("peer", "dtype", SHAPE)
    version = "3"

    def setup(self, peer, dtype, shape):
        self.ours, self.peers = (layer(implementation, dtype, shape) for implementation in ("fastlstm", peer))

    def track_forward(self, peer, dtype, shape):
        return ratio(self.ours.forward, self.peers.forward, rounds=11, rest=REST)

    track_forward.pretty_name = "layer forward against peers"
    track_forward.unit = OF_PEER

    def track_training(self, peer, dtype, shape):
        return ratio(self.ours.train, self.peers.train, rest=REST)

    track_training.params = (["torch"], DTYPES, SHAPES)
    track_training.pretty_name = "layer training step against peers"
    track_training.unit = OF_PEER


class FrameRatio:
    """A thousand steps against as many of a peer: one is too short for the clock."""

    params = (PEERS, DTYPES, SIZES)
    param_names = ("peer", "dtype", SIZE)
    version = "4"

    def setup(self, peer, dtype, sizes):
        self.ours, self.peers = (layer(implementation, dtype, (1, 1, *sizes)) for implementation in ("fastlstm", peer))

    def track_step(self, peer, dtype, sizes):
        ours, peers = self.ours.step, self.peers.step
        return ratio(lambda: [ours() for _ in range(1000)], lambda: [peers() for _ in range(1000)], rest=REST)

    track_step.pretty_name = "layer frame step against peers"
    track_step.unit = OF_PEER


class Limit:
    """How far from what the machine's multipliers can do: 1 is the arithmetic alone, at NumPy's best speed."""

    params = (DTYPES, SHAPES)
    param_names = ("dtype", SHAPE)
    version = "2"

    def setup(self, dtype, shape):
        self.made = layer("fastlstm", dtype, shape)
        steps, batch, inputs, hidden = shape
        self.flops = 8 * steps * batch * hidden * (inputs + hidden)

    def track_forward(self, dtype, shape):
        return limit_distance(self.made.forward, self.flops, dtype)

    track_forward.pretty_name = "layer forward, distance to the limit"
    track_forward.unit = OF_LIMIT

    def track_training(self, dtype, shape):
        return limit_distance(self.made.train, 3 * self.flops, dtype)

    track_training.pretty_name = "layer training step, distance to the limit"
    track_training.unit = OF_LIMIT
