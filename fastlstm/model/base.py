"""What a model is: sizes, settings, parameters and state, and how they are checked, copied and stored."""

import copy
import os
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import numpy
import numpy.typing

from fastlstm import checks
from fastlstm.activations import name_of, resolve, with_jacobian
from fastlstm.checks import Array
from fastlstm.model.compiled import Compiled
from fastlstm.model.fallback import Fallback
from fastlstm.model.files import read_model, write_model
from fastlstm.oracle.lstm import GATES, initial_parameters
from fastlstm.parameters import Buffer, View

LOSSES = ("cross_entropy", "squared_error")
SETTINGS = ("bptt_truncate", "bptt_stride", "learning_rate", "loss_func", "gradient")
Self = TypeVar("Self", bound="Model")


class Model:
    """Base of `LSTM`, which documents the parameters."""

    W_f, W_i, W_c, W_hf = View(), View(), View(), View()
    U_f, U_i, U_c, U_hf = View(), View(), View(), View()
    b_f, b_i, b_c, b_hf = View(), View(), View(), View()
    W_o, b_o = View(), View()

    def __init__(
        self,
        input_size: int,
        output_size: int,
        hidden_size: int = 100,
        seed: Any = None,
        afuncs: Sequence[Any] | None = None,
        afunc_primes: Sequence[Any] | None = None,
        bptt_truncate: int | None = 4,
        learning_rate: float = 0.005,
        loss_func: str | None = None,
        *,
        gradient: Literal["exact", "reference"] = "exact",
        dtype: numpy.typing.DTypeLike = numpy.float64,
        n_threads: int | None = None,
        bptt_stride: int = 1,
    ) -> None:
        self._sizes = (
            checks.integer("input_size", input_size, 1),
            checks.integer("output_size", output_size, 1),
            checks.integer("hidden_size", hidden_size, 1),
        )
        self._dtype = checks.float_dtype(dtype)
        self._gradient = checks.choice("gradient", gradient, ("exact", "reference"))
        self.bptt_truncate, self.bptt_stride = bptt_truncate, bptt_stride
        self.learning_rate, self.n_threads = learning_rate, n_threads
        own = type(self).__init__ is Model.__init__  # else a subclass's stands between here and the caller
        self._activations = resolve(afuncs, afunc_primes, 3 if own else 4)
        self._loss_func = self._declared_loss(loss_func)
        drawn = initial_parameters(*self._sizes, seed)
        order = [kind + "_" + g for kind in "WUb" for g in GATES] + ["W_o", "b_o"]
        self._parameters = Buffer({name: drawn[name].shape for name in order}, self._dtype)
        for name, value in drawn.items():
            self._parameters.assign(name, value)
        self._gradients = self._parameters.empty_like()
        self._compiled = Compiled(self._parameters)
        self._state: tuple[Array, Array] | None
        self.reset()

    def _declared_loss(self, loss_func: Any) -> str:
        softmax, known = self._activations.softmax_output, self._activations.codes is not None
        if loss_func is None:
            return LOSSES[0] if softmax or self._gradient == "reference" else LOSSES[1]
        chosen = checks.choice("loss_func", loss_func, LOSSES)
        if chosen == "cross_entropy" and known and not softmax and self._gradient == "exact":
            raise ValueError('loss_func="cross_entropy" needs a softmax output; afuncs[2] is another function')
        return chosen

    input_size = property(lambda self: self._sizes[0], doc="Features of a time step.")
    output_size = property(lambda self: self._sizes[1], doc="Features of an output.")
    hidden_size = property(lambda self: self._sizes[2], doc="Hidden units.")
    dtype = property(lambda self: self._dtype, doc="Of parameters, states and results.")
    gradient = property(lambda self: self._gradient, doc='"exact" or "reference".')
    loss_func = property(lambda self: self._loss_func, doc='"cross_entropy" or "squared_error".')
    afuncs = property(lambda self: self._activations.functions, doc="The activation functions a0, a1, a2.")
    afunc_primes = property(lambda self: self._activations.primes, doc="Their derivatives, or None.")
    parameters = property(lambda self: self._parameters, doc="All parameters, in one flat buffer.")
    gradients = property(lambda self: self._gradients, doc="A buffer like `parameters`, for `out`.")

    @property
    def bptt_truncate(self) -> int | None:
        """How many steps back each time step's error is walked; None for all."""
        return self._truncate

    @bptt_truncate.setter
    def bptt_truncate(self, value: int | None) -> None:
        self._truncate = checks.optional_integer("bptt_truncate", value, 0)

    @property
    def bptt_stride(self) -> int:
        """Steps whose errors are walked back together."""
        return self._stride

    @bptt_stride.setter
    def bptt_stride(self, value: int) -> None:
        self._stride = checks.integer("bptt_stride", value, 1)

    @property
    def learning_rate(self) -> float:
        """Step of `train`."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = checks.real("learning_rate", value)

    @property
    def n_threads(self) -> int | None:
        """At most so many threads; None for Numba's number."""
        return self._n_threads

    @n_threads.setter
    def n_threads(self, value: int | None) -> None:
        self._n_threads = checks.optional_integer("n_threads", value, 1)

    @property
    def S(self) -> Array:
        """Cell state, (hidden,)."""
        state: Array = self._states()[1][0]
        return state

    @S.setter
    def S(self, value: Any) -> None:
        given = checks.shaped_array("S", value, (self.hidden_size,), self.dtype)
        self._state = self._states()[0], given[None].copy()

    @property
    def h_t(self) -> Array:
        """Hidden state, (hidden,)."""
        state: Array = self._states()[0][0]
        return state

    @h_t.setter
    def h_t(self, value: Any) -> None:
        given = checks.shaped_array("h_t", value, (self.hidden_size,), self.dtype)
        self._state = given[None].copy(), self._states()[1]

    def reset(self) -> None:
        """Set the cell state S and the hidden state h_t to zero."""
        self._state = None

    def _states(self) -> tuple[Array, Array]:
        """Hidden and cell state, (1, hidden); zeros are made when somebody asks for them."""
        if self._state is None:
            h, c = numpy.zeros((2, 1, self.hidden_size), self.dtype)
            self._state = h, c
        return self._state

    def copy(self: Self) -> Self:
        """An independent model with the same parameters, gradients, state and settings."""
        return copy.deepcopy(self)

    __copy__ = copy

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters, state and settings to a NumPy archive, replacing the file in one step.

        Parameters
        ----------
        path : path
            Of the file; ".npz" is added where it is missing.

        Raises
        ------
        ValueError
            The model has custom activation functions, which a file cannot hold. Pickle it instead.
        """
        names = [name_of(f) for f in self.afuncs]
        if self._activations.codes is None or None in names:
            raise ValueError(f"a model with custom activation functions cannot be saved, only pickled: {names}")
        settings = {name: getattr(self, name) for name in SETTINGS}
        settings |= {"sizes": self._sizes, "afuncs": names, "dtype": self.dtype.name}
        settings["jacobian"] = self._activations.jacobian
        write_model(path, "LSTM", settings, {**self.parameters, "S": self.S, "h_t": self.h_t})

    @classmethod
    def load(cls: type[Self], path: str | os.PathLike[str]) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : path
            Of the file; ".npz" is added where it is missing.

        Returns
        -------
        LSTM

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It does not hold a model of this kind.
        """
        settings, arrays = read_model(path, "LSTM")
        try:
            input_size, output_size, hidden_size = settings.pop("sizes")
            if settings.pop("jacobian"):
                settings["afunc_primes"] = with_jacobian(settings["afuncs"])
            model = cls(input_size, output_size, hidden_size, **settings)
            for name in model.parameters:
                model.parameters.assign(name, arrays[name])
            model.S, model.h_t = arrays["S"], arrays["h_t"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} does not hold a whole LSTM: {error}") from None
        return model

    def _fallback(self, for_gradients: bool = False) -> Fallback:
        """The model's computations through NumPy."""
        if for_gradients and self.afunc_primes is None:
            raise ValueError("afunc_primes must be given for gradients through custom activation functions")
        return Fallback(
            self.parameters, self._activations, self.bptt_truncate, self.bptt_stride, self.gradient, self.loss_func
        )

    def __repr__(self) -> str:
        names = [getattr(f, "__name__", repr(f)) for f in self.afuncs]
        return (
            f"{type(self).__name__}({self.input_size}, {self.output_size}, hidden_size={self.hidden_size}, "
            f"afuncs={names}, bptt_truncate={self.bptt_truncate}, learning_rate={self.learning_rate}, "
            f"loss_func={self.loss_func!r}, gradient={self.gradient!r}, dtype={self.dtype.name}, "
            f"n_threads={self.n_threads}, bptt_stride={self.bptt_stride})"
        )
