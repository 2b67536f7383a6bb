"""Parameters, user properties and items of GA4's web format, as lists of a hit."""

from typing import Final

import polars as pl

from tallymark.distinct import with_looked_up
from tallymark.hits import ITEM, ITEM_NUMBERS, ITEM_TEXTS, PARAM
from tallymark.protocol_limits import MAX_ITEM_PARAMS, MAX_NAME
from tallymark.protocols.events import EVENT_SCHEMA
from tallymark.protocols.numbers import micros_of
from tallymark.protocols.percent import percent_decoded

LISTS: Final = {"items": pl.List(ITEM), "params": pl.List(PARAM), "user_properties": pl.List(PARAM)}

TRANSPORT: Final = (
    "v", "tid", "cid", "uid", "en", "sid", "sct", "seg", "dl", "dt", "dr", "cs", "cm", "cn", "ck",
    "ct", "ir", "cc", "ci", "cu", "ul", "sr", "_et", "_fv", "_ss", "_nsi", "_p", "_s", "_c", "_ee",
    "_dbg", "_tk", "_ta", "gtm", "gcd", "gcs", "npa", "dma", "dma_cps", "tag_exp", "pscdl", "frm",
    "are", "_eu", "_fplc", "sst.uc", "richsstsse", "uaa", "uab", "uafvl", "uamb", "uam", "uap",
    "uapv", "uaw",
)  # fmt: skip
"""Parameters that are columns of a hit, or are of no interest once it has arrived."""

ITEM_CODES: Final = {
    "item_id": "id", "item_name": "nm", "item_brand": "br", "item_variant": "va",
    "item_category": "ca", "item_category2": "c2", "item_category3": "c3", "item_category4": "c4",
    "item_category5": "c5", "coupon": "cp", "affiliation": "af", "item_list_id": "li",
    "item_list_name": "ln", "price_micros": "pr", "quantity": "qt", "discount_micros": "ds",
    "index": "lp",
}  # fmt: skip
"""What the fields of an item are called in it."""

_ITEM: Final = "^pr[0-9]{1,3}$"
_OWN_PARAMETER: Final = "^([kv])[0-9]"
"""How a name and a value of a parameter of the site's own begin, before the number from 0 that
both have; where it ends is known by counting alone."""
_TILDE: Final = "\ue000"  # stands for an escaped tilde while an item is split


def without_params(events: pl.DataFrame) -> pl.DataFrame:
    """``events`` as ``EVENT_SCHEMA``, with empty lists."""
    return events.with_columns(
        pl.lit([], dtype=dtype).alias(name) for name, dtype in LISTS.items()
    ).select(list(EVENT_SCHEMA))


def with_params_of(events: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """``events`` as ``EVENT_SCHEMA``, with the lists that pairs make.

    Args:
        events: In the order that ``row`` counts.
        pairs: ``PAIR_SCHEMA``; in a list of an event, the first of each name counts.
    """
    placed = with_looked_up(pairs, "key", _places)
    placed = placed.unique(["row", "list", "name"], keep="first", maintain_order=True)
    params, properties, items = (
        placed.filter(pl.col("list") == name) for name in ("params", "user_properties", "items")
    )
    return with_lists(
        events,
        params=params_of(params),
        user_properties=params_of(properties),
        items=_items(items),
    )


def with_lists(events: pl.DataFrame, **lists: pl.DataFrame) -> pl.DataFrame:
    """``events`` as ``EVENT_SCHEMA``, with ``lists``: ``entries`` of each ``row`` that has any."""
    rows = pl.DataFrame({"row": pl.int_range(events.height, dtype=pl.UInt32, eager=True)})
    columns = [
        rows.join(found, on="row", how="left", maintain_order="left")
        .get_column("entries")
        .fill_null(pl.Series([[]], dtype=LISTS[name]))
        .alias(name)
        for name, found in lists.items()
    ]
    return events.with_columns(columns).select(list(EVENT_SCHEMA))


def _places(keys: pl.Series) -> pl.DataFrame:
    key = pl.lit(keys)
    place = (
        pl.when(key.str.contains(_ITEM))
        .then(pl.lit("items"))
        .when(key.str.contains(r"^upn?\."))
        .then(pl.lit("user_properties"))
        .otherwise(pl.lit("params"))
    )
    return pl.select(
        place.alias("list"),
        name=key.str.replace(r"^(?:ep|up)n?\.", ""),
        is_number=key.str.contains(r"^(?:ep|up)n\."),
    )


def params_of(pairs: pl.DataFrame) -> pl.DataFrame:
    """``entries`` of each ``row``: parameters, by ``name``, ``value`` (as it was sent) and
    ``is_number``; text that was said to be a number has micros as well."""
    text = percent_decoded(pairs.get_column("value"))
    numbers = text.zip_with(
        pairs.get_column("is_number"), pl.Series([""]).new_from_index(0, len(text))
    )
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
        name: marked.str.extract(f"~{code}([^~]*)").fill_null("").str.replace_all(_TILDE, "~")
        for name, code in ITEM_CODES.items()
    }
    return item_entries(pl.DataFrame(fields), _own_params(marked))


