"""GA4's Measurement Protocol, ``/mp/collect``: events that servers send as JSON.

A body is parsed by itself: the one place where requests are gone through one by one.
"""

from typing import Final

import orjson
import polars as pl

from tallymark.dead_letters import REJECTION_SCHEMA
from tallymark.protocol_limits import MAX_EVENTS
from tallymark.protocols.events import (
    DecodedEvents,
    rejections,
    without_client_and_name,
)
from tallymark.protocols.json_events import Document, JsonEvents
from tallymark.protocols.known_keys import KnownKeys
from tallymark.protocols.query_pairs import columns_of, pairs_of
from tallymark.secret_verdicts import HASHED, VALID

_ID: Final = {"id": ("measurement_id",)}
_KEYS: Final = KnownKeys(["measurement_id"])


class _RejectedError(Exception):
    """A body that is no list of events; arguments are reason and detail."""


def decode(requests: pl.DataFrame, with_params: bool) -> DecodedEvents:
    """The events of requests.

    Args:
        requests: ``REQUEST_SCHEMA`` and ``request_row``.
        with_params: Whether items, parameters and user properties are wanted; else they are empty.
    """
    trusted, rejected = _trusted(requests)
    pairs = pairs_of(trusted.get_column("query"), _KEYS)
    ids = columns_of(pairs, _ID, trusted.height)["id"]
    gathered = JsonEvents(with_params=with_params)
    refused: list[tuple[str, str, str]] = []
    bodies = trusted.select("request_row", "request_id", "body").iter_rows()
    for measurement_id, (row, request_id, body) in zip(ids, bodies, strict=True):
        try:
            details = gathered.take(row, measurement_id, _document(body))
        except _RejectedError as error:
            refused.append((request_id, *error.args))
        else:
            refused += [(request_id, "wrong_shape", detail) for detail in details]
    all_ids = requests.select("request_row", "request_id")
    return _complete(gathered.frame(), all_ids, [*rejected, _refused(refused)])


def _complete(
    events: pl.DataFrame, owners: pl.DataFrame, rejected: list[pl.DataFrame]
) -> DecodedEvents:
    rows = events.select("request_row").join(
        owners.with_row_index("place"), on="request_row", how="left", maintain_order="left"
    )
    placed = events.with_columns(request_row=rows.get_column("place"))
    placed, incomplete = without_client_and_name(placed, owners.get_column("request_id"))
    back = owners.get_column("request_row").gather(placed.get_column("request_row"))
    return DecodedEvents(placed.with_columns(back), pl.concat([*rejected, *incomplete]))


def _refused(refused: list[tuple[str, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(refused, schema=REJECTION_SCHEMA, orient="row")


def _trusted(requests: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    # One that was not known is held against the keys once it is known whose the events are.
    verdict = pl.col("secret_verdict")
    is_trusted = (verdict == VALID) | verdict.str.starts_with(HASHED)
    is_text = pl.col("body_encoding") == "utf-8"
    detail = pl.format(
        "expected the property's api_secret, got {}",
        pl.when(verdict == "").then(pl.lit("none")).otherwise(pl.lit("another")),
    )
    return requests.filter(is_trusted & is_text), [
        rejections(requests.filter(~is_trusted), "invalid_secret", detail),
        rejections(
            requests.filter(is_trusted & ~is_text),
            "not_utf8",
            "expected JSON in UTF-8 in the body, got other bytes",
        ),
    ]


def _document(body: str) -> Document:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _RejectedError("no_json", f"expected JSON: {error}") from error
    if not isinstance(document, dict):
        found = type(document).__name__
        raise _RejectedError("wrong_shape", f"expected an object, got {found}")
    events = document.get("events")
    if not isinstance(events, list) or not events:
        found = "an empty list" if events == [] else type(events).__name__
        raise _RejectedError("wrong_shape", f"events: expected a list of objects, got {found}")
    if len(events) > MAX_EVENTS:
        found = str(len(events))
        raise _RejectedError(
            "too_many_events", f"expected {MAX_EVENTS} events at most, got {found}"
        )
    return document
