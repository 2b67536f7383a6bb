"""Ids by which properties are asked for, and those that do not exist. Calls are the caller's to
serialise."""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

Id = str | int
"""A measurement id or a property id."""
MEASUREMENT_ID: Final = re.compile(r"G-[A-Z0-9]{10}")
MAX_UNKNOWN: Final = 100_000


class UnknownIds:
    """Ids that were said not to exist, remembered for ``seconds``, ``MAX_UNKNOWN`` at most.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._until: OrderedDict[Id, float] = OrderedDict()

    def __contains__(self, one: Id) -> bool:
        """Whether it need not be asked for: it cannot be an id, or was said not to exist."""
        if isinstance(one, str) and not MEASUREMENT_ID.fullmatch(one):
            return True
        until = self._until.get(one)
        return until is not None and self._clock() < until

    def add(self, ids: Iterable[Id]) -> None:
        """They do not exist."""
        until = self._clock() + self._seconds
        for one in ids:
            self._until[one] = until
            self._until.move_to_end(one)
        while len(self._until) > MAX_UNKNOWN:
            self._until.popitem(last=False)

    def discard(self, one: Id) -> None:
        """It may exist."""
        self._until.pop(one, None)

    def clear(self) -> None:
        """Any may exist."""
        self._until.clear()
