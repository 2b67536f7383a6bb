"""A request: one HTTP request as the collector recorded it, before anybody has understood it."""

import base64
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote_plus

import polars as pl

REQUEST_SCHEMA: Final = pl.Schema(
    {
        "request_id": pl.String,  # UUIDv7, 32 hex digits; ascending within a spool
        "received_at": pl.Int64,  # UTC microseconds; ascending within a spool
        "has_balancer_id": pl.Boolean,  # named by a balancer or our tracker: may exist twice
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
        "secret_verdict": pl.String,  # see ``secret_verdicts``; "" where no secret was sent
        "do_not_track": pl.Boolean,
        "global_privacy_control": pl.Boolean,
        "country_hint": pl.String,  # ISO code from a trusted proxy, else ""
    }
)
"""Columns of a request frame. Text is never null: what was not sent is the empty string."""


def empty_requests() -> pl.DataFrame:
    """A request frame without rows."""
    return pl.DataFrame(schema=REQUEST_SCHEMA)


NAMED_BY: Final = ("request_id", "received_at")
"""Columns without which rows are no requests."""


class NoRequestsError(ValueError):
    """A frame that does not hold requests; says what was expected and what came."""


def as_requests(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame that somebody recorded, with the columns of ``REQUEST_SCHEMA`` first.

    Those that it lacks are empty, as an older collector did not know them; others stay behind.

    Raises:
        NoRequestsError: when a column that names a request is missing, or one has another type.
    """
    lacking = [name for name in NAMED_BY if name not in frame.columns]
    if lacking:
        raise NoRequestsError(
            f"expected requests with the columns {', '.join(REQUEST_SCHEMA)}; it lacks "
            f"{', '.join(lacking)} and has {', '.join(frame.columns) or 'none'}"
        )
    others = [
        f"{name} as {REQUEST_SCHEMA[name]}, got {kind}"
        for name, kind in frame.schema.items()
        if name in REQUEST_SCHEMA and not _holds(kind, REQUEST_SCHEMA[name])
    ]
    if others:
        raise NoRequestsError(f"expected {'; '.join(others)}")
    empty = [
        pl.lit("" if kind == pl.String else 0).cast(kind).alias(name)
        for name, kind in REQUEST_SCHEMA.items()
        if name not in frame.columns
    ]
    behind = [name for name in frame.columns if name not in REQUEST_SCHEMA]
    requests = [pl.col(name).cast(kind) for name, kind in REQUEST_SCHEMA.items()]
    return frame.with_columns(empty).select(*requests, *behind)


def _holds(kind: pl.DataType, expected: pl.DataType | type[pl.DataType]) -> bool:
    """Whether a column of a kind can be one of the expected kind, value by value."""
    if expected == pl.Int64:
        return kind.is_integer()
    return kind in (expected, pl.Categorical) if expected == pl.String else kind == expected


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


_NAMED_ID: Final = re.compile(r"(?:tid|measurement_id)=([^&\s\"]*)")


def named_measurement_ids(request: pl.DataFrame) -> set[str]:
    """Every measurement id that one recorded request names at any place where one may stand.

    More than what decoding would find: a name within an address of a page is one too. So a request
    that names one property alone can hold nothing of another.

    Args:
        request: ``REQUEST_SCHEMA``, one row.
    """
    query, body, encoding = request.select("query", "body", "body_encoding").row(0)
    if encoding == "base64":
        body = base64.b64decode(body).decode("latin-1")
    return {
        found for text in (query, body) for found in _NAMED_ID.findall(unquote_plus(text)) if found
    }
