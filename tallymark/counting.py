"""Counting recorded hits in bounded memory: frames go in, what rollups are computed from comes out.

Whatever is counted is kept per client, so the clients of a range of hashes are counted by
themselves and the rows of all ranges added (``aggregates.merged_rows``).
"""

from dataclasses import replace
from typing import Final

import polars as pl

from tallymark.additions import with_additions
from tallymark.aggregates import Counted, counted
from tallymark.cells import SLOT_COLUMNS
from tallymark.compaction import compact
from tallymark.hits import HIT_SCHEMA
from tallymark.narrow_hits import NARROW_SCHEMA, NARROWED, narrow
from tallymark.pieces import CLIENT, Tables, empty_tables, tables_of
from tallymark.replays import Span
from tallymark.texts import merged as merged_texts
from tallymark.texts import with_text_ids, with_texts
from tallymark.touches import (
    SOURCE,
    TOUCH_ID_SCHEMA,
    TOUCH_SCHEMA,
    attributed,
    histories_of,
    touches_of,
)

HIT_COLUMNS: Final = [
    name for name in HIT_SCHEMA if name in NARROW_SCHEMA or name in (*NARROWED, "excluded_by")
]
"""The columns of a hit that counting needs."""
COMPACT_ROWS: Final = 400_000
"""Tables that have grown by more rows than this, and by half, are compacted."""


class Tally:
    """The tables of the hits that were added, each hit once, in any order."""

    def __init__(self) -> None:
        self._tables = empty_tables()
        self._compact_at = COMPACT_ROWS

    def add(self, hits: pl.DataFrame) -> None:
        """Take hits (``HIT_COLUMNS``) in; those that a filter tagged are not counted."""
        numbered, texts = narrow(hits.filter(pl.col("excluded_by") == ""))
        fresh = tables_of(numbered.select(list(NARROW_SCHEMA)).cast(NARROW_SCHEMA), texts)
        self._tables = self._tables.plus(fresh)
        if _rows(self._tables) > self._compact_at:
            self._tables = compact(self._tables)
            self._compact_at = COMPACT_ROWS + _rows(self._tables) * 3 // 2

    def clients(self) -> pl.DataFrame:
        """The clients (``CLIENT``) of the hits that are counted, by property and hash."""
        return self._tables.pieces.select(CLIENT).unique().sort(CLIENT)

    def counted(self, touches: pl.DataFrame, known_from: int) -> Counted:
        """What the rollups of all hits are computed from.

        Args:
            touches: ``TOUCH_SCHEMA``: those of these clients in hours before ``known_from``.
            known_from: UTC µs of the first hour whose sessions the hits make up whole.
        """
        numbered, texts = with_text_ids(touches, {"source_id": SOURCE})
        histories = histories_of(numbered.select(list(TOUCH_ID_SCHEMA)))
        joined, tables = with_additions(compact(self._tables))
        tables = replace(tables, texts=merged_texts(pl.concat([tables.texts, texts])))
        return counted(tables, attributed(joined, histories, known_from))


def _rows(tables: Tables) -> int:
    return sum(table.height for table in vars(tables).values())


def slots_in(hours: Span, facts: Counted) -> pl.DataFrame:
    """The slots (``SLOT_COLUMNS``) of the hours that have cells."""
    own = facts.joined.select(SLOT_COLUMNS)
    begun = facts.joined.filter(pl.col("session_slot").is_not_null()).select(
        "property_id", pl.col("session_slot").alias("slot_start"), "slot_minutes"
    )
    inside = pl.col("slot_start").is_between(hours.start_us, hours.end_us, closed="left")
    return pl.concat([own, begun]).filter(inside).unique().sort(SLOT_COLUMNS)


def touches_in(hours: Span, facts: Counted) -> pl.DataFrame:
    """The touches (``TOUCH_SCHEMA``) of the sessions that start in the hours."""
    inside = pl.col("start").is_between(hours.start_us, hours.end_us, closed="left")
    touches = touches_of(facts.joined).filter(inside)
    named = with_texts(touches, "source_id", SOURCE, facts.texts)
    return named.select(list(TOUCH_SCHEMA)).sort(*CLIENT, "start")
