"""Hits as rows of Google Analytics' BigQuery export: a row is an event.

Names, nesting and types are those of the export (``events_YYYYMMDD``), so that queries written for
it run on these files. What a hit does not know is null: what is worked out of sessions and users
(``traffic_source``, ``user_first_touch_timestamp``, ``is_active_user``), what is in US dollars, and
what is not recorded at all (city, brand and model of a device, advertising ids).
"""

from typing import Final

import polars as pl

from tallymark.countries import country_names
from tallymark.hits import HIT_SCHEMA

_VALUE: Final = pl.Struct(
    {
        "string_value": pl.String, "int_value": pl.Int64, "float_value": pl.Float64,
        "double_value": pl.Float64,
    }
)  # fmt: skip
_PARAMS: Final = pl.List(pl.Struct({"key": pl.String, "value": _VALUE}))
_ITEM_TEXTS: Final = (
    "item_id", "item_name", "item_brand", "item_variant", "item_category", "item_category2",
    "item_category3", "item_category4", "item_category5", "coupon", "affiliation", "item_list_id",
    "item_list_name",
)  # fmt: skip
_ITEM: Final = pl.Struct(
    {
        **dict.fromkeys(_ITEM_TEXTS, pl.String),
        "price": pl.Float64,
        "quantity": pl.Int64,
        "item_revenue": pl.Float64,
        "item_list_index": pl.String,
        "item_params": _PARAMS,
    }
)


def _texts(*names: str) -> pl.Struct:
    return pl.Struct(dict.fromkeys(names, pl.String))


ROW_SCHEMA: Final = pl.Schema(
    {
        "event_date": pl.String(),  # YYYYMMDD in the property's time zone
        "event_timestamp": pl.Int64(),  # UTC µs
        "event_name": pl.String(),
        "event_params": _PARAMS,
        "event_value_in_usd": pl.Float64(),
        "user_id": pl.String(),
        "user_pseudo_id": pl.String(),
        "user_properties": _PARAMS,
        "user_first_touch_timestamp": pl.Int64(),
        "device": pl.Struct(
            {
                "category": pl.String,
                "operating_system": pl.String,
                "language": pl.String,
                "web_info": _texts("browser", "hostname"),
            }
        ),
        "geo": _texts("continent", "country", "region", "city"),
        "traffic_source": _texts("name", "medium", "source"),
        "stream_id": pl.String(),
        "platform": pl.String(),
        "ecommerce": pl.Struct(
            {
                "total_item_quantity": pl.Int64,
                "purchase_revenue": pl.Float64,
                "refund_value": pl.Float64,
                "transaction_id": pl.String,
            }
        ),
        "items": pl.List(_ITEM),
        "collected_traffic_source": _texts(
            "manual_campaign_name", "manual_source", "manual_medium", "manual_term",
            "manual_content", "gclid",
        ),
        "is_active_user": pl.Boolean(),
    }
)  # fmt: skip
"""Of a file; a part of the export's own, in its order."""
COLUMNS: Final = tuple(
    name
    for name in HIT_SCHEMA
    if name in (
        "hit_id", "event_at", "measurement_id", "client_id", "user_id", "event_name",
        "client_session_id", "host", "path", "page_query", "title", "referrer", "source", "medium",
        "campaign", "term", "content", "click_id", "engagement_ms", "device_category", "browser",
        "operating_system", "language", "country", "transaction_id", "sent_value_micros",
        "currency", "items", "params", "user_properties",
    )
)  # fmt: skip
"""Columns of hits that rows are made of."""
_NONE: Final = pl.lit(None)


def rows_of(hits: pl.DataFrame, time_zone: str) -> pl.DataFrame:
    """The rows (``ROW_SCHEMA``) of hits (``COLUMNS``), in their order.

    Args:
        hits: Those that count.
        time_zone: Of the property.
    """
    named = hits.with_columns(country_name=country_names(hits.get_column("country")))
    moment = pl.from_epoch("event_at", time_unit="us").dt.replace_time_zone("UTC")
    own = named.select(
        event_date=moment.dt.convert_time_zone(time_zone).dt.strftime("%Y%m%d"),
        event_timestamp="event_at",
        event_name="event_name",
        event_params=pl.concat_list(_of_event(), _params("params")),
        user_id=_set("user_id"),
        user_pseudo_id="client_id",
        user_properties=_params("user_properties"),
        device=pl.struct(
            category=_set("device_category"),
            operating_system=_set("operating_system"),
            language=_set("language"),
            web_info=pl.struct(browser=_set("browser"), hostname=_set("host")),
        ),
        geo=pl.struct(continent=_NONE, country=_set("country_name"), region=_NONE, city=_NONE),
        stream_id="measurement_id",
        platform=pl.lit("WEB"),
        ecommerce=_ecommerce(),
        items=_items(),
        collected_traffic_source=pl.struct(
            manual_campaign_name=_set("campaign"), manual_source=_set("source"),
            manual_medium=_set("medium"), manual_term=_set("term"), manual_content=_set("content"),
            gclid=_set("click_id"),
        ),
    )  # fmt: skip
    lacking = [pl.lit(None).alias(name) for name in ROW_SCHEMA if name not in own.columns]
    return own.with_columns(lacking).select(list(ROW_SCHEMA)).cast(ROW_SCHEMA)


