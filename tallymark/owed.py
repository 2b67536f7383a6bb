"""Owed cells: what a flush of a shard writes, as of one moment, while the shard goes on."""

from dataclasses import dataclass

import polars as pl

from tallymark.aggregates import Counted, cell_frame
from tallymark.cells import SLOT_COLUMNS
from tallymark.pieces import CLIENT
from tallymark.texts import with_texts
from tallymark.touch_cells import CLIENT_HOUR, encode_touches, hour_of
from tallymark.touches import ATTRIBUTED_SCHEMA, SOURCE, touches_of


@dataclass(frozen=True)
class Owed:
    """Slots and clients' hours whose cells are not written yet and may be.

    Attributes:
        slots: ``SLOT_COLUMNS``, without duplicates.
        client_hours: ``CLIENT_HOUR``, without duplicates.
        facts: All that the cells of both are computed from.
    """

    slots: pl.DataFrame
    client_hours: pl.DataFrame
    facts: Counted

    def cells(self, *, lineage: str, version: int) -> pl.DataFrame:
        """The cells of all rollups in the slots, whole."""
        return cell_frame(self.facts, self.slots, lineage=lineage, version=version)

    def touch_cells(self, *, lineage: str, version: int) -> pl.DataFrame:
        """The touches of the clients' hours, as cells of their clients' rows."""
        touches = touches_of(self.facts.joined).with_columns(hour_of("start"))
        mine = touches.join(self.client_hours, on=list(CLIENT_HOUR), how="semi")
        named = with_texts(mine, "source_id", SOURCE, self.facts.texts)
        return encode_touches(named, self.client_hours, lineage=lineage, version=version)


def changed_slots(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """The slots of rows that are in one of two frames (``ATTRIBUTED_SCHEMA``) alone."""
    columns = list(ATTRIBUTED_SCHEMA)
    once = pl.concat([before.select(columns), after.select(columns)])
    digest = once.hash_rows()
    changed = once.filter(digest.is_unique())
    own = changed.select(SLOT_COLUMNS)
    begun = changed.filter(pl.col("session_slot").is_not_null()).select(
        "property_id", pl.col("session_slot").alias("slot_start"), "slot_minutes"
    )
    return pl.concat([own, begun]).unique()


def changed_touches(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """The clients' hours (``CLIENT_HOUR``) with touches that are in one of two frames alone."""
    once = pl.concat([touches_of(before), touches_of(after)])
    changed = once.filter(once.hash_rows().is_unique())
    return changed.select(*CLIENT, hour_of("start")).unique()
