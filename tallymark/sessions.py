"""Sessions: chains of pieces, cut where locality asks for it.

A run is a chain of a client's pieces with no pause ≥ the session gap under the same session
settings. A session is a run, cut at a UTC multiple m of L = 4 h only if the run began at or before
m − L. So none exceeds 2 L, none is cut at midnight, and the sessions that start in hour E depend
on the hits in [floor_L(E) − L − gap, E + 1 h + 2 L) alone.

Only hits that open sessions form chains. The others (Measurement Protocol hits without a session
id) join the session whose [start, end + gap) holds them, or none, as in GA4. The multiple
of L at which a session is cut ends it for them too, whatever the gap.
"""

from typing import Final

import polars as pl

from tallymark.custom_rows import CUSTOM_SCHEMA, CUSTOM_SUMS
from tallymark.pieces import (
    CLIENT,
    PAGE_SCHEMA,
    PAGE_SUMS,
    PIECE_SCHEMA,
    latest_before,
)
from tallymark.slots import SESSION_ALIGNMENT_US
from tallymark.texts import NO_TEXT

JOINED_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64,
        "client_hash": pl.UInt64,
        "opens_session": pl.Boolean,
        "slot_start": pl.Int64,
        "slot_minutes": pl.Int32,
        "start": pl.Int64,
        "events": pl.Int64,
        "views": pl.Int64,
        "engagement_ms": pl.Int64,
        "key_events": pl.Int64,
        "value_micros": pl.Int64,
        "is_new": pl.Boolean,
        "is_active": pl.Boolean,  # counts its client as active in its slot
        "session_start": pl.Int64,  # null: belongs to no session
        "session_slot": pl.Int64,  # the slot that the session starts in
        "begins_session": pl.Boolean,  # the first piece of its session, which counts it
        "is_engaged": pl.Boolean,  # of the session
        "session_duration_ms": pl.Int64,
        "attribution_lookback_days": pl.Int32,
        "own_source_id": pl.UInt64,  # of the session, like the ids that follow; 0: it names none
        "has_views": pl.Boolean,  # whether one of the hits that made the session is a page view
        "landing_id": pl.UInt64,  # 0 where it has none, or the page is not known
        "exit_id": pl.UInt64,
        "device_id": pl.UInt64,
    }
)
"""A piece together with what its session says of it; the grain of most rollups."""


SESSION_ORDER: Final = (*CLIENT, "start", "begins_session")
SESSION_DESCENDS: Final = (False, False, False, True)


def join_sessions(pieces: pl.DataFrame) -> pl.DataFrame:
    """Pieces with their sessions (``JOINED_SCHEMA``), sorted by client and start.

    Of pieces that start at one instant the one that begins a session comes first.

    Args:
        pieces: Merged pieces (``PIECE_SCHEMA``) that hold, for every client in it, all that the
            sessions asked for depend on.
    """
    opening = _numbered(pieces.filter("opens_session"))
    others = _attached(pieces.filter(~pl.col("opens_session")), opening)
    placed = pl.concat([opening.select(others.columns), others])
    sessions = _sessions(opening, placed)
    joined = placed.join(sessions, on="session", how="left", maintain_order="left")
    return (
        _with_defaults(joined)
        .select(list(JOINED_SCHEMA))
        .sort(SESSION_ORDER, descending=SESSION_DESCENDS)
    )


PAGE_SESSION_SCHEMA: Final = pl.Schema(
    [*PAGE_SCHEMA.items(), ("session_start", pl.Int64()), ("session_slot", pl.Int64())]
)
"""A page row together with the session that its piece belongs to (null: none)."""


def join_pages(pages: pl.DataFrame, joined: pl.DataFrame) -> pl.DataFrame:
    """Page rows with their sessions (``PAGE_SESSION_SCHEMA``), one a piece and page.

    Args:
        pages: Page rows (``PAGE_SCHEMA``).
        joined: What ``join_sessions`` says of the pieces of all their clients. ``at`` becomes the
            instant at which the piece starts.
    """
    return _joined(pages, joined, PAGE_SESSION_SCHEMA, PAGE_SUMS)


CUSTOM_SESSION_SCHEMA: Final = pl.Schema(
    [*CUSTOM_SCHEMA.items(), ("session_start", pl.Int64()), ("session_slot", pl.Int64())]
)
"""A custom row together with the session that its piece belongs to (null: none)."""


def join_customs(customs: pl.DataFrame, joined: pl.DataFrame) -> pl.DataFrame:
    """Custom rows (``CUSTOM_SCHEMA``) with their sessions (``CUSTOM_SESSION_SCHEMA``), one a piece,
    value and event; otherwise as ``join_pages``."""
    if customs.is_empty():
        return CUSTOM_SESSION_SCHEMA.to_frame()
    return _joined(customs, joined, CUSTOM_SESSION_SCHEMA, CUSTOM_SUMS)


def _joined(
    rows: pl.DataFrame, joined: pl.DataFrame, schema: pl.Schema, sums: tuple[str, ...]
) -> pl.DataFrame:
    marks = joined.select(
        *CLIENT,
        "opens_session",
        pl.col("start").alias("at"),
        pl.struct(pl.col("start").alias("at"), "session_start", "session_slot").alias("piece"),
    )
    placed = latest_before(rows, marks, "piece").drop("at").unnest("piece")
    keys = [column for column in schema if column not in sums]
    return placed.group_by(keys).agg(pl.col(*sums).sum()).select(list(schema))


