"""Touches: where a client's sessions came from over all its time, and what follows for each.

A session's own source (that of its first hit that names one; none: it is direct) is a *touch* of
its client. As of the start S of a session

* the **first touch** is the client's first of all touches at or before S: the first-user source;
* the **last source** is the session's own, or else that of the client's last touch that is not
  direct in [S − lookback, S), or else ``(direct)``: GA4's session source.

Touches of hours that are computed lie in the sessions themselves; those of earlier hours come from
the store and are *histories*: a client's first touch and its last that is not direct are enough.
"""

from typing import Final

import polars as pl

from tallymark.pieces import CLIENT
from tallymark.sessions import JOINED_SCHEMA
from tallymark.slots import DAY_US
from tallymark.texts import NO_TEXT, text_id

SOURCE: Final = ("source", "medium", "campaign", "channel")
NO_SESSION: Final = ("(not set)", "(not set)", "(not set)", "Unassigned")
"""Source, medium, campaign and channel of hits that belong to no session."""
DIRECT: Final = ("(direct)", "(none)", "(direct)", "Direct")
"""Source, medium, campaign and channel of sessions that nothing is known to have led to."""

TOUCH_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64,
        "client_hash": pl.UInt64,
        "start": pl.Int64,  # UTC µs of the session
        **dict.fromkeys(SOURCE, pl.String),  # all empty: direct
    }
)
TOUCH_ID_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64,
        "client_hash": pl.UInt64,
        "start": pl.Int64,
        "source_id": pl.UInt64,  # of the texts; 0: direct
    }
)
"""A touch, its texts as their id."""
HISTORY_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64,
        "client_hash": pl.UInt64,
        "first_at": pl.Int64,  # UTC µs of the first touch; null: there is none
        "first_id": pl.UInt64,
        "last_at": pl.Int64,  # of the last touch that is not direct; null: there is none
        "last_id": pl.UInt64,
    }
)
"""A client's touches before some hour, as far as later sessions depend on them."""
ATTRIBUTED_SCHEMA: Final = pl.Schema(
    [
        *JOINED_SCHEMA.items(),
        ("source_id", pl.UInt64()),  # of the session: its last source
        ("first_source_id", pl.UInt64()),  # of the client: its first touch
        ("is_returning", pl.Boolean()),  # whether the client had a session before; null: in none
    ]
)
"""A piece with its session and what the client's touches say of it; the grain of most rollups."""


def touches_of(joined: pl.DataFrame) -> pl.DataFrame:
    """The touches (``TOUCH_ID_SCHEMA``) of the sessions that begin in a ``JOINED_SCHEMA``."""
    return joined.filter("begins_session").select(
        *CLIENT, "start", pl.col("own_source_id").alias("source_id")
    )


def histories_of(touches: pl.DataFrame) -> pl.DataFrame:
    """The histories (``HISTORY_SCHEMA``) that touches (``TOUCH_ID_SCHEMA``) come to."""
    ordered = touches.sort(*CLIENT, "start")
    first = ordered.group_by(CLIENT, maintain_order=True).agg(
        pl.col("start").first().alias("first_at"), pl.col("source_id").first().alias("first_id")
    )
    named = ordered.filter(pl.col("source_id") != NO_TEXT)
    last = named.group_by(CLIENT).agg(
        pl.col("start").last().alias("last_at"), pl.col("source_id").last().alias("last_id")
    )
    return first.join(last, on=list(CLIENT), how="left").select(list(HISTORY_SCHEMA))


def continued(histories: pl.DataFrame, touches: pl.DataFrame) -> pl.DataFrame:
    """Histories with later touches (``TOUCH_ID_SCHEMA``); clients without any are left out."""
    held = [
        histories.select(
            *CLIENT, pl.col(f"{which}_at").alias("start"), pl.col(f"{which}_id").alias("source_id")
        ).filter(pl.col("start").is_not_null())
        for which in ("first", "last")
    ]
    return histories_of(pl.concat([*held, touches]))


