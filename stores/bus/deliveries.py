"""Deliveries: which messages of one subscription are leased, due again, or acknowledged.

Held in memory and rebuilt from the file's cursor after a restart, when all that is not
acknowledged is due again. No clock: every call is told the time (monotonic seconds).
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

_LOOK_AHEAD_MESSAGES: Final = 256


@dataclass(eq=False)
class Flow:
    """What one consumer holds: counted so that a stream is not sent more than it asked for."""

    messages: int = 0
    message_bytes: int = 0


@dataclass(frozen=True)
class Delivery:
    """One handing out of the message published at ``published_at`` (UTC µs)."""

    published_at: int
    lease: int


@dataclass
class _Open:
    """A message handed out and not acknowledged; due again where ``lease`` is 0."""

    size: int
    lease: int = 0
    deadline: float = 0.0
    flow: Flow | None = None


class Deliveries:
    """The state of one subscription's messages. Not thread-safe: its owner locks.

    Args:
        cursor: Every message published at it or before is acknowledged.
        acknowledged: What is acknowledged above the cursor.
        after: Gives (publish time, bytes) of the first so many messages after a publish time.
    """

    def __init__(
        self,
        cursor: int,
        acknowledged: set[int],
        after: Callable[[int, int], list[tuple[int, int]]],
    ) -> None:
        self._after = after
        self._last_lease = 0
        self._open: dict[int, _Open] = {}
        self.reset(cursor, acknowledged)

    def reset(self, cursor: int, acknowledged: set[int]) -> None:
        """Start over from ``cursor``: every delivery is void."""
        for opened in self._open.values():
            _unlease(opened)
        self._cursor = cursor
        # All up to the position has been handed out at least once or is acknowledged.
        self._position = cursor
        self._acknowledged = acknowledged
        self._ahead: deque[tuple[int, int]] = deque()
        self._open = {}
        self._opened: list[int] = []
        self._again: list[int] = []
        self._expiries: list[tuple[float, int]] = []

    def take(
        self,
        *,
        max_messages: int,
        max_bytes: int,
        now: float,
        deadline: float,
        newest: int,
        flow: Flow | None = None,
    ) -> list[Delivery]:
        """Lease messages until ``deadline``: those due again first, then new ones, oldest first.

        Takes at most ``max_messages`` and ``max_bytes``, but always one if there is one.
        ``newest`` is the publish time of the topic's last message: nothing is looked up past it.
        """
        self.expire(now)
        taken: list[Delivery] = []
        taken_bytes = 0
        while len(taken) < max_messages:
            candidate = self._peek(newest)
            if candidate is None or (taken and taken_bytes + candidate[1] > max_bytes):
                break
            published_at, size = candidate
            taken.append(Delivery(published_at, self._lease(published_at, size, deadline, flow)))
            taken_bytes += size
        return taken

    def acknowledge(self, published_ats: Iterable[int]) -> tuple[int, list[int]]:
        """Take messages as done; returns the new cursor and the newly acknowledged above it."""
        done = [published_at for published_at in published_ats if self._close(published_at)]
        while self._opened and self._opened[0] not in self._open:
            heapq.heappop(self._opened)
        self._cursor = self._opened[0] - 1 if self._opened else self._position
        return self._cursor, [published_at for published_at in done if published_at > self._cursor]

    def extend(self, delivery: Delivery, *, deadline: float) -> None:
        """Move the deadline of a delivery, if it is still the message's current one."""
        opened = self._open.get(delivery.published_at)
        if opened is not None and opened.lease == delivery.lease:
            opened.deadline = deadline
            heapq.heappush(self._expiries, (deadline, delivery.published_at))

    def give_back(self, delivery: Delivery) -> None:
        """Make a delivery's message due again at once, if it is still the current one."""
        opened = self._open.get(delivery.published_at)
        if opened is not None and opened.lease == delivery.lease:
            _unlease(opened)
            heapq.heappush(self._again, delivery.published_at)

    def expire(self, now: float) -> None:
        """Make the messages whose leases have run out due again."""
        while self._expiries and self._expiries[0][0] <= now:
            _, published_at = heapq.heappop(self._expiries)
            opened = self._open.get(published_at)
            # An extended lease has a later entry of its own.
            if opened is not None and opened.lease and opened.deadline <= now:
                self.give_back(Delivery(published_at, opened.lease))

    def next_expiry(self) -> float | None:
        """The earliest time at which a lease may run out; monotonic seconds."""
        return self._expiries[0][0] if self._expiries else None

    def _peek(self, newest: int) -> tuple[int, int] | None:
        while self._again:
            opened = self._open.get(self._again[0])
            if opened is not None and not opened.lease:
                return self._again[0], opened.size
            heapq.heappop(self._again)
        while True:
            if not self._ahead and self._position < newest:
                self._ahead.extend(self._after(self._position, _LOOK_AHEAD_MESSAGES))
            if not self._ahead:
                return None
            if self._ahead[0][0] not in self._acknowledged:
                return self._ahead[0]
            self._position = self._ahead.popleft()[0]
            self._acknowledged.remove(self._position)

    def _lease(self, published_at: int, size: int, deadline: float, flow: Flow | None) -> int:
        if self._again and self._again[0] == published_at:
            heapq.heappop(self._again)
        else:
            self._position = self._ahead.popleft()[0]
            self._open[published_at] = _Open(size)
            heapq.heappush(self._opened, published_at)
        self._last_lease += 1
        opened = self._open[published_at]
        opened.lease, opened.deadline, opened.flow = self._last_lease, deadline, flow
        if flow is not None:
            flow.messages += 1
            flow.message_bytes += size
        heapq.heappush(self._expiries, (deadline, published_at))
        return self._last_lease

    def _close(self, published_at: int) -> bool:
        opened = self._open.pop(published_at, None)
        if opened is not None:
            _unlease(opened)
            return True
        # Delivered before a restart, and not yet again since.
        if published_at > self._position and published_at not in self._acknowledged:
            self._acknowledged.add(published_at)
            return True
        return False


def _unlease(opened: _Open) -> None:
    if opened.flow is not None:
        opened.flow.messages -= 1
        opened.flow.message_bytes -= opened.size
    opened.lease, opened.flow = 0, None
