"""GA4's export: what a row says of an event is what the hit says that it becomes."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.imports.conversion import IMPORTED_SCHEMA, MAX_RECORD_CHARACTERS, REASONS, Converted
from tallymark.imports.export_rows import rows_of_json
from tallymark.imports.ga4_export import REQUIRED, missing_columns, requests_of
from tallymark.processing import process_requests
from tallymark.requests import REQUEST_SCHEMA
from tests.tallymark.recorded import SHOP, shop, understood

MOMENT_US = 1_604_188_800_123_456
END_US = MOMENT_US + 1


def _param(key: str, value: Any) -> dict[str, Any]:
    """As BigQuery writes it in JSON: whole numbers are text."""
    if isinstance(value, str):
        return {"key": key, "value": {"string_value": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"int_value": str(value)}}
    return {"key": key, "value": {"double_value": value}}


def _row(params: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    row = {
        "event_date": "20201101",
        "event_timestamp": str(MOMENT_US),
        "event_name": "page_view",
        "user_pseudo_id": "1234.5678",
        "event_params": [_param(key, value) for key, value in (params or {}).items()],
    }
    return {name: value for name, value in (row | fields).items() if value is not None}


def _lines(*lines: str) -> pl.DataFrame:
    rows = pl.DataFrame({"line": lines}, schema={"line": pl.String}).with_row_index("row", 1)
    return rows.cast({"row": pl.Int64})


def _converted(*rows: dict[str, Any]) -> Converted:
    """Of rows that are read from JSON."""
    read, bad = rows_of_json(_lines(*map(json.dumps, rows)))
    assert bad.is_empty()
    found = requests_of(read, SHOP, end_us=END_US)
    assert found.requests.schema == IMPORTED_SCHEMA
    assert len(found.requests) + len(found.skipped) == len(rows)
    return found


def _numbered(found: Converted) -> pl.DataFrame:
    ids = found.requests.with_columns(request_id=pl.col("row").cast(pl.String).str.zfill(32))
    return ids.select(list(REQUEST_SCHEMA))


def _hit(params: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    decoded = understood(_numbered(_converted(_row(params, **fields))))
    assert decoded.dead_letters.is_empty()
    [hit] = decoded.hits.rows(named=True)
    return hit


@pytest.mark.parametrize(
    ("params", "fields", "column", "value"),
    [
        ({}, {}, "event_at", MOMENT_US),
        ({}, {}, "received_at", MOMENT_US),
        ({}, {}, "client_id", "1234.5678"),
        ({}, {"event_name": "köln & co"}, "event_name", "köln & co"),
        ({}, {"user_id": "u=1"}, "user_id", "u=1"),
        ({"page_location": "https://A.example/p?q=1#x"}, {}, "host", "a.example"),
        ({"page_location": "https://a.example/p?q=1#x"}, {}, "page_query", "q=1"),
        ({"page_title": "50 % off"}, {}, "title", "50 % off"),
        ({"ga_session_id": 1604188800}, {}, "client_session_id", "1604188800"),
        ({"engagement_time_msec": 1500}, {}, "engagement_ms", 1500),
        ({"source": "google"}, {}, "source", "google"),
        ({"term": "a+b"}, {}, "term", "a+b"),
        ({}, {"collected_traffic_source": {"manual_source": "letter"}}, "source", "letter"),
        (
            {"source": "own"},
            {"collected_traffic_source": {"manual_source": "letter"}},
            "source",
            "own",
        ),
        ({"value": 12.5}, {"event_name": "purchase"}, "sent_value_micros", 12_500_000),
        ({"value": 12}, {"event_name": "purchase"}, "sent_value_micros", 12_000_000),
        (
            {},
            {"event_name": "purchase", "ecommerce": {"purchase_revenue": 8.0}},
            "sent_value_micros",
            8_000_000,
        ),
        ({"transaction_id": 17}, {"event_name": "purchase"}, "transaction_id", "17"),
        ({"currency": "CHF"}, {"event_name": "purchase"}, "currency", "CHF"),
        ({}, {"device": {"language": "de-ch"}}, "language", "de-ch"),
        ({}, {"geo": {"country": "Switzerland"}}, "country", "CH"),
        ({}, {"geo": {"country": "(not set)"}}, "country", ""),
    ],
)
def test_what_a_row_says_is_what_the_hit_says(
    params: dict[str, Any], fields: dict[str, Any], column: str, value: object
) -> None:
    assert _hit(params, **fields)[column] == value


def test_the_device_is_what_the_export_found_out() -> None:
    device = {
        "category": "tablet",
        "operating_system": "Odd; OS",
        "browser": "app",
        "web_info": {"browser": "Safari"},
    }
    requests = _numbered(_converted(_row(device=device)))
    [hit] = process_requests(requests, lambda _: shop()).hits.rows(named=True)

    # A semicolon would end the field.
    assert (hit["device_category"], hit["operating_system"], hit["browser"]) == (
        "tablet", "Odd  OS", "Safari",
    )  # fmt: skip
    assert hit["excluded_by"] == ""


def test_other_parameters_and_user_properties_come_over_under_their_names() -> None:
    hit = _hit(
        {"link url": "https://x.example/?a=b&c", "percent_scrolled": 90, "page_referrer": "r"},
        user_properties=[_param("tier", "gold")],
    )
    params = {param["key"]: (param["text"], param["micros"]) for param in hit["params"]}

    assert params["link url"][0] == "https://x.example/?a=b&c"
    assert params["percent_scrolled"][1] == 90_000_000
    assert params["page_referrer"][0] == "r"
    assert hit["referrer"] == "", "the source that it led to is named already"
    assert [param["key"] for param in hit["user_properties"]] == ["tier"]


def test_items_come_over_with_their_tildes() -> None:
    items = [
        {"item_id": "1", "item_name": "A~B", "price": 1.25, "quantity": "2"},
        {"item_id": "(not set)"},
        {"item_id": "3", "item_category": "x"},
    ]
    found = [
        (item["item_id"], item["item_name"], item["price_micros"], item["quantity"])
        for item in _hit(event_name="purchase", items=items)["items"]
    ]
    assert found[0] == ("1", "A~B", 1_250_000, 2)
    assert found[-1][0] == "3"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (_row(event_timestamp=None), "no_time"),
        (_row(event_timestamp="2020-11-01"), "no_time"),
        (_row(event_name=None), "no_event_name"),
        (_row(event_name=""), "no_event_name"),
        (_row(user_pseudo_id=None), "no_client"),
        (_row(event_timestamp="1604188800"), "time_out_of_range"),
        (_row(event_timestamp=str(END_US)), "time_out_of_range"),
        (_row({"page_title": "x" * MAX_RECORD_CHARACTERS}), "too_long"),
    ],
)
def test_rows_that_are_no_event_of_anybody_are_skipped_with_their_reason(
    row: dict[str, Any], reason: str
) -> None:
    found = _converted(_row(), row)

    assert found.skipped.select("row", "reason").rows() == [(2, reason)]
    assert reason in REASONS


@pytest.mark.parametrize("line", ["{", "[]", "7", '"text"', "null", "\x00", "{'a': 1}", "x" * 9])
def test_a_line_that_is_no_object_is_told_and_the_others_are_read(line: str) -> None:
    rows, bad = rows_of_json(_lines(json.dumps(_row()), line, json.dumps(_row())))

    assert rows.get_column("row").to_list() == [1, 3]
    assert bad.rows() == [(2, line)]


def test_parquet_and_json_of_the_same_event_come_to_the_same_request() -> None:
    params = {"page_title": "x", "value": 2.5, "ga_session_id": 3}
    from_json = _converted(_row(params, event_name="purchase")).requests
    nothing = {"string_value": None, "int_value": None, "double_value": None}
    parquet = pl.DataFrame(
        {
            "row": [1],
            "event_timestamp": [MOMENT_US],
            "event_name": ["purchase"],
            "user_pseudo_id": ["1234.5678"],
            "event_params": [
                [
                    {"key": "page_title", "value": nothing | {"string_value": "x"}},
                    {"key": "value", "value": nothing | {"double_value": 2.5}},
                    {"key": "ga_session_id", "value": nothing | {"int_value": 3}},
                ]
            ],
            "items": [None],
        },
        schema_overrides={"items": pl.Null},
    )
    assert requests_of(parquet, SHOP, end_us=END_US).requests.equals(from_json)


def test_columns_that_an_export_must_have_are_missed() -> None:
    assert missing_columns(["event_name", "other"]) == [
        name for name in REQUIRED if name != "event_name"
    ]
    assert missing_columns(REQUIRED) == []


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUE = st.one_of(
    TEXT, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.lists(st.dictionaries(TEXT, VALUE, max_size=5), min_size=1, max_size=6))
def test_whatever_parameters_hold_every_row_is_a_hit_or_told(
    rows: list[dict[str, Any]],
) -> None:
    found = _converted(*map(_row, rows))
    decoded = understood(_numbered(found))

    assert len(decoded.hits) == len(found.requests)
    assert decoded.dead_letters.is_empty()
    assert set(decoded.hits.get_column("client_id")) <= {"1234.5678"}


@given(TEXT.filter(lambda text: text not in ("", "(not set)", "(not provided)")))
def test_a_title_comes_over_letter_by_letter(title: str) -> None:
    assert _hit({"page_title": title})["title"] == title
