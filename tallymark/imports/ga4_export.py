"""Google Analytics' BigQuery export: a row is an event, and becomes a hit of GA4's web format.

What the export says of an event travels under the parameter by which a browser would have sent it.
The browser's own user agent is not exported: what was found out from it travels in its place. The
referrer travels as an ordinary parameter, since the export names the source that it led to.
"""

from collections.abc import Iterable
from typing import Final

import polars as pl

from tallymark.countries import country_codes
from tallymark.enrichment.user_agents import named_device
from tallymark.imports.conversion import (
    MAX_RECORD_CHARACTERS,
    Converted,
    is_out_of_range,
    sorted_out,
    web_hits,
)
from tallymark.imports.export_rows import fields_of, listed, pairs_of_params
from tallymark.protocols.percent import percent_encoded

REQUIRED: Final = ("event_timestamp", "event_name", "user_pseudo_id", "event_params")
"""Columns without which a file is no export of events."""

OF_PARAMS: Final = {
    "page_location": "dl", "page_title": "dt", "ga_session_id": "sid", "ga_session_number": "sct",
    "session_engaged": "seg", "engagement_time_msec": "_et", "source": "cs", "medium": "cm",
    "campaign": "cn", "term": "ck", "content": "cc", "currency": "cu", "value": "epn.value",
    "transaction_id": "ep.transaction_id", "tax": "epn.tax", "shipping": "epn.shipping",
}  # fmt: skip
"""Event parameters that have a parameter of their own in the web format."""

OF_FIELDS: Final = {
    "cid": ("user_pseudo_id",),
    "uid": ("user_id",),
    "en": ("event_name",),
    "ul": ("device.language",),
    "cs": ("collected_traffic_source.manual_source",),
    "cm": ("collected_traffic_source.manual_medium",),
    "cn": ("collected_traffic_source.manual_campaign_name",),
    "ck": ("collected_traffic_source.manual_term",),
    "cc": ("collected_traffic_source.manual_content",),
    "epn.value": ("ecommerce.purchase_revenue", "ecommerce.refund_value"),
    "ep.transaction_id": ("ecommerce.transaction_id",),
    "epn.tax": ("ecommerce.tax_value",),
    "epn.shipping": ("ecommerce.shipping_value",),
    "ep.geo_region": ("geo.region",),
    "ep.geo_city": ("geo.city",),
    "up.first_user_source": ("traffic_source.source",),
    "up.first_user_medium": ("traffic_source.medium",),
    "up.first_user_campaign": ("traffic_source.name",),
}
"""Fields that stand for a parameter of the web format where no event parameter does."""

OF_ITEMS: Final = {
    "item_id": "id", "item_name": "nm", "item_brand": "br", "item_variant": "va",
    "item_category": "ca", "item_category2": "c2", "item_category3": "c3", "item_category4": "c4",
    "item_category5": "c5", "price": "pr", "quantity": "qt", "coupon": "cp", "affiliation": "af",
    "item_list_id": "li", "item_list_name": "ln", "promotion_id": "pi", "promotion_name": "pn",
}  # fmt: skip

_DEVICE: Final = {
    "country": ("geo.country",),
    "device_category": ("device.category",),
    "operating_system": ("device.operating_system",),
    "browser": ("device.web_info.browser", "device.browser"),
}
_KEYS: Final = tuple(dict.fromkeys((*OF_FIELDS, *OF_PARAMS.values())))


def missing_columns(columns: Iterable[str]) -> list[str]:
    """Which of ``REQUIRED`` a file with these columns lacks."""
    return [name for name in REQUIRED if name not in set(columns)]


def requests_of(rows: pl.DataFrame, measurement_id: str, *, end_us: int) -> Converted:
    """The requests that rows of an export come to.

    Args:
        rows: ``row`` and columns of the export, at least those of ``REQUIRED``; numbers may be
            text, as in JSON. Other columns are left out.
        measurement_id: Of the property that the hits are of.
        end_us: UTC µs; what is said to be later is skipped.
    """
    params = pairs_of_params(rows, "event_params")
    own = params.filter(pl.col("key").is_in(list(OF_PARAMS)))
    facts = _facts(rows, own).with_columns(_query(measurement_id).alias("query"))
    others = pl.concat(
        [
            _joined(_named_pairs(params.filter(~pl.col("key").is_in(list(OF_PARAMS))), "ep")),
            _joined(_named_pairs(pairs_of_params(rows, "user_properties"), "up")),
            _joined(_items(rows)),
        ]
    )
    more = others.group_by("row", maintain_order=True).agg(pl.col("more").str.join(""))
    whole = facts.join(more, on="row", how="left", maintain_order="left").with_columns(
        query=pl.concat_str("query", pl.col("more").fill_null(""))
    )
    kept, skipped = sorted_out(whole, _reasons(end_us), pl.col("query"))
    return Converted(web_hits(kept), skipped)


