"""The CPU that a worker's answering threads share.

Of threads that share the interpreter's lock one runs at a time. Spread over CPUs they hand the lock
across with every body that is read, which cost more than the whole rest of an answer; on one CPU
the thread that let go of the lock mostly has it again before another one has woken.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 1.0
WORTH_A_MOVE: Final = 0.25
"""This share of the CPU must be taken by others, and be idle more on another one."""
_STAT: Final = Path("/proc/stat")


class SharedCpu:
    """Keeps the threads that join it on one CPU; moves them when others take that one.

    Args:
        cpus: Those that the process may use.
        idle_seconds: How long each CPU has been idle since any instant in the past.
        place: Lets a thread (native id) run on a CPU alone.
        stopwatch: Seconds that never go back.
        used_seconds: CPU that this process has used.
        draw: A random number in [0, 1): of workers that share a CPU not all are to leave it.
    """

    def __init__(
        self,
        cpus: Sequence[int],
        *,
        idle_seconds: Callable[[], Mapping[int, float]],
        place: Callable[[int, int], None],
        stopwatch: Callable[[], float] = time.monotonic,
        used_seconds: Callable[[], float] = time.process_time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._place = place
        self._stopwatch = stopwatch
        self._used_seconds = used_seconds
        self._draw = draw
        self._cpus = tuple(cpus)
        self.cpu = self._cpus[int(draw() * len(self._cpus))]
        self._threads: set[int] = set()
        self._joined = threading.local()
        self._seen = self._look()

    def join(self) -> None:
        """Bring the calling thread here; costs next to nothing when it is here already."""
        if not hasattr(self._joined, "yes"):
            self._joined.yes = True
            thread = threading.get_native_id()
            self._threads.add(thread)
            self._move(thread)

    def look_when_due(self) -> None:
        """Every ``LOOK_SECONDS`` see whether others use this CPU while another one is idle."""
        at, used, idle = self._seen
        if self._stopwatch() - at < LOOK_SECONDS:
            return
        self._seen = now, used_now, idle_now = self._look()
        elapsed = now - at
        free = {cpu: (idle_now[cpu] - idle[cpu]) / elapsed for cpu in idle_now if cpu in idle}
        best = max(free, key=lambda cpu: free[cpu], default=self.cpu)
        mine = free.get(self.cpu, 1.0)
        others = 1.0 - mine - (used_now - used) / elapsed
        is_worth = others > WORTH_A_MOVE and free.get(best, 0.0) > mine + WORTH_A_MOVE
        if is_worth and self._draw() < 0.5:
            self.cpu = best
            for thread in tuple(self._threads):
                self._move(thread)

    def _look(self) -> tuple[float, float, dict[int, float]]:
        idle = self._idle_seconds()
        mine = {cpu: idle[cpu] for cpu in self._cpus if cpu in idle}
        return self._stopwatch(), self._used_seconds(), mine

    def _move(self, thread: int) -> None:
        try:
            self._place(thread, self.cpu)
        except OSError:  # the thread has ended, or may not be placed: it runs where it runs
            self._threads.discard(thread)


def shared_cpu() -> SharedCpu | None:
    """One for this process; ``None`` where threads cannot be placed, or there is one CPU only."""
    if not hasattr(os, "sched_setaffinity") or not _STAT.exists():
        return None
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1:
        return None
    return SharedCpu(cpus, idle_seconds=idle_seconds_of_cpus, place=place_thread)


def place_thread(thread: int, cpu: int) -> None:
    """Let a thread of this process (native id) run on ``cpu`` alone.

    Raises:
        OSError: when it has ended or may not be placed there.
    """
    os.sched_setaffinity(thread, {cpu})


def idle_seconds_of_cpus() -> dict[int, float]:
    """Seconds that each CPU of the machine has been idle since it started."""
    ticks_a_second = os.sysconf("SC_CLK_TCK")
    found = {}
    for line in _STAT.read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            found[int(name[3:])] = (int(ticks[3]) + int(ticks[4])) / ticks_a_second
    return found
