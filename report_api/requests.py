"""Requests and answers of the report API: whose key came, JSON in, JSON and a receipt out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import orjson
from flask import Response, request

from report_api import errors
from report_api.parts import parts
from report_api.quotas import Admission
from tallymark.properties import Property, secret_hash
from tallymark.quotas import Category
from tallymark.reports.serving import Freshness

FRESHNESS_HEADER: Final = "X-Tallymark-Freshness"
"""JSON: what an answer was computed from. A header, as strict clients refuse unknown fields."""


def key_that_came() -> str:
    """The key of the request.

    Raises:
        ApiError: 401 without one.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else ""
    key = key or request.headers.get("X-Goog-Api-Key", "")
    if not key:
        raise errors.unauthenticated()
    return key


def authorised(property_id: str) -> Property:
    """The property, if the key that came opens it.

    Raises:
        ApiError: 401 without a key, 403 with one that does not.
    """
    key = key_that_came()
    is_number = property_id.isascii() and property_id.isdecimal() and len(property_id) < 19
    owner = parts().rules_cache.by_property_id(int(property_id)) if is_number else None
    if owner is None:
        secret_hash(key)  # takes as long as if there were one
        raise errors.permission_denied()
    if not owner.accepts_read_key(key, parts().now_us()):
        raise errors.permission_denied()
    return owner


@contextmanager
def admitted(property_id: str, category: Category = "core") -> Iterator[tuple[Property, Admission]]:
    """The property, if the key that came opens it, and what its request is charged to.

    Raises:
        ApiError: 401 without a key, 403 with one that does not open it.
        QuotaExhaustedError: when a quota of the property is used up.
    """
    owner = authorised(property_id)
    with parts().quotas.admitted(owner, category, key_that_came()) as admission:
        yield owner, admission


def json_body() -> Any:
    """What the request asks for; nothing is an empty object.

    Raises:
        ApiError: 400 when it is no JSON.
    """
    body = request.get_data()
    if not body:
        return {}
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.invalid_argument(f"Invalid JSON payload received. {error}") from error


def json_response(content: dict[str, Any], freshness: Freshness | None = None) -> Response:
    """JSON, with its receipt where there is one."""
    response = Response(orjson.dumps(content), mimetype="application/json")
    if freshness is not None:
        response.headers[FRESHNESS_HEADER] = orjson.dumps(freshness).decode()
    return response
