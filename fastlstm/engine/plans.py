"""Plans: what depends on the shape of a call is worked out once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MOST = 8
"""Plans that a Python thread keeps of one object; the one that was used longest ago goes."""


class Plans(Generic[T]):
    """The plans of one object, a few for each Python thread. A copy of it, or a pickle, begins without."""

    def __init__(self) -> None:
        self._held = threading.local()

    def get(self, key: Hashable, make: Callable[..., T], *arguments: Any) -> T:
        """The plan for a key; where there is none, ``make(*arguments)``."""
        try:
            plans: OrderedDict[Hashable, T] = self._held.plans
        except AttributeError:
            plans = self._held.plans = OrderedDict()
        found = plans.get(key)
        if found is None:
            found = plans[key] = make(*arguments)
            if len(plans) > MOST:
                plans.popitem(last=False)
        else:
            plans.move_to_end(key)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return Plans, ()
