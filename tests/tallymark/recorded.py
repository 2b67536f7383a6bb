"""Recorded requests and properties, as tests of decoding, enrichment and rules need them."""

from dataclasses import replace
from typing import Any

import polars as pl

from tallymark.event_kinds import with_event_kinds
from tallymark.hits import HIT_SCHEMA, ITEM_NUMBERS, ITEM_TEXTS
from tallymark.processing import Processed, process_requests
from tallymark.properties import SINCE_EVER, DataStream, Property, RulesVersion, properties_frame
from tallymark.protocols import Decoded, decode
from tallymark.requests import REQUEST_SCHEMA
from tallymark.rule_documents import parse_rules

RECEIVED_AT = 1_700_000_000_000_000
SHOP = "G-SHOP"
_BLANK: dict[str, Any] = {
    name: "" if dtype == pl.String else False for name, dtype in REQUEST_SCHEMA.items()
}


def web(query: str, body: str = "", **changes: Any) -> dict[str, Any]:
    """A request in GA4's web format."""
    return _request({"path": "/g/collect", "query": query, "body": body} | changes)


def server(body: str, **changes: Any) -> dict[str, Any]:
    """A Measurement Protocol request whose secret was valid."""
    valid = {
        "path": "/mp/collect",
        "query": f"measurement_id={SHOP}&api_secret=*",
        "secret_verdict": "valid",
        "user_agent": "shop-backend/3.2",
    }
    return _request(valid | {"body": body} | changes)


def _request(changes: dict[str, Any]) -> dict[str, Any]:
    common = {
        "received_at": RECEIVED_AT,
        "method": "POST",
        "body_encoding": "utf-8",
        "visitor_hash": "0123456789abcdef",
        "country_hint": "CH",
    }
    return _BLANK | common | changes


def frame(*requests: dict[str, Any]) -> pl.DataFrame:
    """Requests as recorded; those without an id are numbered."""
    numbered = [
        request | {"request_id": request["request_id"] or f"{number:032x}"}
        for number, request in enumerate(requests)
    ]
    return pl.DataFrame(numbered, schema=REQUEST_SCHEMA)


def item(**fields: Any) -> dict[str, Any]:
    """An item of which nothing is known but ``fields``."""
    nothing = dict.fromkeys(ITEM_TEXTS, "") | dict.fromkeys(ITEM_NUMBERS, 0) | {"params": []}
    return nothing | fields


def version(number: int = 1, effective_at: int = SINCE_EVER, **rules: Any) -> RulesVersion:
    """A version whose rules document says ``rules``."""
    return RulesVersion(version=number, effective_at=effective_at, rules=parse_rules(rules))


def shop(*versions: RulesVersion) -> pl.DataFrame:
    """The property that all these requests are of."""
    owner = Property(
        property_id=7,
        name="Shop",
        data_streams=(DataStream(measurement_id=SHOP),),
        versions=versions or (RulesVersion(version=1),),
    )
    return properties_frame([owner])


def understood(requests: pl.DataFrame, *, with_params: bool = True) -> Decoded:
    """Requests decoded, and what kind of event each is where no rule changes its name."""
    found = decode(requests, with_params=with_params)
    return replace(found, hits=with_event_kinds(found.hits))


def processed(*requests: dict[str, Any], with_params: bool = True) -> Processed:
    """What requests to the shop come to."""
    return process_requests(frame(*requests), lambda _: shop(), with_params=with_params)


def hit(**changes: Any) -> pl.DataFrame:
    """A decoded hit that says nothing but ``changes``."""
    row: dict[str, Any] = {name: _nothing(dtype) for name, dtype in HIT_SCHEMA.items()}
    return pl.DataFrame([row | changes], schema_overrides=HIT_SCHEMA)


def _nothing(dtype: pl.DataType) -> Any:
    if dtype == pl.String:
        return ""
    if dtype == pl.Boolean:
        return False
    return [] if isinstance(dtype, pl.List) else 0
