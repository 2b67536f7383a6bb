"""A circuit before the configuration service: how long a caller may wait for it.

While the service answers, a caller may be patient: it is started anew now and then, and a few
seconds lose nothing. Once somebody's patience was in vain the circuit is open: nobody waits, but
for one short try after each pause.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

_LOG: Final = logging.getLogger(__name__)
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0


class Circuit:
    """Safe among threads.

    Args:
        clock: Monotonic seconds.
        jitter: A number from 0 to 1, drawn for each pause, so that processes do not ask together.
        patience_seconds: What a caller may spend while the circuit is closed ...
        probe_seconds: ... and on the one try after a pause.

    Attributes:
        trouble: What was wrong with the service last, for the log.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        patience_seconds: float,
        probe_seconds: float,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._patience = patience_seconds
        self._probe = min(probe_seconds, patience_seconds)
        self._lock = threading.Lock()
        self._pause = 0.0  # 0: closed
        self._open_until = 0.0
        self.trouble = ""

    def admit(self) -> float:
        """How many seconds the caller may spend; 0 for none."""
        with self._lock:
            if not self._pause:
                return self._patience
            if self._clock() < self._open_until:
                return 0.0
            self._open_until = self._clock() + self._probe  # one try at a time
            return self._probe

    def succeeded(self) -> None:
        """The service answered."""
        with self._lock:
            if self._pause:
                _LOG.warning("rules can be looked up again")
            self._pause = 0.0

    def failed(self) -> None:
        """The time was spent in vain."""
        with self._lock:
            if not self._pause:
                _LOG.error("rules cannot be looked up, new ones wait: %s", self.trouble)
            self._pause = min(2 * self._pause or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
            self._open_until = self._clock() + jittered(self._pause, self._jitter)

    def try_soon(self) -> None:
        """Somebody else has heard from the service: the next caller may try."""
        with self._lock:
            self._open_until = self._clock()


def jittered(seconds: float, jitter: Callable[[], float]) -> float:
    """From half of ``seconds`` to all of them."""
    return seconds * (0.5 + jitter() / 2)
