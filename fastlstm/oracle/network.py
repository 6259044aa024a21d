"""A dense feed-forward network with sigmoid layers in plain NumPy, one example at a time.

After Rumelhart, Hinton & Williams (1986): z_l = W_l a_{l-1} + b_l and a_l = σ(z_l), squared error ½ Σ (a - y)².
"""

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy

from fastlstm.oracle.activations import Array, sigmoid, sigmoid_prime

Example: TypeAlias = tuple[Array, Array]


def initial_network(sizes: Sequence[int]) -> tuple[list[Array], list[Array]]:
    """Draw weights, then biases, standard normal from NumPy's global legacy generator.

    Parameters
    ----------
    sizes : sequence of int
        Width of each layer, input layer first.

    Returns
    -------
    weights : list of arrays
        A placeholder, then (sizes[l], sizes[l - 1]) for each later layer.
    biases : list of arrays
        (sizes[l], 1) for each layer; the first is a placeholder too, drawn all the same.
    """
    weights = [numpy.zeros(1)] + [numpy.random.randn(m, n) for n, m in pairwise(sizes)]
    return weights, [numpy.random.randn(n, 1) for n in sizes]


class NeuralNetwork:
    """Dense network trained by stochastic gradient descent.

    Parameters
    ----------
    sizes : sequence of int
        Width of each layer, input layer first.
    learning_rate : float
        Step, divided by `mini_batch_size` and applied to the gradient summed over a mini-batch.
    mini_batch_size, epochs : int
        Examples in a step, and passes over the training data.
    """

    def __init__(
        self, sizes: Sequence[int] = (), learning_rate: float = 1.0, mini_batch_size: int = 16, epochs: int = 10
    ) -> None:
        self.sizes, self.num_layers = sizes, len(sizes)
        self.learning_rate, self.mini_batch_size, self.epochs = learning_rate, mini_batch_size, epochs
        self.weights, self.biases = initial_network(sizes)
        self._zs = [numpy.zeros((n, 1)) for n in sizes]
        self._activations = [numpy.zeros((n, 1)) for n in sizes]

    def _forward_prop(self, x: Array) -> None:
        """Fill `_zs` and `_activations` for one example x (sizes[0], 1)."""
        self._activations[0] = x
        for l in range(1, self.num_layers):  # noqa: E741 (the layer)
            self._zs[l] = self.weights[l].dot(self._activations[l - 1]) + self.biases[l]
            self._activations[l] = sigmoid(self._zs[l])

    def _back_prop(self, x: Array, y: Array) -> tuple[list[Array], list[Array]]:
        """Gradients of ½ Σ (a - y)² for the example last given to `_forward_prop`.

        Returns
        -------
        nabla_b, nabla_w : lists of arrays
            Aligned with `biases` and `weights`; zero for layer 0.
        """
        nabla_b = [numpy.zeros(b.shape) for b in self.biases]
        nabla_w = [numpy.zeros(w.shape) for w in self.weights]
        for l in range(self.num_layers - 1, 0, -1):  # noqa: E741
            above = self._activations[-1] - y if l == self.num_layers - 1 else self.weights[l + 1].T.dot(nabla_b[l + 1])
            nabla_b[l] = above * sigmoid_prime(self._zs[l])
            nabla_w[l] = nabla_b[l].dot(self._activations[l - 1].T)
        return nabla_b, nabla_w

    def fit(self, training_data: Sequence[Example], validation_data: Iterable[Example] | None = None) -> None:
        """Train on (x (sizes[0], 1), y (sizes[-1], 1)) pairs, shuffled by `random` before each epoch."""
        examples = list(training_data)
        for _ in range(self.epochs):
            random.shuffle(examples)
            for start in range(0, len(examples), self.mini_batch_size):
                total_b = [numpy.zeros(b.shape) for b in self.biases]
                total_w = [numpy.zeros(w.shape) for w in self.weights]
                for x, y in examples[start : start + self.mini_batch_size]:
                    self._forward_prop(x)
                    nabla_b, nabla_w = self._back_prop(x, y)
                    total_b = [total + n for total, n in zip(total_b, nabla_b, strict=True)]
                    total_w = [total + n for total, n in zip(total_w, nabla_w, strict=True)]
                step = self.learning_rate / self.mini_batch_size
                self.weights = [w - step * n for w, n in zip(self.weights, total_w, strict=True)]
                self.biases = [b - step * n for b, n in zip(self.biases, total_b, strict=True)]

    def predict(self, x: Array) -> int:
        """Argmax of the output for one example."""
        self._forward_prop(x)
        return int(numpy.argmax(self._activations[-1]))
