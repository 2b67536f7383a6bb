"""The hits of days as files, streamed and sealed, held against what reports say of them."""

from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from tallymark.exports.ga4_rows import ROW_SCHEMA
from tests.report_api.test_reports_from_hits import Shop, client_of, receipt
from tests.tallymark.report_cells import asks, values

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(name="shop", scope="module")
def _shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def file_of(shop: Shop, day: str, key: str | None = None, **limits: Any) -> Any:
    return client_of(shop, **limits).get(
        f"/v1/properties/{shop.owner.property_id}/hits/{day}.parquet",
        headers={"Authorization": f"Bearer {key or shop.read_key}"},
    )


@pytest.mark.parametrize("day", ["2023-11-15", "2023-11-16", "2023-11-17"])
def test_a_day_holds_the_events_and_users_that_reports_count(
    shop: Shop, day: str, tmp_path: Path
) -> None:
    response = file_of(shop, day)
    assert response.status_code == 200, response.data
    (tmp_path / "events.parquet").write_bytes(response.data)
    found = duckdb.execute(f"""
        SELECT event_name, count(*), count(DISTINCT user_pseudo_id)
        FROM read_parquet('{tmp_path}/events.parquet') WHERE event_date = '{day.replace("-", "")}'
        GROUP BY ALL
    """).fetchall()
    asked = asks(
        "eventName", "eventCount totalUsers", dateRanges=[{"startDate": day, "endDate": day}]
    )
    expected = values(shop.reader.report(shop.owner, asked).document["rows"])
    assert sorted((name, str(events), str(users)) for name, events, users in found) == sorted(
        expected
    )
    assert response.headers["Content-Disposition"].endswith(
        f"events_{day.replace('-', '')}.parquet"
    )
    assert receipt(response)["computed_from"] == "hits"


def test_a_file_is_the_same_however_few_clients_are_read_at_a_time(shop: Shop) -> None:
    frames = [
        pl.read_parquet(BytesIO(file_of(shop, "2023-11-15", **limits).data)).sort(
            "event_timestamp", "user_pseudo_id", "event_name"
        )
        for limits in ({}, {"hits_together": 20})
    ]
    assert frames[0].schema == ROW_SCHEMA
    assert frames[0].equals(frames[1])


def test_a_day_without_hits_is_a_file_without_rows(shop: Shop) -> None:
    rows = pl.read_parquet(BytesIO(file_of(shop, "2023-11-01").data))
    assert rows.schema == ROW_SCHEMA
    assert rows.is_empty()


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("yesterday", "expected a day as 2026-01-31"),
        ("2031-01-01", "expected a day that has begun"),
    ],
)
def test_what_is_no_day_is_told(shop: Shop, day: str, said: str) -> None:
    response = file_of(shop, day)
    assert response.status_code == 400
    assert said in response.json["error"]["message"]


def test_only_the_property_s_key_opens_its_hits(shop: Shop) -> None:
    assert file_of(shop, "2023-11-15", key="no").status_code == 403
    refused = file_of(shop, "2023-11-15", hits=5)
    assert refused.status_code == 400
    assert "5 may be." in refused.json["error"]["message"]
