"""Parameters and items of Universal Analytics, as lists of a hit."""

from typing import Final

import polars as pl

from tallymark.distinct import with_looked_up
from tallymark.hits import ITEM
from tallymark.protocols.ga4_params import item_entries, params_of, with_lists
from tallymark.protocols.percent import percent_decoded

TRANSPORT: Final = (
    "v", "tid", "cid", "uid", "t", "dl", "dh", "dp", "dt", "dr", "cs", "cm", "cn", "ck", "cc", "cu",
    "ti", "tr", "ul", "sr", "qt", "ua", "geoid", "ea", "pa", "sa", "z", "a", "_v", "_s", "_u",
    "_gid", "gtm", "gjid", "jid", "_slc", "ds", "aip", "npa", "gcs", "gcd", "vp", "de", "sd", "je",
    "fl", "sc",
)  # fmt: skip
"""Parameters that are columns of a hit, or are of no interest once it has arrived."""

PARAM_NAMES: Final = {
    "ec": "event_category", "el": "event_label", "ev": "value", "ni": "non_interaction",
    "utc": "event_category", "utv": "name", "utt": "value", "utl": "event_label",
    "exd": "description", "exf": "fatal", "sn": "method", "st": "content_id",
    "ta": "affiliation", "ts": "shipping", "tt": "tax", "tcc": "coupon",
    "cos": "checkout_step", "col": "checkout_option", "pal": "item_list_name",
    "cd": "screen_name", "an": "app_name", "av": "app_version", "aid": "app_id",
    "aiid": "app_installer_id", "linkid": "link_id",
}  # fmt: skip
"""Today's names of parameters; those that have none keep their own."""
_NUMBERS: Final = "^(?:ev|utt|ts|tt|cos|cm[0-9]{1,3})$"
_INDEXED: Final = {"^cd([0-9]{1,3})$": "dimension$1", "^cm([0-9]{1,3})$": "metric$1",
                   "^cg([0-9]{1,2})$": "content_group$1"}  # fmt: skip

_PRODUCT: Final = r"^pr([0-9]{1,3})(id|nm|br|va|ca|cc|pr|qt|ps)$"
_ITEM_CODES: Final = {"ic": "id", "in": "nm", "iv": "ca", "ip": "pr", "iq": "qt"}
"""Parameters of the single item of an item hit, and those of a product that mean the same."""
ITEM_FIELDS: Final = {
    "item_id": "id", "item_name": "nm", "item_brand": "br", "item_variant": "va",
    "item_category": "ca", "coupon": "cc", "price_micros": "pr", "quantity": "qt", "index": "ps",
}  # fmt: skip
"""What the fields of a product are called in its parameters."""


def with_params_of(events: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """``events`` as ``EVENT_SCHEMA``, with the lists that pairs make.

    Args:
        events: In the order that ``row`` counts.
        pairs: ``PAIR_SCHEMA``; in a list of an event, the first of each name counts.
    """
    placed = with_looked_up(pairs, "key", _places)
    placed = placed.unique(["row", "position", "name"], keep="first", maintain_order=True)
    return with_lists(
        events,
        params=params_of(placed.filter(pl.col("position") == _NO_ITEM)),
        user_properties=params_of(placed.clear()),
        items=_items(placed.filter(pl.col("position") != _NO_ITEM)),
    )


_NO_ITEM: Final = -1


def _places(keys: pl.Series) -> pl.DataFrame:
    """``position`` of the item that a key is of, or ``_NO_ITEM``, its ``name`` there, and
    ``is_number``."""
    key = pl.lit(keys)
    named = key.replace(PARAM_NAMES)
    for pattern, name in _INDEXED.items():
        named = named.str.replace(pattern, name)
    product = key.str.extract_groups(_PRODUCT).struct
    own = key.replace_strict(_ITEM_CODES, default=None, return_dtype=pl.String)
    position = product.field("1").cast(pl.Int32, strict=False)
    return pl.select(
        position=pl.coalesce(
            position, pl.when(own.is_not_null()).then(pl.lit(0)), pl.lit(_NO_ITEM)
        ).cast(pl.Int32),
        name=pl.coalesce(product.field("2"), own, named),
        is_number=key.str.contains(_NUMBERS),
    )


def _items(pairs: pl.DataFrame) -> pl.DataFrame:
    """``entries`` of each ``row``: its items, by their position."""
    if pairs.is_empty():
        return pl.DataFrame(schema={"row": pl.UInt32, "entries": pl.List(ITEM)})
    texts = pairs.with_columns(text=percent_decoded(pairs.get_column("value")))
    items = (
        texts.group_by("row", "position")
        .agg(
            pl.col("text").filter(pl.col("name") == code).first().fill_null("").alias(field)
            for field, code in ITEM_FIELDS.items()
        )
        .sort("row", "position")
    )
    entries = item_entries(items.drop("row", "position"))
    return (
        pl.concat([items.select("row"), entries], how="horizontal")
        .group_by("row", maintain_order=True)
        .agg("entries")
    )