def _reasons(end_us: int) -> dict[str, pl.Expr]:
    return {
        "no_time": pl.col("received_at").is_null(),
        "no_event_name": pl.col("en").is_null(),
        "no_client": pl.col("cid").is_null(),
        "time_out_of_range": is_out_of_range(pl.col("received_at"), end_us),
        "too_long": pl.col("query").str.len_chars() > MAX_RECORD_CHARACTERS,
    }


def _facts(rows: pl.DataFrame, params: pl.DataFrame) -> pl.DataFrame:
    """``row``, ``received_at``, ``user_agent``, ``country_hint`` and the encoded ``_KEYS``."""
    fields = fields_of(rows, {**OF_FIELDS, **_DEVICE, "time": ("event_timestamp",)})
    sent = params.partition_by("key", as_dict=True, include_key=False)
    for (key,), pairs in sent.items():
        values = pairs.unique("row", keep="first").select("row", sent="text")
        fields = fields.join(values, on="row", how="left", maintain_order="left")
        name = OF_PARAMS[str(key)]
        known = pl.col(name) if name in fields.columns else pl.lit(None, pl.String)
        fields = fields.with_columns(pl.coalesce("sent", known).alias(name)).drop("sent")
    lacking = [pl.lit(None, pl.String).alias(key) for key in _KEYS if key not in fields.columns]
    fields = fields.with_columns(lacking)
    return fields.select(
        "row",
        *(percent_encoded(fields.get_column(key)) for key in _KEYS),
        received_at=pl.col("time").str.to_integer(strict=False),
        country_hint=country_codes(fields.get_column("country").fill_null("")),
        user_agent=named_device(
            pl.col("browser"), pl.col("operating_system"), pl.col("device_category")
        ),
    )


def _query(measurement_id: str) -> pl.Expr:
    parts = [pl.concat_str(pl.lit(f"&{key}="), pl.col(key)).fill_null("") for key in _KEYS]
    return pl.concat_str(pl.lit(f"v=2&tid={measurement_id}"), *parts)


def _named_pairs(pairs: pl.DataFrame, prefix: str) -> pl.DataFrame:
    """``row``, ``name`` and ``text`` of parameters (prefix ep) or user properties (up)."""
    names = percent_encoded(pairs.get_column("key"))
    sent = pl.when("is_number").then(pl.lit(f"{prefix}n.")).otherwise(pl.lit(f"{prefix}."))
    return pairs.select("row", "text", name=pl.concat_str(sent, names))


def _items(rows: pl.DataFrame) -> pl.DataFrame:
    """``row``, ``name`` and ``text`` of items: ``idsku1~nmShirt~pr12.5``, tildes twice."""
    items = listed(rows, "items", tuple(OF_ITEMS))
    parts = [
        pl.concat_str(pl.lit(code), pl.col(name).str.replace_all("~", "~~", literal=True))
        for name, code in OF_ITEMS.items()
    ]
    position = pl.int_range(1, pl.len() + 1).over("row").cast(pl.String)
    return items.select(
        "row",
        name=pl.concat_str(pl.lit("pr"), position),
        text=pl.concat_str(parts, separator="~", ignore_nulls=True),
    ).filter(pl.col("text") != "")


def _joined(pairs: pl.DataFrame) -> pl.DataFrame:
    """``row`` and ``more``, each row once: its pairs as a query goes on."""
    more = pl.concat_str(
        pl.lit("&"), "name", pl.lit("="), percent_encoded(pairs.get_column("text"))
    )
    return (
        pairs.select("row", more=more)
        .group_by("row", maintain_order=True)
        .agg(pl.col("more").str.join(""))
    )
