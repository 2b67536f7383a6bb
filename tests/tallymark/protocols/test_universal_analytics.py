"""Universal Analytics: payloads and the hits in them."""

from typing import Any

import polars as pl
import pytest

from tallymark.protocol_limits import MAX_PAYLOADS
from tallymark.protocols.universal_analytics import MAX_QUEUE_MS
from tests.tallymark.recorded import RECEIVED_AT, SHOP, frame, item, processed, understood, web

BASE = f"v=1&tid={SHOP}&cid=35009a79-1a05-49d7-b876-2b884d0f825b"
PRODUCT = "&pr1id=P12345&pr1nm=Android+T-Shirt&pr1br=Google&pr1ca=Apparel%2FT-Shirts&pr1va=Black"
SOLD = f"{PRODUCT}&pr1pr=29.20&pr1qt=2&pr1cc=SUMMER"


def hits(
    query: str, body: str = "", path: str = "/collect", **changes: Any
) -> list[dict[str, Any]]:
    decoded = understood(frame(web(query, body, path=path, **changes)))
    assert decoded.dead_letters.is_empty()
    return decoded.hits.rows(named=True)


def param(key: str, text: str, micros: int | None = None) -> dict[str, Any]:
    return {"key": key, "text": text, "micros": micros}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("&t=pageview&dl=https%3A%2F%2Fshop.example%2Fa%3Futm_source%3Dmail&dt=Home",
         {"event_name": "page_view", "is_page_view": True, "host": "shop.example", "path": "/a",
          "page_query": "utm_source=mail", "title": "Home", "opens_session": True}),
        ("&t=pageview&dh=shop.example&dp=%2Fb", {"host": "shop.example", "path": "/b"}),
        ("&t=pageview&dh=shop.example&dp=b", {"host": "shop.example", "path": "/b"}),
        ("&t=pageview&dh=http://shop.example&dp=/b", {"host": "shop.example", "path": "/b"}),
        ("&t=pageview&dp=%2Fb%3Fq%3D1", {"host": "", "path": "/b", "page_query": "q=1"}),
        ("&t=pageview&dl=https://shop.example/a?utm_source=m&dp=/virtual",
         {"host": "shop.example", "path": "/virtual", "page_query": "utm_source=m"}),
        ("&t=pageview&dh=shop.example", {"host": "shop.example", "path": "/"}),
        ("&t=screenview&cd=Cart&an=App&av=1.2",
         {"event_name": "screen_view", "is_page_view": True, "title": "Cart",
          "params": [param("screen_name", "Cart"), param("app_name", "App"),
                     param("app_version", "1.2")]}),
        ("&t=appview&cd=Cart", {"event_name": "screen_view"}),
        ("&t=event&ec=video&ea=play&el=holiday&ev=300",
         {"event_name": "play", "is_page_view": False, "sent_value_micros": 0,
          "params": [param("event_category", "video"), param("event_label", "holiday"),
                     param("value", "300", 300_000_000)]}),
        ("&t=event&ec=video", {"event_name": "event"}),
        ("&t=social&sa=like&sn=facebook&st=%2Fhome",
         {"event_name": "like", "params": [param("method", "facebook"),
                                           param("content_id", "/home")]}),
        ("&t=social", {"event_name": "social"}),
        ("&t=timing&utc=jsonLoader&utv=load&utt=5000&utl=jQuery",
         {"event_name": "timing_complete",
          "params": [param("event_category", "jsonLoader"), param("name", "load"),
                     param("value", "5000", 5_000_000_000), param("event_label", "jQuery")]}),
        ("&t=exception&exd=IOException&exf=1",
         {"event_name": "exception",
          "params": [param("description", "IOException"), param("fatal", "1")]}),
        ("&t=transaction&ti=12345&ta=westernWear&tr=50.00&ts=32.00&tt=12.00&cu=EUR",
         {"event_name": "purchase", "transaction_id": "12345", "sent_value_micros": 50_000_000,
          "currency": "EUR",
          "params": [param("affiliation", "westernWear"), param("shipping", "32.00", 32_000_000),
                     param("tax", "12.00", 12_000_000)]}),
        ("&t=item&ti=12345&in=sofa&ip=300&iq=2&ic=u3eqds43&iv=furniture&cu=EUR",
         {"event_name": "transaction_item", "transaction_id": "12345", "sent_value_micros": 0,
          "items": [item(item_id="u3eqds43", item_name="sofa", item_category="furniture",
                         price_micros=300_000_000, quantity=2)]}),
        ("&t=pageview&cd1=gold&cm2=1.5&cg1=shoes&strange=1",
         {"params": [param("dimension1", "gold"), param("metric2", "1.5", 1_500_000),
                     param("content_group1", "shoes"), param("strange", "1")]}),
        ("&t=pageview&cs=letter&cm=email&cn=spring&ck=shoes&cc=top&dr=https://a.example/",
         {"source": "letter", "medium": "email", "campaign": "spring", "term": "shoes",
          "content": "top", "referrer": "https://a.example/"}),
        ("&t=pageview&uid=u7&ul=en-us&sr=800x600&geoid=de",
         {"user_id": "u7", "language": "en-us", "screen_resolution": "800x600", "country": "DE"}),
        ("&t=pageview&geoid=21137", {"country": "CH"}),
        ("&t=pageview&ua=Opera%2F9.80", {"user_agent": "Opera/9.80", "client_hints": ""}),
        ("&t=pageview&qt=560", {"event_at": RECEIVED_AT - 560_000}),
        ("&t=pageview&qt=-5", {"event_at": RECEIVED_AT}),
        ("&t=pageview&qt=soon", {"event_at": RECEIVED_AT}),
        (f"&t=pageview&qt={MAX_QUEUE_MS + 1}", {"event_at": RECEIVED_AT}),
        ("&t=pageview&qt=345600000", {"excluded_by": "too_old"}),
        ("&t=dance", {"event_name": "dance"}),
    ],
)  # fmt: skip
def test_a_payload_is_a_hit(query: str, expected: dict[str, Any]) -> None:
    (hit,) = hits(BASE + query)

    assert {name: hit[name] for name in expected} == expected


