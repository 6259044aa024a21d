"""The dense network: a mini-batch's gradients."""

import random

import numpy

from fastlstm import compat, oracle

from .common import IMPLEMENTATIONS, OF_ORACLE, ratio

SIZES = [(64, 32, 10), (784, 128, 10)]


def network(implementation, sizes):
    numpy.random.seed(0)
    kind = compat.NeuralNetwork if implementation == "fastlstm" else oracle.NeuralNetwork
    return kind(sizes, epochs=1)


def examples(sizes):
    rng = numpy.random.default_rng(0)
    return [(rng.standard_normal((sizes[0], 1)), rng.random((sizes[-1], 1))) for _ in range(128)]


class Network:
    """One epoch of 128 examples in mini-batches of 16."""

    params = (IMPLEMENTATIONS, SIZES)
    param_names = ("implementation", "layers")
    version = "1"

    def setup(self, implementation, sizes):
        self.network, self.data = network(implementation, sizes), examples(sizes)
        random.seed(0)
        self.time_fit(implementation, sizes)

    def time_fit(self, implementation, sizes):
        self.network.fit(self.data)

    time_fit.pretty_name = "dense network, 8 mini-batches"
    time_fit.unit = "seconds"


class NetworkRatio:
    """The same against the oracle."""

    params = (SIZES,)
    param_names = ("layers",)
    version = "1"

    def setup(self, sizes):
        self.networks, self.data = [network(name, sizes) for name in IMPLEMENTATIONS], examples(sizes)

    def track_fit(self, sizes):
        ours, oracles = self.networks
        return ratio(lambda: ours.fit(self.data), lambda: oracles.fit(self.data))

    track_fit.pretty_name = "dense network against the oracle"
    track_fit.unit = OF_ORACLE
