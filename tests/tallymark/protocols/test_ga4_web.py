"""GA4's web format: requests and the hits in them."""

from typing import Any

import polars as pl
import pytest

from tallymark.protocols.ga4_web import MAX_LINES
from tests.tallymark.recorded import RECEIVED_AT, SHOP, frame, item, understood, web

BASE = f"v=2&tid={SHOP}&cid=1.2&en=page_view"
HOUR_US = 3_600_000_000


def one_hit(request: dict[str, Any]) -> dict[str, Any]:
    """The only hit in a request."""
    decoded = understood(frame(request))
    assert decoded.dead_letters.is_empty()
    return decoded.hits.row(0, named=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"event_name": "page_view", "client_id": "1.2", "measurement_id": SHOP}),
        ("", {"is_page_view": True, "opens_session": True, "excluded_by": ""}),
        ("", {"sent_value_micros": 0, "engagement_ms": 0, "title": "", "items": [], "params": []}),
        ("&dt=Sch%C3%B6n+%26+gut", {"title": "Schön & gut"}),
        ("&dl=https%3A%2F%2FShop.example%2Fa%3Fx%3D1%23f&dr=https://a.example/b",
         {"host": "shop.example", "path": "/a", "page_query": "x=1",
          "referrer": "https://a.example/b"}),
        ("&dr=https://pay.example/&ir=1", {"referrer": ""}),
        ("&dr=https://pay.example/&ir=true", {"referrer": ""}),
        ("&dr=https://pay.example/&ir=0", {"referrer": "https://pay.example/"}),
        ("&uid=u7&sid=1700000000&ul=de-ch&sr=800x600",
         {"user_id": "u7", "client_session_id": "1700000000", "language": "de-ch",
          "screen_resolution": "800x600"}),
        ("&_fv=1", {"is_first_visit": True}),
        ("&_fv=2", {"is_first_visit": True}),
        ("&_fv=0", {"is_first_visit": False}),
        ("&_et=1500", {"engagement_ms": 1500}),
        ("&_et=-1", {"engagement_ms": 0}),
        ("&_ta=1500", {"event_at": RECEIVED_AT - 1_500_000, "params": []}),
        ("&_ta=0", {"event_at": RECEIVED_AT}),
        ("&_ta=-5", {"event_at": RECEIVED_AT}),
        ("&_ta=soon", {"event_at": RECEIVED_AT}),
        ("&_ta=99999999999999", {"event_at": RECEIVED_AT - 720 * HOUR_US,
                                 "excluded_by": "too_old"}),
        ("&cs=letter&cm=email&cn=spring&ck=shoes&cc=top",
         {"source": "letter", "medium": "email", "campaign": "spring", "term": "shoes",
          "content": "top"}),
        ("&ct=shoes", {"term": "shoes"}),
        ("&dt=first&dt=second", {"title": "first"}),
        ("&%64t=encoded", {"title": "encoded"}),
        ("&dt", {"title": ""}),
        ("&&=x&=&", {"params": []}),
        ("&dt=a=b=c", {"title": "a=b=c"}),
        ("&cid=", {"client_id": "1.2"}),
        ("&uid=u7&gcs=G111", {"client_id": "1.2", "user_id": "u7", "params": []}),
        ("&uid=u7&gcs=G101", {"client_id": "1.2", "user_id": "u7"}),
        ("&uid=u7&gcs=G100", {"client_id": "visitor.0123456789abcdef", "user_id": ""}),
        ("&uid=u7&gcs=G110", {"client_id": "visitor.0123456789abcdef", "user_id": ""}),
        ("&gcs=nonsense", {"client_id": "1.2"}),
        ("&uamb=1", {"client_hints": "1|||"}),
        ("&uap=Android&uam=Pixel%208&uafvl=Not%253AA%3B8|Chromium%3B140",
         {"client_hints": "|Android|Pixel 8|Not%3AA;8|Chromium;140", "params": []}),
        ("&ep.colour=light+blue",
         {"params": [{"key": "colour", "text": "light blue", "micros": None}]}),
        ("&epn.depth=1.25", {"params": [{"key": "depth", "text": "1.25", "micros": 1_250_000}]}),
        ("&epn.depth=far", {"params": [{"key": "depth", "text": "far", "micros": None}]}),
        ("&strange=1", {"params": [{"key": "strange", "text": "1", "micros": None}]}),
        ("&ep.a=1&ep.a=2", {"params": [{"key": "a", "text": "1", "micros": None}]}),
        ("&up.level=gold&upn.age=3",
         {"user_properties": [{"key": "level", "text": "gold", "micros": None},
                              {"key": "age", "text": "3", "micros": 3_000_000}]}),
    ],
)  # fmt: skip
def test_a_query_is_a_hit(query: str, expected: dict[str, Any]) -> None:
    hit = one_hit(web(BASE + query))

    assert {name: hit[name] for name in expected} == expected


