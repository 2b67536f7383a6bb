"""Hit cells: the cells in which one hit counts, rollup by rollup, and the row of each.

What a row is named by says either the hit itself (its page, its event) or its session (where that
came from, where it landed), which only the client's other hits tell.
"""

from typing import Final

import polars as pl

from tallymark.aggregates import new_vs_returning, with_constant_texts
from tallymark.counting import Tally
from tallymark.key_events import repeated_in_sessions
from tallymark.narrow_hits import CUSTOM_TEXTS
from tallymark.pieces import CLIENT, latest_before
from tallymark.rollups import ROLLUPS, Rollup
from tallymark.row_keys import with_row_keys
from tallymark.slots import MINUTE_US
from tallymark.texts import with_texts
from tallymark.transactions import repeated_among

CELL_SCHEMA: Final = pl.Schema(
    {
        "hit_id": pl.String(),
        "client_hash": pl.UInt64(),
        "property_id": pl.Int64(),
        "rollup": pl.String(),
        "slot_start": pl.Int64(),  # UTC µs
        "slot_minutes": pl.Int32(),
        "keys": pl.List(pl.String()),  # texts of the rollup's keys; null: its session decides
    }
)
"""A hit and a cell in which it counts."""
OF_SESSION: Final = (
    "session_start", "session_slot", "session_duration_ms", "is_engaged", "begins_session",
)  # fmt: skip
"""What is told of the session itself; null where the hit belongs to none."""
_OF_HIT: Final = ("host", "path", "event_name", "minute")
"""Keys of rollups that the hit itself says."""
_PIECE: Final = tuple(rollup for rollup in ROLLUPS if rollup.grain == "piece" and rollup.keys)


def cells_of(hits: pl.DataFrame, sessions: pl.DataFrame | None = None) -> pl.DataFrame:
    """The cells (``CELL_SCHEMA``) in which hits count, by hit, in the order of ``ROLLUPS``.

    Args:
        hits: ``HIT_SCHEMA``, those that no filter tagged.
        sessions: What ``sessions_of`` tells of the hits; ``None`` where it is not known.
    """
    slot_us = pl.col("slot_minutes").cast(pl.Int64) * MINUTE_US
    minute = (pl.col("event_at") // MINUTE_US % 60).cast(pl.String).str.zfill(2)
    placed = hits.with_columns(
        slot_start=pl.col("event_at") // slot_us * slot_us, minute=minute
    ).select(*(name for name in CELL_SCHEMA if name not in ("rollup", "keys")), *_OF_HIT, "customs")
    if sessions is not None:
        placed = placed.join(sessions, on="hit_id", how="left", maintain_order="left")
    parts = [
        _counting(rollup, placed)
        .select(
            *CELL_SCHEMA.names()[:3],
            rollup=pl.lit(rollup.name),
            slot_start="slot_start",
            slot_minutes="slot_minutes",
            keys=_keys(rollup, [*placed.columns, *CUSTOM_TEXTS]),
        )
        .cast(CELL_SCHEMA)
        for rollup in ROLLUPS
    ]
    number = pl.int_range(pl.len()).over("hit_id")
    return (
        pl.concat([CELL_SCHEMA.to_frame(), *parts])
        .with_columns(number=number)
        .sort("hit_id", "number")
        .drop("number")
    )


def _counting(rollup: Rollup, placed: pl.DataFrame) -> pl.DataFrame:
    """The hits that count in a rollup; of one of custom definitions, once a value or number."""
    if rollup.grain not in ("custom", "amount"):
        return placed
    said = placed.filter(pl.col("customs").list.len() > 0).explode("customs").unnest("customs")
    is_amount = pl.col("micros").is_not_null()
    return said.filter(is_amount if rollup.grain == "amount" else ~is_amount).select(
        *placed.drop("customs").columns, **dict(zip(CUSTOM_TEXTS, ("name", "value"), strict=True))
    )


def _keys(rollup: Rollup, known: list[str]) -> pl.Expr:
    if not rollup.keys:
        return pl.lit([], pl.List(pl.String))
    if not set(rollup.keys) <= set(known):
        return pl.lit(None, pl.List(pl.String))
    keys = [pl.col(key) for key in rollup.keys]
    return pl.when(pl.all_horizontal(key.is_not_null() for key in keys)).then(pl.concat_list(keys))


def with_cell_keys(cells: pl.DataFrame) -> pl.DataFrame:
    """``cells`` (``CELL_SCHEMA`` and ``lineage``) with the ``row_key`` (String) of each.

    The order is kept.
    """
    numbered = cells.with_row_index("place")
    parts = [
        with_row_keys(part, str(rollup), str(lineage))
        for (rollup, lineage), part in numbered.partition_by(
            "rollup", "lineage", as_dict=True
        ).items()
    ]
    if not parts:
        return cells.with_columns(row_key=pl.lit("", pl.String))
    keyed = pl.concat(parts).sort("place").drop("place")
    return keyed.with_columns(pl.col("row_key").cast(pl.String))


def sessions_of(
    hits: pl.DataFrame, around: pl.DataFrame, touches: pl.DataFrame, known_from: int
) -> pl.DataFrame:
    """What the other hits of its client say of each: ``hit_id``, ``OF_SESSION``, the keys of
    rollups that its session decides, and whether it ``repeats_sale`` or ``repeats_key_event``.

    Args:
        hits: ``HIT_SCHEMA``, those that no filter tagged.
        around: ``HIT_SCHEMA``: these hits and all others of their clients on which the sessions
            depend, each once.
        touches: ``TOUCH_SCHEMA``: those of these clients in hours before ``known_from``.
        known_from: UTC µs of the first hour whose sessions ``around`` makes up whole.
    """
    tally = Tally()
    tally.add(around)
    facts = tally.counted(touches, known_from)
    said = pl.struct(
        *OF_SESSION, "is_returning", *(rollup.text_id for rollup in _PIECE if rollup.text_id)
    )
    marks = facts.joined.select(
        *CLIENT, "opens_session", pl.col("start").alias("at"), said.alias("piece")
    )
    rows = hits.select("hit_id", *CLIENT, "opens_session", at="event_at")
    told = latest_before(rows, marks, "piece").unnest("piece")
    texts = with_constant_texts(facts.texts, told)
    for rollup in _PIECE:
        if rollup.text_id:
            told = with_texts(told, rollup.text_id, rollup.keys, texts)
    keys = [key for rollup in _PIECE for key in rollup.keys]
    repeats = {
        "repeats_sale": repeated_among(around),
        "repeats_key_event": repeated_in_sessions(around, facts.joined),
    }
    return told.with_columns(
        new_vs_returning=new_vs_returning(),
        **{name: pl.col("hit_id").is_in(ids.implode()) for name, ids in repeats.items()},
    ).select("hit_id", *OF_SESSION, *keys, *repeats)
