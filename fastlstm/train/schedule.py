"""What all schedules share; they are in `schedules`."""

from collections.abc import Mapping
from typing import Any

from fastlstm import checks, kinds


class Schedule(kinds.Registered):
    """A number that changes with the updates done: a learning rate, a momentum, or the first of Adam's betas.

    A subclass of one's own gives the number in `_at(updates)`. `Trainer.save` writes its `config`: the attributes that
    are named like the constructor's arguments. To read the file, the module that defines the class must have been
    imported.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.
    """

    def __call__(self, updates: int) -> float:
        """The number for the next update.

        Parameters
        ----------
        updates : int
            Updates done, at least 0.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            Not such an integer.
        """
        return self._at(checks.integer("updates", updates, 0))

    @property
    def needs_losses(self) -> bool:
        """Whether it changes with the losses that `observe` is told."""
        return False

    def observe(self, loss: float) -> None:
        """Learn a validation loss.

        Parameters
        ----------
        loss : float
            NaN counts as no improvement.

        Raises
        ------
        TypeError
            It is no number. Nothing is changed.
        """

    def state(self) -> dict[str, Any]:
        """What it has learnt; for JSON.

        Returns
        -------
        dict
            Empty where it depends on the updates alone.
        """
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what another's `state` gave.

        Parameters
        ----------
        state : mapping

        Raises
        ------
        ValueError
            Not of this kind of schedule. Nothing is changed.
        """
        if set(state) != set(self.state()):
            raise ValueError(f"state must have {sorted(self.state())}, got {sorted(state)}")

    def _at(self, updates: int) -> float:
        """The number after that many updates, at least 0."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._arguments().items())})"
