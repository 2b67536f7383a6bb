"""Holes: blocks that are missing below one that was seen, and where they are found again.

The bus may have handed a block to a bundle that died with its acknowledgement. A hole that stays
open for a minute makes the job seek its subscription back; if that does not close it, the block is
read from the archive.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from stores.archive.raw import RawArchive
from tallymark.blocks import Block
from tallymark.slots import HOUR_US
from tallymark.vectors import Vector

LOG = logging.getLogger(__name__)
SEEK_AFTER_SECONDS: Final = 60.0
READ_AFTER_SECONDS: Final = 120.0
SEEK_MARGIN_US: Final = 60_000_000
"""How far before the block below the hole the job seeks: the bus does not keep the order."""

Hole = tuple[str, int]


class SeeksBack(Protocol):
    """What is needed of the bus."""

    def __call__(self, instant_us: int) -> None:
        """Seek the job's own subscription to ``instant_us``."""


@dataclass
class HoleWatch:
    """Follows the holes of one shard and mends them.

    Args:
        archive: Where blocks are read that the bus does not give again.
        seek: Seeks the job's subscription; None where another shard does it, or there is no bus.
        now: Seconds of a clock.
    """

    archive: RawArchive
    seek: SeeksBack | None
    now: Callable[[], float]
    open_since: dict[Hole, float] = field(default_factory=dict)
    sought: set[Hole] = field(default_factory=set)

    def found(self, vector: Vector) -> list[Block]:
        """Blocks read from the archive because their holes would not close."""
        holes = set(vector.holes())
        now = self.now()
        self.open_since = {hole: self.open_since.get(hole, now) for hole in holes}
        self.sought &= holes
        unsought = self._older_than(SEEK_AFTER_SECONDS) - self.sought
        if unsought and self.seek is not None:
            self._seek_back(vector, unsought)
        overdue = self._older_than(READ_AFTER_SECONDS)
        return list(self._read(vector, overdue)) if overdue else []

    def _older_than(self, seconds: float) -> set[Hole]:
        limit = self.now() - seconds
        return {hole for hole, since in self.open_since.items() if since <= limit}

    def _seek_back(self, vector: Vector, holes: set[Hole]) -> None:
        assert self.seek is not None
        instant_us = min(vector.spools[spool].frontier for spool, _ in holes) - SEEK_MARGIN_US
        LOG.warning("seeking back to %d µs for missing blocks %s", instant_us, sorted(holes)[:5])
        self.seek(instant_us)
        self.sought |= holes

    def _read(self, vector: Vector, holes: set[Hole]) -> Iterator[Block]:
        for hour_us in sorted(_hours(vector, {spool for spool, _ in holes})):
            for block in self.archive.read_blocks(hour_us):
                if (block.spool_id, block.number) in holes:
                    holes.discard((block.spool_id, block.number))
                    yield block
        for hole in holes:
            LOG.error("block %s is neither on the bus nor in the archive", hole)
            self.open_since[hole] = self.now()


def _hours(vector: Vector, spools: Iterable[str]) -> set[int]:
    """The received hours in which missing blocks of these spools may lie."""
    hours: set[int] = set()
    for spool in spools:
        view = vector.spools[spool]
        first = view.frontier // HOUR_US * HOUR_US
        last = max(view.above.values(), default=view.frontier)
        hours.update(range(first, last + 1, HOUR_US))
    return hours
