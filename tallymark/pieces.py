"""Pieces and their companions: what a shard keeps of hits, small and mergeable.

Eight tables say all that the rollups need. Each is a sum of its parts: the tables of two sets of
hits, concatenated and compacted, are the tables of their union, in any order and any split.

* a **piece** is a maximal run of one client's hits within one slot with no pause ≥ the session
  gap; hits that open no session are pieces of their own, one an instant;
* a **page** row is a client's time on one page within a piece;
* an **event** row is a client's count of one event name within a slot;
* a **minute** row is a client's presence in one minute;
* **custom** and **amount** rows are what custom definitions say (``custom_rows``);
* a **transaction** row is a sale that names one. Its value lies here and in none of the others,
  since it counts once (``transactions``);
* a **key event** row is a key event that may count once a session, at least the first of its name
  in a piece. That it is one lies here and in none of the others (``key_events``).
"""

from dataclasses import dataclass, fields
from typing import Final

import polars as pl

from tallymark.custom_rows import (
    AMOUNT_SCHEMA,
    CUSTOM_SCHEMA,
    amount_rows,
    custom_rows,
    dimension_ids,
)
from tallymark.narrow_hits import NO_TRANSACTION
from tallymark.slots import MINUTE_US
from tallymark.texts import NO_TEXT, TEXT_SCHEMA

CLIENT: Final = ("property_id", "client_hash")
RUN: Final = (*CLIENT, "opens_session", "slot_start", "settings_from")
FACTS: Final = (
    "slot_minutes", "session_gap_ms", "engagement_threshold_ms", "attribution_lookback_days",
)  # fmt: skip
SUMS: Final = ("events", "views", "engagement_ms", "key_events", "value_micros")

PIECE_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64,
        "client_hash": pl.UInt64,
        "opens_session": pl.Boolean,
        "slot_start": pl.Int64,
        "settings_from": pl.Int64,
        "start": pl.Int64,  # UTC µs of the first hit
        "end": pl.Int64,  # UTC µs of the last hit
        "slot_minutes": pl.Int32,
        "session_gap_ms": pl.Int64,
        "engagement_threshold_ms": pl.Int64,
        "attribution_lookback_days": pl.Int32,
        "events": pl.Int64,
        "views": pl.Int64,
        "engagement_ms": pl.Int64,
        "key_events": pl.Int64,
        "value_micros": pl.Int64,
        "is_new": pl.Boolean,  # holds a first visit
        "first_order": pl.UInt128,  # of the first hit
        "device_id": pl.UInt64,  # of the first hit
        "source_at": pl.Int64,  # of the first hit that names a source; null when none does
        "source_order": pl.UInt128,
        "source_id": pl.UInt64,
        "landing_at": pl.Int64,  # of the first page view; null when there is none
        "landing_order": pl.UInt128,
        "landing_id": pl.UInt64,
        "exit_at": pl.Int64,  # of the last page view
        "exit_order": pl.UInt128,
        "exit_id": pl.UInt64,
    }
)
PAGE_SUMS: Final = ("events", "views", "engagement_ms")
PAGE_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64,
        "client_hash": pl.UInt64,
        "opens_session": pl.Boolean,
        "slot_start": pl.Int64,
        "slot_minutes": pl.Int32,
        "at": pl.Int64,  # UTC µs of an instant of the piece it belongs to
        "page_id": pl.UInt64,
        "events": pl.Int64,
        "views": pl.Int64,
        "engagement_ms": pl.Int64,
    }
)
EVENT_SUMS: Final = ("events", "key_events", "value_micros")
EVENT_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64,
        "client_hash": pl.UInt64,
        "slot_start": pl.Int64,
        "slot_minutes": pl.Int32,
        "event_id": pl.UInt64,
        "events": pl.Int64,
        "key_events": pl.Int64,
        "value_micros": pl.Int64,
    }
)
MINUTE_SUMS: Final = ("events", "views")
MINUTE_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64,
        "client_hash": pl.UInt64,
        "slot_start": pl.Int64,
        "slot_minutes": pl.Int32,
        "minute": pl.Int8,  # of the UTC hour
        "events": pl.Int64,
        "views": pl.Int64,
    }
)

TRANSACTION_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "client_hash": pl.UInt64(),
        "opens_session": pl.Boolean(),
        "slot_start": pl.Int64(),
        "slot_minutes": pl.Int32(),
        "at": pl.Int64(),  # UTC µs of the sale
        "hit_order": pl.UInt128(),
        "transaction_key": pl.UInt64(),
        "event_id": pl.UInt64(),
        "value_micros": pl.Int64(),
        "custom_ids": pl.List(pl.UInt64),  # of the values of custom dimensions that the sale has
    }
)
KEY_EVENT_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "client_hash": pl.UInt64(),
        "opens_session": pl.Boolean(),
        "slot_start": pl.Int64(),
        "slot_minutes": pl.Int32(),
        "at": pl.Int64(),  # UTC µs of the hit
        "hit_order": pl.UInt128(),
        "event_id": pl.UInt64(),
        "custom_ids": pl.List(pl.UInt64),  # of the values of custom dimensions that the hit has
    }
)


