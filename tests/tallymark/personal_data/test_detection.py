"""Detection: what redaction lets through is told by field and shape, never by its value."""

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tallymark.personal_data import redacted
from tallymark.personal_data.detection import findings, merged, summary
from tallymark.protocols import decode
from tests.tallymark.recorded import SHOP, frame, server, web

BASE = f"v=2&tid={SHOP}&cid=1.2&en=page_view"


def found_in(*requests: dict) -> pl.DataFrame:
    return summary(merged([findings(decode(frame(*requests)).hits)]))


def fields(*requests: dict) -> set[tuple[str, str, str]]:
    return set(found_in(*requests).select("place", "name", "kind").rows())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("&dl=https%3A%2F%2Fx%2Fu%2Fj%40ex.com%2F", ("hit", "path", "mail")),
        ("&dl=https%3A%2F%2Fx%2F%3Fq%3Dj%2540ex.com", ("page_query", "q", "mail")),
        ("&dl=https%3A%2F%2Fx%2F%3Fq%3Dj%252540ex.com", ("page_query", "q", "mail")),
        ("&dt=Account%20of%20j%40ex.com", ("hit", "title", "mail")),
        ("&dr=https%3A%2F%2Fx%2F%3Fq%3Dj%2540ex.com", ("referrer_query", "q", "mail")),
        ("&uid=j%40ex.com", ("hit", "user_id", "mail")),
        ("&ep.note=030%2F1234567", ("param", "note", "phone")),
        ("&ep.note=%2B4930123456", ("param", "note", "phone")),
        ("&ep.note=(212)%20555-1234", ("param", "note", "phone")),
        ("&up.note=4111%201111%201111%201111", ("user_property", "note", "card")),
        ("&ep.note=9000000000000001", ("param", "note", "card")),
        ("&ep.first_name=Jane", ("param", "first_name", "named")),
        ("&ep.birthdate=1980-01-31", ("param", "birthdate", "named")),
        ("&up.e-mail=none+of+yours", ("user_property", "e-mail", "named")),
        ("&dl=https%3A%2F%2Fx%2F%3Fstreet%3DMain%2B1", ("page_query", "street", "named")),
        ("&pr1=ida~nmFor j%40ex.com", ("item", "item_name", "mail")),
    ],
)
def test_each_field_and_kind_is_found(query, expected):
    assert expected in fields(web(BASE + query))


@pytest.mark.parametrize(
    "query",
    [
        "&dl=https%3A%2F%2Fx%2Flogo%402x.png&dt=12%20%40%20home&ep.item_name=Shoe&ep.app_name=Shop",
        "&ep.transaction_id=4111111111111111&epn.value=4111111111111111&ep.price=12.50",
        "&ep.email=(mail)&ep.phone=(phone)&dl=https%3A%2F%2Fx%2F%3Fcard_number%3D(card)",
        "&ep.date=2026-01-31&ep.time=12%3A00%3A00&ep.size=1920x1080&ep.ts=1700000000123",
        "&ep.email=&ep.phone=undefined",
    ],
)
def test_what_is_none_is_not_told(query):
    assert fields(web(BASE + query)) == set()


def test_what_is_told_of_a_value_is_its_shape():
    body = json.dumps(
        {"client_id": "1.2", "events": [{"name": "a", "params": {
            "mail": "jane.doe@mail.example.com", "call": "+49 30 123456",
            "pan": "4111 1111 1111 1111", "surname": "Doe"}}]}
    )  # fmt: skip
    rows = found_in(server(body))
    shapes = {(row["name"], row["kind"]): row["example"] for row in rows.iter_rows(named=True)}
    assert shapes == {
        ("mail", "mail"): "j…@m….com",
        ("call", "phone"): "+… (10 digits)",
        ("pan", "card"): "… (16 digits)",
        ("surname", "named"): "D… (3 characters)",
    }


def test_a_name_that_is_an_address_is_told_by_its_shape_too():
    [row] = found_in(web(f"{BASE}&ep.j%40ex.com=j%40ex.com")).iter_rows(named=True)
    assert (row["name"], row["example"]) == ("j… (8 characters)", "j…@e….com")


def test_hits_and_distinct_values_are_counted_over_all_parts():
    queries = [f"{BASE}&ep.m=j{number % 3}%40ex.com&ep.n=k%40ex.com" for number in range(10)]
    hits = decode(frame(*map(web, queries))).hits
    whole = summary(merged([findings(hits)]))
    parts = summary(merged([findings(hits[:4]), merged([findings(hits[4:])])]))
    assert whole.select("name", "hits", "values").rows() == [("m", 10, 3), ("n", 10, 1)]
    assert_frame_equal(whole, parts)


def test_no_hits_have_no_findings():
    assert findings(decode(frame(web(BASE))).hits[:0]).is_empty()
    assert summary(merged([])).is_empty()


def test_what_was_redacted_is_found_by_nobody():
    requests = frame(
        web(f"{BASE}&ep.a=j%40ex.com&ep.b=%2B4930123456&uid=j%40ex.com&ep.phone=0176+123456"),
        server('{"client_id":"1","events":[{"name":"a","params":{"c":"4111 1111 1111 1111"}}]}'),
    )
    assert summary(findings(decode(redacted(requests).requests).hits)).is_empty()
