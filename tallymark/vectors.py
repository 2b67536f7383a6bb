"""Vectors: which blocks have been seen, and what time it is in the data.

A vector keeps, per spool, the contiguous number and the holes above it. A block seen is known by
its name. The clock is the least frontier of the attached spools: no wall clock and no runner's
watermark takes part.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tallymark.blocks import BlockKind

BASE_AFTER_US: Final = 120_000_000
"""A spool that is first seen above number 1 is based on the least number seen in this time."""
DETACH_AFTER_US: Final = 120_000_000
"""A spool whose newest block was published this long before the newest of all is detached."""
AHEAD_US: Final = 5_000_000
"""A spool whose clock runs this far ahead of the bus's is detached."""
FORGET_AFTER_US: Final = 49 * 3_600_000_000
"""A closed spool is forgotten when the bus has let its blocks go (48 hours) and an hour more."""


@dataclass(frozen=True, kw_only=True)
class BlockMark:
    """What the vector needs to know of a block."""

    spool_id: str
    number: int
    kind: BlockKind
    frontier: int
    published_at: int


@dataclass(kw_only=True)
class SpoolView:
    """What has been seen of one spool.

    Attributes:
        contiguous: Every number above the base up to it has been seen.
        frontier: UTC µs through which the contiguous blocks reach.
        above: Numbers seen above a hole, with their frontiers.
        is_based: Whether the base is known: number 1 was seen, or two minutes have passed.
        base: No number up to it is waited for.
        below: Numbers up to the base that came after all: they had been overtaken.
        first_published: UTC µs of publication of the first block that was seen.
        published: UTC µs of publication of the newest.
        closing: Number of the closing block, 0 while unknown.
        is_ahead: Whether its clock ran ahead of the bus's in the block with the highest number.
    """

    contiguous: int = 0
    frontier: int = 0
    above: dict[int, int] = field(default_factory=dict)
    is_based: bool = False
    base: int = 0
    below: set[int] = field(default_factory=set)
    first_published: int = 0
    published: int = 0
    closing: int = 0
    is_ahead: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether every block there will ever be has been seen."""
        return 0 < self.closing <= self.contiguous

    def has(self, number: int) -> bool:
        """Whether the block of this number has been seen."""
        if self.is_based and number <= self.contiguous:
            return number > self.base or number in self.below
        return number in self.above

    def note(self, number: int, frontier: int) -> None:
        """Take note of a number that has not been seen."""
        if not self.is_based or number > self.base:
            self.above[number] = frontier
            return
        self.below.add(number)
        while self.base in self.below:
            self.below.remove(self.base)
            self.base -= 1

    def absorb(self) -> None:
        """Raise the contiguous number over what is held above it."""
        while self.contiguous + 1 in self.above:
            self.contiguous += 1
            self.frontier = max(self.frontier, self.above.pop(self.contiguous))


@dataclass
class Vector:
    """The blocks that a shard's state includes."""

    spools: dict[str, SpoolView] = field(default_factory=dict)
    clock: int = 0  # UTC µs of the data; never goes back
    published: int = 0  # UTC µs of the newest publication seen

    def has(self, spool_id: str, number: int) -> bool:
        """Whether a block has been seen."""
        view = self.spools.get(spool_id)
        return view is not None and view.has(number)

    def observe(self, mark: BlockMark) -> bool:
        """Take note of a block; whether it is new."""
        if self.has(mark.spool_id, mark.number):
            return False
        view = self.spools.setdefault(mark.spool_id, SpoolView(first_published=mark.published_at))
        if mark.number > max(view.contiguous, max(view.above, default=0)):
            view.is_ahead = mark.frontier > mark.published_at + AHEAD_US
        view.note(mark.number, mark.frontier)
        view.published = max(view.published, mark.published_at)
        view.first_published = min(view.first_published, mark.published_at)
        view.is_based = view.is_based or mark.number == 1
        if mark.kind == "closing":
            view.closing = mark.number
        if view.is_based:
            view.absorb()
        self.published = max(self.published, mark.published_at)
        return True

    def advance(self) -> None:
        """Base spools whose time has come, forget closed ones, move the clock."""
        for view in self.spools.values():
            if not view.is_based and self.published - view.first_published >= BASE_AFTER_US:
                view.base = view.contiguous = min(view.above) - 1
                view.is_based = True
                view.absorb()
        self.spools = {
            name: view
            for name, view in self.spools.items()
            if not (view.is_closed and view.published < self.published - FORGET_AFTER_US)
        }
        attached = [view.frontier for view in self.spools.values() if self._is_attached(view)]
        self.clock = max(self.clock, min(attached, default=0))

    def _is_attached(self, view: SpoolView) -> bool:
        lags = view.published < self.published - DETACH_AFTER_US
        return not (view.is_closed or view.is_ahead or lags)

    def detached(self) -> list[str]:
        """Spools that are open and do not take part in the clock."""
        return sorted(
            name
            for name, view in self.spools.items()
            if not view.is_closed and not self._is_attached(view)
        )

    def holes(self) -> list[tuple[str, int]]:
        """(spool, number) of blocks that are missing below one that was seen."""
        return [
            (name, number)
            for name, view in sorted(self.spools.items())
            if view.is_based and view.above
            for number in range(view.contiguous + 1, max(view.above))
            if number not in view.above
        ]

    def reaches(self, other: "Vector", reads_from: int) -> bool:
        """Whether everything in ``other`` is in this one too.

        Args:
            other: The vector stored with the cells that are served.
            reads_from: UTC µs; blocks published before it are not read by this job at all.
        """
        for name, theirs in other.spools.items():
            if theirs.published < reads_from:
                continue
            mine = self.spools.get(name)
            if mine is None or not mine.is_based:
                return False
            if mine.contiguous < theirs.contiguous and not all(
                mine.has(number) for number in range(mine.contiguous + 1, theirs.contiguous + 1)
            ):
                return False
            if not all(mine.has(number) for number in theirs.above):
                return False
        return True

    def copy(self) -> "Vector":
        """The same, to be kept while this one goes on."""
        return Vector.from_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """A document that ``from_json`` reads back."""
        return {
            "clock": self.clock,
            "published": self.published,
            "spools": {
                name: [
                    view.contiguous,
                    view.frontier,
                    sorted(view.above.items()),
                    view.is_based,
                    view.first_published,
                    view.published,
                    view.closing,
                    view.is_ahead,
                    view.base,
                    sorted(view.below),
                ]
                for name, view in sorted(self.spools.items())
            },
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Vector":
        """The vector in a document of ``to_json``."""
        spools = {
            name: SpoolView(
                contiguous=contiguous,
                frontier=frontier,
                above={int(number): int(at) for number, at in above},
                is_based=is_based,
                first_published=first_published,
                published=published,
                closing=closing,
                is_ahead=is_ahead,
                base=base,
                below=set(below),
            )
            for name, (
                contiguous,
                frontier,
                above,
                is_based,
                first_published,
                published,
                closing,
                is_ahead,
                base,
                below,
            ) in document["spools"].items()
        }
        return cls(spools=spools, clock=document["clock"], published=document["published"])


def observe_all(vector: Vector, marks: Iterable[BlockMark]) -> list[bool]:
    """Observe several blocks and advance; which of them were new."""
    fresh = [vector.observe(mark) for mark in marks]
    vector.advance()
    return fresh