def _set(name: str) -> pl.Expr:
    """A text, null where there is none."""
    return pl.when(pl.col(name) != "").then(pl.col(name))


def _entry(key: str | pl.Expr, **value: pl.Expr) -> pl.Expr:
    """A parameter of some value."""
    name = pl.lit(key) if isinstance(key, str) else key
    fields = [
        value.get(field, _NONE).cast(dtype).alias(field)
        for field, dtype in _VALUE.to_schema().items()
    ]
    return pl.struct(name.alias("key"), pl.struct(fields).alias("value"))


def _of_event() -> pl.Expr:
    """The parameters that hits keep in columns of their own."""
    query = pl.when(pl.col("page_query") != "").then(pl.concat_str(pl.lit("?"), "page_query"))
    url = pl.concat_str(pl.lit("https://"), "host", "path", query.fill_null(""))
    texts = {
        "page_location": pl.when(pl.col("host") != "").then(url),
        "page_title": _set("title"),
        "page_referrer": _set("referrer"),
        "currency": _set("currency"),
        "transaction_id": _set("transaction_id"),
    }
    wholes = {
        "ga_session_id": _set("client_session_id").str.to_integer(strict=False),
        "engagement_time_msec": pl.when(pl.col("engagement_ms") != 0).then("engagement_ms"),
    }
    value = pl.when(pl.col("sent_value_micros") != 0).then(
        _amount(pl.col("sent_value_micros").abs())
    )
    entries = [
        *((key, text, _entry(key, string_value=text)) for key, text in texts.items()),
        *((key, whole, _entry(key, int_value=whole)) for key, whole in wholes.items()),
        ("value", value, _entry("value", double_value=value)),
    ]
    told = [
        pl.when(known.is_not_null() & ~_is_sent(key)).then(entry) for key, known, entry in entries
    ]
    return pl.concat_list(told).list.drop_nulls()


def _is_sent(key: str) -> pl.Expr:
    """Whether a parameter of the name was sent as such: one of a name is enough for queries."""
    return pl.col("params").list.eval(pl.element().struct.field("key") == key).list.any()


def _params(column: str) -> pl.Expr:
    """The parameters of a list: what was sent as a number is one, whole where it can be."""
    entry = pl.element().struct
    is_number, text = entry.field("micros").is_not_null(), entry.field("text")
    whole = text.cast(pl.Int64, strict=False)
    made = _entry(
        entry.field("key"),
        string_value=pl.when(~is_number).then(text),
        int_value=pl.when(is_number).then(whole),
        double_value=pl.when(is_number & whole.is_null()).then(text.cast(pl.Float64, strict=False)),
    )
    return pl.col(column).list.eval(made).cast(_PARAMS)


def _amount(micros: pl.Expr) -> pl.Expr:
    """The double nearest to an amount that is not negative.

    By its digits, as Polars divides by multiplying with the reciprocal: 137.8 were
    137.79999999999998.
    """
    digits = micros.cast(pl.String).str.zfill(7)
    text = pl.concat_str(digits.str.head(-6), pl.lit("."), digits.str.tail(6))
    return text.cast(pl.Float64, strict=False)


def _ecommerce() -> pl.Expr:
    micros = pl.col("sent_value_micros")
    quantity = pl.col("items").list.eval(pl.element().struct.field("quantity")).list.sum()
    return pl.struct(
        total_item_quantity=pl.when(pl.col("items").list.len() > 0).then(quantity),
        purchase_revenue=pl.when(micros > 0).then(_amount(micros)),
        refund_value=pl.when(micros < 0).then(_amount(-micros)),
        transaction_id=_set("transaction_id"),
    )


def _items() -> pl.Expr:
    entry = pl.element().struct
    texts = [
        pl.when(entry.field(name) != "").then(entry.field(name)).alias(name) for name in _ITEM_TEXTS
    ]
    price, quantity = entry.field("price_micros"), entry.field("quantity")
    numbers = {
        "price": _amount(price),
        "quantity": quantity,
        "item_revenue": _amount(price * quantity),
        "item_list_index": entry.field("index").cast(pl.String),
    }
    params = _NONE.cast(_PARAMS).alias("item_params")
    made = pl.struct(*texts, *(number.alias(name) for name, number in numbers.items()), params)
    return pl.col("items").list.eval(made)
