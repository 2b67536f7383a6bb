"""A circuit breaker as a state machine: what is down is asked seldom, and soon again when it is up.

Closed, everything passes. When enough calls in a row have failed, however long each took, or
enough of the last seconds and as many as have not, the circuit opens: nothing passes. When its
pause is over it is half open: one call passes as a probe. Where that succeeds the circuit closes,
where it fails the pause doubles.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["closed", "open", "half_open"]
BUCKETS: Final = 10
"""Into so many parts the window is cut; it moves on by one at a time."""


class CircuitOpenError(Exception):
    """Nothing passes.

    Attributes:
        left_seconds: Until a call may pass.
    """

    def __init__(self, failed: int, left_seconds: float) -> None:
        super().__init__(f"the last {failed} of them failed; next try in {left_seconds:.1f} s")
        self.left_seconds = left_seconds


@dataclass(frozen=True, kw_only=True)
class CircuitSettings:
    """When a circuit opens, and for how long.

    Attributes:
        failures: So many have to fail in a row, or ...
        window_seconds: ... within so long, half of all.
        pause_seconds: How long it stays open at first.
        longest_pause_seconds: The pause beyond which it is not doubled.
    """

    failures: int = 5
    window_seconds: float = 10.0
    pause_seconds: float = 1.0
    longest_pause_seconds: float = 30.0


@dataclass(frozen=True)
class Ticket:
    """A call that passed.

    Attributes:
        turn: How often the circuit had opened or closed before.
        is_probe: Whether its outcome decides what a half open circuit becomes.
    """

    turn: int
    is_probe: bool = False


class Circuit:
    """Not safe among threads. All times are monotonic seconds.

    Args:
        settings: When it opens.
    """

    def __init__(self, settings: CircuitSettings) -> None:
        self._settings = settings
        self._calls: deque[tuple[int, int, int]] = deque(maxlen=BUCKETS + 1)
        self._turn = 0
        self._is_closed = True
        self._pause = settings.pause_seconds
        self._open_until = 0.0
        self._failed = 0
        self.opened = 0
        """How often it has opened."""

    def state(self, now: float) -> State:
        """What it is."""
        if self._is_closed:
            return "closed"
        return "open" if now < self._open_until else "half_open"

    def left_seconds(self, now: float) -> float:
        """How long nothing will pass; 0 where something may."""
        return 0.0 if self._is_closed else max(0.0, self._open_until - now)

    def admit(self, now: float) -> Ticket:
        """Let a call pass; ``succeeded`` or ``failed`` has to follow.

        Raises:
            CircuitOpenError: when it may not.
        """
        if self._is_closed:
            return Ticket(self._turn)
        left = self.left_seconds(now)
        if left > 0:
            raise CircuitOpenError(self._failed, left)
        # Until the probe has come back, or for a pause if it never does, the others wait.
        self._open_until = now + self._pause
        return Ticket(self._turn, is_probe=True)

    def succeeded(self, ticket: Ticket, now: float) -> None:
        """A call came back well."""
        if ticket.turn != self._turn:
            return  # it began before the circuit turned, and says nothing of what is now
        if ticket.is_probe:
            self._close()
        else:
            self._failed = 0
            self._count(now, failed=0)

    def failed(self, ticket: Ticket, now: float) -> None:
        """A call failed, or took too long."""
        if ticket.turn != self._turn:
            return
        if ticket.is_probe:
            self._failed += 1
            self._pause = min(2 * self._pause, self._settings.longest_pause_seconds)
            self._open_until = now + self._pause
            return
        self._count(now, failed=1)
        self._failed += 1
        oldest = self._bucket(now) - BUCKETS
        recent = [call for call in self._calls if call[0] > oldest]
        failures = sum(failures for _, failures, _ in recent)
        is_half = 2 * failures >= sum(calls for *_, calls in recent)
        is_many = failures >= self._settings.failures and is_half
        if is_many or self._failed >= self._settings.failures:
            self._open(now)

    def _open(self, now: float) -> None:
        self._turn += 1
        self.opened += 1
        self._is_closed = False
        self._open_until = now + self._pause

    def _close(self) -> None:
        self._turn += 1
        self._is_closed = True
        self._failed = 0
        self._pause = self._settings.pause_seconds
        self._calls.clear()

    def _count(self, now: float, *, failed: int) -> None:
        bucket = self._bucket(now)
        if self._calls and self._calls[-1][0] == bucket:
            _, failures, calls = self._calls.pop()
            self._calls.append((bucket, failures + failed, calls + 1))
        else:
            self._calls.append((bucket, failed, 1))

    def _bucket(self, now: float) -> int:
        return int(now * BUCKETS // self._settings.window_seconds)
