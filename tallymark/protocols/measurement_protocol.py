"""GA4's Measurement Protocol, ``/mp/collect``: events that servers send as JSON.

A body is parsed by itself and its events are gathered in a loop: the one place where requests are
gone through one by one.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import orjson
import polars as pl

from tallymark.dead_letters import REJECTION_SCHEMA
from tallymark.enrichment.user_agents import named_device_text
from tallymark.hits import ITEM_TEXTS
from tallymark.protocol_limits import (
    MAX_EVENTS,
    MAX_ITEMS,
    MAX_NAME,
    MAX_PARAMS,
    MAX_USER_PROPERTIES,
    MAX_USER_PROPERTY_NAME,
    MAX_USER_PROPERTY_VALUE,
    MAX_VALUE,
)
from tallymark.protocols.events import (
    EVENT_SCHEMA,
    DecodedEvents,
    rejections,
    without_client_and_name,
)
from tallymark.protocols.known_keys import KnownKeys
from tallymark.protocols.numbers import MAX_ENGAGEMENT_MS, exact_micros
from tallymark.protocols.query_pairs import columns_of, pairs_of

_ID: Final = {"id": ("measurement_id",)}
_KEYS: Final = KnownKeys(["measurement_id"])
_COUNTRY: Final = re.compile("[A-Z]{2}")
_MAX_TIME_US: Final = 2**62

_Row = dict[str, Any]
_PAGE: Final = {"location": "page_location", "title": "page_title", "referrer": "page_referrer"}
_COMMERCE: Final = {"currency": "currency", "transaction_id": "transaction_id"}
_TEXTS: Final = _PAGE | _COMMERCE | {"client_session_id": "session_id"}
_CONSUMED: Final = frozenset({"items", *_PAGE.values(), "session_id", "engagement_time_msec"})
"""Parameters that are columns of a hit and nothing else."""


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
    rows: list[_Row] = []
    refused: list[tuple[str, str, str]] = []
    bodies = trusted.select("request_row", "request_id", "body").iter_rows()
    for measurement_id, (row, request_id, body) in zip(ids, bodies, strict=True):
        try:
            document = _document(body)
            for index, event in enumerate(document["events"]):
                if not isinstance(event, dict):
                    found = type(event).__name__
                    detail = f"event {index}: expected an object, got {found}"
                    refused.append((request_id, "wrong_shape", detail))
                    continue
                place = {"request_row": row, "hit_index": index, "measurement_id": measurement_id}
                rows.append(_event(document, event, with_params) | place)
        except _RejectedError as error:
            refused.append((request_id, *error.args))
    events = pl.DataFrame(rows, schema=EVENT_SCHEMA)
    all_ids = requests.select("request_row", "request_id")
    return _complete(events, all_ids, [*rejected, _refused(refused)])


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
    is_trusted = pl.col("secret_verdict") == "valid"
    is_text = pl.col("body_encoding") == "utf-8"
    detail = pl.format(
        "expected the property's api_secret, got {}",
        pl.when(pl.col("secret_verdict") == "").then(pl.lit("none")).otherwise(pl.lit("another")),
    )
    return requests.filter(is_trusted & is_text), [
        rejections(requests.filter(~is_trusted), "invalid_secret", detail),
        rejections(
            requests.filter(is_trusted & ~is_text),
            "not_utf8",
            "expected JSON in UTF-8 in the body, got other bytes",
        ),
    ]


def _document(body: str) -> _Row:
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


def _event(document: _Row, event: _Row, with_params: bool) -> _Row:
    params = event.get("params")
    params = params if isinstance(params, dict) else {}
    engagement = _micros(params.get("engagement_time_msec")) or 0
    times = (_time_us(event.get("timestamp_micros")), _time_us(document.get("timestamp_micros")))
    return (
        _BLANK
        | _client(document)
        | {
            "sent_at": next((time_us for time_us in times if time_us is not None), None),
            "client_id": _text(document.get("client_id")),
            "user_id": _text(document.get("user_id")),
            "event_name": _name(event.get("name")),
            "opens_session": _text(params.get("session_id")) != "",
            **{column: _text(params.get(name)) for column, name in _TEXTS.items()},
            "engagement_ms": min(max(engagement // 1_000_000, 0), MAX_ENGAGEMENT_MS),
            "value_micros": _micros(params.get("value")) or 0,
            "items": list(_items(params.get("items"))) if with_params else [],
            "params": list(_params(params)) if with_params else [],
            "user_properties": list(_user_properties(document)) if with_params else [],
        }
    )


_BLANK: Final[_Row] = {name: "" for name, dtype in EVENT_SCHEMA.items() if dtype == pl.String} | {
    "is_first_visit": False
}


def _client(document: _Row) -> _Row:
    """What a server says of the device and the place of its client, as nobody else knows it."""
    device, place = (
        held if isinstance(held := document.get(name), dict) else {}
        for name in ("device", "user_location")
    )
    country = _text(place.get("country_id")).upper()
    return {
        "country": country if _COUNTRY.fullmatch(country) else "",
        "language": _text(device.get("language")).lower(),
        "screen_resolution": _text(device.get("screen_resolution")),
        "user_agent": named_device_text(
            *(_text(device.get(name)) for name in ("browser", "operating_system", "category"))
        ),
    }


def _name(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text(value: object) -> str:
    """A scalar as text, "" for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    return ""


def _micros(value: object) -> int | None:
    """Micros of a number or of the text of one. A double is what its shortest decimal says, which
    is what was sent: nobody writes more than 15 digits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return exact_micros(repr(value))
    return exact_micros(value) if isinstance(value, str) else None


def _time_us(value: object) -> int | None:
    """UTC µs; ``None`` for what is no time, so that the time of receipt holds."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int | float) and abs(value) < _MAX_TIME_US:
        return int(value)
    return None


def _params(params: _Row) -> Iterator[_Row]:
    """As many as there may be, in their order; without those whose names are too long, and with
    values cut to what is allowed."""
    sent = (
        (name, value)
        for name, value in params.items()
        if name not in _CONSUMED and value is not None and len(name) <= MAX_NAME
    )
    for name, value in islice(sent, MAX_PARAMS):
        text = (_text(value) or _json(value))[:MAX_VALUE]
        yield {"key": name, "text": text, "micros": _number_micros(value)}


def _json(value: object) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else ""


def _number_micros(value: object) -> int | None:
    return None if isinstance(value, str) else _micros(value)


def _user_properties(document: _Row) -> Iterator[_Row]:
    properties = document.get("user_properties")
    if not isinstance(properties, dict):
        return
    sent = (
        (name, value)
        for name, holder in properties.items()
        if isinstance(holder, dict) and (value := holder.get("value")) is not None
        if len(name) <= MAX_USER_PROPERTY_NAME
    )
    for name, value in islice(sent, MAX_USER_PROPERTIES):
        text = _text(value)[:MAX_USER_PROPERTY_VALUE]
        yield {"key": name, "text": text, "micros": _number_micros(value)}


def _items(items: object) -> Iterator[_Row]:
    for item in items[:MAX_ITEMS] if isinstance(items, list) else ():
        if isinstance(item, dict):
            yield {name: _text(item.get(name)) for name in ITEM_TEXTS} | {
                "price_micros": _micros(item.get("price")) or 0,
                "quantity": (_micros(item.get("quantity", 1)) or 0) // 1_000_000,
                "discount_micros": _micros(item.get("discount")) or 0,
                "index": (_micros(item.get("index")) or 0) // 1_000_000,
            }
