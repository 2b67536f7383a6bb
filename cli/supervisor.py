"""The supervisor: starts services in stages, restarts what dies, stops all in order."""

import os
import selectors
import signal
import time
from collections.abc import Callable
from itertools import groupby
from typing import Final, Protocol

from cli.reaper import Reaper
from cli.service import Child, Service, State

TICK_SECONDS: Final = 0.1
STARTING_LOOK_SECONDS: Final = 0.25
READY_LOOK_SECONDS: Final = 5.0
_CHUNK_BYTES: Final = 65_536
_MAX_LINE_BYTES: Final = 16_384


class Screen(Protocol):
    """Where people see what goes on."""

    def line(self, name: str, text: str) -> None:
        """One line that a service, or the supervisor as ``up``, has to say."""

    def update(self, children: list[Child]) -> None:
        """States, pids or restarts have changed."""


class Supervisor:
    """Runs a table of services until it is told to stop.

    ``run`` belongs to the main thread, which alone may take signals.

    Args:
        services: The table; names are unique.
        screen: Shown lines and states.
        on_ready: Called once, when every service has become ready for the first time.
    """

    def __init__(
        self,
        services: list[Service],
        screen: Screen,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        ordered = sorted(services, key=lambda service: service.stage)
        self._reaper = Reaper()
        self.children = [Child(service, self._reaper) for service in ordered]
        self._screen = screen
        self._on_ready: Callable[[], None] | None = on_ready
        self._selector = selectors.DefaultSelector()
        self._partial_lines: dict[int, bytes] = {}
        self._look_at: dict[str, float] = {}
        self._stop_requests = 0
        self._shown: object = None

    def request_stop(self) -> None:
        """Stop in order; asked a second time, without waiting for what is left to be worked off."""
        self._stop_requests += 1

    def run(self) -> bool:
        """Start, watch, and after a request stop everything; whether all ended in order."""
        previous = {
            number: signal.signal(number, lambda *_: self.request_stop())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            while not self._stop_requests:
                self._watch()
            return self._stop()
        finally:
            for child in self.children:
                child.kill()
            self._reaper.close()
            self._selector.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _watch(self) -> None:
        now = time.monotonic()
        stage = self._open_stage()
        for child in self.children:
            self._restart_if_dead(child, now)
            if child.state is State.WAITING and child.service.stage <= stage:
                self._start(child, now)
            self._look(child, now)
        if self._on_ready and all(child.state is State.READY for child in self.children):
            on_ready, self._on_ready = self._on_ready, None
            on_ready()
        self._show()
        self._forward_lines()

    def _open_stage(self) -> int:
        """The last stage that may start: the first that holds what has never been ready."""
        for child in self.children:
            if child.service.holds_next and not child.has_been_ready:
                return child.service.stage
        return self.children[-1].service.stage

    def _start(self, child: Child, now: float) -> None:
        output = child.start(now)
        self._selector.register(output, selectors.EVENT_READ, child.service.name)
        self._look_at[child.service.name] = now

    def _restart_if_dead(self, child: Child, now: float) -> None:
        if child.state is State.BACKOFF:
            if now >= child.start_again_at:
                child.restarts += 1
                self._start(child, now)
            return
        status = child.reap(now)
        if status is not None:
            wait = child.start_again_at - now
            self._screen.line(
                "up", f"{child.service.name} ended ({_cause(status)}); again in {wait:.1f} s"
            )

    def _look(self, child: Child, now: float) -> None:
        if child.pid is None or now < self._look_at[child.service.name]:
            return
        if child.service.is_ready(child.pid):
            if child.state is not State.READY:
                self._screen.line("up", f"{child.service.name} is ready: {child.service.address}")
            child.state = State.READY
            child.has_been_ready = True
        elif child.state is State.READY:
            child.state = State.UNREADY
            self._screen.line("up", f"{child.service.name} is not ready any more")
        ready = child.state is State.READY
        self._look_at[child.service.name] = now + (
            READY_LOOK_SECONDS if ready else STARTING_LOOK_SECONDS
        )

    def _stop(self) -> bool:
        self._screen.line("up", "stopping in order; once more to stop at once")
        in_order = True
        running = list(reversed(self.children))
        for _, stage in groupby(running, key=lambda child: child.service.stage):
            stopping = list(stage)
            self._drain(stopping)
            in_order = self._end(stopping) and in_order
        return in_order

    def _drain(self, stopping: list[Child]) -> None:
        """Let a stage finish what the stages above it have left, within its bound."""
        started_at = time.monotonic()
        for child in stopping:
            if child.state is State.WAITING:
                continue  # it never ran: what it may have left is for the next start
            give_up_at = started_at + child.service.drain_seconds
            while not child.service.is_idle():
                now = time.monotonic()
                if now >= give_up_at or self._stop_requests > 1:
                    self._screen.line("up", f"{child.service.name} still had work to do")
                    break
                for other in stopping:  # who dies here still has work to finish
                    self._restart_if_dead(other, now)
                self._show()
                self._forward_lines()

    def _end(self, stopping: list[Child]) -> bool:
        in_order = True
        now = time.monotonic()
        for child in stopping:
            child.ask_to_stop()
        give_up_at = {child: now + child.service.stop_seconds for child in stopping}
        while waiting := [child for child in stopping if not child.has_stopped()]:
            for child in waiting:
                if time.monotonic() >= give_up_at[child]:
                    self._screen.line("up", f"{child.service.name} did not stop in time: killed")
                    child.kill()
                    in_order = False
            self._show()
            self._forward_lines()
        self._forward_lines()
        self._show()
        return in_order

    def _show(self) -> None:
        shown = [(child.state, child.pid, child.restarts) for child in self.children]
        if shown != self._shown:
            self._shown = shown
            self._screen.update(self.children)

    def _forward_lines(self) -> None:
        """Pass on what was logged; waits a tick at most. No line is held back or torn."""
        if not self._selector.get_map():
            time.sleep(TICK_SECONDS)
            return
        for key, _ in self._selector.select(TICK_SECONDS):
            chunk = os.read(key.fd, _CHUNK_BYTES)
            *lines, rest = (self._partial_lines.pop(key.fd, b"") + chunk).split(b"\n")
            if not chunk or len(rest) > _MAX_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                if line.strip():
                    self._screen.line(key.data, line.decode(errors="replace").rstrip())
            if chunk:
                self._partial_lines[key.fd] = rest
            else:
                self._selector.unregister(key.fileobj)
                os.close(key.fd)


def _cause(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    return f"killed by {signal.Signals(-status).name}"
