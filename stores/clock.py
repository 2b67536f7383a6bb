"""The clock: UTC, as whatever records, publishes, archives, streams and reports takes it.

It is the machine's, unless ``TALLYMARK_CLOCK`` puts another in its place: a test lets a whole
stack begin on another day and live faster, so that a day of traffic enters over HTTP within
minutes. Limits that are set for the machine (retries, deadlines, pauses) stay on its own clock.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "TALLYMARK_CLOCK"


@dataclass(frozen=True, kw_only=True)
class ScaledClock:
    """A clock beside the machine's; all processes that are told of it agree.

    Attributes:
        shown_us: UTC µs that it shows ...
        at_us: ... when the machine's clock shows these UTC µs.
        speed: Its seconds a second of the machine; above 0.
    """

    shown_us: int
    at_us: int
    speed: float

    def utc_us(self) -> int:
        """The time it shows, UTC µs."""
        return self.shown_us + int((time.time_ns() // 1_000 - self.at_us) * self.speed)

    def stopwatch(self) -> float:
        """Seconds that never go back, at its speed."""
        return time.monotonic() * self.speed

    def environment(self) -> dict[str, str]:
        """What puts a process onto this clock."""
        return {VARIABLE: f"{self.shown_us},{self.at_us},{self.speed!r}"}


def clock_of(environment: Mapping[str, str]) -> ScaledClock | None:
    """The clock that an environment asks for, ``None`` for the machine's.

    Raises:
        ValueError: when it asks for none that can be.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    try:
        shown_us, at_us, speed = text.split(",")
        clock = ScaledClock(shown_us=int(shown_us), at_us=int(at_us), speed=float(speed))
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {_EXPECTED}, got {text!r}") from error
    if not 0 < clock.speed < float("inf"):
        raise ValueError(f"{VARIABLE}: {_EXPECTED}, got a speed of {clock.speed}")
    return clock


_EXPECTED: Final = "expected SHOWN_US,AT_US,SPEED (UTC µs it shows, at UTC µs of the machine)"


def _machine_us() -> int:
    return time.time_ns() // 1_000


SCALED: Final = clock_of(os.environ)
"""The clock of this process, ``None`` where it is the machine's."""
SPEED: Final = SCALED.speed if SCALED else 1.0
"""Seconds of the clock a second of the machine."""
utc_us: Final[Callable[[], int]] = SCALED.utc_us if SCALED else _machine_us
"""The time, UTC µs. The machine's costs nothing beyond the call."""
stopwatch: Final[Callable[[], float]] = SCALED.stopwatch if SCALED else time.monotonic
"""Seconds of the clock that never go back."""


def utc_seconds() -> float:
    """The time, UTC seconds."""
    return utc_us() / 1e6
