"""Turns: how many reports from single hits are computed at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TooManyReportsError(Exception):
    """So many reports of hits are being computed that this one has to be asked for again."""


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
