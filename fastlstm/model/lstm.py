"""The LSTM with an output layer: a sequence model with the methods of the NumPy classes it replaces."""

from typing import Any, TypeAlias

import numpy

from fastlstm import checks
from fastlstm.checks import Array
from fastlstm.engine.workspace import empty
from fastlstm.model import compiled
from fastlstm.model.gate_methods import Gate, GateMethods
from fastlstm.model.sequences import LISTED, SINGLE, Sequences, matching, sequences
from fastlstm.oracle.lstm import loss
from fastlstm.parameters import Buffer

Gradients: TypeAlias = tuple[Gate, Gate, Gate, Gate, tuple[Array, Array], Any]


class LSTM(GateMethods):
    """Long short-term memory with an output layer, trained by truncated back-propagation through time.

    One step on x (input,), with the cell state S and the hidden state h (Hochreiter & Schmidhuber 1997; forget gate:
    Gers et al. 2000)::

        F, I, Hf = sigmoid(W_g x + U_g h + b_g) for g = f, i, hf       C = a0(W_c x + U_c h + b_c)
        S = F S + I C       h = Hf a1(S)       O = a2(W_o h + b_o)

    Inputs X are (T, input), one sequence; or (n, T, input), or a list of (T_i, input) arrays: many sequences, computed
    together. A list of arrays gives lists. Anything `numpy.asarray` takes will do; it is converted to the model's
    dtype.

    Parameters
    ----------
    input_size, output_size, hidden_size : int
        Sizes of x, O and h; at least 1.
    seed : int, array of int or None
        Of the initial parameters, uniform on [-1, 1) from `numpy.random.RandomState`; the forget bias is 1.
    afuncs : sequence of 3 names or callables, optional
        a0, a1 and a2; tanh, tanh and softmax by default. "identity", "tanh", "sigmoid", "relu" and, as a2, "softmax",
        the functions of these names in `fastlstm.activations`, and `numpy.tanh` run compiled; any other callable
        on arrays makes the whole model run through NumPy.
    afunc_primes : sequence of 3 callables, optional
        Derivatives of `afuncs` as functions of the same argument. The third may return a Jacobian
        (T, output, output), ``J[t, j, k] = dO[t, j] / dO_args[t, k]``. Needed for gradients through custom functions.
    bptt_truncate : int or None
        K: each time step's error is walked back over that step and the K before it; what lies before counts as a
        constant. None for no truncation.
    learning_rate : float
        Step of `train`.
    loss_func : {"cross_entropy", "squared_error"}, optional
        -log O[t, argmax Y[t]], or ½ Σ (O - Y)². By default cross-entropy where a2 is softmax, else squared error.
    gradient : {"exact", "reference"}
        "exact" is the gradient of the loss, summed over time steps. "reference" is the
        formula of the NumPy class, which is no gradient of any loss; see docs/compat.md.
    dtype : {numpy.float64, numpy.float32}
        Of parameters, states and results.
    n_threads : int or None
        At most so many threads; None for Numba's number. Results are bitwise the same for any number.
    bptt_stride : int
        k: the steps come in groups of k, counted from the first, and the errors of a group are walked back together,
        over the group and the K steps before its first: BPTT(h; h') of Williams & Peng (1990), section 4, with
        h = K + k and h' = k. So every error is walked back over K to K + k - 1 steps before its own.

    Attributes
    ----------
    W_f, W_i, W_c, W_hf : (hidden, input) arrays
    U_f, U_i, U_c, U_hf : (hidden, hidden) arrays
    b_f, b_i, b_c, b_hf : (hidden,) arrays
    W_o, b_o : (output, hidden) and (output,) arrays
        Views of `parameters`. Change them in place or assign to them (which copies): the next call sees it.
    parameters, gradients : Buffer
        Mappings of these names to arrays, each over one flat array, ``parameters.flat``. `gradients` is written only
        where it is given as `out`, and by `train`.
    S, h_t : (hidden,) arrays
        Cell and hidden state, carried by `compute_layer` and by `feed_forward` of one sequence.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.

    Warns
    -----
    PerformanceWarning
        Where custom functions make the model run through NumPy.
    """

    def compute_layer(self, x: Any) -> Array:
        """One step, carrying the state.

        Parameters
        ----------
        x : (input,) array

        Returns
        -------
        (output,) array
        """
        row = checks.shaped_array("x", x, (self._sizes[0],), self._dtype)
        output: Array = self._run(Sequences(SINGLE, [row[None]]))[0]
        return output

    def feed_forward(self, X: Any) -> Any:
        """Outputs of every step.

        One sequence starts from the state S, h_t and leaves its final state there. Many sequences are independent:
        each starts from zero, and the model's state stays as it is.

        Parameters
        ----------
        X : (T, input) or (n, T, input) array, or list of (T_i, input) arrays

        Returns
        -------
        (T, output) or (n, T, output) array, or list of (T_i, output) arrays

        Notes
        -----
        About 8 · hidden · (input + hidden) flops a step.
        """
        return self._run(self._inputs(X))

    predict_proba = feed_forward

    def predict(self, X: Any) -> Any:
        """One-hot of the largest output of every step; otherwise like `feed_forward`, state included."""
        outputs = self.feed_forward(X)
        return [_one_hot(o) for o in outputs] if isinstance(outputs, list) else _one_hot(outputs)

    def feed_forward_and_cache(self, X: Any) -> tuple[Any, ...]:
        """Run from zero state and keep everything; S and h_t stay as they are.

        Parameters
        ----------
        X : (T, input) or (n, T, input) array, or list of (T_i, input) arrays

        Returns
        -------
        F_args, Fs, I_args, Is, C_args, Cs, Hf_args, Hfs, Hs, O_args, Os, Ss
            Pre-activations (`_args`) and values of every step, each in the form of X with hidden or output features.
        """
        given = self._inputs(X)
        if self._activations.codes is None:
            caches = [self._fallback().feed_forward_and_cache(x) for x in given.items]
            widths = (self.hidden_size,) * 9 + (self.output_size,) * 2 + (self.hidden_size,)
            return tuple(given.restore([cache[k] for cache in caches], width) for k, width in enumerate(widths))
        return self._compiled.everything(self._activations.codes, self._n_threads, given)

    def compute_error_vector(self, Os: Any, Y: Any) -> Array:
        """Os - Y, for arrays of one shape."""
        outputs = checks.real_array("Os", Os)
        error: Array = outputs - checks.shaped_array("Y", Y, outputs.shape, self._dtype)
        return error

    def init_gradients(self, delta: Any, Hs: Any) -> tuple[Any, ...]:
        """Zero gradients of the four gates, and the output layer's.

        Parameters
        ----------
        delta : (T, output) array
            Gradient at the output layer's pre-activations.
        Hs : (T + 1, hidden) array
            Hidden states of the T steps, and one row that is not used.

        Returns
        -------
        dLdfs, dLdis, dLdcs, dLdhfs : tuples of arrays (hidden, input), (hidden, hidden), (hidden,)
        dLdOs : tuple of arrays (output, hidden), (output,)
        """
        given, (inputs, outputs, size), dtype = checks.real_array("delta", delta), self._sizes, self._dtype
        delta = checks.shaped_array("delta", given, (*given.shape[:1], outputs), dtype)
        Hs = checks.shaped_array("Hs", Hs, (len(delta) + 1, size), dtype)
        w, u, b = (numpy.zeros((4, *shape), dtype) for shape in ((size, inputs), (size, size), (size,)))
        return (*zip(w, u, b, strict=True), (numpy.dot(delta.T, Hs[:-1]), numpy.add.reduce(delta, 0)))

    def back_propagate_through_time(self, X: Any, Y: Any, out: Buffer | None = None) -> Gradients:
        """Gradients by truncated back-propagation through time, from zero state; S and h_t are set to zero.

        Parameters
        ----------
        X, Y : (T, input) and (T, output) arrays
            Inputs and targets; or many sequences of them, whose gradients are summed.
        out : Buffer, optional
            Where the gradients of the parameters go, overwritten: ``model.gradients``. New arrays by default.

        Returns
        -------
        dLdfs, dLdis, dLdcs, dLdhfs : tuples of (hidden, input), (hidden, hidden) and (hidden,) arrays
            Gradients of W, U, b of each gate; views of `out`.
        dLdOs : tuple of (output, hidden) and (output,) arrays
            Gradients of W_o, b_o; views of `out`.
        dLdX : array or list of arrays
            Gradient at the inputs, in the form of X.

        Raises
        ------
        TypeError, ValueError
            Inputs, targets or `out` do not fit the model or each other. Nothing is changed.

        Notes
        -----
        About 8 · T · hidden² · (K + 3) flops, and memory for T · 15 · hidden numbers.
        """
        given, targets = self._pair(X, Y)
        if out is None:
            flat = empty(self._parameters.flat.shape, self._dtype)
        elif not isinstance(out, Buffer) or not out.same_layout(self._parameters) or out is self._parameters:
            raise TypeError(f"out must be a buffer like model.gradients, got {out!r}")
        else:
            flat = out.flat
        parts = self._compiled.parts(flat)
        d_x = self._gradients_into(given, targets, flat, parts)
        self.reset()
        return (*self._compiled.by_gate(parts), d_x)

    def loss_function(self, X: Any, Y: Any) -> float:
        """Mean loss over all time steps of many sequences, each from zero state.

        Parameters
        ----------
        X, Y : (n, T, input) and (n, T, output) arrays, or lists of arrays
            Inputs and targets.

        Returns
        -------
        float
            NaN where there is no time step.
        """
        given, targets = self._pairs(X, Y)
        if not any(given.lengths):
            return float("nan")
        losses = self._losses(given, targets)
        return float(numpy.add.reduce(losses) / len(losses))  # numpy.mean, in a third of the time

    def train(self, X: Any, Y: Any) -> "LSTM":
        """One step of gradient descent for each sequence in turn: parameters -= learning_rate · gradient.

        Parameters
        ----------
        X, Y : (n, T, input) and (n, T, output) arrays, or lists of arrays
            Inputs and targets; all are checked before anything is changed.

        Returns
        -------
        LSTM
            The model itself; its `gradients` hold the last sequence's.
        """
        given, targets = self._pairs(X, Y)
        parameters, gradients = self._parameters.flat, self._gradients.flat
        parts = self._compiled.parts(gradients)
        for x, y in zip(given.items, targets.items, strict=True):
            self._gradients_into(Sequences(SINGLE, [x]), Sequences(SINGLE, [y]), gradients, parts)
            parameters -= self._learning_rate * gradients
        self.reset()
        return self

    _train = train

    def _inputs(self, X: Any) -> Sequences:
        return sequences("X", X, self._sizes[0], self._dtype)

    def _pair(self, X: Any, Y: Any) -> tuple[Sequences, Sequences]:
        given = self._inputs(X)
        return given, matching("Y", Y, self._sizes[1], self._dtype, given)

    def _pairs(self, X: Any, Y: Any) -> tuple[Sequences, Sequences]:
        """Many sequences; an empty list is none."""
        if all(isinstance(value, list | tuple) and not value for value in (X, Y)):
            return Sequences(LISTED, []), Sequences(LISTED, [])
        given, targets = self._pair(X, Y)
        if given.form is SINGLE:
            raise ValueError(
                f"X must hold sequences, of shape (n, T, {self.input_size}) or a list of (T_i, {self.input_size}); got "
                f"one of {given.items[0].shape}"
            )
        return given, targets

    def _run(self, X: Sequences) -> Any:
        """Outputs in the form of X; one sequence carries the state."""
        carries, codes = X.form is SINGLE, self._activations.codes
        if codes is not None:
            outputs, final = self._compiled.infer(codes, self._n_threads, X, self._state if carries else None)
        else:
            h, S = self._states() if carries else numpy.zeros((2, len(X.items), self.hidden_size), self.dtype)
            found, *states = self._fallback().infer(X, h, S)
            final = states[0], states[1]
            outputs = X.restore(found, self.output_size)
        if carries:
            self._state = final
        return outputs

    def _losses(self, X: Sequences, Y: Sequences) -> Array:
        """Loss of each step of each sequence, from zero state."""
        codes = self._activations.codes
        if codes is None:
            return numpy.concatenate([self._fallback().losses(x, y) for x, y in zip(X.items, Y.items, strict=True)])
        if self._loss_func == "cross_entropy" and self._activations.softmax_output:
            return self._compiled.losses(codes, self._n_threads, X, Y)
        outputs, _ = self._compiled.infer(codes, self._n_threads, X)
        return loss(self._loss_func, numpy.concatenate(outputs), numpy.concatenate(Y.items))

    def _gradients_into(self, X: Sequences, Y: Sequences, flat: Array, parts: list[Array]) -> Any:
        """Write gradients of the parameters into a flat array, of these parts; return those at the inputs, like X."""
        codes = self._activations.codes
        if codes is None:
            return X.restore(self._fallback(for_gradients=True).gradients(X, Y, flat), self.input_size)
        exact = self._gradient == "exact"
        if exact and self._loss_func == "cross_entropy":
            form = compiled.ERROR
        elif self._activations.jacobian or (exact and self._activations.softmax_output):
            form = compiled.JACOBIAN
        else:
            form = compiled.ELEMENTWISE
        return self._compiled.gradients(
            codes, self._n_threads, X, Y, form, self._truncate, self._stride, exact, parts
        )


def _one_hot(outputs: Array) -> Array:
    found = numpy.zeros(outputs.shape, outputs.dtype)
    found.put(outputs.argmax(-1).ravel() + numpy.arange(0, found.size, outputs.shape[-1]), 1)
    return found
