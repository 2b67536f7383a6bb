"""The pointer map: which lineage serves which hours, for all properties and for single ones.

One versioned document of half-open hour intervals, and one of the same shape for each property
whose hours were published on their own (its overrides). Publishing or rolling back is one
conditional write of a document; what a reader takes once, it uses for a whole answer.

Where the map and an override name an hour, the later publication wins: an interval of the map
carries the version at which it was published, an override the version of the map it was published
over. A rollback puts the intervals of an earlier document back, stamps and all, so that the
overrides that it had been published under serve again.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from tallymark.row_keys import POINTER_MAP_KEY, SEPARATOR
from tallymark.slots import HOUR_US

QUALIFIER: Final = b"map"
OVERRIDES_PREFIX: Final = POINTER_MAP_KEY + SEPARATOR.encode()
SINCE_EVER: Final = -(2**62)
FOR_EVER: Final = 2**62
_DOCUMENTS_KEPT: Final = 64
"""Decoded ones; each answer asks for the map anew, and mostly gets the same bytes."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Hours that one lineage serves.

    Attributes:
        start_us: UTC µs of the first hour, ``SINCE_EVER`` when it is open to the past.
        end_us: UTC µs of the end of the last hour, ``FOR_EVER`` when it is open to the future.
        lineage: Who serves them.
        published: Version of the map in (or, for an override, over) which this was published.
    """

    start_us: int
    end_us: int
    lineage: str
    published: int


@dataclass(frozen=True, kw_only=True)
class PointerMap:
    """Disjoint intervals, ascending, in a document whose version grows by one a change."""

    version: int = 0
    intervals: tuple[Interval, ...] = ()

    @classmethod
    def serving(cls, lineage: str) -> "PointerMap":
        """The first document: one lineage serves all hours."""
        return cls().publish(SINCE_EVER, FOR_EVER, lineage)

    def lineage_at(self, instant_us: int) -> str | None:
        """The lineage that serves the hour of an instant; ``None`` where nothing does."""
        interval = self._interval_at(instant_us)
        return interval.lineage if interval else None

    def lineages_of(
        self, slot_starts: npt.NDArray[np.int64]
    ) -> tuple[list[str], npt.NDArray[np.int64]]:
        """The lineages of the map, and for each slot start the index of the one that serves it.

        The index is −1 where nothing does.
        """
        names = sorted({interval.lineage for interval in self.intervals})
        if not self.intervals:
            return names, np.full(len(slot_starts), -1)
        starts = np.array([interval.start_us for interval in self.intervals])
        ends = np.array([interval.end_us for interval in self.intervals])
        place = np.array([names.index(interval.lineage) for interval in self.intervals])
        found = np.searchsorted(starts, slot_starts, side="right") - 1
        inside = (found >= 0) & (slot_starts < ends[found])
        return names, np.where(inside, place[found], -1)

    def publish(
        self, start_us: int, end_us: int, lineage: str, *, over: int | None = None
    ) -> "PointerMap":
        """The next document, in which ``lineage`` serves the hours in [start_us, end_us).

        Args:
            start_us: UTC µs, a full hour or ``SINCE_EVER``.
            end_us: UTC µs, a full hour or ``FOR_EVER``.
            lineage: Who is to serve them.
            over: For a property's overrides: the version of the map at the time.

        Raises:
            ValueError: when the interval or the lineage's name is impossible.
        """
        return self.publish_all([(start_us, end_us)], lineage, over=over)

    def publish_all(
        self, spans: Sequence[tuple[int, int]], lineage: str, *, over: int | None = None
    ) -> "PointerMap":
        """The next document, in which ``lineage`` serves the hours of all ``spans``.

        Raises:
            ValueError: when an interval or the lineage's name is impossible.
        """
        version = self.version + 1
        stamp = version if over is None else over
        intervals = list(self.intervals)
        for start_us, end_us in spans:
            new = Interval(start_us=start_us, end_us=end_us, lineage=lineage, published=stamp)
            kept = [part for old in intervals for part in _outside(old, start_us, end_us)]
            intervals = [*kept, new]
        return PointerMap(version=version, intervals=_checked(intervals))

    def seal(
        self, start_us: int, end_us: int, lineage: str, gives_way: Callable[[str], bool]
    ) -> "PointerMap":
        """The next document, in which ``lineage`` takes hours over from those that give way.

        Routine sealing uses it: of [start_us, end_us), the hours that a lineage which
        ``gives_way`` serves, or that nothing serves, go to ``lineage``; what a replay has
        published stays. They keep the version at which they were published, so that neither
        overrides are hidden nor the map grows. A document in which there is nothing to take over
        is unchanged.

        Raises:
            ValueError: when the interval or the lineage's name is impossible.
        """
        asked = Interval(start_us=start_us, end_us=end_us, lineage=lineage, published=0)
        _checked([asked])
        gaps, intervals = [asked], list[Interval]()
        for old in self.intervals:
            gaps = [rest for gap in gaps for rest in _outside(gap, old.start_us, old.end_us)]
            taken = (max(start_us, old.start_us), min(end_us, old.end_us))
            if taken[0] >= taken[1] or old.lineage == lineage or not gives_way(old.lineage):
                intervals.append(old)
                continue
            new = replace(old, start_us=taken[0], end_us=taken[1], lineage=lineage)
            intervals += [*_outside(old, *taken), new]
        sealed = _checked([*intervals, *gaps])
        if sealed == self.intervals:
            return self
        return PointerMap(version=self.version + 1, intervals=sealed)

    def restore(self, earlier: "PointerMap") -> "PointerMap":
        """The next document, with the intervals of an earlier one: a rollback."""
        return PointerMap(version=self.version + 1, intervals=earlier.intervals)

    def overridden_by(self, overrides: "PointerMap") -> "PointerMap":
        """What serves a property: this map with the property's overrides that are not older."""
        intervals = list(self.intervals)
        for part in overrides.intervals:
            for start_us, end_us in self._older_spans(part):
                kept = [rest for old in intervals for rest in _outside(old, start_us, end_us)]
                clipped = replace(part, start_us=start_us, end_us=end_us)
                intervals = [*kept, clipped]
        return PointerMap(version=self.version, intervals=_checked(intervals))

    def _older_spans(self, override: Interval) -> list[tuple[int, int]]:
        """The spans of an override in which nothing was published after it."""
        spans = [(override.start_us, override.end_us)]
        for mine in self.intervals:
            if mine.published > override.published:
                spans = [part for span in spans for part in _cut(*span, mine.start_us, mine.end_us)]
        return spans

    def _interval_at(self, instant_us: int) -> Interval | None:
        index = bisect_right(self.intervals, instant_us, key=lambda part: part.start_us) - 1
        if index < 0 or instant_us >= self.intervals[index].end_us:
            return None
        return self.intervals[index]

    def to_json(self) -> dict[str, Any]:
        """The document as stored; an open end is null."""
        rows = [
            {
                "start": None if part.start_us == SINCE_EVER else part.start_us,
                "end": None if part.end_us == FOR_EVER else part.end_us,
                "lineage": part.lineage,
                "published": part.published,
            }
            for part in self.intervals
        ]
        return {"version": self.version, "intervals": rows}

    def encode(self) -> bytes:
        """The document as stored, in bytes."""
        return orjson.dumps(self.to_json())


