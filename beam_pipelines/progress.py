"""How far a replay is: told by who works to who started it, where both are in one process."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["clean_hits", "sessions", "rollups"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A line of progress.

    Attributes:
        stage: Which one.
        done: Units of work that are done, ``of`` how many.
        of: All of them.
        hits: Hits that went through this stage.
        seconds: Since the stage began.
    """

    stage: Stage
    done: int
    of: int
    hits: int
    seconds: float


Report = Callable[[Progress], None]


def quiet(_progress: Progress) -> None:
    """Tell nobody."""


class Meter:
    """Counts the work of one stage in this process."""

    def __init__(self, stage: Stage, of: int, report: Report) -> None:
        self._lock = threading.Lock()
        self._stage: Stage = stage
        self._of = of
        self._report = report
        self._began = time.monotonic()
        self._done = 0
        self._hits = 0
        self._tell()

    def step(self, hits: int) -> None:
        """One unit of work is done."""
        with self._lock:
            self._done += 1
            self._hits += hits
            self._tell()

    def _tell(self) -> None:
        seconds = round(time.monotonic() - self._began, 3)
        self._report(
            Progress(
                stage=self._stage, done=self._done, of=self._of, hits=self._hits, seconds=seconds
            )
        )


_METERS: dict[str, Meter] = {}


def begin(stage: Stage, of: int, report: Report) -> None:
    """From here on ``step`` is told to ``report``."""
    _METERS[stage] = Meter(stage, of, report)


def step(stage: Stage, hits: int) -> None:
    """A unit of work is done; nobody hears of it in a process that did not start the replay."""
    meter = _METERS.get(stage)
    if meter is not None:
        meter.step(hits)


def end(stage: Stage) -> None:
    """The stage is over."""
    _METERS.pop(stage, None)
