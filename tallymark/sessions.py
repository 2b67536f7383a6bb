"""Sessions: chains of pieces, cut where locality asks for it.

A run is a chain of a client's pieces with no pause ≥ the session gap under the same session
settings. A session is a run, cut at a UTC multiple m of L = 4 h only if the run began at or before
m − L. So none exceeds 2 L, none is cut at midnight, and the sessions that start in hour E depend
on the hits in [floor_L(E) − L − gap, E + 1 h + 2 L) alone.

Only hits that open sessions form chains. The others (Measurement Protocol hits without a session
id) join the session whose [start, end + gap) holds them, or none, as in GA4.
"""

from typing import Final

import polars as pl

from tallymark.pieces import CLIENT, DEVICE, PIECE_SCHEMA, SOURCE, SUMS, latest_before
from tallymark.slots import SESSION_ALIGNMENT_US

NO_SESSION: Final = {
    "source": "(not set)",
    "medium": "(not set)",
    "campaign": "(not set)",
    "channel": "Unassigned",
}
"""What acquisition says of hits that belong to no session."""
DIRECT: Final = {
    "source": "(direct)",
    "medium": "(none)",
    "campaign": "(direct)",
    "channel": "Direct",
}
"""What acquisition says of sessions none of whose hits names a source."""
PAGES: Final = ("landing_host", "landing_page", "exit_host", "exit_page")

JOINED_SCHEMA: Final = pl.Schema(
    {
        **{name: PIECE_SCHEMA[name] for name in ("property_id", "client_hash", "opens_session")},
        "slot_start": pl.Int64,
        "slot_minutes": pl.Int32,
        "start": pl.Int64,
        **dict.fromkeys(SUMS, pl.Int64),
        "is_new": pl.Boolean,
        "is_active": pl.Boolean,  # counts its client as active in its slot
        "session_start": pl.Int64,  # null: belongs to no session
        "session_slot": pl.Int64,  # the slot that the session starts in
        "begins_session": pl.Boolean,  # the first piece of its session, which counts it
        "is_engaged": pl.Boolean,  # of the session
        "session_duration_ms": pl.Int64,
        **dict.fromkeys((*SOURCE, *PAGES, *DEVICE), pl.String),  # of the session
    }
)
"""A piece together with what its session says of it; the grain of most rollups."""


def join_sessions(pieces: pl.DataFrame) -> pl.DataFrame:
    """Pieces with their sessions (``JOINED_SCHEMA``), sorted by client and start.

    Args:
        pieces: Merged pieces (``PIECE_SCHEMA``) that hold, for every client in it, all that the
            sessions asked for depend on.
    """
    opening = _numbered(pieces.filter("opens_session"))
    others = _attached(pieces.filter(~pl.col("opens_session")), opening)
    placed = pl.concat([opening.select(others.columns), others])
    sessions = _sessions(opening, placed)
    joined = placed.join(sessions, on="session", how="left", maintain_order="left")
    return _with_defaults(joined).select(list(JOINED_SCHEMA)).sort(*CLIENT, "start")


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
        pl.col("end").last(),
    )
    marks = ends.with_columns(opens_session=pl.lit(value=False))
    found = latest_before(others.with_columns(at=pl.col("start")), marks, "session")
    reach_us = pl.col("session_end") + pl.col("session_gap_of_end") * 1000
    limits = ends.select(
        "session",
        pl.col("end").alias("session_end"),
        pl.col("session_gap_ms").alias("session_gap_of_end"),
    )
    held = found.join(limits, on="session", how="left", maintain_order="left").with_columns(
        session=pl.when(pl.col("start") < reach_us).then("session")
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
        pl.col(*DEVICE).first().name.suffix("_of_session"),
    )
    sums = placed.group_by("session").agg(
        pl.col("views", "engagement_ms", "key_events").sum().name.suffix("_of_session")
    )
    table = facts.join(sums, on="session", how="left", maintain_order="left")
    for marker, columns, keep in (
        ("source_at", SOURCE, "first"),
        ("landing_at", ("landing_host", "landing_page"), "first"),
        ("exit_at", ("exit_host", "exit_page"), "last"),
    ):
        rows = opening.filter(pl.col(marker).is_not_null())
        chosen = rows.unique("session", keep=keep, maintain_order=True)  # type: ignore[arg-type]
        named = [pl.col(column).alias(f"{column}_of_session") for column in columns]
        table = table.join(
            chosen.select("session", *named), on="session", how="left", maintain_order="left"
        )
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
    source = [
        pl.when(in_session)
        .then(pl.col(f"{name}_of_session").fill_null(DIRECT[name]))
        .otherwise(pl.lit(NO_SESSION[name]))
        .alias(name)
        for name in SOURCE
    ]
    pages = [pl.col(f"{name}_of_session").fill_null("").alias(name) for name in PAGES]
    device = [
        pl.when(in_session).then(f"{name}_of_session").otherwise(name).alias(name)
        for name in DEVICE
    ]
    engaged = pl.col("is_engaged").fill_null(value=False)
    return joined.with_columns(
        *source,
        *pages,
        *device,
        is_engaged=engaged,
        is_active=engaged | pl.col("is_new") | (pl.col("engagement_ms") > 0),
        session_duration_ms=pl.col("session_duration_ms").fill_null(0),
    )
