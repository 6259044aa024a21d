"""An LSTM with an output layer in plain NumPy: what every kernel is tested and benchmarked against.

Meant to be read beside Hochreiter & Schmidhuber (1997), Gers, Schmidhuber & Cummins (2000) for the forget gate and
Williams & Peng (1990) for truncated back-propagation through time. One step, x the input and h the hidden state::

    F  = σ(W_f x + U_f h + b_f)        forget gate
    I  = σ(W_i x + U_i h + b_i)        input gate
    C  = a0(W_c x + U_c h + b_c)       candidate
    S  = F∘S + I∘C                     cell state
    Hf = σ(W_hf x + U_hf h + b_hf)     hidden filter (output gate)
    h  = Hf∘a1(S)
    O  = a2(W_o h + b_o)

It goes step by step and window by window, with no batching, as such classes usually do.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy
import numpy.typing

from fastlstm.oracle import activations as af
from fastlstm.oracle.activations import Array

Function: TypeAlias = Callable[[Array], Any]
GateGradient: TypeAlias = tuple[Array, Array, Array]
Gradients: TypeAlias = tuple[GateGradient, GateGradient, GateGradient, GateGradient, tuple[Array, Array], Array]

GATES = ("f", "i", "c", "hf")


def initial_parameters(input_size: int, output_size: int, hidden_size: int, seed: Any) -> dict[str, Array]:
    """Draw the parameters from NumPy's legacy generator, uniform on [-1, 1); the forget gate's bias is one.

    Parameters
    ----------
    input_size, output_size, hidden_size : int
        Sizes of the model.
    seed : int, array of int or None
        As `numpy.random.RandomState` takes it.

    Returns
    -------
    dict of str to float64 array
        W_g (hidden, input), U_g (hidden, hidden), b_g (hidden,) for each gate g, W_o (output, hidden), b_o (output,).
    """
    draw = numpy.random.RandomState(seed)
    parameters = {}
    for g in GATES:
        parameters["W_" + g] = draw.uniform(-1.0, 1.0, (hidden_size, input_size))
        parameters["U_" + g] = draw.uniform(-1.0, 1.0, (hidden_size, hidden_size))
        parameters["b_" + g] = numpy.ones(hidden_size) if g == "f" else draw.uniform(-1.0, 1.0, hidden_size)
    parameters["W_o"] = draw.uniform(-1.0, 1.0, (output_size, hidden_size))
    parameters["b_o"] = draw.uniform(-1.0, 1.0, output_size)
    return parameters


def loss(kind: str, Os: Array, Y: Array) -> Array:
    """Loss of each time step, of complex numbers for complex ones.

    Parameters
    ----------
    kind : {"cross_entropy", "squared_error"}
        -log O[t, argmax Y[t]], or ½ Σ (O[t] - Y[t])².
    Os, Y : (T, output) arrays
        Outputs and targets.

    Returns
    -------
    (T,) array
    """
    if kind == "squared_error":
        error = Os.astype(numpy.result_type(Os, numpy.float64)) - Y
        return numpy.asarray(0.5 * numpy.sum(error**2, axis=-1))
    with numpy.errstate(divide="ignore"):
        return numpy.asarray(-numpy.log(Os[_labels(Y)]))


def loss_of_logits(logits: Array, Y: Array) -> Array:
    """Cross-entropy of each time step's softmax: of small outputs, logits tell what the outputs have no digits for.

    Parameters
    ----------
    logits, Y : (T, output) arrays
        Pre-activations of the outputs, and targets.

    Returns
    -------
    (T,) array
    """
    logits = logits.astype(numpy.result_type(logits, numpy.float64))
    top = numpy.max(numpy.real(logits), axis=-1, keepdims=True)
    return numpy.asarray(numpy.log(numpy.sum(numpy.exp(logits - top), axis=-1)) - (logits[_labels(Y)] - top[:, 0]))


def _labels(Y: Array) -> tuple[Array, Array]:
    return numpy.arange(len(Y)), numpy.argmax(numpy.real(Y), axis=-1)


class LSTM:
    """LSTM with an output layer.

    Parameters
    ----------
    input_size, output_size, hidden_size : int
        Sizes of x, O and h.
    seed : int, array of int or None
        Of the initial parameters; see `initial_parameters`.
    afuncs : sequence of 3 callables, optional
        a0, a1, a2; tanh, tanh and softmax by default.
    afunc_primes : sequence of 3 callables, optional
        Their derivatives as functions of the same argument. The third may return a Jacobian (T, output, output).
    bptt_truncate : int or None
        K: how many steps before its group the errors of a group of steps are walked back; None for all.
    learning_rate : float
        Step of `train`.
    loss_func : {"cross_entropy", "squared_error"}, optional
        The loss; by default cross-entropy where a2 is softmax, or with the "reference" gradient, else squared error.
    gradient : {"exact", "reference"}
        "exact" is the gradient of the loss, summed over time steps, with the state before each window a constant.
        "reference" is what the classes in use today compute: they send the hidden filter's delta itself one step
        back instead of its product with U_hf, leave its share out of the input gradient, and take the elementwise
        derivative of a2 whatever the loss.
    dtype : dtype
        Of parameters and results.
    bptt_stride : int
        k: how many steps a group has. BPTT(h; h') of Williams & Peng (1990), section 4, with h = K + k and h' = k.

    Attributes
    ----------
    W_g, U_g, b_g : (hidden, input), (hidden, hidden) and (hidden,) arrays
        Weights of the gates g = f, i, c, hf.
    W_o, b_o : (output, hidden) and (output,) arrays
        Weights of the output layer.
    S, h_t : (hidden,) arrays
        Cell and hidden state.
    """

    W_f: Array
    U_f: Array
    b_f: Array
    W_i: Array
    U_i: Array
    b_i: Array
    W_c: Array
    U_c: Array
    b_c: Array
    W_hf: Array
    U_hf: Array
    b_hf: Array
    W_o: Array
    b_o: Array

    def __init__(
        self,
        input_size: int,
        output_size: int,
        hidden_size: int = 100,
        seed: Any = None,
        afuncs: Sequence[Function] | None = None,
        afunc_primes: Sequence[Function] | None = None,
        bptt_truncate: int | None = 4,
        learning_rate: float = 0.005,
        loss_func: str | None = None,
        *,
        gradient: Literal["exact", "reference"] = "exact",
        dtype: numpy.typing.DTypeLike = numpy.float64,
        bptt_stride: int = 1,
    ) -> None:
        self.input_size, self.output_size, self.hidden_size = input_size, output_size, hidden_size
        self.afuncs = [af.tanh, af.tanh, af.softmax] if afuncs is None else list(afuncs)
        self.afunc_primes = (
            [af.tanh_prime, af.tanh_prime, af.softmax_prime] if afunc_primes is None else list(afunc_primes)
        )
        self.bptt_truncate, self.bptt_stride = bptt_truncate, bptt_stride
        self.learning_rate, self.gradient = learning_rate, gradient
        likely = "cross_entropy" if gradient == "reference" or self.afuncs[2] is af.softmax else "squared_error"
        self.loss_func = loss_func or likely
        self.dtype = numpy.dtype(dtype)
        for name, value in initial_parameters(input_size, output_size, hidden_size, seed).items():
            setattr(self, name, value.astype(self.dtype))
        self.reset()

    def reset(self) -> None:
        """Set the cell state S and the hidden state h_t to zero."""
        self.S = numpy.zeros(self.hidden_size, self.dtype)
        self.h_t = numpy.zeros(self.hidden_size, self.dtype)

    def _step(self, x: Array, h: Array, s: Array) -> tuple[Array, ...]:
        F_arg = numpy.dot(self.W_f, x) + numpy.dot(self.U_f, h) + self.b_f
        F = af.sigmoid(F_arg)
        I_arg = numpy.dot(self.W_i, x) + numpy.dot(self.U_i, h) + self.b_i
        I = af.sigmoid(I_arg)  # noqa: E741 (the literature's name)
        C_arg = numpy.dot(self.W_c, x) + numpy.dot(self.U_c, h) + self.b_c
        C = self.afuncs[0](C_arg)
        S = F * s + I * C
        Hf_arg = numpy.dot(self.W_hf, x) + numpy.dot(self.U_hf, h) + self.b_hf
        Hf = af.sigmoid(Hf_arg)
        H = Hf * self.afuncs[1](S)
        O_arg = numpy.dot(self.W_o, H) + self.b_o
        return F_arg, F, I_arg, I, C_arg, C, Hf_arg, Hf, H, O_arg, self.afuncs[2](O_arg), S

    def compute_layer(self, x: Array) -> Array:
        """One step on x (input,), carrying the state; returns O (output,)."""
        *_, self.h_t, _, O, self.S = self._step(x, self.h_t, self.S)  # noqa: E741
        return O

    def feed_forward(self, X: Array) -> Array:
        """Run over X (T, input), carrying the state from call to call; returns O (T, output)."""
        Os = numpy.zeros((len(X), self.output_size), self.dtype)
        for t in range(len(X)):
            Os[t] = self.compute_layer(X[t])
        return Os

    predict_proba = feed_forward

    def predict(self, X: Array) -> Array:
        """One-hot (T, output) of the row-wise argmax of `feed_forward`."""
        one_hot = numpy.eye(self.output_size, dtype=self.dtype)
        return numpy.asarray(one_hot[numpy.argmax(self.feed_forward(X), axis=1)])

    def feed_forward_and_cache(self, X: Array) -> tuple[Array, ...]:
        """Run over X (T, input) from zero state and keep everything.

        Returns
        -------
        F_args, Fs, I_args, Is, C_args, Cs, Hf_args, Hfs, Hs, O_args, Os, Ss : (T, hidden) or (T, output) arrays
            Pre-activations (`_args`) and values of every step.
        """
        T, H, O = len(X), self.hidden_size, self.output_size  # noqa: E741
        cache = tuple(numpy.zeros((T, n), self.dtype) for n in (H,) * 9 + (O,) * 2 + (H,))
        h, s = numpy.zeros(H, self.dtype), numpy.zeros(H, self.dtype)
        for t in range(T):
            values = self._step(X[t], h, s)
            for kept, value in zip(cache, values, strict=True):
                kept[t] = value
            h, s = values[8], values[11]
        return cache

    def compute_error_vector(self, Os: Array, Y: Array) -> Array:
        """Os - Y."""
        return Os - Y

    def output_delta(self, O_args: Array, Os: Array, Y: Array) -> Array:
        """Gradient of the loss at O_args, (T, output)."""
        error = self.compute_error_vector(Os, Y)
        if self.gradient == "exact" and self.loss_func == "cross_entropy":
            return error
        if self.gradient == "exact" and self.afuncs[2] is af.softmax:
            slope = af.softmax_jacobian(O_args)
        else:
            slope = numpy.asarray(self.afunc_primes[2](O_args))
        if slope.ndim == 3:
            return numpy.asarray(numpy.einsum("tj,tjk->tk", error, slope))
        return numpy.asarray(error * slope)

    def init_gradients(self, delta: Array, Hs: Array) -> tuple[Any, ...]:
        """Zero gradients of the four gates, and the output layer's.

        Parameters
        ----------
        delta : (T, output) array
            Gradient at O_args.
        Hs : (T + 1, hidden) array
            Hidden states, and one row that is not used.

        Returns
        -------
        dLdfs, dLdis, dLdcs, dLdhfs : tuples of arrays (hidden, input), (hidden, hidden), (hidden,)
        dLdOs : tuple of arrays (output, hidden), (output,)
        """
        H = self.hidden_size
        gates = [tuple(numpy.zeros(s, self.dtype) for s in ((H, self.input_size), (H, H), (H,))) for _ in GATES]
        return (*gates, (numpy.dot(delta.T, Hs[:-1]), numpy.sum(delta, axis=0)))

    @staticmethod
    def _accumulate(delta: Array, H: Array, X: Array, gradients: GateGradient) -> None:
        dW, dU, db = gradients
        db += delta
        dU += numpy.outer(delta, H)
        dW += numpy.outer(delta, X)

    def back_prop_forget_gate(
        self, delta_s_t: Array, delta_h_t: Array, S: Array, F_arg: Array, H: Array, X: Array, dLdfs: GateGradient,
        dLdX: Array | None,
    ) -> Array:
        """Add one step of the forget gate into `dLdfs` and `delta_h_t`, in place; S is the cell state before it.

        Parameters
        ----------
        delta_s_t, delta_h_t : (hidden,) arrays
            Gradients at the cell state and, for the step before, at the hidden state.
        S, F_arg : (hidden,) arrays
            What the gate multiplies, and its pre-activation.
        H, X : (hidden,) and (input,) arrays
            What the gate saw.
        dLdfs : tuple of arrays
            Its gradients, as in `init_gradients`.
        dLdX : array or None
            Not used; part of the signature in use today.

        Returns
        -------
        (hidden,) array
            The gradient at F_arg.
        """
        delta = delta_s_t * S * af.sigmoid_prime(F_arg)
        self._accumulate(delta, H, X, dLdfs)
        delta_h_t += numpy.dot(delta, self.U_f)
        return delta

    def back_prop_input_gate(
        self, delta_s_t: Array, delta_h_t: Array, C: Array, I_arg: Array, H: Array, X: Array, dLdis: GateGradient,
        dLdX: Array | None,
    ) -> Array:
        """Add one step of the input gate, which multiplies the candidate C; see `back_prop_forget_gate`."""
        delta = delta_s_t * C * af.sigmoid_prime(I_arg)
        self._accumulate(delta, H, X, dLdis)
        delta_h_t += numpy.dot(delta, self.U_i)
        return delta

    def back_prop_candidate_gate(
        self, delta_s_t: Array, delta_h_t: Array, I: Array, C_arg: Array, H: Array, X: Array,  # noqa: E741
        dLdcs: GateGradient, dLdX: Array | None,
    ) -> Array:
        """Add one step of the candidate, which the input gate I multiplies; see `back_prop_forget_gate`."""
        delta = delta_s_t * I * self.afunc_primes[0](C_arg)
        self._accumulate(delta, H, X, dLdcs)
        delta_h_t += numpy.dot(delta, self.U_c)
        return numpy.asarray(delta)

    def back_prop_hidden_filter_gate(
        self, delta_s_t: Array, delta_h_t: Array, Hf_arg: Array, H: Array, X: Array, dLdhfs: GateGradient,
        dLdX: Array | None,
    ) -> Array:
        """Add one step of the hidden filter; `delta_h_t` is the gradient at Hf. See `back_prop_forget_gate`.

        The "reference" gradient loses this gate's share of the hidden state's gradient: `delta_h_t` stays as it is.
        """
        delta = self._hidden_filter_delta(delta_h_t, Hf_arg, H, X, dLdhfs)
        if self.gradient == "exact":
            delta_h_t += numpy.dot(delta, self.U_hf)
        return delta

    def _hidden_filter_delta(self, delta: Array, Hf_arg: Array, H: Array, X: Array, dLdhfs: GateGradient) -> Array:
        delta = delta * af.sigmoid_prime(Hf_arg)
        self._accumulate(delta, H, X, dLdhfs)
        return delta

    def back_propagate_through_time(self, X: Array, Y: Array) -> Gradients:
        """Gradients of one sequence by truncated back-propagation through time, from zero state.

        Parameters
        ----------
        X, Y : (T, input) and (T, output) arrays
            Inputs and targets.

        Returns
        -------
        dLdfs, dLdis, dLdcs, dLdhfs, dLdOs
            As in `init_gradients`.
        dLdX : (T, input) array
            Gradient at the inputs.
        """
        _, Fs, I_args, Is, C_args, Cs, Hf_args, Hfs, Hs, O_args, Os, Ss = cache = self.feed_forward_and_cache(X)
        F_args = cache[0]
        zero = numpy.zeros((1, self.hidden_size), self.dtype)
        Ss, Hs = numpy.concatenate((Ss, zero)), numpy.concatenate((Hs, zero))  # so that [-1] is the initial state
        delta = self.output_delta(O_args, Os, Y)
        dLdfs, dLdis, dLdcs, dLdhfs, dLdOs = self.init_gradients(delta, Hs)
        dLdX = numpy.zeros((len(X), self.input_size), self.dtype)
        exact = self.gradient == "exact"
        reach = len(X) if self.bptt_truncate is None else self.bptt_truncate
        for first in range(0, len(X), self.bptt_stride):
            delta_s_t, delta_h_t = numpy.zeros((2, self.hidden_size), self.dtype)
            for k in range(min(first + self.bptt_stride, len(X)) - 1, max(0, first - reach) - 1, -1):
                x, h = X[k], Hs[k - 1]
                if k >= first:
                    delta_h_t = delta_h_t + numpy.dot(delta[k], self.W_o)
                delta_s_t = delta_s_t + delta_h_t * Hfs[k] * self.afunc_primes[1](Ss[k])
                at_filter = delta_h_t * self.afuncs[1](Ss[k])
                delta_hf = self._hidden_filter_delta(at_filter, Hf_args[k], h, x, dLdhfs)
                delta_h_t = numpy.dot(delta_hf, self.U_hf) if exact else delta_hf
                delta_c = self.back_prop_candidate_gate(delta_s_t, delta_h_t, Is[k], C_args[k], h, x, dLdcs, None)
                delta_i = self.back_prop_input_gate(delta_s_t, delta_h_t, Cs[k], I_args[k], h, x, dLdis, None)
                delta_f = self.back_prop_forget_gate(delta_s_t, delta_h_t, Ss[k - 1], F_args[k], h, x, dLdfs, None)
                dLdX[k] += numpy.dot(delta_c, self.W_c) + numpy.dot(delta_i, self.W_i) + numpy.dot(delta_f, self.W_f)
                if exact:
                    dLdX[k] += numpy.dot(delta_hf, self.W_hf)
                delta_s_t = delta_s_t * Fs[k]
        return dLdfs, dLdis, dLdcs, dLdhfs, dLdOs, dLdX

    def losses(self, X: Array, Y: Array) -> Array:
        """Loss of each step of a sequence, from zero state."""
        *_, logits, outputs, _ = self.feed_forward_and_cache(X)
        if self.loss_func == "cross_entropy" and self.afuncs[2] is af.softmax:
            return loss_of_logits(logits, Y)
        return loss(self.loss_func, outputs, Y)

    def loss_function(self, X: Iterable[Array], Y: Iterable[Array]) -> float:
        """Mean loss over all time steps of the sequences X, Y, each from zero state; NaN where there is no step."""
        losses = [self.losses(x, y) for x, y in zip(X, Y, strict=True)]
        steps = numpy.concatenate(losses) if losses else numpy.zeros(0)
        return float(numpy.mean(steps)) if len(steps) else float("nan")

    def train(self, X: Iterable[Array], Y: Iterable[Array]) -> "LSTM":
        """One step of gradient descent for each sequence in turn; returns the model."""
        for x, y in zip(X, Y, strict=True):
            self.reset()
            *gates, (dW_o, db_o), _ = self.back_propagate_through_time(x, y)
            for g, gate in zip(GATES, gates, strict=True):
                for kind, gradient in zip("WUb", gate, strict=True):
                    parameter = getattr(self, f"{kind}_{g}")
                    parameter -= self.learning_rate * gradient
            self.W_o -= self.learning_rate * dW_o
            self.b_o -= self.learning_rate * db_o
        self.reset()
        return self

    _train = train
