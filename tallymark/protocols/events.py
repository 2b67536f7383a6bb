"""Events: what every protocol module makes of requests, and the hits that they become."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import polars as pl
import xxhash

from tallymark.dead_letters import REJECTION_SCHEMA
from tallymark.distinct import mapped, with_looked_up
from tallymark.hits import HIT_SCHEMA, ITEM, PARAM
from tallymark.protocol_limits import MAX_AGE_US
from tallymark.protocols.consent import with_signals
from tallymark.protocols.pages import pages

EVENT_SCHEMA: Final = pl.Schema(
    {
        "request_row": pl.UInt32(),  # of the frame that was decoded
        "hit_index": pl.UInt32(),  # among the events of the request
        "sent_at": pl.Int64(),  # UTC µs of the event as the client says, null if it does not
        "measurement_id": pl.String(),
        "client_id": pl.String(),
        "user_id": pl.String(),
        "consent": pl.String(),  # as the event says, without the browser's signals
        "event_name": pl.String(),
        "opens_session": pl.Boolean(),
        "client_session_id": pl.String(),
        "location": pl.String(),  # address of the page
        "title": pl.String(),
        "referrer": pl.String(),
        "source": pl.String(),  # these five: named outright, not read off the page's address
        "medium": pl.String(),
        "campaign": pl.String(),
        "term": pl.String(),
        "content": pl.String(),
        "engagement_ms": pl.Int64(),
        "is_first_visit": pl.Boolean(),
        "value_micros": pl.Int64(),  # of the event, whatever its name
        "currency": pl.String(),
        "transaction_id": pl.String(),
        "language": pl.String(),
        "screen_resolution": pl.String(),
        "country": pl.String(),
        "country_from": pl.String(),  # sender, proxy, network; "" if there is no country
        "user_agent": pl.String(),  # of the client; "" if a server sent the event
        "client_hints": pl.String(),  # parameters or headers, see ``enrichment.client_hints``
        "items": pl.List(ITEM),
        "params": pl.List(PARAM),
        "user_properties": pl.List(PARAM),
    }
)

DECODED_SCHEMA: Final = pl.Schema(
    {
        **{
            name: dtype
            for name, dtype in HIT_SCHEMA.items()
            if name
            not in {
                "property_id", "rules_version", "slot_minutes", "session_gap_ms",
                "engagement_threshold_ms", "attribution_lookback_days", "settings_from",
                "is_key_event", "is_once_per_session", "is_page_view", "value_micros",
                "sent_value_micros", "channel", "click_id", "device_category", "browser",
                "operating_system", "customs",
            }
        },
        "event_value_micros": pl.Int64(),  # as sent, of an event of any name
        "user_agent": pl.String(),
        "client_hints": pl.String(),
        "ip_network": pl.String(),
        "visitor_hash": pl.String(),
        "country_from": pl.String(),
    }
)  # fmt: skip
"""Columns of decoded hits: those of ``HIT_SCHEMA`` that enrichment and rules do not make, and what
they read."""

_OF_REQUEST: Final = (
    "request_id", "has_balancer_id", "received_at", "ip_network", "visitor_hash", "do_not_track",
    "global_privacy_control",
)  # fmt: skip
"""What a hit takes from the request around it."""

TEXT_LIMITS: Final = {
    "client_id": 256, "user_id": 256, "event_name": 100, "client_session_id": 64, "host": 255,
    "path": 1000, "page_query": 2000, "title": 300, "referrer": 1000, "source": 200,
    "medium": 200, "campaign": 200, "term": 200, "content": 200, "currency": 16,
    "transaction_id": 200, "language": 40, "screen_resolution": 20,
}  # fmt: skip
"""Characters kept of each text, as much as GA4 keeps or more: nobody's report may be made of
megabytes that somebody sent."""


@dataclass(frozen=True)
class DecodedEvents:
    """Events (``EVENT_SCHEMA``), and what of the requests is rejected (``REJECTION_SCHEMA``)."""

    events: pl.DataFrame
    rejected: pl.DataFrame


Decoder = Callable[[pl.DataFrame, bool], DecodedEvents]
"""A protocol: requests of its path that have a ``request_row``, with or without parameters."""


def rejections(requests: pl.DataFrame, reason: str, detail: str | pl.Expr) -> pl.DataFrame:
    """All of ``requests``, rejected for one reason."""
    text = pl.lit(detail) if isinstance(detail, str) else detail
    return requests.select("request_id", reason=pl.lit(reason), detail=text).cast(REJECTION_SCHEMA)


def without_client_and_name(
    events: pl.DataFrame, request_ids: pl.Series
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Events that say whose they are, who caused them and what happened, and the rejected others.

    Args:
        events: ``EVENT_SCHEMA``.
        request_ids: Of the rows that ``request_row`` counts.
    """
    rejected = []
    for column, expected in (
        ("measurement_id", "expected the id of a data stream (tid or measurement_id), got none"),
        ("client_id", "expected the id of a client (cid or client_id), got none"),
        ("event_name", "expected the name of an event (en or name), got none"),
    ):
        is_missing = events.get_column(column) == ""
        if is_missing.any():
            missing = events.filter(is_missing)
            ids = request_ids.gather(missing.get_column("request_row"))
            detail = pl.format("event {}: {}", "hit_index", pl.lit(expected))
            owners = missing.with_columns(request_id=ids)
            rejected.append(rejections(owners, f"missing_{column}", detail))
            events = events.filter(~is_missing)
    return events, rejected