def _own_params(marked: pl.Series) -> pl.DataFrame:
    """``row`` of items (``~k0colour~v0red``), and the ``params`` of each that has any."""
    parts = pl.DataFrame({"text": marked.str.split("~")}).with_row_index("row").explode("text")
    own = parts.with_columns(kind=pl.col("text").str.extract(_OWN_PARAMETER)).drop_nulls("kind")
    numbered = own.with_columns(number=pl.int_range(pl.len()).over("row", "kind"))
    head = pl.concat_str("kind", "number")
    told = numbered.filter(pl.col("text").str.starts_with(head)).with_columns(
        pl.col("text").str.strip_prefix(head).str.replace_all(_TILDE, "~", literal=True)
    )
    names = told.filter(pl.col("kind") == "k").rename({"text": "key"}).drop("kind")
    values = told.filter(pl.col("kind") == "v").drop("kind")
    named = names.join(values, on=["row", "number"], maintain_order="left")
    return item_params(named.filter(pl.col("key").str.len_chars().is_between(1, MAX_NAME)))


def item_params(named: pl.DataFrame) -> pl.DataFrame:
    """``params`` of each ``row`` that has any, of its ``key`` and ``text`` in their order."""
    entry = pl.struct("key", "text", "micros")
    return (
        named.with_columns(micros_of(named.get_column("text")).alias("micros"))
        .group_by("row", maintain_order=True)
        .agg(params=entry.head(MAX_ITEM_PARAMS))
    )


def item_entries(fields: pl.DataFrame, params: pl.DataFrame | None = None) -> pl.DataFrame:
    """``entries`` (``ITEM``) of items whose fields are the texts that were sent.

    Args:
        fields: Some of those of ``ITEM``; the others are empty.
        params: Of items by their ``row``, as ``item_params`` gives them.
    """
    micros = {
        name: micros_of(fields.get_column(name)).fill_null(0)
        for name in ITEM_NUMBERS
        if name in fields.columns
    }
    columns: dict[str, pl.Series | pl.Expr] = {
        name: fields.get_column(name) if name in fields.columns else pl.lit("")
        for name in ITEM_TEXTS
    }
    for name in ITEM_NUMBERS:
        number = micros.get(name, pl.lit(0, pl.Int64))
        columns[name] = number if name.endswith("_micros") else number // 1_000_000
    items = fields.select(**columns).with_columns(params_of_items(params, fields.height))
    return items.select(entries=pl.struct(pl.all()).cast(ITEM))


def params_of_items(params: pl.DataFrame | None, height: int) -> pl.Series:
    """The ``params`` of so many items, none where nothing is said of a ``row``."""
    none = pl.Series("params", [[]], dtype=pl.List(PARAM)).new_from_index(0, height)
    if params is None or params.is_empty():
        return none
    rows = pl.DataFrame({"row": range(height)}, schema={"row": params.schema["row"]})
    found = rows.join(params, on="row", how="left", maintain_order="left").get_column("params")
    return found.cast(none.dtype).fill_null(none.head(1))
