"""What is served: of the cells that a read found, those of the lineage named for their slot."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from tallymark.lineages import kind_of
from tallymark.pointer_map import PointerMap
from tallymark.row_keys import SEPARATOR
from tallymark.slots import HOUR_US

_NOBODY = -1
_QUALIFIER = np.dtype([("start", ">u8"), ("minutes", ">u2")])


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """The receipt of an answer: what it was computed from.

    Attributes:
        computed_from: ``cells``, or ``hits`` where no cell holds the combination.
        newest_slot_us: UTC µs of the start of the newest slot that took part; ``None`` when no
            cell did.
        newest_hit_us: UTC µs of the newest hit of the property that it includes: of cells to the
            minute, ``None`` where they do not say.
        frontier_us: UTC µs through which everything received has been counted live; ``None``
            where nothing of the answer is live, or nobody says.
        open_hours: Hours of it that are counted live and may still change, whole or in part.
        lineages: Those that took part, by name.
        rules_versions: Of the property's rules, with which its hits were processed.
        standard_error: Of its counts of users, relative, at most; 0 where they are exact.
        hits_read: From how many hits it was computed, those around its range included.
        is_capped: Whether some of it is in rows named ``(other)``, and hits could not be asked.
        pointer_map: Version of the map that was used.
        overrides: Version of the property's overrides that were used, 0 where it has none.
    """

    computed_from: Literal["cells", "hits"] = "cells"
    newest_slot_us: int | None
    newest_hit_us: int | None = None
    frontier_us: int | None = None
    open_hours: int = 0
    lineages: tuple[str, ...]
    rules_versions: tuple[int, ...] = ()
    standard_error: float = 0.0
    hits_read: int = 0
    is_capped: bool = False
    pointer_map: int
    overrides: int

    @classmethod
    def together(cls, receipts: "Sequence[Freshness]") -> "Freshness":
        """The receipt of several answers through the same pointers."""
        frontiers = [one.frontier_us for one in receipts if one.frontier_us is not None]
        return cls(
            computed_from="hits" if any(one.hits_read for one in receipts) else "cells",
            newest_slot_us=_newest(one.newest_slot_us for one in receipts),
            newest_hit_us=_newest(one.newest_hit_us for one in receipts),
            frontier_us=min(frontiers, default=None),
            open_hours=max(one.open_hours for one in receipts),
            lineages=tuple(sorted({name for one in receipts for name in one.lineages})),
            rules_versions=tuple(sorted({v for one in receipts for v in one.rules_versions})),
            standard_error=max(one.standard_error for one in receipts),
            hits_read=sum(one.hits_read for one in receipts),
            is_capped=any(one.is_capped for one in receipts),
            pointer_map=receipts[0].pointer_map,
            overrides=receipts[0].overrides,
        )


@dataclass(frozen=True, kw_only=True)
class Pointers:
    """The map and a property's overrides, taken once for an answer."""

    served: PointerMap
    map_version: int
    overrides_version: int

    @classmethod
    def of(cls, everywhere: PointerMap, overrides: PointerMap) -> "Pointers":
        """What serves a property that has these overrides."""
        return cls(
            served=everywhere.overridden_by(overrides),
            map_version=everywhere.version,
            overrides_version=overrides.version,
        )


def served_cells(
    cells: pl.DataFrame, pointers: Pointers, spans: Sequence[tuple[int, int]]
) -> tuple[pl.DataFrame, Freshness]:
    """The cells (and chunks of cells) that count, and what they say of freshness.

    Args:
        cells: A cell frame of one rollup of one property, every lineage.
        pointers: Which lineage serves which slots.
        spans: Half-open slot ranges (UTC µs) that are asked for.
    """
    starts = slot_starts(cells)
    inside = np.zeros(len(starts), dtype=bool)
    for start_us, end_us in spans:
        inside |= (starts >= start_us) & (starts < end_us)
    names, serving = pointers.served.lineages_of(starts)
    serving = np.where(inside, serving, _NOBODY)
    counts = np.zeros(len(starts), dtype=bool)
    for index in np.unique(serving[serving != _NOBODY]):
        counts |= (serving == index) & _written_by(cells, names[index])
    newest = starts[counts].max() if counts.any() else None
    freshness = Freshness(
        newest_slot_us=None if newest is None else int(newest),
        lineages=tuple(names[index] for index in np.unique(serving[counts])),
        pointer_map=pointers.map_version,
        overrides=pointers.overrides_version,
    )
    return (cells if counts.all() else cells.filter(pl.Series(counts))), freshness


def open_hours(
    pointers: Pointers, spans: Sequence[tuple[int, int]], now_us: int
) -> tuple[int, list[str]]:
    """How many hours of spans (UTC µs) that have begun are served live, and by which lineages."""
    until = now_us // HOUR_US * HOUR_US + HOUR_US
    count, names = 0, set()
    for part in pointers.served.intervals:
        if kind_of(part.lineage) != "live":
            continue
        for start_us, end_us in spans:
            first = max(start_us, part.start_us) // HOUR_US
            last = -(-min(end_us, part.end_us, until) // HOUR_US)
            if first < last:
                count += last - first
                names.add(part.lineage)
    return count, sorted(names)


def slot_starts(cells: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The starts (UTC µs) of the slots of a cell frame, read from the qualifiers."""
    raw = b"".join(cells.get_column("qualifier").to_list())
    return np.frombuffer(raw, dtype=_QUALIFIER)["start"].astype(np.int64)


def _written_by(cells: pl.DataFrame, lineage: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each cell is of a lineage, which is a whole part of its row key."""
    part = f"{SEPARATOR}{lineage}{SEPARATOR}".encode()
    return cells.get_column("row_key").bin.contains(part).to_numpy()


def _newest(instants: Iterable[int | None]) -> int | None:
    return max((each for each in instants if each is not None), default=None)
