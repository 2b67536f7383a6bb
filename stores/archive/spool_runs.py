"""Runs: which numbers of a spool are archived without a hole, and through which time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tallymark.slots import HOUR_US


@dataclass(frozen=True, order=True)
class Run:
    """Blocks of one spool with ascending numbers, none missing in between.

    Attributes:
        first: Number of the first block.
        last: Number of the last block.
        first_frontier: UTC µs through which the spool is told of by ``first`` and those below.
        last_frontier: The same of ``last``.
        is_closing: Whether the last block closes the spool.
    """

    first: int
    last: int
    first_frontier: int
    last_frontier: int
    is_closing: bool

    def covers(self, hour_us: int) -> bool:
        """Whether it holds every block of its spool that can have requests of the hour."""
        begins = self.first == 1 or self.first_frontier <= hour_us
        return begins and (self.is_closing or self.last_frontier >= hour_us + HOUR_US)


@dataclass(frozen=True)
class SpoolFrontier:
    """How far a spool is archived: without holes from the least number that is archived.

    Attributes:
        number: The highest number before a hole.
        frontier: UTC µs through which every request of the spool is archived.
        is_closed: Whether nothing more can come of it.
    """

    number: int
    frontier: int
    is_closed: bool


def runs_of(numbers: Iterable[int], frontiers: Iterable[int], kinds: Iterable[str]) -> list[Run]:
    """The runs of blocks of one spool, given in any order."""
    blocks = zip(numbers, frontiers, kinds, strict=True)
    return joined(
        Run(number, number, frontier, frontier, kind == "closing")
        for number, frontier, kind in blocks
    )


def joined(runs: Iterable[Run]) -> list[Run]:
    """The longest runs that ``runs`` make together, ascending; blocks may be told of twice."""
    ascending: list[Run] = []
    for run in sorted(runs):
        before = ascending[-1] if ascending else None
        if before is None or run.first > before.last + 1:
            ascending.append(run)
        elif run.last > before.last:
            ascending[-1] = Run(
                before.first, run.last, before.first_frontier, run.last_frontier, run.is_closing
            )
    return ascending


def frontier_of(runs: Sequence[Run]) -> SpoolFrontier:
    """How far a spool with these runs, ascending and at least one, is archived."""
    return SpoolFrontier(runs[0].last, runs[0].last_frontier, runs[0].is_closing)
