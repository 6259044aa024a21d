"""A dense network with sigmoid layers, with the methods of the NumPy class that it stands for."""

import copy
import functools
import itertools
import math
import os
import random
from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

import numpy

import fastlstm_kernels as kernels
from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.engine.cores import useful
from fastlstm.engine.linear import scratch
from fastlstm.model.files import read_model, write_model
from fastlstm.oracle.network import Example, initial_network
from fastlstm.parameters import Buffer

FLOAT64 = numpy.dtype(numpy.float64)


def _places(sizes: Iterable[int]) -> list[slice]:
    """Where arrays of so many elements lie that follow each other."""
    ends = [0, *itertools.accumulate(sizes)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


class NeuralNetwork:
    """Dense feed-forward network with sigmoid layers, trained by mini-batch gradient descent in float64.

    Parameters
    ----------
    sizes : sequence of int
        Width of each layer, input layer first.
    learning_rate : float
        Step, divided by `mini_batch_size` and applied to the gradient summed over a mini-batch.
    mini_batch_size, epochs : int
        Examples in a step, at least 1, and passes over the training data, at least 0.

    Attributes
    ----------
    num_layers : int
    weights : list of arrays
        (sizes[l], sizes[l - 1]) for each layer l; weights[0] is a placeholder. Drawn from NumPy's global legacy
        generator, standard normal, before the biases.
    biases : list of arrays
        (sizes[l], 1) for each layer; biases[0] is a placeholder, drawn all the same.

    Notes
    -----
    Arrays in the lists may be changed in place or replaced, by others of their shape: the next call sees it. A
    replacement is copied, so later changes of the array it came from are not seen.
    """

    def __init__(
        self, sizes: Sequence[int] = (), learning_rate: float = 1.0, mini_batch_size: int = 16, epochs: int = 10
    ) -> None:
        self.learning_rate, self.mini_batch_size, self.epochs = learning_rate, mini_batch_size, epochs
        self._settings()
        self.weights: list[Array]
        self.biases: list[Array]
        self._build([checks.integer("sizes", size, 1) for size in sizes])
        self.weights, self.biases = initial_network(self._sizes)
        self._parameters()

    def _settings(self) -> dict[str, Any]:
        """The settings, checked, for they are plain attributes."""
        return {
            "learning_rate": checks.real("learning_rate", self.learning_rate),
            "mini_batch_size": checks.integer("mini_batch_size", self.mini_batch_size, 1),
            "epochs": checks.integer("epochs", self.epochs, 0),
        }

    @staticmethod
    def _shapes(sizes: list[int]) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters, in the order of the flat buffer."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(1, len(sizes)):
            shapes[f"weights[{layer}]"] = (sizes[layer], sizes[layer - 1])
            shapes[f"biases[{layer}]"] = (sizes[layer], 1)
        return shapes

    def _build(self, sizes: list[int]) -> None:
        self.sizes, self.num_layers, self._sizes = list(sizes), len(sizes), list(sizes)
        shapes = self._shapes(sizes)
        self._buffer = Buffer(shapes, FLOAT64)
        views = self._buffer.views
        self.weights = [numpy.zeros(1), *views[::2]]
        self.biases = [*(numpy.zeros((n, 1)) for n in sizes[:1]), *views[1::2]]
        self._taken: tuple[list[Array], list[Array]] = [], []  # the lists as `_parameters` has left them
        self._widths = numpy.array(sizes, numpy.intp)
        places = _places(map(math.prod, shapes.values()))
        self._matrices, self._columns = [*zip(places[::2], [*shapes.values()][::2], strict=True)], places[1::2]
        places, self._total = _places([*sizes, *sizes]), sum(sizes)
        self._layers = places[: len(sizes)], places[len(sizes) :]  # where zs and activations lie
        self._show(numpy.zeros((2 * self._total, 1)))

    def _parameters(self) -> Array:
        """The flat parameters, after taking over arrays that were put into `weights` or `biases`."""
        weights, biases, taken = self.weights, self.biases, self._taken
        if (
            type(weights) is list and len(weights) == len(taken[0]) and all(map(is_, weights, taken[0]))
            and type(biases) is list and len(biases) == len(taken[1]) and all(map(is_, biases, taken[1]))
        ):
            return self._buffer.flat
        views, count = self._buffer.views, len(self._sizes)
        self.weights, self.biases = list(weights), list(biases)
        found = {}
        for name, arrays in (("weights", self.weights), ("biases", self.biases)):
            if len(arrays) != max(count, name == "weights"):
                raise ValueError(f"{name} must hold {count} arrays, got {len(arrays)}")
            for layer in range(1, len(arrays)):
                key = f"{name}[{layer}]"
                view = self._buffer[key]
                if arrays[layer] is not view:  # it may be the view of another layer: copy all before writing any
                    found[key] = checks.shaped_array(key, arrays[layer], view.shape, view.dtype).copy()
        for key, value in found.items():
            self._buffer[key][...] = value
        self.weights[1:], self.biases[1:] = views[::2], views[1::2]
        self._taken = list(self.weights), list(self.biases)  # the placeholders too
        return self._buffer.flat

    def _column(self, name: str, value: Any, layer: int) -> Array:
        if not self._sizes:
            raise ValueError("the network has no layers: give sizes, or load a file")
        return checks.shaped_array(name, value, (self._sizes[layer], 1), FLOAT64)

    def _forward_prop(self, x: Any) -> None:
        """Run one example x (sizes[0], 1) and fill `_zs` and `_activations`, one (sizes[l], 1) array a layer."""
        column, flat = self._column("x", x, 0), self._parameters()
        values = numpy.empty((2 * self._total, 1))
        kernels.example_forward(self._widths, flat, column, values, scratch(1, FLOAT64))
        self._show(values)

    def _show(self, values: Array) -> None:
        """Let `_zs` and `_activations` be those of an example."""
        self._example = values
        self.__dict__.pop("_zs", None)
        self.__dict__.pop("_activations", None)

    @functools.cached_property
    def _zs(self) -> list[Array]:
        return [self._example[place] for place in self._layers[0]]

    @functools.cached_property
    def _activations(self) -> list[Array]:
        return [self._example[place] for place in self._layers[1]]

    def _back_prop(self, x: Any, y: Any) -> tuple[list[Array], list[Array]]:
        """Gradients of ½ Σ (a - y)² for the example last given to `_forward_prop`.

        Parameters
        ----------
        x : array
            That example; not used.
        y : (sizes[-1], 1) array
            Its target.

        Returns
        -------
        nabla_b, nabla_w : lists of arrays
            Aligned with `biases` and `weights`; zero for layer 0.
        """
        target, flat = self._column("y", y, -1), self._parameters()
        gradients = numpy.empty((flat.size, 1))
        kernels.example_backward(self._widths, flat, self._values(), target, gradients, scratch(1, FLOAT64))
        nabla_w = [gradients[place].reshape(shape) for place, shape in self._matrices]
        nabla_b = [gradients[place] for place in self._columns]
        return [numpy.zeros((self._sizes[0], 1)), *nabla_b], [numpy.zeros(1), *nabla_w]

    def _values(self) -> Array:
        """The example's column; a new one if somebody has looked at `_activations`, for they may have been replaced."""
        if "_activations" not in self.__dict__:
            return self._example
        return numpy.concatenate(2 * self._activations, axis=None).reshape(-1, 1)

    def fit(self, training_data: Iterable[Example], validation_data: Iterable[Example] | None = None) -> None:
        """Train, `epochs` times over the data in an order shuffled by Python's `random`.

        Parameters
        ----------
        training_data : iterable of (x, y)
            Columns (sizes[0], 1) and (sizes[-1], 1). All are checked before anything is changed.
        validation_data : iterable of (x, label), optional
            As for `validate`; the number right is printed after every epoch.

        Notes
        -----
        Each mini-batch is one call of a kernel, 6 flops per example and weight.
        """
        examples = [(self._column("x", x, 0), self._column("y", y, -1)) for x, y in training_data]
        held_out = None
        if validation_data is not None:
            held_out = [(self._column("x", x, 0), label) for x, label in validation_data]
        settings = self._settings()
        if not examples:
            return
        count, size = len(examples), settings["mini_batch_size"]
        X, Y = (numpy.concatenate([e[k] for e in examples]).reshape(count, -1) for k in (0, 1))
        flat, order, many = self._parameters(), list(range(count)), min(count, size)
        gradients, step = numpy.empty_like(flat), settings["learning_rate"] / size
        values = numpy.empty((2, many * sum(self._sizes)))
        for epoch in range(settings["epochs"]):
            random.shuffle(order)
            for start in range(0, count, size):
                chosen = order[start : start + size]
                n = len(chosen)
                activations, errors = values[:, : n * sum(self._sizes)]
                activations[: n * self._sizes[0]] = X[chosen].ravel()
                workers = useful(None, 2 * n * flat.size)
                kernels.network_gradients(
                    self._widths, flat, n, Y[chosen].ravel(), activations, errors, gradients,
                    scratch(workers, FLOAT64), workers,
                )
                flat -= step * gradients
            if held_out is not None:
                print(f"epoch {epoch + 1}: {self.validate(held_out)} of {len(held_out)} right")

    def predict(self, x: Any) -> int:
        """Argmax of the output for one example x (sizes[0], 1)."""
        self._forward_prop(x)
        return int(self._example[-self._sizes[-1] :].argmax())

    def validate(self, data: Iterable[tuple[Any, Any]]) -> int:
        """How many of the examples (x, label) are predicted right; a label is an int or a one-hot column."""
        right = 0
        for x, label in data:
            wanted = int(label) if numpy.ndim(label) == 0 else int(numpy.argmax(label))
            right += self.predict(x) == wanted
        return right

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters and settings to a NumPy archive; ".npz" is added to the name where it is missing."""
        self._parameters()
        arrays = {**self._buffer, "biases[0]": self.biases[0]} if self._sizes else {}
        write_model(path, "NeuralNetwork", self._settings() | {"sizes": self._sizes}, arrays)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take sizes, parameters and settings from a file that `save` wrote.

        Raises
        ------
        OSError, ValueError
            The file cannot be read, or holds something else; the network stays as it is.
        """
        settings, arrays = read_model(path, "NeuralNetwork")
        try:
            sizes = [checks.integer("sizes", size, 1) for size in settings["sizes"]]
            shapes = self._shapes(sizes) | ({"biases[0]": (sizes[0], 1)} if sizes else {})
            found = {name: checks.shaped_array(name, arrays[name], shape, FLOAT64) for name, shape in shapes.items()}
            kept = [settings[name] for name in ("learning_rate", "mini_batch_size", "epochs")]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} does not hold a whole NeuralNetwork: {error}") from None
        self.learning_rate, self.mini_batch_size, self.epochs = kept
        self._build(sizes)
        self.biases[:1] = [found.pop("biases[0]")] if sizes else []
        for name, value in found.items():
            self._buffer.assign(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_taken": ([], [])}  # arrays of a copy are no views until they are taken over

    def copy(self) -> "NeuralNetwork":
        """An independent network with the same parameters and settings."""
        return copy.deepcopy(self)

    __copy__ = copy

    def __repr__(self) -> str:
        return (
            f"NeuralNetwork({self._sizes}, learning_rate={self.learning_rate}, "
            f"mini_batch_size={self.mini_batch_size}, epochs={self.epochs})"
        )
