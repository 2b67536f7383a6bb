"""A request: one HTTP request as the collector recorded it, before anybody has understood it."""

from collections.abc import Collection
from typing import Final

import polars as pl

REQUEST_SCHEMA: Final = pl.Schema(
    {
        "request_id": pl.String,  # UUIDv7, 32 hex digits; ascending within a spool
        "received_at": pl.Int64,  # UTC microseconds; ascending within a spool
        "has_balancer_id": pl.Boolean,  # id and time came from a trusted balancer: may exist twice
        "method": pl.String,
        "path": pl.String,
        "query": pl.String,  # raw and percent-encoded; secrets and addresses already masked
        "body": pl.String,
        "body_encoding": pl.String,  # "utf-8", or "base64" when the bytes were no UTF-8
        "user_agent": pl.String,
        "accept_language": pl.String,
        "referer": pl.String,
        "origin": pl.String,
        "client_hints": pl.String,  # JSON object of the Sec-CH-UA* headers, "" if none came
        "ip_network": pl.String,  # /24 or /48, never the address
        "visitor_hash": pl.String,  # 16 hex digits under the salt of the day
        "secret_verdict": pl.String,  # "valid", "invalid" or "" (no secret was sent)
        "do_not_track": pl.Boolean,
        "global_privacy_control": pl.Boolean,
        "country_hint": pl.String,  # ISO code from a trusted proxy, else ""
    }
)
"""Columns of a request frame. Text is never null: what was not sent is the empty string."""


def empty_requests() -> pl.DataFrame:
    """A request frame without rows."""
    return pl.DataFrame(schema=REQUEST_SCHEMA)


_ONE_ID: Final = r"^(?:.*&)?(?:tid|measurement_id)=G-[A-Z0-9]{10}(?:&.*)?$"
_ID_NAME: Final = r"(?:tid|measurement_id)="
_ENCODED_LETTER: Final = "%(?:6[1-9A-Fa-f]|7[0-9Aa])"
"""Clients encode no letters; who does may hide the name of a parameter."""


def requests_naming(
    requests: pl.DataFrame, measurement_ids: Collection[str] | None
) -> pl.DataFrame:
    """The requests that may hold hits of these measurement ids, before they are decoded.

    Left out is only what plainly names another id and no second one.

    Args:
        requests: ``REQUEST_SCHEMA``, perhaps with other columns.
        measurement_ids: None means all.
    """
    if measurement_ids is None:
        return requests
    query, body = pl.col("query"), pl.col("body")
    names_one = query.str.contains_any(list(measurement_ids)) | body.str.contains_any(
        list(measurement_ids)
    )
    of_another = (
        query.str.contains(_ONE_ID)
        & (query.str.count_matches(_ID_NAME) == 1)
        & ~query.str.contains(_ENCODED_LETTER)
        & ~body.str.contains(f"tid=|{_ENCODED_LETTER}")
    )
    return requests.filter(names_one | ~of_another)
