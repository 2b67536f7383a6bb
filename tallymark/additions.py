"""Additions: what counts once is added to the sums of tables when it is known to count.

A sale counts once a client (``transactions``), a key event may count once a session
(``key_events``). The sums of pieces, events and custom rows leave both out until all hits of their
clients are at hand.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from tallymark.cells import SLOT_COLUMNS
from tallymark.custom_rows import CUSTOM_SCHEMA, CUSTOM_SUMS
from tallymark.key_events import counted_once as key_events_counted_once
from tallymark.pieces import CLIENT, EVENT_SCHEMA, EVENT_SUMS, Tables, latest_before
from tallymark.sessions import join_sessions
from tallymark.transactions import counted_once as sales_counted_once

ADDED: Final = ("key_events", "value_micros")
ADDITION_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "client_hash": pl.UInt64(),
        "opens_session": pl.Boolean(),
        "slot_start": pl.Int64(),
        "slot_minutes": pl.Int32(),
        "at": pl.Int64(),  # UTC µs of the hit
        "event_id": pl.UInt64(),
        "key_events": pl.Int64(),
        "value_micros": pl.Int64(),
        "custom_ids": pl.List(pl.UInt64),  # of the values of custom dimensions that the hit has
    }
)
"""What a hit adds."""
_PIECE: Final = (*CLIENT, "opens_session", "start")


def of_sales(sales: pl.DataFrame) -> pl.DataFrame:
    """What sales (``TRANSACTION_SCHEMA``) that count add (``ADDITION_SCHEMA``)."""
    return sales.select(
        pl.lit(0, dtype).alias(name) if name == "key_events" else pl.col(name)
        for name, dtype in ADDITION_SCHEMA.items()
    )


def of_key_events(key_events: pl.DataFrame) -> pl.DataFrame:
    """What key events (``KEY_EVENT_SCHEMA``) that count add (``ADDITION_SCHEMA``)."""
    amounts = {"key_events": 1, "value_micros": 0}
    return key_events.select(
        pl.lit(amounts[name], dtype).alias(name) if name in amounts else pl.col(name)
        for name, dtype in ADDITION_SCHEMA.items()
    )


def joined_with_additions(
    pieces: pl.DataFrame, sales: pl.DataFrame, key_events: pl.DataFrame
) -> pl.DataFrame:
    """Pieces with their sessions (``JOINED_SCHEMA``), and with what counts once.

    Args:
        pieces: Merged (``PIECE_SCHEMA``), all of their clients.
        sales: Those of the clients that count.
        key_events: ``KEY_EVENT_SCHEMA`` of the clients, whether they count or not: each of them
            makes its session an engaged one.
    """
    if key_events.is_empty():
        return _with_additions(join_sessions(pieces), of_sales(sales))
    all_of_them = of_key_events(key_events)
    joined = join_sessions(_with_additions(pieces, all_of_them))
    counted = of_key_events(key_events_counted_once(key_events, joined))
    others = all_of_them.with_columns(key_events=-pl.col("key_events"))
    return _with_additions(joined, pl.concat([of_sales(sales), counted, others]))


def with_additions(tables: Tables) -> tuple[pl.DataFrame, Tables]:
    """The pieces of tables as ``joined_with_additions`` gives them, and the tables whose events and
    custom rows hold what counts once too.

    Args:
        tables: Compact, with all hits of their clients.
    """
    sales = sales_counted_once(tables.transactions)
    joined = joined_with_additions(tables.pieces, sales, tables.key_events)
    counted = key_events_counted_once(tables.key_events, joined)
    added = pl.concat([of_sales(sales), of_key_events(counted)])
    return joined, replace(
        tables,
        events=events_with_additions(tables.events, added),
        customs=customs_with_additions(tables.customs, added),
    )


def added_in(
    slots: pl.DataFrame, transactions: pl.DataFrame, key_events: pl.DataFrame, joined: pl.DataFrame
) -> pl.DataFrame:
    """What hits of slots add (``ADDITION_SCHEMA``), held against all hits of their clients.

    Args:
        slots: ``SLOT_COLUMNS``.
        transactions: Of everybody, as the tables hold them.
        key_events: Of everybody, as the tables hold them.
        joined: ``JOINED_SCHEMA``: the pieces of everybody with their sessions.
    """
    sales = sales_counted_once(_of_clients_in(slots, transactions))
    own = _of_clients_in(slots, key_events)
    theirs = joined.join(own.select(CLIENT).unique(), on=list(CLIENT), how="semi")
    counted = key_events_counted_once(own, theirs)
    added = pl.concat([of_sales(sales), of_key_events(counted)])
    return added.join(slots, on=list(SLOT_COLUMNS), how="semi")


def _of_clients_in(slots: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    clients = rows.join(slots, on=list(SLOT_COLUMNS), how="semi").select(CLIENT).unique()
    return rows.join(clients, on=list(CLIENT), how="semi")


def _with_additions(pieces: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    """Pieces (with or without their sessions), each with what is added by the hits in it."""
    if added.is_empty():
        return pieces
    marks = pieces.select(*_PIECE, at="start")
    sums = (
        latest_before(added, marks, "start")
        .group_by(_PIECE)
        .agg(pl.col(name).sum().alias(f"added_{name}") for name in ADDED)
    )
    return (
        pieces.join(sums, on=list(_PIECE), how="left", maintain_order="left")
        .with_columns(pl.col(name) + pl.col(f"added_{name}").fill_null(0) for name in ADDED)
        .drop(f"added_{name}" for name in ADDED)
    )


def events_with_additions(events: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    """Event rows (``pieces.EVENT_SCHEMA``), and rows that say nothing but what is added."""
    nothing = {name: pl.lit(0, pl.Int64) for name in EVENT_SUMS if name not in ADDED}
    return pl.concat([events, added.with_columns(**nothing).select(list(EVENT_SCHEMA))])


def customs_with_additions(customs: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    """Custom rows (``custom_rows.CUSTOM_SCHEMA``), and rows that say nothing but what is added."""
    if customs.is_empty():
        return customs
    nothing = {name: pl.lit(0, pl.Int64) for name in CUSTOM_SUMS if name not in ADDED}
    said = added.explode("custom_ids").drop_nulls("custom_ids").rename({"custom_ids": "custom_id"})
    return pl.concat([customs, said.with_columns(**nothing).select(list(CUSTOM_SCHEMA))])
