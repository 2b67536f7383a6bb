"""Transactions: sales that name one count their value once a client, however often they are sent.

A shop's last page is loaded again, its server sends what its page has sent: the same sale comes
twice. A sale repeats an earlier one of the same client, event and transaction id if that one lies
in the horizon before it: since L = 4 h before the last multiple of L, so four to eight hours back.
That is within the window of hits on which the sessions of an hour depend, so an hour can still be
computed alone. What repeats a sale is still an event and a key event, as it did happen; only its
value is nothing. Refunds are not held against each other: a sale may be refunded in parts.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from tallymark.cells import SLOT_COLUMNS
from tallymark.custom_rows import CUSTOM_SCHEMA, CUSTOM_SUMS
from tallymark.narrow_hits import NO_TRANSACTION, narrow
from tallymark.pieces import (
    CLIENT,
    EVENT_SCHEMA,
    Tables,
    latest_before,
)
from tallymark.slots import SESSION_ALIGNMENT_US

_SALE: Final = (*CLIENT, "transaction_key")
_PIECE: Final = (*CLIENT, "opens_session", "start")


def counted_once(transactions: pl.DataFrame) -> pl.DataFrame:
    """Those (``TRANSACTION_SCHEMA``) that repeat none, ordered by client, sale and time.

    Args:
        transactions: All of their clients, in any order.
    """
    ordered = transactions.sort(*_SALE, "at", "hit_order")
    horizon = (pl.col("at") // SESSION_ALIGNMENT_US - 1) * SESSION_ALIGNMENT_US
    is_same = pl.all_horizontal([pl.col(name) == pl.col(name).shift(1) for name in _SALE])
    is_repeat = is_same & (pl.col("at").shift(1) >= horizon)
    return ordered.filter(~is_repeat.fill_null(value=False))


def repeated_among(hits: pl.DataFrame) -> pl.Series:
    """The ids of the hits (``HIT_SCHEMA``, all that count of their clients) that repeat a sale."""
    numbered, _ = narrow(hits)
    named = numbered.filter(pl.col("transaction_key") != NO_TRANSACTION)
    sales = named.select("hit_id", *_SALE, "hit_order", at="event_at")
    return sales.join(counted_once(sales), on="hit_id", how="anti").get_column("hit_id")


def sales_in(transactions: pl.DataFrame, slots: pl.DataFrame) -> pl.DataFrame:
    """Those of slots (``SLOT_COLUMNS``) that repeat none, held against all of their clients."""
    clients = transactions.join(slots, on=list(SLOT_COLUMNS), how="semi").select(CLIENT).unique()
    own = transactions.join(clients, on=list(CLIENT), how="semi")
    return counted_once(own).join(slots, on=list(SLOT_COLUMNS), how="semi")


def with_values(tables: Tables) -> Tables:
    """Tables whose pieces and events hold the values of sales too, each once.

    Args:
        tables: Compact, with all hits of their clients.
    """
    sales = counted_once(tables.transactions)
    return replace(
        tables,
        pieces=pieces_with_values(tables.pieces, sales),
        events=events_with_values(tables.events, sales),
        customs=customs_with_values(tables.customs, sales),
    )


def pieces_with_values(pieces: pl.DataFrame, sales: pl.DataFrame) -> pl.DataFrame:
    """Merged pieces (``PIECE_SCHEMA``), the value of each sale in the one that holds it.

    Args:
        pieces: Of the clients of ``sales`` all.
        sales: As ``counted_once`` gives them.
    """
    if sales.is_empty():
        return pieces
    marks = pieces.select(*_PIECE, at="start")
    values = (
        latest_before(sales, marks, "start")
        .group_by(_PIECE)
        .agg(pl.col("value_micros").sum().alias("sold_micros"))
    )
    return (
        pieces.join(values, on=list(_PIECE), how="left", maintain_order="left")
        .with_columns(pl.col("value_micros") + pl.col("sold_micros").fill_null(0))
        .drop("sold_micros")
    )


def events_with_values(events: pl.DataFrame, sales: pl.DataFrame) -> pl.DataFrame:
    """Event rows (``pieces.EVENT_SCHEMA``), and rows that add nothing but the values of sales."""
    nothing = pl.lit(0, pl.Int64)
    values = sales.with_columns(events=nothing, key_events=nothing)
    return pl.concat([events, values.select(list(EVENT_SCHEMA))])


def customs_with_values(customs: pl.DataFrame, sales: pl.DataFrame) -> pl.DataFrame:
    """Custom rows (``pieces.CUSTOM_SCHEMA``), and rows that add nothing but the values of sales."""
    if customs.is_empty():
        return customs
    nothing = {name: pl.lit(0, pl.Int64) for name in CUSTOM_SUMS if name != "value_micros"}
    said = sales.explode("custom_ids").drop_nulls("custom_ids").rename({"custom_ids": "custom_id"})
    return pl.concat([customs, said.with_columns(**nothing).select(list(CUSTOM_SCHEMA))])