def _numbered(opening: pl.DataFrame) -> pl.DataFrame:
    """Opening pieces, ordered, with the number of the session each belongs to."""
    aligned = pl.col("start") // SESSION_ALIGNMENT_US * SESSION_ALIGNMENT_US
    new_client = pl.lit(value=False)
    for column in (*CLIENT, "settings_from"):
        new_client = new_client | (pl.col(column) != pl.col(column).shift(1))
    pause_us = pl.col("start") - pl.col("end").shift(1)
    apart = new_client | (pause_us >= pl.col("session_gap_ms") * 1000)
    runs = (
        opening.sort(*CLIENT, "start")
        .with_columns(begins_run=apart.fill_null(value=True))
        .with_columns(run_start=pl.when("begins_run").then("start").forward_fill())
        .with_columns(
            cut=pl.when(pl.col("run_start") <= aligned - SESSION_ALIGNMENT_US).then(aligned)
        )
    )
    is_cut = pl.col("cut").is_not_null() & pl.col("cut").ne_missing(pl.col("cut").shift(1))
    begins = pl.col("begins_run") | is_cut
    return runs.with_columns(begins_session=begins.fill_null(value=True)).with_columns(
        session=pl.col("begins_session").cum_sum().cast(pl.Int64)
    )


def _attached(others: pl.DataFrame, opening: pl.DataFrame) -> pl.DataFrame:
    """Pieces that open no session, with the session that holds them, if one does."""
    ends = opening.group_by("session", maintain_order=True).agg(
        pl.col(*CLIENT, "opens_session", "session_gap_ms").first(),
        pl.col("start").first().alias("at"),
        pl.col("run_start").first(),
        pl.col("end").last(),
    )
    marks = ends.with_columns(opens_session=pl.lit(value=False))
    found = latest_before(others.with_columns(at=pl.col("start")), marks, "session")
    aligned = pl.col("at") // SESSION_ALIGNMENT_US * SESSION_ALIGNMENT_US
    begun_within = (pl.col("run_start") > aligned).cast(pl.Int64)
    limits = ends.select(
        "session",
        # What would be cut off if it opened sessions lies beyond the window of the hour.
        reach=pl.min_horizontal(
            pl.col("end") + pl.col("session_gap_ms") * 1000,
            aligned + SESSION_ALIGNMENT_US * (1 + begun_within),
        ),
    )
    held = found.join(limits, on="session", how="left", maintain_order="left").with_columns(
        session=pl.when(pl.col("start") < pl.col("reach")).then("session")
    )
    return held.with_columns(begins_session=pl.lit(value=False)).select(
        *PIECE_SCHEMA, "begins_session", "session"
    )


def _sessions(opening: pl.DataFrame, placed: pl.DataFrame) -> pl.DataFrame:
    """A row a session: its span, sums and the facts that its first or last hits decide."""
    facts = opening.group_by("session", maintain_order=True).agg(
        pl.col("start", "slot_start").first().name.prefix("session_"),
        ((pl.col("end").last() - pl.col("start").first()) // 1000).alias("session_duration_ms"),
        pl.col("engagement_threshold_ms").first(),
        pl.col("attribution_lookback_days").first().name.suffix("_of_session"),
        pl.col("device_id").first().name.suffix("_of_session"),
    )
    sums = placed.group_by("session").agg(
        pl.col("views", "engagement_ms", "key_events").sum().name.suffix("_of_session")
    )
    table = facts.join(sums, on="session", how="left", maintain_order="left")
    for fact, is_first in (("source", True), ("landing", True), ("exit", False)):
        named = pl.col(f"{fact}_id").alias(f"{fact}_id_of_session")
        rows = opening.lazy().filter(pl.col(f"{fact}_at").is_not_null()).select("session", named)
        neighbour = pl.col("session").shift(1 if is_first else -1, fill_value=0)
        chosen = rows.filter(pl.col("session") != neighbour).collect()
        table = table.join(chosen, on="session", how="left", maintain_order="left")
    return table.with_columns(is_engaged=_is_engaged()).rename(
        {"session_slot_start": "session_slot"}
    )


def _is_engaged() -> pl.Expr:
    """GA4's engaged session: long enough, or a key event, or two or more page views.

    The length is the foreground time where the client reports it, else the wall time.
    """
    foreground_ms = pl.col("engagement_ms_of_session")
    length_ms = pl.when(foreground_ms > 0).then(foreground_ms).otherwise("session_duration_ms")
    return (
        (length_ms >= pl.col("engagement_threshold_ms"))
        | (pl.col("key_events_of_session") > 0)
        | (pl.col("views_of_session") >= 2)
    )


def _with_defaults(joined: pl.DataFrame) -> pl.DataFrame:
    in_session = pl.col("session").is_not_null()
    lookback = "attribution_lookback_days"
    ids = [
        pl.coalesce(f"{lookback}_of_session", lookback).alias(lookback),
        pl.col("source_id_of_session").fill_null(NO_TEXT).alias("own_source_id"),
        pl.col("landing_id_of_session").fill_null(NO_TEXT).alias("landing_id"),
        pl.col("exit_id_of_session").fill_null(NO_TEXT).alias("exit_id"),
        pl.when(in_session).then("device_id_of_session").otherwise("device_id").alias("device_id"),
    ]
    engaged = pl.col("is_engaged").fill_null(value=False)
    return joined.with_columns(
        *ids,
        has_views=pl.col("landing_id_of_session").is_not_null(),
        is_engaged=engaged,
        is_active=engaged | pl.col("is_new") | (pl.col("engagement_ms") > 0),
        session_duration_ms=pl.col("session_duration_ms").fill_null(0),
    )