@pytest.mark.parametrize("path", ["/collect", "/r/collect", "/j/collect", "/batch"])
def test_all_its_paths_are_understood_with_the_payload_in_query_or_body(path: str) -> None:
    payload = f"{BASE}&t=pageview&dp=%2Fhome"

    assert hits(payload, path=path) == hits("", payload, path=path)


@pytest.mark.parametrize(
    ("action", "event_name", "value_micros"),
    [
        ("detail", "view_item", 0), ("click", "select_item", 0), ("add", "add_to_cart", 0),
        ("remove", "remove_from_cart", 0), ("checkout", "begin_checkout", 0),
        ("checkout_option", "checkout_progress", 0), ("purchase", "purchase", 37_390_000),
        ("refund", "refund", -37_390_000),
    ],
)  # fmt: skip
def test_an_action_on_products_is_an_event_beside_the_hit_that_carries_it(
    action: str, event_name: str, value_micros: int
) -> None:
    carrier, acted = hits(f"{BASE}&t=pageview&dp=/thanks&pa={action}&ti=T1&tr=37.39{SOLD}")

    assert (carrier["event_name"], carrier["items"]) == ("page_view", [])
    assert (acted["event_name"], acted["transaction_id"]) == (event_name, "T1")
    assert (carrier["sent_value_micros"], acted["sent_value_micros"]) == (0, value_micros)
    assert acted["items"] == [
        item(item_id="P12345", item_name="Android T-Shirt", item_brand="Google",
             item_variant="Black", item_category="Apparel/T-Shirts", coupon="SUMMER",
             price_micros=29_200_000, quantity=2)
    ]  # fmt: skip
    assert carrier["hit_id"][:-5] == acted["hit_id"][:-5]
    assert (carrier["hit_id"][-5:], acted["hit_id"][-5:]) == ("-0000", "-0001")


def test_an_action_that_nobody_knows_changes_nothing() -> None:
    (hit,) = hits(f"{BASE}&t=pageview&pa=dance{SOLD}")

    assert (hit["event_name"], len(hit["items"])) == ("page_view", 1)


def test_items_are_ordered_by_their_position() -> None:
    (hit,) = hits(f"{BASE}&t=event&ea=x&pr10id=last&pr2id=second&pr1id=first&pr2nm=two")

    assert [item["item_id"] for item in hit["items"]] == ["first", "second", "last"]
    assert hit["items"][1]["item_name"] == "two"


def test_a_batch_holds_a_payload_a_line() -> None:
    lines = [f"{BASE}&t=pageview&dp=/{n}&pa=detail{PRODUCT}" for n in range(3)]

    found = hits("", "\n".join(lines), path="/batch")

    assert [(hit["event_name"], hit["path"]) for hit in found] == [
        (name, f"/{number}") for number in range(3) for name in ("page_view", "view_item")
    ]
    assert [hit["hit_id"][-5:] for hit in found] == [f"-{index:04}" for index in range(6)]


def test_a_longer_batch_than_agreed_is_a_dead_letter() -> None:
    line = f"{BASE}&t=pageview"
    full, crowded = (web("", "\n".join([line] * n), path="/batch") for n in (20, 21))

    decoded = understood(frame(full, crowded))

    assert decoded.hits.height == MAX_PAYLOADS
    assert decoded.dead_letters["reason"].to_list() == ["too_many_lines"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [(BASE, "missing_event_name"), ("v=1&cid=1&t=pageview", "missing_measurement_id")],
)
def test_a_payload_that_says_too_little_is_a_dead_letter(query: str, reason: str) -> None:
    decoded = understood(frame(web(query, path="/collect")))

    assert decoded.hits.is_empty()
    assert decoded.dead_letters["reason"].to_list() == [reason]


def test_parameters_are_left_out_when_they_are_not_wanted() -> None:
    request = frame(web(f"{BASE}&t=pageview&pa=purchase&ti=T1&tr=5&cd1=x{SOLD}", path="/collect"))
    lists = ["items", "params", "user_properties"]

    wide, narrow = understood(request).hits, understood(request, with_params=False).hits

    assert narrow.drop(lists).equals(wide.drop(lists))
    assert narrow.select(pl.col(lists).list.len().sum()).row(0) == (0, 0, 0)


def test_its_campaigns_and_browsers_are_found_out_like_others() -> None:
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:109.0) Gecko/20100101 Firefox/115.0"
    query = f"{BASE}&t=pageview&dl=https://shop.example/&dr=https://www.google.com/"

    (hit,) = processed(web(query, path="/collect", user_agent=agent)).hits.rows(named=True)

    assert (hit["source"], hit["medium"]) == ("google", "organic")
    assert (hit["browser"], hit["channel"]) == ("Firefox", "Organic Search")
