"""The cells of two sides of the same hours, decoded together, in parts of bounded size."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from stores.wide_rows.port import CELL_SCHEMA, WideRows, WideRowsUnavailableError
from tallymark.cells import CHUNKED
from tallymark.decoded_cells import ChunksChangedError, DecodedCells, decode
from tallymark.lineages import Span
from tallymark.pointer_map import PointerMap
from tallymark.reports.serving import Pointers, served_cells, slot_starts
from tallymark.rollups import Rollup
from tallymark.row_keys import SEPARATOR, cell_place, rollup_prefix
from tallymark.slots import DAY_US, HOUR_US

PROPERTIES_A_BATCH: Final = 32
CHUNKS_A_READ: Final = 64
"""Chunks (of 256 KB at most) that are read and decoded together, unless one hour has more."""
CHUNK_READS: Final = 4
"""A flush may replace a large cell between the reads of its parts; it is then read again."""
_SEPARATOR: Final = SEPARATOR.encode()
_PROPERTY_PART: Final = 1

_Place = tuple[int, int]
"""A property and an hour (UTC µs)."""


@dataclass(frozen=True)
class Batch:
    """Properties that the same lineages serve."""

    property_ids: tuple[int, ...]
    served: PointerMap


@dataclass(frozen=True)
class Pair:
    """What both sides say of some properties and hours, all columns."""

    served: DecodedCells
    candidate: DecodedCells


def batches(
    property_ids: Iterable[int], everywhere: PointerMap, overrides: dict[int, PointerMap]
) -> Iterator[Batch]:
    """The properties in batches; those with overrides of their own by themselves."""
    wanted = sorted(set(property_ids))
    common = [owner for owner in wanted if owner not in overrides]
    for first in range(0, len(common), PROPERTIES_A_BATCH):
        yield Batch(tuple(common[first : first + PROPERTIES_A_BATCH]), everywhere)
    for owner in wanted:
        if owner in overrides:
            yield Batch((owner,), everywhere.overridden_by(overrides[owner]))


def days_of(spans: Iterable[Span]) -> list[int]:
    """The UTC days (µs) that spans meet, ascending."""
    return sorted(
        {day for start, end in spans for day in range(start // DAY_US * DAY_US, end, DAY_US)}
    )


class CellPairs:
    """Reads the cells of both sides.

    Args:
        wide_rows: Where cells are.
        candidate: A lineage.
        spans: The hours, UTC µs.
    """

    def __init__(self, wide_rows: WideRows, candidate: str, spans: Sequence[Span]) -> None:
        self._wide_rows = wide_rows
        self._candidate = PointerMap.serving(candidate)
        self._spans = spans

    def read(self, rollup: Rollup, batch: Batch, day_us: int) -> Iterator[Pair]:
        """All cells of a rollup in the hours of a UTC day, a property's hour in one pair.

        Where there are none no pair comes.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        keys = self._row_keys(rollup, batch, day_us)
        cells = self._wide_rows.read_rows(keys, ("n", "u")) if keys else CELL_SCHEMA.to_frame()
        if cells.is_empty():
            return
        for places in _parts(cells):
            yield self._pair(rollup, batch, cells, places)

    def _pair(
        self, rollup: Rollup, batch: Batch, cells: pl.DataFrame, places: set[_Place] | None
    ) -> Pair:
        """The pair of some places; ``None``: of all that have no chunks."""
        for _ in range(CHUNK_READS):
            if places is None:
                mine = cells.filter(~pl.Series(_in_chunks(cells), dtype=pl.Boolean))
            else:
                mine = _at(cells, places)
                mine = pl.concat([mine, self._chunks(mine)])
            try:
                return Pair(
                    self._decoded(rollup, mine, batch.served),
                    self._decoded(rollup, mine, self._candidate),
                )
            except ChunksChangedError:
                cells = self._wide_rows.read_rows(cells["row_key"].unique().to_list(), ("n", "u"))
        raise WideRowsUnavailableError(
            f"cells of {rollup.name} changed in each of {CHUNK_READS} reads; try again"
        )

    def _decoded(self, rollup: Rollup, cells: pl.DataFrame, pointers: PointerMap) -> DecodedCells:
        chosen, _ = served_cells(cells, Pointers.of(pointers, PointerMap()), self._spans)
        return decode(rollup, chosen)

    def _chunks(self, cells: pl.DataFrame) -> pl.DataFrame:
        large = cells.filter(pl.col("value").bin.starts_with(CHUNKED))
        ranges = []
        for key, qualifier in large.select("row_key", "qualifier").unique().iter_rows():
            prefix = key + _SEPARATOR + qualifier.hex().encode()
            ranges.append((prefix, prefix + b"\x7f"))
        return self._wide_rows.read(ranges, ("n", "u"))

    def _row_keys(self, rollup: Rollup, batch: Batch, day_us: int) -> list[bytes]:
        lineages = {
            pointers.lineage_at(hour_us)
            for pointers in (batch.served, self._candidate)
            for start, end in self._spans
            for hour_us in range(max(start, day_us), min(end, day_us + DAY_US), HOUR_US)
        }
        return [
            (rollup_prefix(owner, rollup.name) + cell_place(day_us, lineage)).encode()
            for owner in batch.property_ids
            for lineage in lineages
            if lineage is not None
        ]


def _parts(cells: pl.DataFrame) -> Iterator[set[_Place] | None]:
    """What is decoded together: all without chunks, then groups of places with chunks."""
    yield None
    counts: dict[_Place, int] = defaultdict(int)
    for place, value in zip(_places(cells), cells["value"].to_list(), strict=True):
        if value.startswith(CHUNKED):
            counts[place] += int(value[len(CHUNKED) :])
    group: set[_Place] = set()
    weight = 0
    for place, chunks in sorted(counts.items()):
        if group and weight + chunks > CHUNKS_A_READ:
            yield group
            group, weight = set(), 0
        group.add(place)
        weight += chunks
    if group:
        yield group


def _in_chunks(cells: pl.DataFrame) -> list[bool]:
    """Whether a cell's place has a value in chunks, on either side and in either family."""
    places = _places(cells)
    large = {
        place
        for place, value in zip(places, cells["value"].to_list(), strict=True)
        if value.startswith(CHUNKED)
    }
    return [place in large for place in places]


def _at(cells: pl.DataFrame, places: set[_Place]) -> pl.DataFrame:
    return cells.filter(pl.Series([place in places for place in _places(cells)], dtype=pl.Boolean))


def _places(cells: pl.DataFrame) -> list[_Place]:
    owners = [int(key.split(_SEPARATOR)[_PROPERTY_PART]) for key in cells["row_key"]]
    hours = (slot_starts(cells) // HOUR_US * HOUR_US).tolist()
    return list(zip(owners, hours, strict=True))