def hits_of(events: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """The hits (``DECODED_SCHEMA``) that events become.

    Args:
        events: ``EVENT_SCHEMA``, each with a measurement id, a client id and a name.
        requests: All requests, in the order that ``request_row`` counts.
    """
    owners = requests.select(_OF_REQUEST)
    hits = pl.concat([events, owners[events.get_column("request_row")]], how="horizontal")
    hits = with_looked_up(hits, "location", pages).with_columns(
        _hit_id(), client_hashes(events.get_column("client_id")), event_at=_event_at()
    )
    hits = hits.rename({"value_micros": "event_value_micros"}).with_columns(
        consent=with_signals(
            pl.col("consent"),
            objects=pl.col("do_not_track"),
            opts_out=pl.col("global_privacy_control"),
        ),
        excluded_by=pl.when(pl.col("received_at") - pl.col("event_at") > MAX_AGE_US)
        .then(pl.lit("too_old"))
        .otherwise(pl.lit("")),
    )
    return _shortened(hits).select(list(DECODED_SCHEMA))


def _hit_id() -> pl.Expr:
    index = pl.col("hit_index").cast(pl.String).str.zfill(4)
    return pl.concat_str("request_id", pl.lit("-"), index).alias("hit_id")


def client_hashes(client_ids: pl.Series) -> pl.Series:
    """``client_hash`` of each client."""
    return mapped(client_ids, _hashes).alias("client_hash")


def _hashes(values: pl.Series) -> pl.Series:
    octets = values.cast(pl.Binary).to_list()
    return pl.Series(list(map(xxhash.xxh3_64_intdigest, octets)), dtype=pl.UInt64)


def _event_at() -> pl.Expr:
    """As the client says; else as the balancer's id says (milliseconds in its first 48 bits), so
    that a request that reached two collectors happened once; else when it was received."""
    digits = pl.when("has_balancer_id").then(pl.col("request_id").str.head(12))
    balanced_at = digits.str.to_integer(base=16, strict=False) * 1000
    event_at = pl.coalesce("sent_at", balanced_at, "received_at")
    return pl.min_horizontal(event_at, "received_at").clip(lower_bound=0)


def _shortened(hits: pl.DataFrame) -> pl.DataFrame:
    columns = [pl.col(name).str.len_bytes().max() for name in TEXT_LIMITS]
    longest = hits.select(columns).row(0) if hits.height else ()
    long = [
        pl.col(name).str.head(limit)
        for (name, limit), length in zip(TEXT_LIMITS.items(), longest, strict=False)
        if length > limit
    ]
    return hits.with_columns(long) if long else hits