def attributed(joined: pl.DataFrame, histories: pl.DataFrame, known_from: int) -> pl.DataFrame:
    """Pieces with what the touches of their clients say of them (``ATTRIBUTED_SCHEMA``).

    Args:
        joined: ``JOINED_SCHEMA``, sorted as ``join_sessions`` does; every session that starts at or
            after ``known_from`` of every client in it.
        histories: ``HISTORY_SCHEMA``, each client at most once: touches of hours before
            ``known_from``. Clients that are not in it have none.
        known_from: UTC µs, a full hour.
    """
    held = joined.join(histories, on=list(CLIENT), how="left", maintain_order="left")
    marked = _with_marks(held, known_from)
    start, own = pl.col("start"), pl.col("own_source_id")
    moment = pl.coalesce("session_start", "start")
    is_older = pl.col("first_at") <= moment
    first_start = start.gather(pl.col("first_row"))
    told = marked.with_columns(
        began=pl.coalesce(pl.when(is_older).then("first_at"), first_start, pl.col("session_start")),
        first_source_id=pl.coalesce(
            pl.when(is_older).then("first_id"),
            own.gather(pl.col("first_row")),
            pl.when(pl.col("session_start").is_not_null()).then(own),
        ),
        named_at=start.gather(pl.col("named_row")),
        named_id=own.gather(pl.col("named_row")),
    )
    return told.with_columns(
        source_id=_last_source(),
        first_source_id=_named(pl.col("first_source_id")),
        is_returning=pl.col("began") < pl.col("session_start"),
    ).select(list(ATTRIBUTED_SCHEMA))


def _with_marks(held: pl.DataFrame, known_from: int) -> pl.DataFrame:
    """Number of the row, up to each row, of its client's first touch and last that is not direct.

    Rows are ordered by client and time, so a running fill that does not reach back beyond the
    client's first row takes the place of a window a client.
    """
    new_client = pl.lit(value=False)
    for column in CLIENT:
        new_client = new_client | (pl.col(column) != pl.col(column).shift(1))
    row = pl.int_range(pl.len(), dtype=pl.UInt32)
    is_touch = pl.col("begins_session") & (pl.col("start") >= known_from)
    is_named = is_touch & (pl.col("own_source_id") != NO_TEXT)
    filled = held.with_columns(
        client_row=pl.when(new_client.fill_null(value=True)).then(row).forward_fill(),
        touch_row=pl.when(is_touch).then(row),
        named_row=pl.when(is_named).then(row).forward_fill(),
    )
    before = pl.col("touch_row").forward_fill().shift(1)
    is_first = pl.col("touch_row").is_not_null() & (
        before.is_null() | (before < pl.col("client_row"))
    )
    firsts = filled.with_columns(first_row=pl.when(is_first).then("touch_row").forward_fill())
    return firsts.with_columns(
        pl.when(pl.col(name) >= pl.col("client_row")).then(name).alias(name)
        for name in ("first_row", "named_row")
    )


def _last_source() -> pl.Expr:
    start = pl.col("session_start")
    lookback_us = pl.col("attribution_lookback_days").cast(pl.Int64) * DAY_US
    own = pl.when(pl.col("own_source_id") != NO_TEXT).then("own_source_id")
    found = [
        pl.when((pl.col(f"{which}_at") < start) & (pl.col(f"{which}_at") >= start - lookback_us))
        .then(f"{which}_id")
        for which in ("named", "last")
    ]  # fmt: skip
    source = pl.coalesce(own, *found, pl.lit(NO_TEXT, pl.UInt64))
    return _named(pl.when(start.is_not_null()).then(source))


def _named(source_id: pl.Expr) -> pl.Expr:
    """An id that has texts: none is ``NO_SESSION``, that of no texts ``DIRECT``."""
    direct, outside = (pl.lit(text_id(*texts), pl.UInt64) for texts in (DIRECT, NO_SESSION))
    return pl.when(source_id == NO_TEXT).then(direct).otherwise(source_id.fill_null(outside))


def no_histories() -> pl.DataFrame:
    """Histories of nobody."""
    return pl.DataFrame(schema=HISTORY_SCHEMA)
