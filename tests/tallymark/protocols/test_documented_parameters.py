"""Every parameter that GA4's two protocols document, and where it ends in a hit.

The lists are those of Google's references: the parameters that its tags send, and the fields of the
Measurement Protocol. A line a parameter: what is sent, and what the hit says then; ``None`` where
it is of no interest once it has arrived. Those of Universal Analytics stand with its own tests.
"""

from typing import Any

import orjson
import pytest

from tests.tallymark.recorded import RECEIVED_AT, SHOP, frame, processed, server, understood, web

Said = dict[str, Any]
PAGE = "https://shop.example/a?b=c"

WEB: dict[str, tuple[str, Said | None]] = {
    "v": ("2", None),
    "tid": (SHOP, {"measurement_id": SHOP}),
    "cid": ("1.2", {"client_id": "1.2"}),
    "uid": ("u7", {"user_id": "u7"}),
    "sid": ("17", {"client_session_id": "17"}),
    "sct": ("3", None),
    "seg": ("1", None),
    "_p": ("123", None),
    "_s": ("4", None),
    "en": ("sign_up", {"event_name": "sign_up"}),
    "_et": ("1500", {"engagement_ms": 1500}),
    "dl": (PAGE, {"host": "shop.example", "path": "/a", "page_query": "b=c"}),
    "dr": ("https://b.example/", {"referrer": "https://b.example/"}),
    "dt": ("Title", {"title": "Title"}),
    "dh": ("shop.example", {"host": "", "params": {"dh": "shop.example"}}),
    "ul": ("de-ch", {"language": "de-ch"}),
    "sr": ("800x600", {"screen_resolution": "800x600"}),
    "_fv": ("1", {"is_first_visit": True}),
    "_ss": ("1", None),
    "_nsi": ("1", None),
    "_c": ("1", None),
    "_ee": ("1", None),
    "_dbg": ("1", None),
    "ir": ("1", {"referrer": ""}),
    "tt": ("internal", {"params": {"tt": "internal"}}),
    "cu": ("EUR", {"currency": "EUR"}),
    "gcs": ("G100", {"client_id": "visitor.0123456789abcdef"}),
    "gcd": ("13l3l3l1", None),
    "npa": ("1", None),
    "_uip": ("*", {"params": {"_uip": "*"}}),
    "cs": ("letter", {"source": "letter"}),
    "cm": ("email", {"medium": "email"}),
    "cn": ("spring", {"campaign": "spring"}),
    "cc": ("top", {"content": "top"}),
    "ck": ("shoes", {"term": "shoes"}),
    "ct": ("shoes", {"term": "shoes"}),
    "ci": ("77", None),
    "uaa": ("x86", None),
    "uab": ("64", None),
    "uafvl": ("Brave;1", {"client_hints": "|||Brave;1"}),
    "uamb": ("1", {"client_hints": "1|||"}),
    "uam": ("Pixel", {"client_hints": "||Pixel|"}),
    "uap": ("Android", {"client_hints": "|Android||"}),
    "uapv": ("14", None),
    "uaw": ("0", None),
    "ep.colour": ("blue", {"params": {"colour": "blue"}}),
    "epn.size": ("4.5", {"params": {"size": "4.5"}}),
    "up.plan": ("gold", {"user_properties": {"plan": "gold"}}),
    "upn.age": ("3", {"user_properties": {"age": "3"}}),
    "ep.transaction_id": ("T1", {"transaction_id": "T1"}),
    "epn.value": ("2.5", {"params": {"value": "2.5"}}),
    "pr1": ("id7~nmShoe~pr2.5~qt2", {"items": ["7 Shoe 2500000 2"]}),
}

DOCUMENT: dict[str, tuple[Any, Said | None]] = {
    "client_id": ("1.2", {"client_id": "1.2"}),
    "user_id": ("u7", {"user_id": "u7"}),
    "timestamp_micros": (RECEIVED_AT - 5, {"event_at": RECEIVED_AT - 5}),
    "user_properties": ({"plan": {"value": "gold"}}, {"user_properties": {"plan": "gold"}}),
    "user_data": ({"sha256_email_address": "ab"}, None),
    "consent": ({"ad_user_data": "DENIED"}, None),
    "non_personalized_ads": (True, None),
    "user_location": ({"country_id": "CH"}, {"country": "CH"}),
    "ip_override": ("*", None),
    "device": ({"language": "de"}, {"language": "de"}),
    "validation_behavior": ("ENFORCE_RECOMMENDATIONS", None),
}
PARAMS: dict[str, tuple[Any, Said | None]] = {
    "session_id": ("7", {"client_session_id": "7", "opens_session": True}),
    "engagement_time_msec": (1500, {"engagement_ms": 1500}),
    "page_location": (PAGE, {"host": "shop.example", "path": "/a"}),
    "page_title": ("Title", {"title": "Title"}),
    "page_referrer": ("https://b.example/", {"referrer": "https://b.example/"}),
    "value": (2.5, {"sent_value_micros": 2_500_000}),
    "currency": ("EUR", {"currency": "EUR"}),
    "transaction_id": ("T1", {"transaction_id": "T1"}),
    "coupon": ("SUMMER", {"params": {"coupon": "SUMMER"}}),
    "items": ([{"item_id": "7", "item_name": "Shoe", "price": 2.5, "quantity": 2}],
              {"items": ["7 Shoe 2500000 2"]}),
}  # fmt: skip


def said_of(request: Said, names: Said) -> Said:
    """What the hit of a request says of ``names``; lists in short."""
    hits = understood(frame(request)).hits
    assert hits.height == 1
    hit = hits.row(0, named=True)
    short = {
        "params": lambda rows: {row["key"]: row["text"] for row in rows},
        "user_properties": lambda rows: {row["key"]: row["text"] for row in rows},
        "items": lambda rows: [
            f"{row['item_id']} {row['item_name']} {row['price_micros']} {row['quantity']}"
            for row in rows
        ],
    }
    return {name: short[name](hit[name]) if name in short else hit[name] for name in names}


@pytest.mark.parametrize("name", WEB)
def test_a_parameter_of_ga4s_tag_ends_where_it_should(name: str) -> None:
    value, expected = WEB[name]
    base = {"tid": SHOP, "cid": "9.9", "en": "page_view", "dr": "https://z.example/"}
    query = "&".join(f"{key}={text}" for key, text in (base | {name: value}).items())

    expected = {"params": {}} if expected is None else expected
    assert said_of(web(query), expected) == expected


@pytest.mark.parametrize("name", [*DOCUMENT, *PARAMS])
def test_a_field_of_the_measurement_protocol_ends_where_it_should(name: str) -> None:
    document: Said = {"client_id": "9.9", "events": [{"name": "purchase", "params": {}}]}
    if name in DOCUMENT:
        value, expected = DOCUMENT[name]
        document[name] = value
    else:
        value, expected = PARAMS[name]
        document["events"][0]["params"][name] = value

    expected = {"params": {}, "user_properties": {}} if expected is None else expected
    assert said_of(server(orjson.dumps(document).decode()), expected) == expected


def test_what_no_reference_documents_is_kept() -> None:
    hits = processed(web(f"tid={SHOP}&cid=1&en=a&zz=1&ep.new_one=2")).hits

    kept = {param["key"]: param["text"] for param in hits["params"].to_list()[0]}
    assert kept == {"zz": "1", "new_one": "2"}
