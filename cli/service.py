"""A service: one process that the supervisor starts, watches, restarts and stops."""

import contextlib
import enum
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cli.reaper import Reaper

FIRST_BACKOFF_SECONDS: Final = 0.5
LAST_BACKOFF_SECONDS: Final = 30.0
STABLE_SECONDS: Final = 30.0
"""Who ran this long without dying starts again with the first backoff."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the supervisor is told of one process.

    Attributes:
        name: Stands in front of each line that it logs.
        stage: Services start in ascending stages, each when the one before is ready, and stop in
            descending ones.
        command: Program and arguments.
        address: Where it listens or what it writes; shown to people.
        is_ready: Whether the process of this pid does its work.
        is_idle: Whether it has finished what was left for it; asked before it is stopped.
        drain_seconds: How long stopping waits for ``is_idle``.
        holds_next: Whether the stages after it wait until it has been ready.
        stop_seconds: How long it may take to end after SIGTERM before it is killed.
        stops_group: Whether SIGTERM goes to all that it started too: it waits for them, but does
            not tell them.
    """

    name: str
    stage: int
    command: tuple[str, ...]
    address: str
    is_ready: Callable[[int], bool]
    is_idle: Callable[[], bool] = lambda: True
    drain_seconds: float = 0.0
    holds_next: bool = True
    stop_seconds: float = 15.0
    stops_group: bool = False


class State(enum.StrEnum):
    """Where a service stands."""

    WAITING = "waiting"  # for the stage before it
    STARTING = "starting"
    READY = "ready"
    UNREADY = "not ready"  # it was ready and no longer says so
    BACKOFF = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    KILLED = "killed"  # it did not stop in time


class Child:
    """The process of one service through all its starts.

    All times are seconds of one monotonic clock, passed in.
    """

    def __init__(self, service: Service, reaper: Reaper) -> None:
        self.service = service
        self._reaper = reaper
        self.state = State.WAITING
        self.has_been_ready = False
        self.restarts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.start_again_at = 0.0
        self._started_at = 0.0
        self._backoff_seconds = FIRST_BACKOFF_SECONDS

    @property
    def pid(self) -> int | None:
        """Of the running process, if it runs."""
        return self.process.pid if self.process is not None else None

    def start(self, now: float) -> int:
        """Start the process in a session of its own, so that Ctrl-C reaches the supervisor only.

        Returns:
            The descriptor on which its output can be read; the caller closes it.
        """
        output, written = os.pipe()
        try:
            self.process = subprocess.Popen(
                self.service.command,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        finally:
            os.close(written)
        self._reaper.add(self.process.pid)
        self._started_at = now
        self.state = State.STARTING
        return output

    def reap(self, now: float) -> int | None:
        """The exit status if the process has ended by itself; its group is then cleared.

        The next start is put off, longer each time unless it had been stable.
        """
        if self.process is None or (status := self.process.poll()) is None:
            return None
        self._clear_group()
        if now - self._started_at >= STABLE_SECONDS:
            self._backoff_seconds = FIRST_BACKOFF_SECONDS
        self.start_again_at = now + self._backoff_seconds
        self._backoff_seconds = min(2 * self._backoff_seconds, LAST_BACKOFF_SECONDS)
        self.state = State.BACKOFF
        return status

    def ask_to_stop(self) -> None:
        """SIGTERM to the process, which ends its own children, or to the group."""
        if self.process is None:
            self.state = State.STOPPED
            return
        self.state = State.STOPPING
        if self.service.stops_group:
            with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
                os.killpg(self.process.pid, signal.SIGTERM)
        else:
            self.process.terminate()

    def has_stopped(self) -> bool:
        """Whether the process has ended after it was asked to; its group is then cleared."""
        if self.process is None:
            return True
        if self.process.poll() is None:
            return False
        self._clear_group()
        self.state = State.STOPPED
        return True

    def kill(self) -> None:
        """End the process and all it started, now."""
        if self.process is None:
            return
        self._clear_group()
        self.state = State.KILLED

    def _clear_group(self) -> None:
        """Kill what is left of the process and of all that it started."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):  # nothing is left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reaper.remove(self.process.pid)
        self.process = None
