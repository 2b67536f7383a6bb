"""The reaper: a tiny process beside the supervisor that ends its services should it be killed.

It reads lines ``+GROUP`` and ``-GROUP`` from its standard input. When that ends, the supervisor
is gone: what is left gets SIGTERM, and ten seconds later SIGKILL, with all that it started.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, TextIO

GRACE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.1


class Reaper:
    """The supervisor's end: keeps the reaper told, and starts it again should it die."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, group: int) -> None:
        """A process group to end with the supervisor."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """The group has ended."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Let it end; whatever is still registered is ended by it."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", "-P", str(Path(__file__))],
                stdin=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
            line = "".join(f"+{group}\n" for group in self._groups)
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())


def reap(lines: TextIO) -> None:
    """Follow ``lines`` to their end, then end the groups that are left."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        groups.add(group) if line[0] == "+" else groups.discard(group)
    for group in groups:
        _signal_leader(group)
    give_up_at = time.monotonic() + GRACE_SECONDS
    while groups := {group for group in groups if _is_alive(group)}:
        if time.monotonic() >= give_up_at:
            for group in groups:
                os.killpg(group, signal.SIGKILL)
            return
        time.sleep(_LOOK_SECONDS)


def _signal_leader(group: int) -> None:
    """SIGTERM to the service, which ends its own children; to those directly if it is gone."""
    try:
        os.kill(group, signal.SIGTERM)
    except ProcessLookupError:
        if _is_alive(group):
            os.killpg(group, signal.SIGTERM)


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    reap(sys.stdin)
