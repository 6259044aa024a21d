"""How near a layer comes to what the machine can do, by units and by batch, and what a step costs by their number."""

from .common import OF_LIMIT, limit_distance
from .peers import layer

ROUNDS = 5


class ByUnits:
    """Fifty steps of 32 sequences in float32, as many inputs as units."""

    params = ([16, 24, 32, 48, 64, 96, 100, 128, 192, 256],)
    param_names = ("units",)
    version = "1"

    def setup(self, units):
        self.made, self.flops = layer("fastlstm", "float32", (50, 32, units, units)), 16 * 50 * 32 * units**2

    def track_forward(self, units):
        return limit_distance(self.made.forward, self.flops, "float32", ROUNDS)

    track_forward.pretty_name = "layer forward by units, distance to the limit"
    track_forward.unit = OF_LIMIT

    def track_training(self, units):
        return limit_distance(self.made.train, 3 * self.flops, "float32", ROUNDS)

    track_training.pretty_name = "layer training step by units, distance to the limit"
    track_training.unit = OF_LIMIT


class ByBatch:
    """Fifty steps of 128 units in float32, as many inputs."""

    params = ([1, 2, 4, 8, 16, 32],)
    param_names = ("batch",)
    version = "1"

    def setup(self, batch):
        self.made, self.flops = layer("fastlstm", "float32", (50, batch, 128, 128)), 16 * 50 * batch * 128**2

    def track_forward(self, batch):
        return limit_distance(self.made.forward, self.flops, "float32", ROUNDS)

    track_forward.pretty_name = "layer forward by batch, distance to the limit"
    track_forward.unit = OF_LIMIT

    def track_training(self, batch):
        return limit_distance(self.made.train, 3 * self.flops, "float32", ROUNDS)

    track_training.pretty_name = "layer training step by batch, distance to the limit"
    track_training.unit = OF_LIMIT


class BySteps:
    """Four sequences of so many steps in float32, 64 inputs and units."""

    params = ([10, 100, 1000, 10_000, 100_000],)
    param_names = ("T",)
    version = "1"

    def setup(self, steps):
        self.made = layer("fastlstm", "float32", (steps, 4, 64, 64))
        self.made.forward()

    def time_forward(self, steps):
        self.made.forward()

    time_forward.pretty_name = "layer forward by steps"
    time_forward.unit = "seconds"
