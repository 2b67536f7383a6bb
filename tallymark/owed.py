"""Owed cells: what a flush of a shard writes, as of one moment, while the shard goes on."""

from dataclasses import dataclass

import polars as pl

from tallymark.aggregates import Counted, cell_frame
from tallymark.texts import with_texts
from tallymark.touch_cells import CLIENT_HOUR, encode_touches, hour_of
from tallymark.touches import SOURCE, touches_of


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
