"""Sessions as rows, a row a session: what analysts read."""

from typing import Final

import polars as pl

from tallymark.aggregates import Counted, with_constant_texts
from tallymark.pieces import CLIENT, SUMS
from tallymark.replays import Span
from tallymark.texts import with_texts

_TEXTS: Final = {
    "source_id": ("source", "medium", "campaign", "channel"),
    "landing_id": ("landing_host", "landing_page"),
    "exit_id": ("exit_host", "exit_page"),
    "device_id": ("device_category", "browser", "operating_system"),
}
SESSION_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "client_hash": pl.UInt64(),
        "session_start": pl.Int64(),  # UTC µs of the first hit
        "session_duration_ms": pl.Int64(),  # from the first hit to the last that opens sessions
        "is_engaged": pl.Boolean(),
        "is_new": pl.Boolean(),  # holds the client's first visit
        **{name: pl.Int64() for name in SUMS},
        **{name: pl.String() for names in _TEXTS.values() for name in names},
    }
)
"""Columns of a session frame."""


def session_rows(facts: Counted, hours: Span) -> pl.DataFrame:
    """The sessions (``SESSION_SCHEMA``) that start in ``hours``, by property, client and start.

    Args:
        facts: Holds all that these sessions depend on.
        hours: In which hours they start.
    """
    is_asked = pl.col("session_start").is_between(hours.start_us, hours.end_us, closed="left")
    rows = (
        facts.joined.filter(is_asked)
        .group_by(*CLIENT, "session_start")
        .agg(
            pl.col("session_duration_ms", "is_engaged", "source_id", "landing_id", "exit_id")
            .first(),
            pl.col("device_id").first(),
            pl.col("is_new").any(),
            pl.col(*SUMS).sum(),
        )
    )  # fmt: skip
    texts = with_constant_texts(facts.texts, rows)
    for name, columns in _TEXTS.items():
        rows = with_texts(rows, name, columns, texts)
    return rows.select(list(SESSION_SCHEMA)).sort(*CLIENT, "session_start")
