"""Probes: how the supervisor and ``tallymark status`` see from outside whether a service works."""

import http.client
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

ANSWER_SECONDS: Final = 2.0
FRESH_SECONDS: Final = 30.0
"""A service that notes its state each second and has not for so long is in trouble."""


def http_status(url: str) -> tuple[int, str]:
    """Status and body of a GET; (0, reason) when nobody answers in time."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=ANSWER_SECONDS
    )
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()


def accepts_connections(host: str, port: int) -> bool:
    """Whether somebody listens."""
    try:
        with socket.create_connection((host, port), timeout=ANSWER_SECONDS):
            return True
    except OSError:
        return False


def run_note(path: Path) -> dict[str, Any]:
    """What a service last noted of itself in the run folder; empty where there is nothing."""
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def note_age_seconds(path: Path) -> float:
    """How old a note is; infinite where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def notes_of(path: Path) -> Callable[[int], bool]:
    """Whether the process of a pid keeps its note at ``path`` fresh."""

    def is_ready(pid: int) -> bool:
        return note_age_seconds(path) < FRESH_SECONDS and run_note(path).get("pid") == pid

    return is_ready


class Stillness:
    """Whether what is observed has stayed the same for a while.

    Args:
        observe: What is to stay the same; compared by ``==``.
        seconds: How long.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        observe: Callable[[], object],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observe = observe
        self._seconds = seconds
        self._clock = clock
        self._last: object = None
        self._since = float("inf")

    def __call__(self) -> bool:
        """Observe once more."""
        now, seen = self._clock(), self._observe()
        if seen != self._last or self._since > now:
            self._last, self._since = seen, now
        return now - self._since >= self._seconds
