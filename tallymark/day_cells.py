"""Day cells: a local day of one rollup in one cell, made from the cells of its hours.

A report of 30 days reads 30 of them where it would read 720 cells of hours. Hours stay the truth:
a day cell is read only for a day that one publication of a replay serves from end to end, and it
is named after that publication, so that who has pinned a pointer map knows by name alone whether
it holds what the hours hold. What a replay has published is never overwritten; the hours of a
stream may change until they are sealed, so no day cells are made of them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from tallymark.cells import QUALIFIER
from tallymark.decoded_cells import DecodedCells, base_key
from tallymark.pointer_map import PointerMap
from tallymark.rollups import ROLLUPS, Rollup
from tallymark.row_keys import cell_place, rollup_prefix
from tallymark.slots import MINUTE_US, local_midnight_us
from tallymark.uniques import least_hashes

DAY_ROLLUPS: Final = {
    rollup.name: replace(rollup, name=f"{rollup.name}-days")
    for rollup in ROLLUPS
    if rollup.grain != "minute"
}
"""For each rollup that reports read, the one its day cells lie under; its cells are not capped."""
_REPLAYED: Final = "gen-"
"""What the names of the lineages of replays start with."""
_DAYS_KEPT: Final = 40_000


@dataclass(frozen=True, order=True)
class Day:
    """A local day: half-open UTC µs."""

    start_us: int
    end_us: int

    @property
    def minutes(self) -> int:
        """Its length: 1,440 but for days on which clocks are changed."""
        return (self.end_us - self.start_us) // MINUTE_US

    @property
    def qualifier(self) -> bytes:
        """Under which its cells lie, that of a slot as long as the day."""
        return QUALIFIER.pack(self.start_us, self.minutes)


def local_days(first: date, last: date, time_zone: str) -> list[Day]:
    """The days from ``first`` to ``last``; one that a time zone skipped has no length."""
    days = range((last - first).days + 1)
    return [_local_day(first + timedelta(days=index), time_zone) for index in days]


@lru_cache(_DAYS_KEPT)
def _local_day(day: date, time_zone: str) -> Day:
    zone = ZoneInfo(time_zone)
    return Day(local_midnight_us(day, zone), local_midnight_us(day + timedelta(days=1), zone))


def publications(days: Iterable[Day], served: PointerMap) -> dict[Day, str]:
    """The days that one publication of a replay serves from end to end, and how it is named.

    The name is a lineage and the version of the pointer map at which it was published there, since
    a lineage that was withdrawn may be computed and published again.
    """
    starts = [part.start_us for part in served.intervals]
    found = {}
    for day in days:
        place = bisect_right(starts, day.start_us) - 1
        if place < 0 or day.start_us >= day.end_us:
            continue
        part = served.intervals[place]
        if day.end_us <= part.end_us and part.lineage.startswith(_REPLAYED):
            found[day] = f"{part.lineage}@{part.published}"
    return found


def lineage_in(publication: str) -> str:
    """The lineage in the name of a publication."""
    return publication.rpartition("@")[0]


def day_key(property_id: int, rollup: Rollup, day: Day, publication: str) -> bytes:
    """Row of a day cell of one of ``DAY_ROLLUPS``."""
    prefix = rollup_prefix(property_id, rollup.name)
    return (prefix + cell_place(day.start_us, publication)).encode()


def found_days(
    cells: pl.DataFrame, rollup: Rollup, property_id: int, wanted: Mapping[Day, str]
) -> tuple[pl.DataFrame, list[Day]]:
    """Of the cells of one of ``DAY_ROLLUPS`` those of the days and publications that are wanted.

    Args:
        cells: A cell frame of any days and publications.
        rollup: One of ``DAY_ROLLUPS``.
        property_id: Whose.
        wanted: Publications by day.

    Returns:
        The cells, with their chunks, and the days that are there.
    """
    prefix = rollup_prefix(property_id, rollup.name)
    places = {
        ((prefix + cell_place(day.start_us, name)).encode(), day.qualifier): day
        for day, name in wanted.items()
    }
    keys = map(base_key, cells.get_column("row_key").to_list())
    hits = [
        places.get(place)
        for place in zip(keys, cells.get_column("qualifier").to_list(), strict=True)
    ]
    found = {day.start_us: day for day in hits if day is not None}
    days = [found[start_us] for start_us in sorted(found)]
    mine = [day is not None for day in hits]
    return (cells if all(mine) else cells.filter(pl.Series(mine, dtype=pl.Boolean))), days


def without_days(
    spans: Sequence[tuple[int, int]], days: Iterable[Day]
) -> tuple[tuple[int, int], ...]:
    """Half-open spans without the days, each of which lies within one."""
    rest: list[tuple[int, int]] = []
    ordered = sorted(days)
    for start_us, end_us in spans:
        at = start_us
        for day in ordered:
            if start_us <= day.start_us < end_us:
                rest.append((at, day.start_us))
                at = day.end_us
        rest.append((at, end_us))
    return tuple((start, end) for start, end in rest if start < end)


def day_rows(
    rollup: Rollup, decoded: DecodedCells, property_id: int, days: Sequence[Day]
) -> pl.DataFrame:
    """The rows of day cells, as ``cells.encode`` takes them.

    Args:
        rollup: Of the hours.
        decoded: The served cells of the hours of the days, all columns.
        property_id: Whose.
        days: Ascending; every slot starts in one.
    """
    starts = np.array([day.start_us for day in days], dtype=np.int64)
    minutes = np.array([day.minutes for day in days], dtype=np.int32)
    place = (
        np.searchsorted(starts, decoded.numbers.get_column("slot_start").to_numpy(), "right") - 1
    )
    placed = decoded.numbers.with_columns(
        pl.lit(property_id, pl.Int64).alias("property_id"),
        pl.Series("slot_start", starts[place]),
        pl.Series("slot_minutes", minutes[place]),
    )
    keys = ["property_id", "slot_start", "slot_minutes", *rollup.keys]
    groups = placed.group_by(keys).agg(pl.col(*rollup.sums).sum(), "row").with_row_index("group")
    of_row = groups.select("group", "row").explode("row")
    members = decoded.sets.join(of_row, on="row", how="inner")
    for name in rollup.uniques:
        united = (
            members.filter(pl.col("measure") == name)
            .group_by("group")
            .agg(least_hashes(pl.col("hash"), rollup.unique_k).alias(name))
        )
        groups = groups.join(united, on="group", how="left").with_columns(
            pl.col(name).fill_null([])
        )
    return groups.drop("group", "row")
