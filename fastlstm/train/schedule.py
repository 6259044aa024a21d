"""What all schedules share; they are in `schedules`."""

import inspect
from collections.abc import Mapping
from typing import Any

from fastlstm import checks


class Schedule:
    """A number that changes with the updates done: a learning rate, a momentum, or the first of Adam's betas.

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

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, and the class's name as "kind"; for JSON.

        Returns
        -------
        dict
            A schedule among the arguments is in it as its own `config`.
        """
        given = self._arguments()
        found = {name: each.config() if isinstance(each, Schedule) else each for name, each in given.items()}
        return {"kind": type(self).__name__, **found}

    def _at(self, updates: int) -> float:
        raise NotImplementedError

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._arguments().items())})"
