"""Histories that a shard holds: what its clients' touches were before the hours that it knows."""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from tallymark.pieces import CLIENT
from tallymark.touches import HISTORY_SCHEMA, continued, histories_of

TOLD_SCHEMA: Final = pl.Schema([*HISTORY_SCHEMA.items(), ("is_known", pl.Boolean())])
_ON: Final = list(CLIENT)


@dataclass
class Histories:
    """A row a client (``TOLD_SCHEMA``); ``is_known`` is false until its touches have been told.

    A client is known for as long as it is held, so that the store is asked once for each.
    """

    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TOLD_SCHEMA))

    def meet(self, clients: pl.DataFrame) -> None:
        """Note clients (``CLIENT``, without duplicates); of those not held nothing is known."""
        new = clients.join(self.rows, on=_ON, how="anti").with_columns(
            *(pl.lit(None, HISTORY_SCHEMA[name]).alias(name) for name in _FACTS), is_known=False
        )
        self.rows = pl.concat([self.rows, new.select(list(TOLD_SCHEMA))])

    def strangers(self) -> pl.DataFrame:
        """The clients (``CLIENT``) of whom nothing is known."""
        return self.rows.filter(~pl.col("is_known")).select(CLIENT)

    def tell(self, clients: pl.DataFrame, touches: pl.DataFrame) -> pl.DataFrame:
        """Replace what is known of ``clients`` by ``touches`` (``TOUCH_ID_SCHEMA``).

        Returns:
            The clients that have any.
        """
        found = histories_of(touches)
        told = clients.join(found, on=_ON, how="left").with_columns(is_known=True)
        others = self.rows.join(clients, on=_ON, how="anti")
        self.rows = pl.concat([others, told.select(list(TOLD_SCHEMA))])
        return found.select(CLIENT)

    def go_on(self, touches: pl.DataFrame) -> None:
        """Add later touches (``TOUCH_ID_SCHEMA``) to what is known of their clients.

        Clients of whom nothing is known stay so: the store has these touches too.
        """
        known = self.rows.filter("is_known")
        later = touches.join(known, on=_ON, how="semi")
        if later.is_empty():
            return
        grown = continued(known.join(later, on=_ON, how="semi").drop("is_known"), later)
        others = self.rows.join(later, on=_ON, how="anti")
        self.rows = pl.concat([others, grown.with_columns(is_known=True)])

    def keep(self, clients: pl.DataFrame) -> None:
        """Let go of all but ``clients`` (``CLIENT``)."""
        self.rows = self.rows.join(clients, on=_ON, how="semi")


_FACTS: Final = [name for name in HISTORY_SCHEMA if name not in CLIENT]
