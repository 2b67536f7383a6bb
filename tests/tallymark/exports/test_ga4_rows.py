"""Rows of the export: what is imported from one and taken out again is the same."""

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tallymark.exports.ga4_rows import COLUMNS, ROW_SCHEMA, rows_of
from tallymark.hits import HIT_SCHEMA, ITEM_NUMBERS, ITEM_TEXTS
from tallymark.imports.ga4_export import requests_of
from tallymark.processing import process_requests
from tallymark.requests import REQUEST_SCHEMA
from tests.tallymark.recorded import SHOP, hit, item, shop

SAMPLE = Path(__file__).parents[2] / "data" / "ga4_events_sampled.parquet"
EVENTS = 4_000


def imported(rows: pl.DataFrame) -> pl.DataFrame:
    """The hits that rows of an export come to."""
    numbered = rows.with_row_index("row", 1).cast({"row": pl.Int64})
    found = requests_of(numbered, SHOP, end_us=2**60)
    assert found.skipped.is_empty()
    ids = found.requests.with_columns(request_id=pl.col("row").cast(pl.String).str.zfill(32))
    requests = ids.select(list(REQUEST_SCHEMA))
    return process_requests(requests, lambda _: shop(), with_params=True).hits.sort("hit_id")


def test_what_was_imported_is_taken_out_and_imported_again_without_a_difference() -> None:
    """Real events of Google's merchandise store, some of them purchases."""
    events = pl.read_parquet(SAMPLE)
    is_sale = pl.col("event_name").is_in(["purchase", "add_to_cart", "begin_checkout"])
    some = pl.concat([events.filter(is_sale).head(400), events.head(EVENTS)])
    hits = imported(some)

    again = imported(rows_of(hits.select(COLUMNS), "America/New_York"))

    assert hits.get_column("sent_value_micros").sum() > 0
    assert hits.get_column("items").list.len().sum() > 400
    assert_frame_equal(again, hits)


def told(**changes: Any) -> dict[str, Any]:
    """A row of a hit that says nothing but ``changes``."""
    rows = rows_of(hit(**changes).select(COLUMNS), "America/New_York")
    assert rows.schema == ROW_SCHEMA
    return rows.row(0, named=True)


def params_of(row: dict[str, Any]) -> dict[str, Any]:
    """Parameters by key, the one value that each has."""
    found = {}
    for param in row["event_params"]:
        values = [value for value in param["value"].values() if value is not None]
        assert len(values) == 1
        assert param["key"] not in found, "queries expect one of a key"
        found[param["key"]] = values[0]
    return found


@pytest.mark.parametrize(
    ("changes", "params"),
    [
        ({}, {}),
        ({"host": "a.example", "path": "/p"}, {"page_location": "https://a.example/p"}),
        (
            {"host": "a.example", "path": "/p", "page_query": "q=1", "title": "T"},
            {"page_location": "https://a.example/p?q=1", "page_title": "T"},
        ),
        ({"client_session_id": "17"}, {"ga_session_id": 17}),
        ({"client_session_id": "x"}, {}),
        ({"engagement_ms": 1_200}, {"engagement_time_msec": 1_200}),
        (
            {"sent_value_micros": 137_800_000, "currency": "EUR"},
            {"value": 137.8, "currency": "EUR"},
        ),
        (
            {
                "sent_value_micros": 5_000_000,
                "params": [{"key": "value", "text": "5", "micros": 5_000_000}],
            },
            {"value": 5},
        ),
        ({"params": [{"key": "size", "text": "42", "micros": None}]}, {"size": "42"}),
        ({"params": [{"key": "size", "text": "0.1", "micros": 100_000}]}, {"size": 0.1}),
    ],
)
def test_parameters_have_the_types_in_which_they_were_sent(
    changes: dict[str, Any], params: dict[str, Any]
) -> None:
    found = params_of(told(**changes))
    assert found == params
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in params.items()
    }


def test_days_are_those_of_the_property_s_time_zone() -> None:
    midnight_us = 1_700_006_400_000_000
    assert told(event_at=midnight_us)["event_date"] == "20231114"
    assert told(event_at=midnight_us + 5 * 3_600_000_000)["event_date"] == "20231115"


def test_refunds_and_items_are_amounts() -> None:
    row = told(
        event_name="refund",
        sent_value_micros=-19_990_000,
        transaction_id="T1",
        items=[item(item_id="a", price_micros=9_995_000, quantity=2)],
    )
    assert row["ecommerce"] == {
        "total_item_quantity": 2, "purchase_revenue": None, "refund_value": 19.99,
        "transaction_id": "T1",
    }  # fmt: skip
    assert row["items"][0]["item_revenue"] == 19.99
    assert row["items"][0]["item_name"] is None
    assert set(ITEM_TEXTS) | set(ITEM_NUMBERS) <= set(HIT_SCHEMA["items"].inner.to_schema())  # type: ignore[attr-defined]


def test_queries_that_are_written_for_the_export_run_on_it() -> None:
    hits = imported(pl.read_parquet(SAMPLE).head(EVENTS))
    rows = rows_of(hits.select(COLUMNS), "America/New_York")
    database = duckdb.connect()
    database.register("rows", rows.to_arrow())
    found = database.execute("""
        SELECT event_date, count(*), count(DISTINCT user_pseudo_id),
               count(*) FILTER (event_name = 'purchase'), sum(ecommerce.purchase_revenue),
               count(DISTINCT (SELECT param.value.int_value FROM (
                   SELECT unnest(event_params) AS param) WHERE param.key = 'ga_session_id'))
        FROM rows GROUP BY ALL ORDER BY ALL
    """).fetchall()
    assert sum(row[1] for row in found) == hits.height
    assert all(row[5] > 0 for row in found)
