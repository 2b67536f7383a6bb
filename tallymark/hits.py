"""A hit: one interaction decoded from a request (a batch holds many), and the dead letter."""

from typing import Final

import polars as pl

PARAM = pl.Struct({"key": pl.String, "text": pl.String, "micros": pl.Int64})
ITEM_TEXTS: Final = (
    "item_id", "item_name", "item_brand", "item_variant", "item_category", "item_category2",
    "item_category3", "item_category4", "item_category5", "coupon", "affiliation", "item_list_id",
    "item_list_name",
)  # fmt: skip
ITEM_NUMBERS: Final = ("price_micros", "quantity", "discount_micros", "index")
ITEM: Final = pl.Struct(
    {
        **dict.fromkeys(ITEM_TEXTS, pl.String),
        **dict.fromkeys(ITEM_NUMBERS, pl.Int64),
        "params": pl.List(PARAM),  # of the site's own; micros of each text that is a number
    }
)
"""An item of an event. ``index`` is its place in the list that it was shown in, 0 where none is."""
CUSTOM = pl.Struct({"name": pl.String, "value": pl.String, "micros": pl.Int64})
"""What a custom definition says of a hit: for a dimension its value, "" where none was sent, for a
metric a number."""

DO_NOT_TRACK: Final = "do_not_track"
GLOBAL_PRIVACY_CONTROL: Final = "global_privacy_control"
ANALYTICS_DENIED: Final = "analytics_storage=denied"
"""Marks of a hit's ``consent``, see ``protocols.consent``, that a property may act on."""

HIT_SCHEMA: Final = pl.Schema(
    {
        "hit_id": pl.String(),  # request id, "-", four-digit index within the request
        "has_balancer_id": pl.Boolean(),
        "received_at": pl.Int64(),  # UTC µs
        "event_at": pl.Int64(),  # UTC µs, never after received_at
        "measurement_id": pl.String(),
        "property_id": pl.Int64(),
        "client_id": pl.String(),
        "client_hash": pl.UInt64(),  # xxh3-64 of the client id
        "user_id": pl.String(),
        "consent": pl.String(),  # marks, see ``protocols.consent``; "" if nothing was said
        "event_name": pl.String(),
        "opens_session": pl.Boolean(),
        "client_session_id": pl.String(),  # the client's own session number; a fact, not used
        "host": pl.String(),
        "path": pl.String(),  # of the page, without query; "/" at least where a location was sent
        "page_query": pl.String(),
        "title": pl.String(),
        "referrer": pl.String(),
        "source": pl.String(),  # "" = this hit names no source (direct, or inside the site)
        "medium": pl.String(),
        "campaign": pl.String(),
        "term": pl.String(),
        "content": pl.String(),
        "click_id": pl.String(),
        "channel": pl.String(),  # default channel group of source, medium, campaign; "" if none
        "engagement_ms": pl.Int64(),
        "is_first_visit": pl.Boolean(),
        "is_page_view": pl.Boolean(),
        "is_key_event": pl.Boolean(),
        "is_once_per_session": pl.Boolean(),  # a key event, and of its session the first may count
        "device_category": pl.String(),  # desktop, mobile, tablet, "" = not known
        "browser": pl.String(),
        "operating_system": pl.String(),
        "language": pl.String(),
        "screen_resolution": pl.String(),
        "country": pl.String(),
        "transaction_id": pl.String(),
        "sent_value_micros": pl.Int64(),  # of sales, negative of refunds, in ``currency``
        "currency": pl.String(),
        "value_micros": pl.Int64(),  # the same in the property's currency; 0 if no rate is known
        "items": pl.List(ITEM),
        "params": pl.List(PARAM),
        "user_properties": pl.List(PARAM),
        "customs": pl.List(CUSTOM),  # by name; a metric or a dimension of items may come often
        "excluded_by": pl.String(),  # "" = counts; else the filter that tagged it
        "rules_version": pl.Int32(),
        "slot_minutes": pl.Int32(),  # length of the property's slot: 60, 30 or 15
        "session_gap_ms": pl.Int64(),  # session settings in force at event_at
        "engagement_threshold_ms": pl.Int64(),
        "attribution_lookback_days": pl.Int32(),
        "settings_from": pl.Int64(),  # UTC µs since when they are in force: chains are cut there
    }
)
"""Columns of a hit frame. Text is never null: what was not sent is the empty string; numbers that
were not sent are 0."""

DEAD_LETTER_SCHEMA: Final = pl.Schema(
    {
        "request_id": pl.String,
        "received_at": pl.Int64,
        "step": pl.String,  # decode, rules, …
        "reason": pl.String,  # one of a closed set, snake_case
        "detail": pl.String,  # what was expected and what came
        "request": pl.String,  # the request as JSON, so that it can be replayed
    }
)
"""The one shape of everything that could not be counted and may be replayed."""


def request_id_of(hit_id: pl.Expr) -> pl.Expr:
    """The id of the request that a hit was decoded from."""
    return hit_id.str.head(-5)


def empty_hits() -> pl.DataFrame:
    """A hit frame without rows."""
    return pl.DataFrame(schema=HIT_SCHEMA)
