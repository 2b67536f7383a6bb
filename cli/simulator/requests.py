"""Requests: visits as the HTTP requests that GA4's browser tag and server libraries send."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from cli.simulator.tables import Article
from cli.simulator.visits import Hit, Visit

WEB_PATH: Final = "/g/collect"
SERVER_PATH: Final = "/mp/collect"
_TAG_BUILD: Final = "45je5b50v9119823421za200"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRequest:
    """One request, ready to be sent.

    Attributes:
        number: Of the request in the whole script, from 1.
        after_ms: Pause since the request before it in the visit.
        target: Path and query.
    """

    number: int
    visit: int
    client_id: str
    after_ms: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def requests_of(visit: Visit, first_number: int, started_at: int) -> Iterator[PlannedRequest]:
    """The requests of a visit, in order, numbered from ``first_number``.

    Args:
        visit: What is meant.
        first_number: Of its first request.
        started_at: UTC µs of the start of the play; visits in the past are dated from it.
    """
    happened_ms = 0
    page_number = 0
    for index, grouped in groupby(visit.hits, key=lambda hit: hit.request):
        hits = list(grouped)
        after_ms = hits[0].after_ms
        happened_ms += after_ms
        page_number += hits[0].event_name == "page_view"
        if hits[0].protocol == "web":
            parts = _web_request(visit, hits, index, page_number)
        else:
            at = started_at + (happened_ms - visit.back_ms) * 1000 if visit.back_ms else 0
            parts = _server_request(visit, hits, first_number + index, at)
        yield PlannedRequest(
            number=first_number + index,
            visit=visit.number,
            client_id=visit.client.client_id,
            after_ms=after_ms,
            method="POST",
            target=parts[0],
            headers=parts[1],
            body=parts[2],
        )


_Parts = tuple[str, tuple[tuple[str, str], ...], bytes]


def _web_request(visit: Visit, hits: list[Hit], index: int, page_number: int) -> _Parts:
    """Alone in the query string, or in a body of one event a line over a shared query string."""
    client = visit.client
    shared = {
        "v": "2",
        "tid": visit.site.measurement_id,
        "gtm": _TAG_BUILD,
        "_p": str(1_000_000 * visit.number + page_number),
        "gcd": "13l3l3l3l1l1",
        "npa": "0",
        "cid": client.client_id,
        "ul": client.language,
        "sr": client.screen,
        **_client_hints(visit),
        "_s": str(index + 1),
        "sid": str(visit.session_id),
        "sct": str(visit.session_number),
        "seg": "0" if index == 0 else "1",
        **_page(visit, hits[0]),
    }
    events = [_web_event(visit, hit) for hit in hits]
    headers = _browser_headers(visit)
    if len(events) == 1:
        return f"{WEB_PATH}?{urlencode(shared | events[0], quote_via=quote)}", headers, b""
    body = "\r\n".join(urlencode(event, quote_via=quote) for event in events)
    content = ("Content-Type", "text/plain;charset=UTF-8")
    target = f"{WEB_PATH}?{urlencode(shared, quote_via=quote)}"
    return target, (*headers, content), body.encode()


def _client_hints(visit: Visit) -> dict[str, str]:
    device = visit.client.device
    if not device.has_client_hints:
        return {}
    return {
        "uaa": "arm" if device.category == "mobile" else "x86",
        "uab": "64",
        "uafvl": device.brands,
        "uamb": "1" if device.category == "mobile" else "0",
        "uam": device.model,
        "uap": device.platform,
        "uapv": device.platform_version,
        "uaw": "0",
    }


def _page(visit: Visit, hit: Hit) -> dict[str, str]:
    if not hit.path:
        return {}
    page = {"dl": _location(visit, hit), "dt": _title(hit.path)}
    referrer = _referrer(visit, hit)
    return page | {"dr": referrer} if referrer else page


def _location(visit: Visit, hit: Hit) -> str:
    location = f"https://{visit.site.host}{hit.path}"
    if hit.path == visit.hits[0].path and _on_landing_page(visit, hit) and visit.landing_query:
        return f"{location}?{visit.landing_query}"
    return location


def _on_landing_page(visit: Visit, hit: Hit) -> bool:
    """Whether no second page has been opened before ``hit``."""
    views = [other for other in visit.hits if other.event_name == "page_view"]
    return len(views) < 2 or visit.hits.index(hit) < visit.hits.index(views[1])


def _referrer(visit: Visit, hit: Hit) -> str:
    if _on_landing_page(visit, hit):
        return visit.origin.referrer
    return f"https://{visit.site.host}/"


def _web_event(visit: Visit, hit: Hit) -> dict[str, str]:
    event = {"en": hit.event_name}
    if hit is visit.hits[0]:
        event |= {"_ss": "1", "_nsi": "1"}
        if hit.first_visit:
            event["_fv"] = "1"
    if hit.event_name in ("page_view", "scroll"):
        event["_ee"] = "1"
    if hit.event_name == "scroll":
        event["epn.percent_scrolled"] = "90"
    if hit.articles:
        event |= {"cu": visit.site.currency, "epn.value": _money(hit.value_cents)}
        for position, (article, count) in enumerate(hit.articles, start=1):
            event[f"pr{position}"] = _web_item(article, count)
    if hit.transaction_id:
        event |= {"ep.transaction_id": hit.transaction_id, "_c": "1"}
    if hit.engagement_ms:
        event["_et"] = str(hit.engagement_ms)
    return event


def _web_item(article: Article, count: int) -> str:
    return (
        f"id{article.item_id}~nm{article.name}~br{article.brand}~ca{article.category}"
        f"~pr{_money(article.price_cents)}~qt{count}"
    )


def _browser_headers(visit: Visit) -> tuple[tuple[str, str], ...]:
    client = visit.client
    language, _, country = client.language.partition("-")
    return (
        ("User-Agent", client.device.user_agent),
        ("Accept-Language", f"{language}-{country.upper()},{language};q=0.9"),
        ("Origin", f"https://{visit.site.host}"),
        ("Referer", f"https://{visit.site.host}/"),
        *_proxy_headers(visit),
    )


def _proxy_headers(visit: Visit) -> tuple[tuple[str, str], ...]:
    """What a balancer in front adds; the collector believes it where it trusts the sender."""
    return (
        ("X-Forwarded-For", f"{visit.client.network}{visit.number % 254 + 1}"),
        ("X-Country-Code", visit.client.country),
    )


def _server_request(visit: Visit, hits: list[Hit], number: int, at: int) -> _Parts:
    """At ``at`` (UTC µs), 0 for when it is received.

    Web hits tell by ``_p`` and ``_s`` which request of the script they are, these by a parameter.
    """
    document: dict[str, Any] = {"client_id": visit.client.client_id}
    if at:
        document["timestamp_micros"] = at
    document["events"] = [
        {"name": hit.event_name, "params": {"request_number": number, **_server_params(visit, hit)}}
        for hit in hits
    ]
    target = (
        f"{SERVER_PATH}?measurement_id={visit.site.measurement_id}"
        f"&api_secret={visit.site.api_secret}"
    )
    headers = (
        ("User-Agent", "shop-backend/3.2"),
        ("Content-Type", "application/json"),
        *_proxy_headers(visit),
    )
    return target, headers, orjson.dumps(document)


def _server_params(visit: Visit, hit: Hit) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if hit.names_session:
        params["session_id"] = str(visit.session_id)
    if hit.path:
        params |= {"page_location": _location(visit, hit), "page_title": _title(hit.path)}
        if referrer := _referrer(visit, hit):
            params["page_referrer"] = referrer
    if hit.engagement_ms:
        params["engagement_time_msec"] = hit.engagement_ms
    if hit.articles:
        params |= {"currency": visit.site.currency, "value": hit.value_cents / 100}
        params["items"] = [_server_item(article, count) for article, count in hit.articles]
    if hit.transaction_id:
        params["transaction_id"] = hit.transaction_id
    return params


def _server_item(article: Article, count: int) -> dict[str, Any]:
    return {
        "item_id": article.item_id,
        "item_name": article.name,
        "item_brand": article.brand,
        "item_category": article.category,
        "price": article.price_cents / 100,
        "quantity": count,
    }


def _title(path: str) -> str:
    if path == "/":
        return "Shop"
    return f"{path.rsplit('/', 1)[-1].replace('-', ' ').title()} | Shop"


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
