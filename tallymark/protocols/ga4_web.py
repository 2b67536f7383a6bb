"""GA4's web format, ``/g/collect``: an event in the query string, or one a line of the body."""

from typing import Final

import numpy as np
import polars as pl

from tallymark.dead_letters import REJECTION_SCHEMA
from tallymark.protocols.events import (
    DecodedEvents,
    rejections,
    without_client_and_name,
)
from tallymark.protocols.ga4_params import TRANSPORT, with_params_of, without_params
from tallymark.protocols.known_keys import KnownKeys
from tallymark.protocols.numbers import engagement_ms_of, micros_of
from tallymark.protocols.query_pairs import columns_of, pairs_of

MAX_LINES: Final = 1_000
"""Events of one request; browsers send some twenty at most."""

COLUMNS: Final = {
    "measurement_id": ("tid",),
    "client_id": ("cid",),
    "user_id": ("uid",),
    "event_name": ("en",),
    "client_session_id": ("sid",),
    "location": ("dl",),
    "title": ("dt",),
    "referrer": ("dr",),
    "source": ("cs",),
    "medium": ("cm",),
    "campaign": ("cn",),
    "term": ("ck", "ct"),
    "content": ("cc",),
    "engagement": ("_et",),
    "first_visit": ("_fv",),
    "value": ("epn.value", "ep.value"),
    "currency": ("cu", "ep.currency"),
    "transaction_id": ("ep.transaction_id",),
    "language": ("ul",),
    "screen_resolution": ("sr",),
    "mobile": ("uamb",),
}
"""The parameters that become columns; of several for one column the first that was sent counts."""

_KEYS: Final = KnownKeys([key for keys in COLUMNS.values() for key in keys])
_KEYS_BESIDE_PARAMS: Final = KnownKeys(list(dict.fromkeys([*_KEYS.names, *TRANSPORT])))


def decode(requests: pl.DataFrame, with_params: bool) -> DecodedEvents:
    """The events of requests.

    Args:
        requests: ``REQUEST_SCHEMA`` and ``request_row``.
        with_params: Whether items, parameters and user properties are wanted; else they are empty.
    """
    readable, rejected = _readable(requests)
    lines = _lines(readable)
    if (lines.get_column("hit_index") >= MAX_LINES).any():
        readable, crowded = _uncrowded(readable, lines)
        rejected.append(crowded)
        lines = _lines(readable)
    events = _events(readable, lines, with_params)
    ids = readable.get_column("request_id")
    events, incomplete = without_client_and_name(events, ids)
    rows = readable.get_column("request_row").gather(events.get_column("request_row"))
    return DecodedEvents(
        events.with_columns(rows), pl.concat([REJECTION_SCHEMA.to_frame(), *rejected, *incomplete])
    )


def _readable(requests: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    is_text = pl.col("body_encoding") == "utf-8"
    unreadable = requests.filter(~is_text)
    if unreadable.is_empty():
        return requests, []
    detail = "expected lines of UTF-8 in the body, got other bytes"
    return requests.filter(is_text), [rejections(unreadable, "not_utf8", detail)]


def _uncrowded(requests: pl.DataFrame, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    counts = lines.group_by("owner", maintain_order=True).len().get_column("len")
    detail = pl.format("expected {} lines at most, got {}", pl.lit(MAX_LINES), "lines")
    counted = requests.with_columns(counts.alias("lines"))
    crowded = counted.filter(pl.col("lines") > MAX_LINES)
    return requests.filter(counts <= MAX_LINES), rejections(crowded, "too_many_lines", detail)


def _lines(requests: pl.DataFrame) -> pl.DataFrame:
    """``owner`` (row of its request), ``hit_index`` and ``line`` of each event; a request without
    lines has one that is empty, since its query alone is an event."""
    owners = pl.int_range(requests.height, dtype=pl.UInt32, eager=True).alias("owner")
    frame = pl.DataFrame({"owner": owners, "line": requests.get_column("body")})
    if (frame.get_column("line") == "").all():
        return frame.select("owner", hit_index=pl.lit(0, pl.UInt32), line="line")
    is_bare = ~pl.col("line").str.contains(r"[^\r\n \t]")
    lines = (
        frame.with_columns(is_bare=is_bare)
        .with_columns(line=pl.when("is_bare").then(pl.lit("")).otherwise("line").str.split("\n"))
        .explode("line")
        .with_columns(pl.col("line").str.strip_chars("\r \t"))
        .filter(pl.col("is_bare") | (pl.col("line") != ""))
    )
    owner = lines.get_column("owner").to_numpy()
    index = np.arange(len(owner)) - np.searchsorted(owner, owner)  # from the owner's first line
    return lines.select("owner", pl.Series("hit_index", index, dtype=pl.UInt32), "line")


def _events(requests: pl.DataFrame, lines: pl.DataFrame, with_params: bool) -> pl.DataFrame:
    """``EVENT_SCHEMA``; ``request_row`` counts ``requests``."""
    keys = _KEYS_BESIDE_PARAMS if with_params else _KEYS
    owners = lines.get_column("owner")
    shared_pairs = pairs_of(requests.get_column("query"), keys, others=with_params)
    shared = columns_of(shared_pairs, COLUMNS, requests.height)
    sent = {name: _of_owners(values, owners) for name, values in shared.items()}
    line_pairs = pairs_of(lines.get_column("line"), keys, others=with_params)
    if len(line_pairs.codes):
        own = columns_of(line_pairs, COLUMNS, lines.height)
        for name, values in own.items():
            if values.null_count() < len(values):
                sent[name] = values.zip_with(values.is_not_null(), sent[name])
    facts = requests.select("visitor_hash", "client_hints", "user_agent", country="country_hint")[
        owners
    ]
    events = pl.DataFrame({name: values.fill_null("") for name, values in sent.items()})
    events = pl.concat([events, facts], how="horizontal").with_columns(
        request_row=owners, hit_index=lines.get_column("hit_index")
    )
    events = _with_meaning(events)
    if with_params:
        return with_params_of(events, shared_pairs, line_pairs, owners)
    return without_params(events)


def _of_owners(values: pl.Series, owners: pl.Series) -> pl.Series:
    # Each request has one event at least: with as many events as requests, each has its own.
    return values if len(values) == len(owners) else values.gather(owners)


def _with_meaning(events: pl.DataFrame) -> pl.DataFrame:
    """What the texts of numbers and marks mean."""
    visitor = pl.when(pl.col("visitor_hash") != "").then(
        pl.concat_str(pl.lit("visitor."), "visitor_hash")
    )
    client_id = pl.when(pl.col("client_id") != "").then("client_id").otherwise(visitor)
    hint = pl.when(pl.col("mobile").is_in(["0", "1"])).then("mobile")
    return events.with_columns(
        engagement_ms_of(events.get_column("engagement")).alias("engagement_ms"),
        micros_of(events.get_column("value")).fill_null(0).alias("value_micros"),
        client_id=client_id.fill_null(""),
        sent_at=pl.lit(None, pl.Int64),
        opens_session=pl.lit(value=True),
        is_first_visit=pl.col("first_visit").str.contains("^[1-9]"),
        mobile_hint=hint.otherwise(_mobile_of_headers()),
    )


def _mobile_of_headers() -> pl.Expr:
    hint = pl.col("client_hints").str.extract(r'"Sec-CH-UA-Mobile":"\?([01])"')
    return pl.when(pl.col("client_hints") == "").then(pl.lit("")).otherwise(hint.fill_null(""))