@dataclass(frozen=True)
class Tables:
    """The eight tables of a set of hits, and what the text ids in them mean."""

    pieces: pl.DataFrame
    pages: pl.DataFrame
    events: pl.DataFrame
    minutes: pl.DataFrame
    customs: pl.DataFrame
    amounts: pl.DataFrame
    transactions: pl.DataFrame
    key_events: pl.DataFrame
    texts: pl.DataFrame

    def plus(self, other: "Tables") -> "Tables":
        """Both, not compacted."""
        return Tables(
            *(
                pl.concat([getattr(self, table.name), getattr(other, table.name)])
                for table in fields(self)
            )
        )


SCHEMAS: Final = {
    "pieces": PIECE_SCHEMA,
    "pages": PAGE_SCHEMA,
    "events": EVENT_SCHEMA,
    "minutes": MINUTE_SCHEMA,
    "customs": CUSTOM_SCHEMA,
    "amounts": AMOUNT_SCHEMA,
    "transactions": TRANSACTION_SCHEMA,
    "key_events": KEY_EVENT_SCHEMA,
    "texts": TEXT_SCHEMA,
}


def empty_tables() -> Tables:
    """Tables of no hits."""
    return Tables(**{name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS.items()})


def tables_of(hits: pl.DataFrame, texts: pl.DataFrame) -> Tables:
    """The tables of narrow hits (``NARROW_SCHEMA``); each hit must be given once."""
    if not hits.select((pl.col("customs").list.len() > 0).any()).item():
        hits = hits.drop("customs")  # lists are dear to sort
    ordered = _ordered(hits)
    transactions = ordered.filter(pl.col("transaction_key") != NO_TRANSACTION)
    if transactions.height:
        is_other = pl.col("transaction_key") == NO_TRANSACTION
        ordered = ordered.with_columns(pl.when(is_other).then("value_micros").otherwise(0))
    key_events = ordered.filter("is_once_per_session")
    if key_events.height:
        is_every = pl.col("is_key_event") & ~pl.col("is_once_per_session")
        ordered = ordered.with_columns(is_key_event=is_every)
    numbered = _with_runs(ordered)
    return Tables(
        pieces=_pieces(numbered),
        pages=_pages(numbered),
        events=_events(ordered),
        minutes=_minutes(ordered),
        customs=custom_rows(numbered),
        amounts=amount_rows(numbered),
        transactions=_with_custom_ids(transactions, TRANSACTION_SCHEMA),
        key_events=_with_custom_ids(key_events, KEY_EVENT_SCHEMA),
        texts=texts,
    )


def pieces_of(hits: pl.DataFrame) -> pl.DataFrame:
    """The pieces alone (``PIECE_SCHEMA``) of narrow hits, with the value of every sale and with
    every key event."""
    return _pieces(_with_runs(_ordered(hits)))


def slot_of() -> pl.Expr:
    """UTC µs of the start of a hit's slot."""
    slot_us = pl.col("slot_minutes").cast(pl.Int64) * MINUTE_US
    return pl.col("event_at") // slot_us * slot_us


def _ordered(hits: pl.DataFrame) -> pl.DataFrame:
    return hits.with_columns(slot_start=slot_of()).sort(
        *CLIENT, "opens_session", "event_at", "hit_order"
    )


def _with_runs(ordered: pl.DataFrame) -> pl.DataFrame:
    return ordered.with_columns(piece=run_numbers(start="event_at", end="event_at"))


def latest_before(rows: pl.DataFrame, marks: pl.DataFrame, column: str) -> pl.DataFrame:
    """``rows`` with ``column`` of the client's latest mark at or before ``at``.

    Both have ``property_id``, ``client_hash``, ``opens_session``, ``at``. An as-of join written as
    one sort and a forward fill, which is several times faster than one with a million groups.
    """
    keys = [*CLIENT, "opens_session"]
    marked = marks.select(*keys, "at", column, pl.lit(value=True).alias("is_mark"))
    both = pl.concat(
        [
            marked.with_columns(index=pl.lit(None, pl.UInt32)),
            rows.select(*keys, "at").with_row_index("index").select(
                *keys, "at", pl.lit(None, marks.schema[column]).alias(column),
                pl.lit(value=False).alias("is_mark"), "index",
            ),
        ]
    ).sort(*keys, "at", "is_mark", descending=[False, False, False, False, True])  # fmt: skip
    client = pl.struct(keys).rle_id() if both.height else pl.lit(0)
    filled = both.with_columns(client=client, mark_client=None).with_columns(
        mark_client=pl.when("is_mark").then("client").forward_fill(),
        found=pl.when("is_mark").then(column).forward_fill(),
    )
    known = pl.when(pl.col("mark_client") == pl.col("client")).then("found")
    answer = filled.select("index", known.alias(column)).filter(pl.col("index").is_not_null())
    return rows.with_columns(answer.sort("index").get_column(column))


