"""Parameters, user properties and items of GA4's web format, as lists of a hit."""

from typing import Final

import polars as pl

from tallymark.distinct import with_looked_up
from tallymark.hits import ITEM, PARAM
from tallymark.protocols.events import EVENT_SCHEMA
from tallymark.protocols.numbers import micros_of
from tallymark.protocols.percent import percent_decoded

LISTS: Final = {"items": pl.List(ITEM), "params": pl.List(PARAM), "user_properties": pl.List(PARAM)}

TRANSPORT: Final = (
    "v", "tid", "cid", "uid", "en", "sid", "sct", "seg", "dl", "dt", "dr", "cs", "cm", "cn", "ck",
    "ct", "cc", "ci", "cu", "ul", "sr", "_et", "_fv", "_ss", "_nsi", "_p", "_s", "_c", "_ee",
    "_dbg", "gtm", "gcd", "gcs", "npa", "dma", "dma_cps", "tag_exp", "pscdl", "frm", "are",
    "uaa", "uab", "uafvl", "uamb", "uam", "uap", "uapv", "uaw",
)  # fmt: skip
"""Parameters that are columns of a hit, or are of no interest once it has arrived."""

ITEM_TEXTS: Final = {
    "item_id": "id", "item_name": "nm", "item_brand": "br", "item_variant": "va",
    "item_category": "ca", "coupon": "cp",
}  # fmt: skip

_KIND: Final = r"^(?:(epn?|upn?)\.|(pr)[0-9]{1,3}$)"
_TILDE: Final = "\ue000"  # stands for an escaped tilde while an item is split


def without_params(events: pl.DataFrame) -> pl.DataFrame:
    """``events`` as ``EVENT_SCHEMA``, with empty lists."""
    return events.with_columns(
        pl.lit([], dtype=dtype).alias(name) for name, dtype in LISTS.items()
    ).select(list(EVENT_SCHEMA))


def with_params_of(
    events: pl.DataFrame, shared: pl.DataFrame, own: pl.DataFrame, owners: pl.Series
) -> pl.DataFrame:
    """``events`` as ``EVENT_SCHEMA``, with the lists that pairs make.

    Args:
        events: In the order that the rows of ``own`` count.
        shared: Pairs of the requests' queries.
        own: Pairs of the events' lines; they override those shared.
        owners: The request of each event.
    """
    pairs = _pairs_of_events(shared, own, owners)
    lists = {
        "params": _params(pairs.filter(pl.col("kind").is_in(["ep", "epn", ""]))),
        "user_properties": _params(pairs.filter(pl.col("kind").is_in(["up", "upn"]))),
        "items": _items(pairs.filter(pl.col("kind") == "pr")),
    }
    rows = pl.DataFrame({"row": pl.int_range(events.height, dtype=pl.UInt32, eager=True)})
    columns = [
        rows.join(found.select("row", name), on="row", how="left", maintain_order="left")
        .get_column(name)
        .fill_null(pl.Series([[]], dtype=LISTS[name]))
        for name, found in (
            (name, grouped.rename({"entries": name})) for name, grouped in lists.items()
        )
    ]
    return events.with_columns(columns).select(list(EVENT_SCHEMA))


def _pairs_of_events(shared: pl.DataFrame, own: pl.DataFrame, owners: pl.Series) -> pl.DataFrame:
    """``row`` of the event, ``kind``, ``key`` as sent, ``name`` without prefix, ``value``."""
    events = pl.DataFrame(
        {"row": owners, "event": pl.int_range(len(owners), dtype=pl.UInt32, eager=True)}
    )
    kept = _of_interest(shared)
    inherited = events.join(kept, on="row", how="inner", maintain_order="left_right").select(
        pl.col("event").alias("row"), "key", "value"
    )
    pairs = pl.concat([_of_interest(own), inherited])
    pairs = with_looked_up(pairs, "key", _kinds)
    return pairs.unique(["row", "kind", "name"], keep="first", maintain_order=True)


def _of_interest(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.filter(~pl.col("key").is_in(TRANSPORT))


def _kinds(keys: pl.Series) -> pl.DataFrame:
    parts = keys.str.extract_groups(_KIND).struct.unnest()
    kind = pl.coalesce(parts.to_series(0), parts.to_series(1), pl.lit(""))
    is_prefixed = pl.lit(parts.to_series(0)).is_not_null()
    name = pl.lit(keys).str.replace(r"^[a-z]+\.", "")
    return pl.select(kind=kind, name=pl.when(is_prefixed).then(name).otherwise(pl.lit(keys)))


def _params(pairs: pl.DataFrame) -> pl.DataFrame:
    """``entries`` of each ``row``; text that was said to be a number has micros as well."""
    text = percent_decoded(pairs.get_column("value"))
    is_number = pairs.get_column("kind").is_in(["epn", "upn"])
    numbers = text.zip_with(is_number, pl.Series([""]).new_from_index(0, len(text)))
    entries = pairs.select(
        "row", entries=pl.struct(key="name", text=text, micros=micros_of(numbers))
    )
    return entries.group_by("row", maintain_order=True).agg("entries")


def _items(pairs: pl.DataFrame) -> pl.DataFrame:
    """``entries`` of each ``row``: ``idsku1~nmShirt~pr12.5~qt1``, a tilde in a value twice."""
    if pairs.is_empty():
        return pl.DataFrame(schema={"row": pl.UInt32, "entries": pl.List(ITEM)})
    ordered = pairs.with_columns(
        percent_decoded(pairs.get_column("value")).alias("text"),
        position=pl.col("key").str.slice(2).str.to_integer(strict=False),
    ).sort("row", "position", maintain_order=True)
    entries = with_looked_up(ordered, "text", _entries)
    return entries.group_by("row", maintain_order=True).agg("entries")


def _entries(texts: pl.Series) -> pl.DataFrame:
    marked = "~" + texts.str.replace_all("~~", _TILDE, literal=True)
    fields = {
        code: marked.str.extract(f"~{code}([^~]*)").fill_null("").str.replace_all(_TILDE, "~")
        for code in (*ITEM_TEXTS.values(), "pr", "qt")
    }
    columns = {name: fields[code] for name, code in ITEM_TEXTS.items()} | {
        "price_micros": micros_of(fields["pr"]).fill_null(0),
        "quantity": (micros_of(fields["qt"]) // 1_000_000).fill_null(0),
    }
    frame = pl.DataFrame(columns).select([field.name for field in ITEM.fields])
    return frame.select(entries=pl.struct(pl.all()).cast(ITEM))
