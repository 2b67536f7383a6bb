"""Custom rows: what a shard keeps of what custom definitions say of hits, small and mergeable."""

from typing import Final

import polars as pl

CUSTOM_SUMS: Final = ("events", "views", "engagement_ms", "key_events", "value_micros")
CUSTOM_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "client_hash": pl.UInt64(),
        "opens_session": pl.Boolean(),
        "slot_start": pl.Int64(),
        "slot_minutes": pl.Int32(),
        "at": pl.Int64(),  # UTC µs of an instant of the piece it belongs to
        "custom_id": pl.UInt64(),
        "event_id": pl.UInt64(),
        **{name: pl.Int64() for name in CUSTOM_SUMS},
    }
)
"""A client's events of one name with one value of a dimension within a piece."""
AMOUNT_SUMS: Final = ("events", "amount_micros")
AMOUNT_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "client_hash": pl.UInt64(),
        "slot_start": pl.Int64(),
        "slot_minutes": pl.Int32(),
        "custom_id": pl.UInt64(),
        "event_id": pl.UInt64(),
        **{name: pl.Int64() for name in AMOUNT_SUMS},
    }
)
"""What a metric of a client's events of one name comes to within a slot."""


def custom_rows(numbered: pl.DataFrame) -> pl.DataFrame:
    """The rows of dimensions (``CUSTOM_SCHEMA``).

    Args:
        numbered: Narrow hits with ``slot_start`` and the ``piece`` that each belongs to; without
            ``customs`` where none has any.
    """
    said = _said(numbered)
    if said is None:
        return CUSTOM_SCHEMA.to_frame()
    rows = (
        said.filter(pl.col("amount_micros").is_null())
        .group_by("piece", "custom_id", "event_id")
        .agg(
            pl.col("property_id", "client_hash", "opens_session", "slot_start", "slot_minutes")
            .first(),
            pl.col("event_at").min().alias("at"),
            pl.len().alias("events"),
            pl.col("is_page_view").sum().alias("views"),
            pl.col("is_key_event").sum().alias("key_events"),
            pl.col("engagement_ms", "value_micros").sum(),
        )
    )  # fmt: skip
    return rows.select(list(CUSTOM_SCHEMA)).cast(CUSTOM_SCHEMA)


def amount_rows(numbered: pl.DataFrame) -> pl.DataFrame:
    """The rows of metrics (``AMOUNT_SCHEMA``) of the same hits."""
    said = _said(numbered)
    if said is None:
        return AMOUNT_SCHEMA.to_frame()
    keys = [name for name in AMOUNT_SCHEMA if name not in AMOUNT_SUMS]
    rows = (
        said.filter(pl.col("amount_micros").is_not_null())
        .group_by(keys)
        .agg(pl.len().alias("events"), pl.col("amount_micros").sum())
    )
    return rows.select(list(AMOUNT_SCHEMA)).cast(AMOUNT_SCHEMA)


def dimension_ids(hits: pl.DataFrame) -> pl.Expr:
    """For each hit the ids of the dimensions' values that it has."""
    if "customs" not in hits.columns:
        return pl.lit([], pl.List(pl.UInt64))
    said = pl.element().struct
    is_value = said.field("amount_micros").is_null()
    return pl.col("customs").list.eval(said.field("custom_id").filter(is_value))


def _said(hits: pl.DataFrame) -> pl.DataFrame | None:
    """A row a hit and definition."""
    if "customs" not in hits.columns:
        return None
    return hits.filter(pl.col("customs").list.len() > 0).explode("customs").unnest("customs")