def run_numbers(*, start: str, end: str) -> pl.Expr:
    """Number of the piece of each row, for rows sorted by client, opening and start."""
    changed = pl.lit(value=False)
    for column in RUN:
        changed = changed | (pl.col(column) != pl.col(column).shift(1))
    pause_us = pl.col(start) - pl.col(end).shift(1)
    apart = pl.when("opens_session").then(pause_us >= pl.col("session_gap_ms") * 1000)
    return (changed | apart.otherwise(pause_us > 0)).fill_null(value=True).cum_sum()


def _pieces(numbered: pl.DataFrame) -> pl.DataFrame:
    begins = pl.col("piece") != pl.col("piece").shift(1, fill_value=0)
    firsts = numbered.filter(begins).select(
        "piece",
        *RUN,
        *FACTS,
        "device_id",
        pl.col("event_at").alias("start"),
        pl.col("hit_order").alias("first_order"),
    )
    sums = numbered.group_by("piece", maintain_order=True).agg(
        pl.col("event_at").last().alias("end"),
        pl.len().cast(pl.Int64).alias("events"),
        pl.col("is_page_view").sum().cast(pl.Int64).alias("views"),
        pl.col("is_key_event").sum().cast(pl.Int64).alias("key_events"),
        pl.col("engagement_ms", "value_micros").sum(),
        pl.col("is_first_visit").any().alias("is_new"),
    )
    merged = pl.concat([firsts, sums.drop("piece")], how="horizontal")
    is_named, is_view = pl.col("source_id") != NO_TEXT, pl.col("is_page_view")
    ends = pl.col("piece") != pl.col("piece").shift(-1, fill_value=0)
    for fact, is_candidate, is_chosen, text in (
        ("source", is_named, begins, "source_id"),
        ("landing", is_view, begins, "page_id"),
        ("exit", is_view, ends, "page_id"),
    ):
        columns = {f"{fact}_at": "event_at", f"{fact}_order": "hit_order", f"{fact}_id": text}
        named_columns = [pl.col(column).alias(name) for name, column in columns.items()]
        candidates = numbered.lazy().filter(is_candidate).select("piece", *named_columns)
        chosen = candidates.filter(is_chosen).collect()
        merged = merged.join(chosen, on="piece", how="left", maintain_order="left")
    return merged.select(list(PIECE_SCHEMA)).cast(PIECE_SCHEMA)


def _pages(numbered: pl.DataFrame) -> pl.DataFrame:
    rows = numbered.group_by("piece", "page_id").agg(
        pl.col(*CLIENT, "opens_session", "slot_start", "slot_minutes").first(),
        pl.col("event_at").min().alias("at"),
        pl.len().alias("events"),
        pl.col("is_page_view").sum().alias("views"),
        pl.col("engagement_ms").sum(),
    )
    return rows.select(list(PAGE_SCHEMA)).cast(PAGE_SCHEMA)


def _events(hits: pl.DataFrame) -> pl.DataFrame:
    rows = hits.group_by(*CLIENT, "slot_start", "slot_minutes", "event_id").agg(
        pl.len().alias("events"),
        pl.col("is_key_event").sum().alias("key_events"),
        pl.col("value_micros").sum(),
    )
    return rows.select(list(EVENT_SCHEMA)).cast(EVENT_SCHEMA)


def _minutes(hits: pl.DataFrame) -> pl.DataFrame:
    minute = (pl.col("event_at") // MINUTE_US % 60).cast(pl.Int8)
    rows = hits.group_by(*CLIENT, "slot_start", "slot_minutes", minute.alias("minute")).agg(
        pl.len().alias("events"), pl.col("is_page_view").sum().alias("views")
    )
    return rows.select(list(MINUTE_SCHEMA)).cast(MINUTE_SCHEMA)


def _with_custom_ids(hits: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """A row a hit."""
    rows = hits.rename({"event_at": "at"}).with_columns(custom_ids=dimension_ids(hits))
    return rows.select(list(schema))
