"""Validation of GA4's Measurement Protocol, as ``/debug/mp/collect`` answers it.

Fields, codes and limits: Google's guides "Validate events" and "Limitations" of the protocol. The
words of most descriptions are ours.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from tallymark.protocol_limits import (
    LONG_VALUES,
    MAX_AGE_US,
    MAX_EVENTS,
    MAX_ITEMS,
    MAX_NAME,
    MAX_PARAMS,
    MAX_USER_ID,
    MAX_USER_PROPERTIES,
    MAX_USER_PROPERTY_NAME,
    MAX_USER_PROPERTY_VALUE,
    MAX_VALUE,
)

Message = dict[str, str]
"""``fieldPath``, ``description`` and ``validationCode``."""

MAX_BODY_BYTES: Final = 130_000

RESERVED_EVENTS: Final = frozenset({
    "ad_activeview", "ad_click", "ad_exposure", "ad_query", "ad_reward", "adunit_exposure",
    "app_background", "app_clear_data", "app_exception", "app_remove", "app_store_refund",
    "app_store_subscription_cancel", "app_store_subscription_convert",
    "app_store_subscription_renew", "app_update", "app_upgrade", "dynamic_link_app_open",
    "dynamic_link_app_update", "dynamic_link_first_open", "error", "first_open", "first_visit",
    "in_app_purchase", "notification_dismiss", "notification_foreground", "notification_open",
    "notification_receive", "os_update", "session_start", "user_engagement",
})  # fmt: skip
RESERVED_USER_PROPERTIES: Final = frozenset({
    "first_open_time", "first_visit_time", "last_deep_link_referrer", "user_id",
    "first_open_after_install",
})  # fmt: skip
RESERVED_PREFIXES: Final = ("firebase_", "ga_", "google_", "gtag.")
_FIELDS: Final = frozenset({
    "client_id", "app_instance_id", "user_id", "timestamp_micros", "user_properties", "user_data",
    "consent", "non_personalized_ads", "user_location", "ip_override", "device", "events",
    "validation_behavior",
})  # fmt: skip
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_NEEDS_CURRENCY: Final = frozenset({
    "purchase", "refund", "add_to_cart", "remove_from_cart", "begin_checkout", "view_cart",
    "view_item", "add_payment_info", "add_shipping_info", "add_to_wishlist",
})  # fmt: skip


def validation_messages(body: bytes, received_at: int) -> list[Message]:
    """What is wrong with the body of a request; all problems together, none for a good one.

    Args:
        body: As it was sent.
        received_at: UTC µs.
    """
    if len(body) > MAX_BODY_BYTES:
        found = f"The request has {len(body)} bytes, at most {MAX_BODY_BYTES} are allowed."
        return [_message("", found, "EXCEEDED_MAX_ENTITIES")]
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return [_message("", f"Unable to parse the request as JSON: {error}.", "VALUE_INVALID")]
    if not isinstance(document, dict):
        return [_message("", "The request must be a JSON object.", "VALUE_INVALID")]
    return [*_of_document(document, received_at), *_of_events(document, received_at)]


def _message(path: str, description: str, code: str) -> Message:
    return {"fieldPath": path, "description": description, "validationCode": code}


def _of_document(document: dict[str, Any], received_at: int) -> Iterator[Message]:
    for name in document:
        if name not in _FIELDS:
            yield _message(name, f"Unknown field [{name}] in the request.", "VALUE_INVALID")
    if not (document.get("client_id") or document.get("app_instance_id")):
        description = "The request must have a client_id (or app_instance_id) that is not empty."
        yield _message("client_id", description, "VALUE_REQUIRED")
    elif not isinstance(document.get("client_id", ""), str):
        yield _message("client_id", "client_id must be a string.", "VALUE_INVALID")
    user_id = document.get("user_id", "")
    if not isinstance(user_id, str):
        yield _message("user_id", "user_id must be a string.", "VALUE_INVALID")
    elif len(user_id) > MAX_USER_ID:
        description = f"user_id has {len(user_id)} characters, at most {MAX_USER_ID} are allowed."
        yield _message("user_id", description, "VALUE_OUT_OF_BOUNDS")
    yield from _of_time(document, "timestamp_micros", received_at)
    yield from _of_user_properties(document.get("user_properties", {}))


def _of_time(holder: dict[str, Any], path: str, received_at: int) -> Iterator[Message]:
    if "timestamp_micros" not in holder:
        return
    try:
        at = int(holder["timestamp_micros"])
    except (TypeError, ValueError):
        yield _message(path, "timestamp_micros must be a whole number.", "VALUE_INVALID")
        return
    if at < received_at - MAX_AGE_US:
        description = "timestamp_micros is more than 72 hours before the request was received."
        yield _message(path, description, "VALUE_OUT_OF_BOUNDS")


def _of_user_properties(properties: object) -> Iterator[Message]:
    path = "user_properties"
    if not isinstance(properties, dict):
        yield _message(path, "user_properties must be an object.", "VALUE_INVALID")
        return
    if len(properties) > MAX_USER_PROPERTIES:
        description = f"{len(properties)} user properties, at most {MAX_USER_PROPERTIES} allowed."
        yield _message(path, description, "EXCEEDED_MAX_ENTITIES")
    for name, held in properties.items():
        yield from _of_name(
            name, f"{path}.{name}", "User property", MAX_USER_PROPERTY_NAME,
            RESERVED_USER_PROPERTIES,
        )  # fmt: skip
        value = held.get("value") if isinstance(held, dict) else None
        if not isinstance(value, str | int | float):
            description = f"User property [{name}] must be an object with a value."
            yield _message(f"{path}.{name}", description, "VALUE_INVALID")
        elif len(str(value)) > MAX_USER_PROPERTY_VALUE:
            description = (
                f"The value of user property [{name}] has {len(str(value))} characters, at most "
                f"{MAX_USER_PROPERTY_VALUE} are allowed."
            )
            yield _message(f"{path}.{name}", description, "VALUE_OUT_OF_BOUNDS")


def _of_events(document: dict[str, Any], received_at: int) -> Iterator[Message]:
    events = document.get("events")
    if not isinstance(events, list) or not events:
        yield _message("events", "The request must have a list of events.", "VALUE_REQUIRED")
        return
    if len(events) > MAX_EVENTS:
        description = f"The request has {len(events)} events, at most {MAX_EVENTS} are allowed."
        yield _message("events", description, "EXCEEDED_MAX_ENTITIES")
    for index, event in enumerate(events):
        if not isinstance(event, dict):
            description = f"Event at index: [{index}] must be an object."
            yield _message(f"events[{index}]", description, "VALUE_INVALID")
            continue
        yield from _of_event_name(event.get("name"), index)
        yield from _of_time(event, f"events[{index}].timestamp_micros", received_at)
        yield from _of_params(event.get("params", {}), event.get("name"), index)


def _of_event_name(name: object, index: int) -> Iterator[Message]:
    if not isinstance(name, str) or not name:
        description = f"Event at index: [{index}] must have a name."
        yield _message("events", description, "VALUE_REQUIRED")
        return
    prefix = f"Event at index: [{index}] has invalid name [{name}]."
    if not name[0].isalpha():
        # In Google's own words, since clients show them.
        description = f"{prefix} Names must start with an alphabetic character."
        yield _message("events", description, "NAME_INVALID")
    else:
        yield from _of_name(name, "events", f"Event at index: [{index}]", MAX_NAME, RESERVED_EVENTS)


def _of_name(
    name: str, path: str, what: str, longest: int, reserved: frozenset[str]
) -> Iterator[Message]:
    if not _NAME.fullmatch(name) and not name.startswith(RESERVED_PREFIXES):
        description = (
            f"{what} has invalid name [{name}]. Names must start with a letter and have only "
            "letters, digits and underscores."
        )
        yield _message(path, description, "NAME_INVALID")
    elif name in reserved or name.startswith(RESERVED_PREFIXES):
        yield _message(path, f"{what} has name [{name}], which is reserved.", "NAME_RESERVED")
    elif len(name) > longest:
        description = f"{what} has name [{name}], which has more than {longest} characters."
        yield _message(path, description, "NAME_INVALID")


def _of_params(params: object, event_name: object, index: int) -> Iterator[Message]:
    path = f"events[{index}].params"
    if not isinstance(params, dict):
        description = f"The params of event at index: [{index}] must be an object."
        yield _message(path, description, "VALUE_INVALID")
        return
    if len(params) > MAX_PARAMS:
        description = (
            f"Event at index: [{index}] has {len(params)} params, at most {MAX_PARAMS} allowed."
        )
        yield _message(path, description, "EXCEEDED_MAX_ENTITIES")
    for name, value in params.items():
        yield from _of_name(name, f"{path}.{name}", "Param", MAX_NAME, frozenset())
        if name == "items":
            yield from _of_items(value, f"{path}.items")
        else:
            yield from _of_value(name, value, f"{path}.{name}")
    yield from _of_money(params, event_name, path)


def _of_value(name: str, value: object, path: str) -> Iterator[Message]:
    longest = LONG_VALUES.get(name, MAX_VALUE)
    if isinstance(value, dict | list) or value is None:
        description = f"Param [{name}] must be a string or a number."
        yield _message(path, description, "VALUE_INVALID")
    elif isinstance(value, str) and len(value) > longest:
        description = f"Param [{name}] has {len(value)} characters, at most {longest} are allowed."
        yield _message(path, description, "VALUE_OUT_OF_BOUNDS")


def _of_money(params: dict[str, Any], event_name: object, path: str) -> Iterator[Message]:
    currency = params.get("currency")
    if currency is not None and not (isinstance(currency, str) and _CURRENCY.fullmatch(currency)):
        description = f"Param [currency] must be a code of ISO 4217, got [{currency}]."
        yield _message(f"{path}.currency", description, "VALUE_INVALID")
    if event_name in _NEEDS_CURRENCY and "value" in params and currency is None:
        description = f"Event [{event_name}] has a value, so it must have a currency."
        yield _message(f"{path}.currency", description, "VALUE_REQUIRED")
    if event_name in ("purchase", "refund") and not params.get("transaction_id"):
        description = f"Event [{event_name}] must have a transaction_id."
        yield _message(f"{path}.transaction_id", description, "VALUE_REQUIRED")


def _of_items(items: object, path: str) -> Iterator[Message]:
    if not isinstance(items, list):
        yield _message(path, "items must be a list.", "VALUE_INVALID")
        return
    if len(items) > MAX_ITEMS:
        description = f"{len(items)} items, at most {MAX_ITEMS} are allowed."
        yield _message(path, description, "EXCEEDED_MAX_ENTITIES")
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            yield _message(f"{path}[{index}]", "An item must be an object.", "VALUE_INVALID")
        elif not (item.get("item_id") or item.get("item_name")):
            description = "An item must have an item_id or an item_name."
            yield _message(f"{path}[{index}]", description, "VALUE_REQUIRED")
