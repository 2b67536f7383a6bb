"""Narrow hits: hits as counting needs them, as numbers alone."""

from typing import Final

import polars as pl
import xxhash

from tallymark.distinct import mapped
from tallymark.event_kinds import SALES
from tallymark.texts import with_text_ids

NO_TRANSACTION: Final = 0

NARROW_CUSTOM: Final = pl.Struct({"custom_id": pl.UInt64, "amount_micros": pl.Int64})
"""What a custom definition says of a hit: the id of its name and value; of a metric the number."""
NARROW_SCHEMA: Final = pl.Schema(
    {
        "received_at": pl.Int64(),
        "has_balancer_id": pl.Boolean(),
        "hit_order": pl.UInt128(),  # orders hits as their ids do; the tie between equal instants
        "event_at": pl.Int64(),
        "property_id": pl.Int64(),
        "client_hash": pl.UInt64(),
        "opens_session": pl.Boolean(),
        "event_id": pl.UInt64(),  # text ids, see ``texts``
        "page_id": pl.UInt64(),
        "source_id": pl.UInt64(),  # 0: this hit names no source
        "device_id": pl.UInt64(),
        "engagement_ms": pl.Int64(),
        "is_first_visit": pl.Boolean(),
        "is_page_view": pl.Boolean(),
        "is_key_event": pl.Boolean(),
        "is_once_per_session": pl.Boolean(),
        "value_micros": pl.Int64(),
        "transaction_key": pl.UInt64(),  # of a sale that names one, else 0
        "customs": pl.List(NARROW_CUSTOM),
        "slot_minutes": pl.Int32(),
        "session_gap_ms": pl.Int64(),
        "engagement_threshold_ms": pl.Int64(),
        "attribution_lookback_days": pl.Int32(),
        "settings_from": pl.Int64(),
    }
)
"""A hit as counting needs it: numbers alone."""
CUSTOM_TEXTS: Final = ("custom_name", "custom_value")
"""What the id of a custom definition and its value stands for; a metric has no value."""
TEXT_IDS: Final = {
    "event_id": ("event_name",),
    "page_id": ("host", "path"),
    "source_id": ("source", "medium", "campaign", "channel"),
    "device_id": ("device_category", "browser", "operating_system"),
}
"""Which columns of a hit each text id stands for."""

NARROWED: Final = (
    "hit_id",
    "transaction_id",
    *(name for names in TEXT_IDS.values() for name in names),
)
"""Columns of a hit that others stand for."""


def narrow(hits: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hits (``HIT_SCHEMA``) as numbers, and the dictionary of their texts.

    Returns:
        A frame that has the columns of ``NARROW_SCHEMA`` (and those of ``hits``), and one of
        ``TEXT_SCHEMA``.
    """
    numbered, texts = with_text_ids(hits, TEXT_IDS)
    customs, custom_texts = _customs(hits)
    columns = (_transaction_keys(hits), customs)
    narrowed = numbered.with_columns(*columns, hit_order=_hit_order())
    return narrowed, texts if custom_texts is None else pl.concat([texts, custom_texts])


def _customs(hits: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame | None]:
    """What custom definitions say as numbers, and their texts, if any has said anything."""
    has_any = hits.get_column("customs").list.len() > 0
    none = pl.Series("customs", [[]], dtype=NARROW_SCHEMA["customs"])
    if not has_any.any():
        return none.new_from_index(0, hits.height), None
    own = hits.select("property_id", "customs").filter(has_any).with_row_index("row")
    said = own.explode("customs").unnest("customs")
    numbered, texts = with_text_ids(said, {"custom_id": ("name", "value")})
    lists = numbered.group_by("row", maintain_order=True).agg(
        customs=pl.struct("custom_id", amount_micros="micros")
    )
    places = pl.select(pl.when(has_any).then(has_any.cast(pl.UInt32).cum_sum()).otherwise(0))
    return pl.concat([none, lists.get_column("customs")]).gather(places.to_series()), texts


def _hit_order() -> pl.Expr:
    """A number that orders hits as ``hit_id`` does.

    The id is 32 hex digits of a UUIDv7 and a four-digit index, 142 bits. The first 14 bits, which
    change every 198 days, are left out.
    """
    digits = pl.col("hit_id").str
    high = digits.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64) % 2**50
    low = digits.slice(16, 16).str.to_integer(base=16, dtype=pl.UInt64)
    index = digits.slice(33).str.to_integer(dtype=pl.UInt64)
    wide = high.cast(pl.UInt128) * 2**64 + low.cast(pl.UInt128)
    return wide * 2**14 + index.cast(pl.UInt128)


def _transaction_keys(hits: pl.DataFrame) -> pl.Series:
    """What tells the transactions of sales apart: the event and the id that it names."""
    keys = pl.repeat(NO_TRANSACTION, hits.height, dtype=pl.UInt64, eager=True)
    is_named = hits.get_column("transaction_id") != ""
    if is_named.any():
        texts = pl.concat_str("event_name", pl.lit("\n"), "transaction_id")
        sale = pl.when(pl.col("event_name").is_in(SALES)).then(texts)
        sales = hits.filter(is_named).select(sale.fill_null("")).to_series()
        keys = keys.scatter(is_named.arg_true(), mapped(sales, _hashes))
    return keys.alias("transaction_key")


def _hashes(texts: pl.Series) -> pl.Series:
    hashes = [xxhash.xxh3_64_intdigest(text.encode()) if text else NO_TRANSACTION for text in texts]
    return pl.Series(hashes, dtype=pl.UInt64)
