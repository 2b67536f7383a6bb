"""A soak: steady hits for a long time, while workers die and the bus is away for a while.

What was accepted has to be archived, exactly, and the memory of the services must not grow.
"""

import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import duckdb
import psutil

from .reports import ask
from .stack import Site, Stack, eventually
from .steady_load import Answers, SteadyLoad

LOOK_SECONDS = 5.0
FLAT_FRACTION = 0.25
"""How much more a service may hold in the last quarter of a soak than in its second, besides
``FLAT_MEGABYTES``; the first is left out, since caches fill."""
FLAT_MEGABYTES = 60
CATCH_UP_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done to the stack, in seconds from the beginning."""

    seconds: float
    requests_per_second: float
    kill_every_seconds: float
    outage_seconds: float
    seed: int

    @property
    def outage_begins(self) -> float:
        """So that it lies in the middle."""
        return (self.seconds - self.outage_seconds) / 2


@dataclass
class Soak:
    """What was seen.

    Attributes:
        megabytes: Resident memory of each service with its children, with the second of each look.
        kills: Workers of the collector that were killed.
        most_waiting: Blocks on the collector's disk when the bus was away.
    """

    answers: Answers = field(default_factory=Answers)
    megabytes: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    kills: int = 0
    most_waiting: int = 0

    def growth(self, seconds: float) -> dict[str, tuple[float, float]]:
        """Median memory of each service in the second and in the last quarter, in MB."""
        return {
            name: tuple(
                statistics.median([size for at, size in looks if low <= at / seconds < high] or [0])
                for low, high in ((0.25, 0.5), (0.75, 2.0))
            )
            for name, looks in self.megabytes.items()
        }  # type: ignore[return-value]

    def grown(self, seconds: float) -> dict[str, tuple[float, float]]:
        """Services that hold more at the end than they may."""
        return {
            name: (before, after)
            for name, (before, after) in self.growth(seconds).items()
            if after > before * (1 + FLAT_FRACTION) + FLAT_MEGABYTES
        }


def soak(stack: Stack, site: Site, plan: Plan, tell: Callable[[str], None]) -> Soak:
    """Run the plan; returns when everything that was accepted is in the report.

    Raises:
        AssertionError: when the report does not come to what was accepted.
    """
    found, random = Soak(), Random(plan.seed)
    bus = psutil.Process(stack.pid("pubsub"))
    with SteadyLoad(stack.collector_port, site.measurement_id, plan.requests_per_second) as load:
        found.answers = load.answers
        started, kill_at, is_away = time.monotonic(), plan.kill_every_seconds, False
        while (at := time.monotonic() - started) < plan.seconds:
            should_be_away = 0 <= at - plan.outage_begins < plan.outage_seconds
            if should_be_away != is_away:
                bus.send_signal(signal.SIGSTOP if should_be_away else signal.SIGCONT)
                is_away = should_be_away
                tell("the bus is away" if is_away else "the bus is back")
            if at >= kill_at:
                found.kills += _kill_a_worker(stack, random)
                kill_at += plan.kill_every_seconds
            _look(stack, found, at)
            tell(_line(found, at))
            time.sleep(min(LOOK_SECONDS, plan.kill_every_seconds / 2))
    _await_the_report(stack, site, found.answers)
    return found


def _kill_a_worker(stack: Stack, random: Random) -> int:
    """Kill a process that answers requests; whether there was one."""
    children = psutil.Process(stack.pid("collector")).children()
    answering = [one for one in children if "resource_tracker" not in " ".join(one.cmdline())]
    if not answering:
        return 0
    os.kill(random.choice(answering).pid, signal.SIGKILL)
    return 1


def _look(stack: Stack, found: Soak, at: float) -> None:
    for name, pids in stack.pids().items():
        held = 0
        for pid in pids:
            try:
                held += psutil.Process(pid).memory_info().rss
            except psutil.NoSuchProcess:
                continue
        found.megabytes.setdefault(name, []).append((at, held // 1_000_000))
    waiting = sum(1 for _ in stack.data.glob("spools/*/*.block"))
    found.most_waiting = max(found.most_waiting, waiting)


def _line(found: Soak, at: float) -> str:
    memory = ", ".join(f"{name} {looks[-1][1]} MB" for name, looks in found.megabytes.items())
    answers = found.answers
    return (
        f"{at:5.0f} s  {len(answers.accepted):,} accepted, {len(answers.refused):,} refused, "
        f"{len(answers.unknown):,} without an answer, {found.kills} kills; {memory}"
    )


def _await_the_report(stack: Stack, site: Site, answers: Answers) -> None:
    sent = len(answers.accepted), len(answers.accepted) + len(answers.unknown)

    def has_come() -> bool:
        counted = ask(stack, site, (), ("eventCount",)).get((), (0.0,))[0]
        return sent[0] <= counted <= sent[1]

    eventually(
        has_come, within_seconds=CATCH_UP_SECONDS, what=f"{sent[0]} to {sent[1]} hits in the report"
    )


def archived(archive: Path, measurement_id: str) -> list[int]:
    """The number of each of a property's hits in the raw archive; a block that lies there twice
    counts once."""
    rows = duckdb.execute(
        """SELECT CAST(regexp_extract(query, 'epn\\.number=([0-9]+)', 1) AS BIGINT) AS number
           FROM (SELECT DISTINCT request_id, query FROM read_parquet(?)
                 WHERE contains(query, ?))""",
        [str(archive / "raw" / "**" / "*.parquet"), measurement_id],
    ).fetchall()
    return [number for (number,) in rows]


def lost_and_gained(answers: Answers, numbers: list[int]) -> tuple[set[int], set[int]]:
    """Numbers that were accepted and are not archived; and those archived that were not sent, were
    refused, or are there twice."""
    times = Counter(numbers)
    lost = answers.accepted - times.keys()
    unsent = times.keys() - answers.accepted - answers.unknown
    return lost, unsent | {number for number, count in times.items() if count > 1}