def test_items_keep_their_order_and_their_tildes() -> None:
    items = (
        "&pr10=idlast&pr2=idsku2~nmA~~B~brAcme~caShoes~c2Red~c5Deep~vared~cpSALE~afOutlet~liL1"
        "~lnSummer~pr12.5~qt3~ds1.5~lp4~k0cut~v0slim~~fit~k1size~v142.5~k2lost~v3alone&pr1=idsku1"
    )

    found = one_hit(web(BASE + items))["items"]

    assert [one["item_id"] for one in found] == ["sku1", "sku2", "last"]
    assert found[1] == item(
        item_id="sku2", item_name="A~B", item_brand="Acme", item_variant="red",
        item_category="Shoes", item_category2="Red", item_category5="Deep", coupon="SALE",
        affiliation="Outlet", item_list_id="L1", item_list_name="Summer", price_micros=12_500_000,
        quantity=3, discount_micros=1_500_000, index=4,
        params=[{"key": "cut", "text": "slim~fit", "micros": None},
                {"key": "size", "text": "42.5", "micros": 42_500_000}],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value_micros"),
    [("purchase", 19_900_000), ("refund", -19_900_000), ("add_to_cart", 0)],
)
def test_only_sales_and_refunds_have_a_value(name: str, value_micros: int) -> None:
    query = f"tid={SHOP}&cid=1&en={name}&cu=EUR&epn.value=19.9&ep.transaction_id=T1"
    hit = one_hit(web(query))

    assert (hit["sent_value_micros"], hit["currency"]) == (value_micros, "EUR")
    assert hit["transaction_id"] == "T1"


def test_each_line_is_an_event_that_overrides_the_shared_query() -> None:
    body = "en=a&dt=own\r\n\r\n  \nen=b\nen=c&dt=\n"
    hits = understood(frame(web(BASE + "&dt=shared&ep.x=1", body))).hits

    assert hits.select("event_name", "title").rows() == [("a", "own"), ("b", "shared"), ("c", "")]
    assert [hit_id[-5:] for hit_id in hits["hit_id"]] == ["-0000", "-0001", "-0002"]
    assert hits["params"].list.len().to_list() == [1, 1, 1]


def test_a_line_overrides_the_parameters_of_the_query_by_name() -> None:
    hits = understood(frame(web(BASE + "&ep.x=1&ep.y=2", "epn.x=5"))).hits

    assert {param["key"]: param["text"] for param in hits["params"][0]} == {"x": "5", "y": "2"}


@pytest.mark.parametrize("body", ["", "\n", "\r\n \r\n"])
def test_without_lines_the_query_alone_is_the_event(body: str) -> None:
    assert one_hit(web(BASE, body))["event_name"] == "page_view"


def test_parameters_are_left_out_when_they_are_not_wanted() -> None:
    requests = frame(web(BASE + "&ep.x=1&up.y=2&pr1=ida&dt=t", "en=a\nen=b&dl=//h/p"), web(BASE))
    lists = ["items", "params", "user_properties"]

    wide, narrow = understood(requests).hits, understood(requests, with_params=False).hits

    assert narrow.drop(lists).equals(wide.drop(lists))
    assert narrow.select(pl.col(lists).list.len().sum()).row(0) == (0, 0, 0)
    assert wide.select(pl.col(lists).list.len().sum()).row(0) == (2, 2, 2)


def test_without_a_client_id_the_visitor_of_the_day_is_the_client() -> None:
    hit = one_hit(web(f"tid={SHOP}&en=page_view"))

    assert hit["client_id"] == "visitor.0123456789abcdef"


def test_a_hit_happens_when_it_is_received() -> None:
    assert one_hit(web(BASE))["event_at"] == RECEIVED_AT


def test_a_request_of_a_balancer_happens_at_the_balancers_time() -> None:
    at_ms = RECEIVED_AT // 1000 - 250
    request_id = f"{at_ms:012x}{'7' * 20}"

    hit = one_hit(web(BASE, request_id=request_id, has_balancer_id=True))

    assert hit["event_at"] == at_ms * 1000


@pytest.mark.parametrize("request_id", [f"{RECEIVED_AT // 1000 + 9:012x}{'7' * 20}", "z" * 32])
def test_a_balancers_time_that_cannot_be_is_replaced_by_that_of_receipt(request_id: str) -> None:
    hit = one_hit(web(BASE, request_id=request_id, has_balancer_id=True))

    assert hit["event_at"] == RECEIVED_AT


def test_hints_are_read_off_the_headers_where_the_tracker_does_not_say() -> None:
    hints = '{"Sec-CH-UA":"x","Sec-CH-UA-Mobile":"?1"}'

    assert one_hit(web(BASE, client_hints=hints))["client_hints"] == hints
    assert one_hit(web(BASE + "&uamb=0", client_hints=hints))["client_hints"] == "0|||"


def test_texts_are_kept_as_far_as_reports_can_show_them() -> None:
    hit = one_hit(web(f"{BASE}&dt={'t' * 5000}&uid={'%C3%A9' * 5000}"))

    assert (len(hit["title"]), hit["user_id"]) == (300, "é" * 256)


def test_a_batch_may_have_a_thousand_lines_and_no_more() -> None:
    lines = "\r\n".join(f"en=e{number}" for number in range(MAX_LINES))
    full, crowded = web(BASE, lines), web(BASE, lines + "\nen=more")

    decoded = understood(frame(full, crowded, web(BASE)), with_params=False)

    assert decoded.hits.height == MAX_LINES + 1
    assert decoded.hits["hit_id"][MAX_LINES - 1].endswith("-0999")
    assert decoded.dead_letters["reason"].to_list() == ["too_many_lines"]


def test_a_crowded_batch_does_not_move_the_lines_of_others() -> None:
    crowded = web(BASE, "en=x\n" * (MAX_LINES + 1))
    pair = web(f"tid={SHOP}&cid=2&dt=pair", "en=a\nen=b")

    hits = understood(frame(crowded, pair, web(BASE + "&dt=alone"))).hits

    assert hits.select("client_id", "event_name", "title").rows() == [
        ("2", "a", "pair"), ("2", "b", "pair"), ("1.2", "page_view", "alone"),
    ]  # fmt: skip
