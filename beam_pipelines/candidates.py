"""Counted rows to the cells of a lineage: the last step of a replay, without Beam."""

from dataclasses import dataclass

import polars as pl

from beam_pipelines.client_buckets import merged_group
from stores.archive.counted_touches import CountedTouches
from stores.archive.counts import Counts
from stores.archive.port import Objects
from stores.wide_rows.port import WideRows
from tallymark.aggregates import capped_rows, no_rows, slots_of_definers
from tallymark.cells import encode, version_of
from tallymark.replays import Span
from tallymark.rollups import ROLLUPS
from tallymark.touch_cells import encode_touches

CELLS_A_WRITE = 20_000


@dataclass(frozen=True, kw_only=True)
class CellSettings:
    """How cells are written; travels with every task.

    Attributes:
        lineage: Whose.
        archive_url: Where the counts are.
        wide_rows_url: Where cells go.
        targets: Hours whose cells are made.
        groups: Spans of them, each written at a time.
        passes: How many sets of clients were counted.
        epoch: Drawn for this run: cells of an earlier one that is still writing are older.
    """

    lineage: str
    archive_url: str
    wide_rows_url: str
    targets: Span
    groups: tuple[Span, ...]
    passes: int
    epoch: int


def write_group(
    settings: CellSettings, group: int, *, objects: Objects, wide_rows: WideRows
) -> int:
    """Write the cells of a group of hours, whole; how many.

    Slots that the lineage had cells of before and that have become empty are written empty.
    """
    counts = Counts(objects, settings.lineage, settings.targets)
    slots = counts.noted_slots(settings.groups[group])
    if slots.is_empty():
        return 0
    version = version_of(settings.epoch, group + 1)
    found = {rollup.name: rows for rollup, rows in merged_group(counts, settings.passes, group)}
    defined = [found[rollup.name] for rollup in ROLLUPS if rollup.within and rollup.name in found]
    written = 0
    for rollup in ROLLUPS:
        rows = capped_rows(rollup, found.pop(rollup.name, no_rows(rollup)))
        touched = slots_of_definers(rollup, defined, slots)
        cells = encode(rollup, rows, touched, lineage=settings.lineage, version=version)
        written += _write(cells, wide_rows)
    return written + _write_touches(settings, group, version, objects=objects, wide_rows=wide_rows)


def _write_touches(
    settings: CellSettings, group: int, version: int, *, objects: Objects, wide_rows: WideRows
) -> int:
    """Those of one set of clients at a time; hours that lost their touches are written empty."""
    counted = CountedTouches(objects, settings.lineage, settings.targets)
    hours, written = settings.groups[group], 0
    for number in range(settings.passes):
        touches = counted.read(number, group)
        owed = counted.owed(touches, hours, number, settings.passes)
        cells = encode_touches(touches, owed, lineage=settings.lineage, version=version)
        written += _write(cells, wide_rows)
    return written


def _write(cells: pl.DataFrame, wide_rows: WideRows) -> int:
    """Chunks lie in rows of their own, before the row that counts them."""
    ordered = cells.sort("row_key")
    for part in ordered.iter_slices(CELLS_A_WRITE):
        wide_rows.write(part)
    return cells.height
