"""Key events that count once a session: of one name, the first of a session alone.

Google Analytics' counting method ``ONCE_PER_SESSION``. Which one is the first is known once
sessions are, so tables hold such hits apart (``pieces.KEY_EVENT_SCHEMA``), of each piece and name
the first: pieces only ever grow, so the first of a session is always among them. A hit that opens
no session counts with the session that holds it; of hits that none holds, those of one name count
once an instant.
"""

from typing import Final

import polars as pl

from tallymark.narrow_hits import narrow
from tallymark.pieces import CLIENT, latest_before

_MARK: Final = (*CLIENT, "opens_session")
_OF_NAME: Final = (*CLIENT, "event_id")


def first_of_pieces(key_events: pl.DataFrame, pieces: pl.DataFrame) -> pl.DataFrame:
    """The first of each name in each piece, sorted.

    Args:
        key_events: ``KEY_EVENT_SCHEMA``, in any order.
        pieces: ``PIECE_SCHEMA``, merged: all of their clients.
    """
    ordered = key_events.sort(*CLIENT, "at", "hit_order")
    if ordered.is_empty():
        return ordered
    placed = latest_before(ordered, pieces.select(*_MARK, at="start", piece="start"), "piece")
    return placed.unique(
        [*_OF_NAME, "opens_session", "piece"], keep="first", maintain_order=True
    ).drop("piece")


def first_of_sessions(placed: pl.DataFrame) -> pl.DataFrame:
    """The key events that count, sorted.

    Args:
        placed: ``CLIENT``, ``event_id``, ``at``, ``hit_order`` and ``session_start`` (UTC µs; null:
            no session holds it) of hits; others stay.
    """
    moment = pl.when(pl.col("session_start").is_null()).then("at")
    return (
        placed.with_columns(moment=moment)
        .sort(*CLIENT, "at", "hit_order")
        .unique([*_OF_NAME, "session_start", "moment"], keep="first", maintain_order=True)
        .drop("moment")
    )


def repeated_in_sessions(hits: pl.DataFrame, joined: pl.DataFrame) -> pl.Series:
    """The ids of the hits (``HIT_SCHEMA``, all that count of their clients) for which another one
    of their session stands.

    Args:
        joined: What ``join_sessions`` says of the pieces of these clients.
    """
    numbered, _ = narrow(hits.filter("is_once_per_session"))
    named = numbered.select("hit_id", *_MARK, "event_id", "hit_order", at="event_at")
    return named.join(counted_once(named, joined), on="hit_id", how="anti").get_column("hit_id")


def counted_once(key_events: pl.DataFrame, joined: pl.DataFrame) -> pl.DataFrame:
    """Those that count.

    Args:
        key_events: ``CLIENT``, ``opens_session``, ``event_id``, ``at`` and ``hit_order``, as of
            ``KEY_EVENT_SCHEMA``: all of their clients that the sessions asked for hold.
        joined: What ``join_sessions`` says of the pieces of these clients.
    """
    if key_events.is_empty():
        return key_events
    marks = joined.select(*_MARK, at="start", piece=pl.struct("session_start"))
    placed = latest_before(key_events, marks, "piece").unnest("piece")
    return first_of_sessions(placed).select(key_events.columns)
