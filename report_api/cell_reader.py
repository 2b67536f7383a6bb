"""Reads of served cells: those of days where there are any, those of hours for all other time."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import polars as pl

from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.day_cells import DAY_ROLLUPS, Day, found_days, lineage_in, without_days
from tallymark.decoded_cells import ChunksChangedError, DecodedCells, decode
from tallymark.reports.plan import key_ranges
from tallymark.reports.serving import Freshness, Pointers, served_cells
from tallymark.rollups import Rollup
from tallymark.row_keys import rollup_prefix

CHUNK_READS: Final = 4
"""A flush may replace a large cell between the reads of its parts; it is then read again."""

Used = TypeVar("Used")
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Read:
    """The cells of one rollup: of hours of any lineage, of days, and which days those are."""

    hours: pl.DataFrame
    days: pl.DataFrame
    found: Sequence[Day] = ()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be read of a property.

    Attributes:
        property_id: Whose.
        rollups: Which, read together.
        spans: Half-open slot ranges (UTC µs), disjoint, ascending.
        pointers: Which lineage serves which slots.
        columns: Columns of the rollups that are needed.
        with_sets: Whether unique sets are.
        days: Of the days of the spans those that may be read from day cells, and the names of
            their publications.
    """

    property_id: int
    rollups: tuple[Rollup, ...]
    spans: Spans
    pointers: Pointers
    columns: frozenset[str]
    with_sets: bool
    days: Mapping[Day, str]


class FoundCells:
    """The cells of one read, not decoded yet.

    Args:
        wanted: What they were read for.
        reads: Of each rollup.
    """

    def __init__(self, wanted: Wanted, reads: Sequence[_Read]) -> None:
        self._wanted = wanted
        self._reads = reads

    @property
    def frames(self) -> list[pl.DataFrame]:
        """All cells that may have a part in the answer."""
        return [frame for read in self._reads for frame in (read.hours, read.days)]

    @property
    def size_bytes(self) -> int:
        """Of their values."""
        return sum(int(frame.get_column("value").bin.size().sum()) for frame in self.frames)

    def decoded(self) -> tuple[list[DecodedCells], Freshness]:
        """The served cells of each rollup, and the receipt of the first.

        Raises:
            ChunksChangedError: when a cell was replaced between the reads of its parts.
        """
        answers = [
            _decoded(rollup, self._wanted, read)
            for rollup, read in zip(self._wanted.rollups, self._reads, strict=True)
        ]
        return [decoded for decoded, _ in answers], answers[0][1]


class CellReader:
    """Reads and decodes what is served.

    Args:
        wide_rows: Where cells are.
    """

    def __init__(self, wide_rows: WideRows) -> None:
        self._wide_rows = wide_rows

    def read(self, wanted: Wanted, use: Callable[["FoundCells"], Used]) -> Used:
        """What ``use`` makes of the cells; it is given others where it finds that they changed.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        for _ in range(CHUNK_READS):
            try:
                return use(FoundCells(wanted, self._reads(wanted)))
            except ChunksChangedError:
                continue
        names = " and ".join(rollup.name for rollup in wanted.rollups)
        raise WideRowsUnavailableError(
            f"cells of {names} changed in each of {CHUNK_READS} reads; ask again"
        )

    def _reads(self, wanted: Wanted) -> list[_Read]:
        """Cells of hours come from one call, so that a total is never older than its parts."""
        days = wanted.days
        if not days:
            hours = self._hours(wanted, [wanted.spans] * len(wanted.rollups))
            return [_Read(part, part.clear()) for part in hours]
        between = without_days(wanted.spans, days)
        of_days = [DAY_ROLLUPS[rollup.name] for rollup in wanted.rollups]
        around = ((min(days).start_us, max(days).end_us),)
        cells = self._wide_rows.read(
            [
                *_ranges(wanted.property_id, wanted.rollups, between),
                *_ranges(wanted.property_id, of_days, around),
            ],
            _families(wanted),
        )
        hours = _of_rollups(cells, wanted.property_id, wanted.rollups)
        held = [
            found_days(part, rollup, wanted.property_id, days)
            for rollup, part in zip(
                of_days, _of_rollups(cells, wanted.property_id, of_days), strict=True
            )
        ]
        if any(len(found) < len(days) for _, found in held):
            hours = self._hours(wanted, [without_days(wanted.spans, found) for _, found in held])
        return [_Read(part, cells, found) for part, (cells, found) in zip(hours, held, strict=True)]

    def _hours(self, wanted: Wanted, spans: Sequence[Spans]) -> list[pl.DataFrame]:
        """For each rollup the cells of hours in its spans, all as of one moment."""
        ranges = [
            part
            for rollup, mine in zip(wanted.rollups, spans, strict=True)
            for part in key_ranges(wanted.property_id, rollup, mine)
        ]
        cells = self._wide_rows.read(ranges, _families(wanted))
        return _of_rollups(cells, wanted.property_id, wanted.rollups)


def _families(wanted: Wanted) -> tuple[str, ...]:
    return ("n", "u") if wanted.with_sets else ("n",)


def _decoded(rollup: Rollup, wanted: Wanted, read: _Read) -> tuple[DecodedCells, Freshness]:
    spans = without_days(wanted.spans, read.found)
    hours, freshness = served_cells(read.hours, wanted.pointers, spans)
    parts = [part for part in (hours, read.days) if part.height]
    cells = pl.concat(parts) if len(parts) > 1 else (parts or [hours])[0]
    decoded = decode(rollup, cells, with_sets=wanted.with_sets, only=wanted.columns)
    return decoded, _with_days(freshness, {day: wanted.days[day] for day in read.found})


def _with_days(freshness: Freshness, days: Mapping[Day, str]) -> Freshness:
    if not days:
        return freshness
    newest = max(days).start_us
    if freshness.newest_slot_us is not None:
        newest = max(newest, freshness.newest_slot_us)
    lineages = {*freshness.lineages, *map(lineage_in, days.values())}
    return replace(freshness, newest_slot_us=newest, lineages=tuple(sorted(lineages)))


def _ranges(property_id: int, rollups: Sequence[Rollup], spans: Spans) -> list[tuple[bytes, bytes]]:
    return [part for rollup in rollups for part in key_ranges(property_id, rollup, spans)]


def _of_rollups(
    cells: pl.DataFrame, property_id: int, rollups: Sequence[Rollup]
) -> list[pl.DataFrame]:
    """The cells of each rollup: they come ordered by key, so they are slices."""
    keys = cells.get_column("row_key").to_list()
    parts = []
    for rollup in rollups:
        prefix = rollup_prefix(property_id, rollup.name).encode()
        first = bisect_left(keys, prefix)
        parts.append(cells.slice(first, bisect_left(keys, prefix + b"\x7f") - first))
    return parts