@dataclass(frozen=True, kw_only=True)
class ChangedSpan:
    """Hours (UTC µs) that another lineage serves than did; ``None`` where nothing does."""

    start_us: int
    end_us: int
    before: str | None
    after: str | None


def changed_spans(before: PointerMap, after: PointerMap) -> list[ChangedSpan]:
    """The hours in which two maps differ, ascending."""
    parts = [*before.intervals, *after.intervals]
    edges = sorted({edge for part in parts for edge in (part.start_us, part.end_us)})
    spans = (
        ChangedSpan(
            start_us=start,
            end_us=end,
            before=before.lineage_at(start),
            after=after.lineage_at(start),
        )
        for start, end in pairwise(edges)
    )
    return [span for span in spans if span.before != span.after]


@lru_cache(_DOCUMENTS_KEPT)
def decode(document: bytes | None) -> PointerMap:
    """The map in stored bytes; an empty one where nothing is stored.

    Raises:
        ValueError: when the bytes are no pointer map.
    """
    if document is None:
        return PointerMap()
    try:
        content = orjson.loads(document)
        intervals = [_interval(row) for row in content["intervals"]]
        version = int(content["version"])
    except (KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"expected a pointer map, got {document[:200]!r}") from error
    return PointerMap(version=version, intervals=_checked(intervals))


def override_key(property_id: int) -> bytes:
    """Row of a property's overrides; the map itself lies at ``row_keys.POINTER_MAP_KEY``."""
    return OVERRIDES_PREFIX + str(property_id).encode()


def _interval(row: dict[str, Any]) -> Interval:
    return Interval(
        start_us=SINCE_EVER if row["start"] is None else int(row["start"]),
        end_us=FOR_EVER if row["end"] is None else int(row["end"]),
        lineage=str(row["lineage"]),
        published=int(row["published"]),
    )


def _outside(old: Interval, start_us: int, end_us: int) -> list[Interval]:
    return [
        replace(old, start_us=first, end_us=last)
        for first, last in _cut(old.start_us, old.end_us, start_us, end_us)
    ]


def _cut(first: int, last: int, start_us: int, end_us: int) -> list[tuple[int, int]]:
    """[first, last) without [start_us, end_us)."""
    parts = [(first, min(last, start_us)), (max(first, end_us), last)]
    return [(low, high) for low, high in parts if low < high]


def _checked(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    ordered = sorted(intervals, key=lambda part: part.start_us)
    for part in ordered:
        if part.start_us >= part.end_us:
            raise ValueError(f"expected an interval that starts before it ends, got {part}")
        if any(not _is_edge(edge) for edge in (part.start_us, part.end_us)):
            raise ValueError(f"expected edges at full UTC hours, got {part}")
        if not part.lineage or not part.lineage.isascii() or SEPARATOR in part.lineage:
            raise ValueError(f"expected a lineage of ASCII without {SEPARATOR}, got {part}")
    for left, right in pairwise(ordered):
        if left.end_us > right.start_us:
            raise ValueError(f"expected disjoint intervals, got {left} and {right}")
    return _merged(ordered)


def _is_edge(instant_us: int) -> bool:
    return instant_us in (SINCE_EVER, FOR_EVER) or instant_us % HOUR_US == 0


def _merged(ordered: Sequence[Interval]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for part in ordered:
        last = merged[-1] if merged else None
        same = last and (last.end_us, last.lineage, last.published) == (
            part.start_us,
            part.lineage,
            part.published,
        )
        if last and same:
            merged[-1] = replace(last, end_us=part.end_us)
        else:
            merged.append(part)
    return tuple(merged)
