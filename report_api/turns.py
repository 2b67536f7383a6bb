"""Turns: how many reports are computed at a time, and whose is next."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class TooManyReportsError(Exception):
    """So many reports of hits are being computed that this one has to be asked for again."""


class NoTurnError(Exception):
    """Others were computed for so long that this one has to be asked for again."""


class Turns:
    """Lets few reports be computed at a time, of each property one.

    Who may wait for a turn holds a thread of the server, so hardly anybody may.

    Args:
        at_once: How many are computed at a time.
        waiting: How many more may wait for their turn.
        seconds: For how long.
    """

    def __init__(self, at_once: int, *, waiting: int, seconds: float) -> None:
        self._at_once = at_once
        self._most_waiting = waiting
        self._seconds = seconds
        self._changed = threading.Condition()
        self._running: set[int] = set()
        self._waiting: set[int] = set()

    @contextmanager
    def taken(self, property_id: int) -> Iterator[None]:
        """A turn of a property, as soon as it comes.

        Raises:
            TooManyReportsError: when it does not come, or so many wait already.
        """
        with self._changed:
            if not self._may_run(property_id):
                self._wait(property_id)
            self._running.add(property_id)
        try:
            yield
        finally:
            with self._changed:
                self._running.remove(property_id)
                self._changed.notify_all()

    def _wait(self, property_id: int) -> None:
        if property_id in self._waiting or len(self._waiting) >= self._most_waiting:
            raise TooManyReportsError("other reports from single hits are being computed")
        self._waiting.add(property_id)
        try:
            if not self._changed.wait_for(lambda: self._may_run(property_id), self._seconds):
                raise TooManyReportsError("another report from single hits takes long")
        finally:
            self._waiting.remove(property_id)

    def _may_run(self, property_id: int) -> bool:
        return property_id not in self._running and len(self._running) < self._at_once


class FairTurns:
    """Lets few requests be computed at a time: whose property has the fewest that are goes next, of
    these the one whose last turn is longest ago.

    So a property that asks for much waits for itself, and another one is not slowed by more than
    what is being computed when it comes.

    Args:
        at_once: How many are computed at a time.
        seconds: How long one waits at most.
    """

    def __init__(self, at_once: int, *, seconds: float) -> None:
        self._at_once = at_once
        self._seconds = seconds
        self._changed = threading.Condition()
        self._running: Counter[int] = Counter()
        self._waiting: dict[object, int] = {}  # in the order in which they came
        self._last: dict[int, int] = {}  # of properties that are here, the number of the last turn
        self._turn = 0

    @contextmanager
    def taken(self, property_id: int) -> Iterator[None]:
        """A turn of a property, as soon as it comes.

        Raises:
            NoTurnError: when it does not come.
        """
        with self._changed:
            self._wait(property_id)
            self._running[property_id] += 1
            self._turn += 1
            self._last[property_id] = self._turn
            self._changed.notify_all()  # there may be a turn for another one as well
        try:
            yield
        finally:
            with self._changed:
                self._running[property_id] -= 1
                self._forget(property_id)
                self._changed.notify_all()

    def _wait(self, property_id: int) -> None:
        mine = object()
        self._waiting[mine] = property_id
        try:
            if not self._changed.wait_for(lambda: self._is_next(mine), self._seconds):
                raise NoTurnError
        finally:
            del self._waiting[mine]

    def _forget(self, property_id: int) -> None:
        """Let go of a property of which nothing runs or waits."""
        if not self._running[property_id]:
            del self._running[property_id]
            if property_id not in self._waiting.values():
                del self._last[property_id]

    def _is_next(self, mine: object) -> bool:
        if self._running.total() >= self._at_once:
            return False
        return mine is min(self._waiting, key=self._claim)

    def _claim(self, one: object) -> tuple[int, int]:
        property_id = self._waiting[one]
        return self._running[property_id], self._last.get(property_id, 0)
