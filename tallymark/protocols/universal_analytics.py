"""Universal Analytics (Measurement Protocol version 1), as hits of today's kind.

Events are named as Google's own tags name them when they pass old hits on: an event by its action,
a page view ``page_view``, a timing ``timing_complete``. What a hit says of enhanced e-commerce
(``pa``) is an event of its own, as it is today.
"""

from typing import Final

import polars as pl

from tallymark.protocol_limits import MAX_PAYLOADS
from tallymark.protocols import consent
from tallymark.protocols.events import DecodedEvents
from tallymark.protocols.ga4_params import without_params
from tallymark.protocols.known_keys import KnownKeys
from tallymark.protocols.numbers import micros_of
from tallymark.protocols.payloads import (
    client_or_visitor,
    payloads_of,
)
from tallymark.protocols.universal_params import TRANSPORT, with_params_of

MAX_QUEUE_MS: Final = 14 * 24 * 3_600_000
"""A longer time in a queue (``qt``) is taken for a mistake, and the hit happens when received."""

COLUMNS: Final = {
    "measurement_id": ("tid",),
    "client_id": ("cid",),
    "user_id": ("uid",),
    "hit_type": ("t",),
    "action": ("ea",),
    "product_action": ("pa",),
    "social_action": ("sa",),
    "address": ("dl",),
    "document_host": ("dh",),
    "document_path": ("dp",),
    "title": ("dt",),
    "screen": ("cd",),
    "referrer": ("dr",),
    "source": ("cs",),
    "medium": ("cm",),
    "campaign": ("cn",),
    "term": ("ck",),
    "content": ("cc",),
    "transaction_id": ("ti",),
    "revenue": ("tr",),
    "currency": ("cu",),
    "language": ("ul",),
    "screen_resolution": ("sr",),
    "queue_ms": ("qt",),
    "sent_user_agent": ("ua",),
    "geo_id": ("geoid",),
    **{name: (name,) for name in consent.PARAMETERS},
}
"""The parameters that become columns."""

EVENT_NAMES: Final = {
    "pageview": "page_view",
    "screenview": "screen_view",
    "appview": "screen_view",
    "transaction": "purchase",
    "item": "transaction_item",
    "timing": "timing_complete",
    "exception": "exception",
}
"""The event that a type of hit is. An event and a social interaction are named by their action."""
PRODUCT_ACTIONS: Final = {
    "detail": "view_item",
    "click": "select_item",
    "add": "add_to_cart",
    "remove": "remove_from_cart",
    "checkout": "begin_checkout",
    "checkout_option": "checkout_progress",
    "purchase": "purchase",
    "refund": "refund",
}
"""The event that an action on products is, beside the hit that carries it."""

_KEYS: Final = KnownKeys([key for keys in COLUMNS.values() for key in keys])
_KEYS_BESIDE_PARAMS: Final = KnownKeys(list(dict.fromkeys([*_KEYS.names, *TRANSPORT])))
_ORIGIN: Final = "^([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)"


def decode(requests: pl.DataFrame, with_params: bool) -> DecodedEvents:
    """The events of requests.

    Args:
        requests: ``REQUEST_SCHEMA`` and ``request_row``.
        with_params: Whether items, parameters and user properties are wanted; else they are empty.
    """
    keys = _KEYS_BESIDE_PARAMS if with_params else _KEYS
    payloads = payloads_of(requests, keys, others=with_params, most_lines=MAX_PAYLOADS)
    sent = _with_meaning(payloads.columns(COLUMNS))
    if with_params:
        events = with_params_of(sent, payloads.pairs(without=TRANSPORT))
    else:
        events = without_params(sent)
    actions = sent.get_column("product_action").replace_strict(
        PRODUCT_ACTIONS, default="", return_dtype=pl.String
    )
    return payloads.decoded(_with_actions(events, sent, actions))


def _with_meaning(sent: pl.DataFrame) -> pl.DataFrame:
    """Columns of an event; each payload takes two numbers, the second for what it says of
    products."""
    queue_ms = pl.col("queue_ms").str.to_integer(strict=False)
    waited = queue_ms.is_between(1, MAX_QUEUE_MS)
    country = pl.col("geo_id").str.to_uppercase()
    names_country = country.str.contains("^[A-Z]{2}$")
    revenue = micros_of(sent.get_column("revenue")).fill_null(0)
    return consent.with_consent(sent).with_columns(
        revenue.alias("revenue_micros"),
        hit_index=pl.col("hit_index") * 2,
        sent_at=pl.when(waited).then(pl.col("received_at") - queue_ms * 1_000),
        client_id=client_or_visitor(),
        event_name=_event_name(),
        opens_session=pl.lit(value=True),
        client_session_id=pl.lit(""),
        location=_location(),
        title=pl.when(pl.col("title") != "").then("title").otherwise("screen"),
        engagement_ms=pl.lit(0, pl.Int64),
        is_first_visit=pl.lit(value=False),
        value_micros=pl.when(pl.col("hit_type") == "transaction").then(revenue).otherwise(0),
        country=pl.when(names_country).then(country).otherwise("country"),
        country_from=pl.when(names_country).then(pl.lit("sender")).otherwise("country_from"),
        user_agent=pl.when(pl.col("sent_user_agent") != "")
        .then("sent_user_agent")
        .otherwise("user_agent"),
        client_hints=pl.when(pl.col("sent_user_agent") == "")
        .then("client_hints")
        .otherwise(pl.lit("")),
    )


def _event_name() -> pl.Expr:
    hit_type = pl.col("hit_type")
    named = (
        pl.when(hit_type == "event")
        .then("action")
        .when(hit_type == "social")
        .then("social_action")
        .otherwise(hit_type.replace_strict(EVENT_NAMES, default="", return_dtype=pl.String))
    )
    # What has no action, or a type that nobody knows, goes by its type.
    return pl.when(named != "").then(named).otherwise(hit_type)


def _location() -> pl.Expr:
    """The page's address; a path that is sent by itself takes the place of the address's."""
    address, host, path = (pl.col(name) for name in ("address", "document_host", "document_path"))
    # Some send a whole origin for the host.
    named_origin = pl.concat_str(pl.lit("https://"), host.str.replace("^[A-Za-z]+://", ""))
    origin = (
        pl.when(host != "").then(named_origin).otherwise(address.str.extract(_ORIGIN).fill_null(""))
    )
    query = address.str.extract(r"(\?[^#]*)").fill_null("")
    rooted = pl.when(path.str.starts_with("/")).then(path).otherwise(pl.lit("/") + path)
    own_query = pl.when(path.str.contains("?", literal=True)).then(pl.lit("")).otherwise(query)
    return (
        pl.when(path != "")
        .then(pl.concat_str(origin, rooted, own_query))
        .when(address != "")
        .then(address)
        .otherwise(origin)
    )


def _with_actions(events: pl.DataFrame, sent: pl.DataFrame, actions: pl.Series) -> pl.DataFrame:
    """``events``, and behind each whose payload acts on products that action, with the items."""
    acts = actions != ""
    if not acts.any():
        return events
    revenue = sent.get_column("revenue_micros").filter(acts)
    extra = events.filter(acts).with_columns(
        actions.filter(acts).alias("event_name"),
        revenue.alias("value_micros"),
        hit_index=pl.col("hit_index") + 1,
    )
    no_items = pl.lit([], dtype=events.schema["items"])
    plain = events.with_columns(items=pl.when(acts).then(no_items).otherwise("items"))
    return pl.concat([plain, extra]).sort("request_row", "hit_index")
