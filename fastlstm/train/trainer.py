"""Truncated back-propagation through time over streams of data, which may stop at any moment and go on later."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy

from fastlstm import checks
from fastlstm.train import saving
from fastlstm.train.callbacks import Callback
from fastlstm.train.chunk import Chunk, as_chunk
from fastlstm.train.history import History
from fastlstm.train.interrupts import Interrupts
from fastlstm.train.plan import Plan
from fastlstm.train.source import Source
from fastlstm.train.states import carried, is_bidirectional, zero_rows
from fastlstm.train.window import Window


class Trainer:
    """Trains a layer on a stream of chunks, by BPTT(k2; k1) (Williams & Peng 1990, section 4).

    A chunk is a `Chunk`, or a tuple (x, y) of up to six: (x, y, reset, mask, lengths, sample_weight).

    x : (t, batch, input) or (t, input) array
        The next t steps of each sequence. They go on where the chunk before ended, with its final state.
    y : (t, batch, ...) or (t, ...) array
        Targets, as the loss takes them.
    reset : (batch,) bool array or None
        Sequences that begin anew with this chunk, from zero state. Where all do, the batch may have another size.
    mask : (t, batch) or (t,) bool array or None
        True where there is a target; as the loss takes it. A step that no target depends on changes no gradient,
        whatever it holds, NaN for one.
    lengths : (batch,) integers or None
        Steps of each sequence in this chunk, from 0 to t. What stands behind them does not count, and the sequence goes
        on from its own last step.
    sample_weight : (t, batch) or (t,) array or None
        Weights of the targets, as the loss takes them.

    The chunk is cut in pieces of `k1` steps; the last may be shorter. Each is an update: the loss of its outputs is the
    mean over its targets, its errors are walked back over it and, with `k2`, over the steps before it, and the
    optimizer makes one step.

    The state goes from piece to piece and from chunk to chunk. A reverse direction of a bidirectional layer, which
    comes from the future, begins with zero state in each.

    Parameters
    ----------
    model : LSTM or Sequential
        Or another `Layer`, or object of its methods; steps first (no `batch_first`). It is changed in place.
    loss : Huber, SquaredError, CrossEntropy, another Loss or callable
        ``value, gradient = loss(outputs, targets, mask)``; with weights there is `sample_weight` behind the mask.
    optimizer : SGD, Adam, AdamW or RMSprop
        Or another `Optimizer`, or object with a `step`.
    k1 : int or None
        Steps from update to update, at least 1; None for whole chunks.
    k2 : int or None
        Steps, more than `k1`, over which the errors of a piece are walked back, the piece included: the steps before it
        are run again, with the present weights, from the state that was there. Where a piece is shorter than the one
        before, it may be some steps more. None, or `k1`, for the piece alone, and with a bidirectional layer.
    truncate, stride : int or None, int
        As `LSTM.backward` takes them: truncation within a piece. Without `k2`.
    seed : int or None
        Of `rng`.

    Attributes
    ----------
    epoch, chunk, step : int
        Where it is: epochs done, chunks done in this one, steps done in this chunk.
    updates, steps, seconds : int, int, float
        All updates done; all time steps done, of all sequences; and the time they took, without validations.
    state
        The model's state after the newest step; None for zeros.
    last_loss, validation_loss : float
        Of the newest update and of the newest validation; NaN before there was one.
    gradient_norm : float or None
        What the optimizer's newest step returned.
    history : History
    interrupted, stopped : bool
        Whether Ctrl-C has ended the newest `fit`, and whether a callback has.
    rng : numpy.random.Generator
        Kept in checkpoints; for callbacks, and for the generators that data functions are given.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.

    Examples
    --------
    >>> model = fastlstm.nn.Sequential(fastlstm.nn.LSTM(3, 8, seed=0), fastlstm.nn.Dense(8, 2, seed=1))
    >>> trainer = fastlstm.train.Trainer(model, fastlstm.train.SquaredError(), fastlstm.train.Adam(), k1=16, k2=64)
    >>> history = trainer.fit(fastlstm.train.Chunks(x, y, 1024), epochs=10, checkpoint="run.safetensors")

    And after whatever has ended the process:

    >>> trainer = fastlstm.train.Trainer.load("run.safetensors")
    >>> if not trainer.stopped:
    ...     trainer.fit(the_same_chunks, epochs=10 - trainer.epoch, checkpoint="run.safetensors")
    """

    def __init__(
        self, model: Any, loss: Any, optimizer: Any, *, k1: int | None = None, k2: int | None = None,
        truncate: int | None = None, stride: int = 1, seed: Any = None,
    ) -> None:
        _check_methods("model", model, ("forward", "backward", "zero_grad", "parameters", "gradients"))
        _check_methods("loss", loss, ("__call__",))
        _check_methods("optimizer", optimizer, ("step",))
        if getattr(model, "batch_first", None):
            raise ValueError("model must take steps first, as chunks are (t, batch, input); got one with batch_first")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.k1 = checks.optional_integer("k1", k1, 1)
        self._k2 = checks.optional_integer("k2", k2, self.k1 or 1)
        self._truncate = checks.optional_integer("truncate", truncate, 0)
        self._stride = checks.integer("stride", stride, 1)
        goes_back = self.k2 is not None and self.k2 != self.k1
        if goes_back and self.truncate is not None:
            raise ValueError(f"truncate must be None with k2 > k1, got {truncate} with k1 = {k1}, k2 = {k2}")
        if goes_back and is_bidirectional(model):
            raise ValueError("k2 must be None or k1 with a bidirectional layer, whose reverse direction begins anew in "
                             f"each piece; got k2 = {k2} with k1 = {k1}")
        self.rng = numpy.random.Generator(numpy.random.PCG64(seed))
        self.epoch = self.chunk = self.step = self.updates = self.steps = 0
        self.seconds = 0.0
        self.state: Any = None
        self.last_loss = self.validation_loss = float("nan")
        self.gradient_norm: float | None = None
        self.history = History()
        self.interrupted = self.stopped = False
        self.callbacks: tuple[Callback, ...] = ()
        self._calls: Iterator[Callable[[Trainer], Any]] = iter(())  # of callbacks that have not had their turn
        self._callback_states: list[saving.CallbackState] = []
        self._walk: dict[str, Any] = {}
        if self.truncate is not None or self.stride != 1:
            self._walk = {"truncate": self.truncate, "stride": self.stride}
        self._window: Window | None = None
        if self.k2 is not None and goes_back:
            self._window = Window(self.k2, model.parameters.flat.dtype)
        self._batch: tuple[int, ...] | None = None  # axes of x between steps and features, where there is a state
        self._seed: list[int] | None = None  # of this epoch; None before it has begun
        self._source: Source | None = None
        self._held = Interrupts()

    def fit(
        self, data: Any, *, epochs: int = 1, updates: int | None = None, validation: Iterable[Any] | None = None,
        callbacks: Sequence[Callback] = (), progress: bool = False, checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
    ) -> History:
        """Train, from where the trainer is.

        An epoch begins with zero state and is as long as the data. One that was not brought to its end, by an earlier
        `fit` or before a checkpoint, is now: with the same `data` object at the next chunk, with another by leaving out
        the chunks that are done; see `rewind`.

        Parameters
        ----------
        data : iterable of chunks, or callable
            A list, `Chunks`, a generator, which may be endless; if it has ``from_chunk(n)``, as `Chunks` does, that is
            how chunks are left out. Or a function ``data(rng)`` that returns one, called for each epoch with a
            generator of its own from `rng`, the same one again when the epoch is gone on with.
        epochs : int
            How many; one that had begun counts.
        updates : int, optional
            Stop after so many further ones, if there are so many.
        validation : iterable of chunks, optional
            A list or `Chunks`: their loss is computed after each epoch, see `evaluate`.
        callbacks : sequence of Callback
            Those of a kind that were in use when a checkpoint was written go on from there.
        progress : bool
            Whether to show a bar; it needs rich.
        checkpoint : path, optional
            Where to `save`, at the end of each epoch and of the call, also at Ctrl-C.
        checkpoint_every : int, optional
            Save after so many updates instead of epochs.

        Returns
        -------
        History
            Of all that the trainer has done.

        Raises
        ------
        TypeError, ValueError
            An argument does not fit, or a chunk: then all before it has been trained on, and the call may be repeated.
        OSError, ModuleNotFoundError
            A checkpoint cannot be written.

        Notes
        -----
        Ctrl-C during an update waits for its end; while data are waited for it acts at once, which breaks off a
        generator that is running, and nothing else does. Then `fit` returns with `interrupted`. SIGTERM does all that
        Ctrl-C does, unless it has a handler already.
        """
        plan = Plan(self, data, epochs, updates, validation, callbacks, checkpoint, checkpoint_every)
        saving.resume(self._callback_states, plan.callbacks)
        self.callbacks, self._callback_states = plan.callbacks, []
        self.interrupted = self.stopped = False
        with self._held, plan.display(self) if progress else contextlib.nullcontext():
            self._tell([callback.on_begin for callback in plan.watchers])
            while not self._is_over(plan):
                if self._train(plan) and self._validate(plan):
                    self._end_epoch(plan)
            if not self._held.pending:
                self._tell([callback.on_end for callback in plan.watchers])
            if plan.checkpoint is not None:
                self.save(plan.checkpoint)
        self.interrupted = self._held.pending
        return self.history

    def evaluate(self, data: Iterable[Any]) -> float:
        """Mean loss over the targets of all chunks, from zero state; nothing is changed.

        The state goes from chunk to chunk as in `fit`.

        Parameters
        ----------
        data : iterable of chunks

        Returns
        -------
        float
            NaN without any target.

        Raises
        ------
        TypeError, ValueError
            A chunk does not fit.
        """
        state, batch, total, count = None, None, 0.0, 0.0
        for given in data:
            chunk = as_chunk(given)
            state, batch = _entering(state, batch, chunk), chunk.x.shape[1:-1]
            output, state = chunk.run(self.model, state)
            state = carried(self.model, state)
            value, _ = chunk.loss(self.loss, output)
            if weight := chunk.weight(self.loss, output):
                total, count = total + value * weight, count + weight
        return total / count if count else float("nan")

    def rewind(self) -> None:
        """Let the next `fit` begin a new epoch, of whatever data, even if this one was not brought to its end."""
        self.chunk = self.step = 0
        self._seed = self._source = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that a training needs to go on, to the last bit, in a safetensors file.

        The parameters are in it as "model.0.weight_ih_l0" and so on. An old file is replaced in one step: whenever the
        process is killed, one of the two is there, whole.

        Parameters
        ----------
        path : path
            Of the file.

        Raises
        ------
        TypeError
            The model is no `Layer`, the loss no `Loss` or the optimizer no `Optimizer`; or one of them cannot be
            described: another class has its name, or its `config` cannot.
        OSError, ModuleNotFoundError
            The file cannot be written, or safetensors is not installed.
        """
        self._go_on_telling()
        saving.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, optimizer: Any = None) -> "Trainer":
        """A trainer from a file that `save` wrote, or `fit`.

        Parameters
        ----------
        path : path
        optimizer : SGD, Adam, AdamW or RMSprop, optional
            To take the place of the one in use, of its kind; needed where the learning rate was a function.

        Returns
        -------
        Trainer
            `fit` on the same data goes on as if nothing had happened.

        Raises
        ------
        OSError, ModuleNotFoundError
            The file cannot be read, or safetensors is not installed.
        TypeError, ValueError
            It is truncated, damaged, of a newer format or something else; or the optimizer does not fit; or a class of
            the user's own has not been defined: import the module that does so first.
        """
        return saving.load(cls, path, optimizer)

    @property
    def k2(self) -> int | None:
        """Steps over which the errors of a piece are walked back."""
        return self._k2

    @property
    def truncate(self) -> int | None:
        """Steps before a group over which its errors are walked back, within a piece."""
        return self._truncate

    @property
    def stride(self) -> int:
        """Steps of a group whose errors are walked back together."""
        return self._stride

    def __getstate__(self) -> dict[str, Any]:
        # The place in the data is kept, the data are not: `fit` opens them anew. Nor is what a running `fit` uses.
        return self.__dict__ | {"_source": None, "_calls": iter(()), "_held": Interrupts()}

    def _is_over(self, plan: Plan) -> bool:
        return self.stopped or self._held.pending or self.updates >= plan.updates or self.epoch >= plan.epochs

    def _train(self, plan: Plan) -> bool:
        """Make updates; whether they came to the end of the epoch."""
        if self._seed is None:
            self._seed = self.rng.integers(2**63, size=2).tolist()
            self._clear()
        source = self._source
        if source is None or source.data is not plan.data or not source.is_open:
            source = self._source = Source(plan.data, self._seed, self.chunk, self._held)
        began = time.perf_counter() - self.seconds
        while source.is_open and not self._is_over(plan):
            chunk = source.next()
            if chunk is None:
                if self.chunk == 0 and not self._held.pending:
                    raise ValueError("data must have a chunk for each epoch, got none; a generator can be gone through "
                                     "once")
                return not self._held.pending
            self._piece(chunk, source, plan, began)
        return False

    def _piece(self, chunk: Chunk, source: Source, plan: Plan, began: float) -> None:
        """Make the next update."""
        begin, duration = self.step, len(chunk.x)
        if begin == 0:
            self._enter(chunk)
        elif begin >= duration:
            raise ValueError(f"data must be the same as before, where chunk {self.chunk} had more than {begin} steps; "
                             f"now it has {duration}")
        length = duration if self.k1 is None else min(self.k1, duration)
        end = min(begin + length, duration)
        piece = chunk.piece(begin, end)
        if end > begin:
            has_targets = self._update(piece, min(length, duration - end) or length)
        # Nothing fails any more: the update and the place after it belong together.
        if end < duration:
            self.step = end
        else:
            self.step = 0
            self.chunk += 1
            source.done()
        if end > begin:
            self._count(piece, has_targets, time.perf_counter() - began)
            self._look(plan)

    def _enter(self, chunk: Chunk) -> None:
        """Carry the state into a chunk."""
        self.state = _entering(self.state, self._batch, chunk)
        if chunk.reset is None:
            return
        if chunk.reset.all():
            self._clear()
        elif self._window is not None:
            self._window.reset(chunk.reset)

    def _clear(self) -> None:
        self.state = self._batch = None
        if self._window is not None:
            self._window.clear()

    def _update(self, piece: Chunk, expected: int) -> bool:
        """Update on a piece, where the next is expected to have so many steps; whether there was a target."""
        model, window = self.model, self._window
        model.zero_grad()
        if window is None:
            output, state, tape = piece.run(model.forward, self.state)
            value, gradient = piece.loss(self.loss, output)
            model.backward(tape, gradient, **self._walk)
        else:
            output, value, state = window.run(model, piece, expected, self.loss)
        self.gradient_norm = self.optimizer.step(model.parameters.flat, model.gradients.flat)
        if window is not None:
            window.move()
        self.state, self._batch, self.last_loss = carried(model, state), piece.x.shape[1:-1], value
        return value == value or piece.weight(self.loss, output) != 0  # a NaN is a loss too, where there was a target

    def _count(self, piece: Chunk, has_targets: bool, seconds: float) -> None:
        self.updates += 1
        self.steps += piece.steps()
        self.seconds = seconds
        self.history.add(self.last_loss if has_targets else None, self.updates, self.steps, seconds)

    def _look(self, plan: Plan) -> None:
        self._tell(plan.on_update)
        due = plan.every is not None and self.updates % plan.every == 0
        if due and plan.checkpoint is not None and not self._is_over(plan):
            self.save(plan.checkpoint)

    def _tell(self, calls: Sequence[Callable[["Trainer"], Any]]) -> None:
        """Let callbacks have their turn; true from one of them stops the training."""
        self._calls = iter(calls)
        try:
            self._go_on_telling()
        finally:
            self._calls = iter(())

    def _go_on_telling(self) -> None:
        for call in self._calls:
            if call(self):
                self.stopped = True

    def _validate(self, plan: Plan) -> bool:
        """Compute the validation loss, if it is wanted; False where Ctrl-C came first."""
        if plan.validation is None:
            return True
        value = self.evaluate(self._held.each(iter(plan.validation)))
        if self._held.pending:
            return False
        self.validation_loss = value
        self.history.add_validation(value, self.epoch + 1)
        if hasattr(self.optimizer, "observe"):
            self.optimizer.observe(value)
        return True

    def _end_epoch(self, plan: Plan) -> None:
        self.epoch += 1
        self.rewind()
        self._tell([callback.on_epoch for callback in plan.watchers])
        if plan.checkpoint is not None and plan.every is None and not self._is_over(plan):
            self.save(plan.checkpoint)


def _check_methods(name: str, value: Any, methods: tuple[str, ...]) -> None:
    for method in methods:
        if not hasattr(value, method):
            raise TypeError(f"{name} must have {method}, got {value!r}")


def _entering(state: Any, batch: tuple[int, ...] | None, chunk: Chunk) -> Any:
    """The state before a chunk, of the state after the one before it, whose x had the axes `batch` in the middle."""
    reset, axes = chunk.reset, chunk.x.shape[1:-1]
    if batch is None or (reset is not None and reset.all()):
        return None
    if axes != batch:
        raise ValueError(f"x must have shape (t, {', '.join(map(str, batch))}{', ' * len(batch)}input) as in the chunk "
                         f"before, unless all sequences are reset; got {chunk.x.shape}")
    return state if reset is None or not reset.any() else zero_rows(state, reset)
