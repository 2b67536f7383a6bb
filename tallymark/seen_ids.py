"""Seen ids: the hits of the last minutes that may come again, since somebody else named them.

A balancer may run a request twice, and a tracker sends a hit again whose answer it never got.
Nearly every id is new, and there may be millions, so those known are kept sorted: a look-up is a
binary search, and new ones are merged in by the thousand.
"""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

ID_SCHEMA: Final = pl.Schema({"hit_order": pl.UInt128, "received_at": pl.Int64})
MERGED_AT: Final = 20_000
"""So many new ids are searched one by one at most."""


@dataclass
class SeenIds:
    """Ids of hits and when they were received.

    Attributes:
        known: ``ID_SCHEMA``, ascending by ``hit_order``.
        fresh: ``ID_SCHEMA``, frames as they came.
    """

    known: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ID_SCHEMA))
    fresh: list[pl.DataFrame] = field(default_factory=list)

    def add(self, ids: pl.DataFrame) -> None:
        """Take ids in (``ID_SCHEMA``) that are not here yet."""
        if ids.height:
            self.fresh.append(ids)
            if sum(frame.height for frame in self.fresh) > MERGED_AT:
                self._merge()

    def known_among(self, hit_orders: pl.Series) -> pl.Series:
        """Of each id, whether it is here."""
        fresh = pl.concat([ID_SCHEMA.to_frame(), *self.fresh]).get_column("hit_order")
        known = self.known.get_column("hit_order")
        found = hit_orders.is_in(fresh.implode())
        if known.is_empty():
            return found
        places = known.search_sorted(hit_orders).clip(upper_bound=len(known) - 1)
        return found | (known.gather(places) == hit_orders)

    def forget(self, before: int) -> None:
        """Let ids go that were received before (UTC µs)."""
        self._merge()
        self.known = self.known.filter(pl.col("received_at") >= before)

    def frame(self) -> pl.DataFrame:
        """All of them, ``ID_SCHEMA``, in the order in which they were received."""
        self._merge()
        return self.known.sort("received_at", "hit_order")

    def _merge(self) -> None:
        if self.fresh:
            fresh = pl.concat(self.fresh).sort("hit_order")
            self.known = self.known.merge_sorted(fresh, "hit_order")
            self.fresh = []
