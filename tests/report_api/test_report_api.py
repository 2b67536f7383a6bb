"""The report API in this process: methods, keys, errors, pointers."""

import json
import time
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from report_api.app import create_app
from report_api.reader import Answer, ReportReader
from stores.publication import Publisher
from stores.rules_cache.file import FileRulesCache
from stores.wide_rows.breaker import BreakingWideRows
from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from stores.wide_rows.sqlite import SqliteWideRows
from tallymark import pointer_map
from tallymark.pointer_map import PointerMap
from tallymark.row_keys import POINTER_MAP_KEY
from tallymark.slots import HOUR_US
from tests.report_api.conftest import NASTY, Shop, client_of, make_shop, write_cells
from tests.tallymark.report_cells import values

TODAY = [{"startDate": "today", "endDate": "today"}]


def ask(
    client: FlaskClient,
    shop: Shop,
    request: dict[str, Any],
    *,
    method: str = "runReport",
    headers: dict[str, str] | None = None,
) -> TestResponse:
    """A request as Google's clients send it."""
    return client.post(
        f"/v1beta/properties/{shop.property_id}:{method}?%24alt=json%3Benum-encoding%3Dint",
        json=request,
        headers={"Authorization": f"Bearer {shop.read_key}"} if headers is None else headers,
    )


SESSIONS = {
    "dateRanges": TODAY,
    "dimensions": [{"name": "sessionSource"}],
    "metrics": [{"name": "sessions"}, {"name": "activeUsers"}],
}


def test_a_report_is_answered_with_what_it_was_computed_from(
    client: FlaskClient, shop: Shop
) -> None:
    response = ask(client, shop, {**SESSIONS, "metricAggregations": [1]})
    assert response.status_code == 200
    assert values(response.json["rows"]) == [("google", "2", "1"), ("(direct)", "1", "1")]
    assert values(response.json["totals"]) == [("RESERVED_TOTAL", "3", "2")]
    assert response.json["metadata"]["currencyCode"] == "EUR"
    hour_us = shop.now_us // HOUR_US * HOUR_US
    assert json.loads(response.headers["X-Tallymark-Freshness"]) == {
        "computed_from": "cells",
        "newest_slot_us": hour_us,
        "newest_hit_us": shop.now_us,
        "frontier_us": None,  # no stream has ever written here
        "open_hours": 14,
        "lineages": ["live-1"],
        "rules_versions": [1],
        "standard_error": 0.0,
        "hits_read": 0,
        "is_capped": False,
        "pointer_map": 1,
        "overrides": 0,
    }


def test_several_reports_come_in_one_answer(client: FlaskClient, shop: Shop) -> None:
    pages = {"dateRanges": TODAY, "metrics": [{"name": "exits"}], "keepEmptyRows": True}
    response = ask(client, shop, {"requests": [SESSIONS, pages]}, method="batchRunReports")
    assert [report["rowCount"] for report in response.json["reports"]] == [2, 1]
    for count in (0, 6):
        refused = ask(client, shop, {"requests": [SESSIONS] * count}, method="batchRunReports")
        assert refused.status_code == 400


def test_the_catalogue_names_what_can_be_asked_for(client: FlaskClient, shop: Shop) -> None:
    found = client.get(
        f"/v1beta/properties/{shop.property_id}/metadata", headers={"X-Goog-Api-Key": shop.read_key}
    ).json
    assert {
        "apiName": "browser",
        "uiName": "Browser",
        "description": "The browser of the session.",
        "category": "Platform / Device",
    } in found["dimensions"]
    assert {entry["apiName"] for entry in found["metrics"]} >= {"sessions", "activeUsers"}


def test_a_key_may_come_in_either_header(client: FlaskClient, shop: Shop) -> None:
    for headers in (
        {"Authorization": f"bearer {shop.read_key}"},
        {"X-Goog-Api-Key": shop.read_key},
    ):
        assert ask(client, shop, SESSIONS, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic abc"}, {"X-Goog-Api-Key": ""}])
def test_without_a_key_nobody_is_told_anything(
    client: FlaskClient, shop: Shop, headers: dict[str, str]
) -> None:
    for property_id in (shop.property_id, 1, "x"):
        response = client.post(
            f"/v1beta/properties/{property_id}:runReport", json={}, headers=headers
        )
        assert response.status_code == 401
        assert response.json["error"]["status"] == "UNAUTHENTICATED"
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_another_property_and_none_at_all_look_the_same(client: FlaskClient, shop: Shop) -> None:
    other = make_shop(shop.data_dir, shop.now_us, "Other")
    headers = {"Authorization": f"Bearer {other.read_key}"}
    answers = [
        client.post(f"/v1beta/properties/{property_id}:runReport", json=SESSIONS, headers=headers)
        for property_id in (shop.property_id, 1, "x", "9" * 30, "²")
    ]
    assert {response.status_code for response in answers} == {403}
    assert len({response.data for response in answers}) == 1
    overview = client.get(f"/v1/properties/{shop.property_id}/overview", headers=headers)
    assert overview.data == answers[0].data


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "Invalid JSON payload"),
        (b"\xff", "Invalid JSON payload"),
        (b"[]", 'Unknown name "": Root element must be a message.'),
        (b"{}", "A dateRange is required."),
        (b"", "A dateRange is required."),
        (b'{"colour":1}', 'Unknown name "colour"'),
    ],
)
def test_a_wrong_request_is_refused_in_googles_shape(
    client: FlaskClient, shop: Shop, body: bytes, said: str
) -> None:
    response = client.post(
        f"/v1beta/properties/{shop.property_id}:runReport",
        data=body,
        headers={"Authorization": f"Bearer {shop.read_key}"},
    )
    assert response.status_code == 400
    error = response.json["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert said in error["message"]


def test_what_is_not_there_is_said_in_googles_shape(client: FlaskClient, shop: Shop) -> None:
    response = ask(client, shop, {}, method="runNothing")
    assert (response.status_code, response.json["error"]["status"]) == (404, "NOT_FOUND")
    wrong_method = client.get(f"/v1beta/properties/{shop.property_id}:runReport")
    assert (wrong_method.status_code, wrong_method.json["error"]["code"]) == (405, 405)
    large = ask(client, shop, {"dimensions": [{"name": "x" * 300_000}]})
    assert large.status_code == 413


class Broken(SqliteWideRows):
    """A store that cannot be reached."""

    def read(
        self,
        ranges: list[tuple[bytes, bytes]],
        families: tuple[str, ...] = (),
        *,
        most_rows: int | None = None,
    ) -> pl.DataFrame:
        raise WideRowsUnavailableError("no", retry_after_seconds=2.4)

    def read_rows(self, row_keys: list[bytes], families: tuple[str, ...] = ()) -> pl.DataFrame:
        raise WideRowsUnavailableError("no", retry_after_seconds=2.4)


def test_a_store_that_is_down_is_a_503_that_says_when_to_come_again(shop: Shop) -> None:
    store = BreakingWideRows(Broken(shop.store_path), clock=time.monotonic)
    client = client_of(shop, store)
    overview = f"/v1/properties/{shop.property_id}/overview"
    headers = {"Authorization": f"Bearer {shop.read_key}"}
    answers = [
        ask(client, shop, SESSIONS),
        client.get(overview, headers=headers),
        client.get("/readyz"),
    ]
    for response in answers:
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "3"
        assert response.json["error"]["status"] == "UNAVAILABLE"
    assert client.get("/healthz").status_code == 200
    store.close()


def publish(store: WideRows, key: bytes, held: PointerMap, pointers: PointerMap) -> None:
    assert store.compare_and_set(
        key,
        pointer_map.QUALIFIER,
        expected=held.encode() if held.version else None,
        value=pointers.encode(),
        version=pointers.version,
    )


def test_a_publication_changes_the_next_answer_and_a_rollback_changes_it_back(
    client: FlaskClient, shop: Shop, store: WideRows
) -> None:
    write_cells(shop, "acquisition", [{"source": "replayed", "sessions": 9}], lineage="gen-2")
    before = ask(client, shop, SESSIONS).data
    live = PointerMap.serving("live-1")
    hour_us = shop.now_us // HOUR_US * HOUR_US
    replayed = live.publish(hour_us, hour_us + HOUR_US, "gen-2")
    publish(store, POINTER_MAP_KEY, live, replayed)
    assert values(ask(client, shop, SESSIONS).json["rows"]) == [("replayed", "9", "0")]
    publish(store, POINTER_MAP_KEY, replayed, replayed.restore(live))
    assert ask(client, shop, SESSIONS).data == before


def test_an_override_changes_the_answers_of_its_property_alone(
    client: FlaskClient, shop: Shop, store: WideRows
) -> None:
    write_cells(shop, "acquisition", [{"source": "replayed", "sessions": 9}], lineage="gen-2")
    hour_us = shop.now_us // HOUR_US * HOUR_US
    overrides = PointerMap().publish(hour_us, hour_us + HOUR_US, "gen-2", over=1)
    publish(store, pointer_map.override_key(1), PointerMap(), overrides)
    assert ask(client, shop, SESSIONS).json["rowCount"] == 2
    publish(store, pointer_map.override_key(shop.property_id), PointerMap(), overrides)
    response = ask(client, shop, SESSIONS)
    assert values(response.json["rows"]) == [("replayed", "9", "0")]
    assert json.loads(response.headers["X-Tallymark-Freshness"])["overrides"] == 1


def test_an_answer_of_several_reports_never_mixes_what_a_publication_changes(
    shop: Shop, store: WideRows
) -> None:
    """A candidate is published, and rolled back, between the two reports of one answer."""
    publisher = Publisher(store, lambda: shop.now_us, who="ada")
    publisher.lineages.get_or_make("live-1", state="published")
    hour_us = shop.now_us // HOUR_US * HOUR_US
    targets = ((hour_us, hour_us + HOUR_US),)
    name = publisher.lineages.draw(state="candidate", targets=targets).name
    write_cells(shop, "acquisition", [{"source": "replayed", "sessions": 9}], lineage=name)
    totals = {"dateRanges": TODAY, "metrics": [{"name": "sessions"}]}
    write_cells(shop, "totals", [{"sessions": 9}], lineage=name)

    class Turning(ReportReader):
        """Publishes or rolls back before each report that it reads."""

        def report(self, *arguments: Any) -> Answer:
            if publisher.lineages.get(name).state == "published":
                publisher.rollback()
            else:
                publisher.publish(name)
            return super().report(*arguments)

    cache = FileRulesCache(shop.rules_path, clock=time.time)
    app = create_app(
        wide_rows=store,
        rules_cache=cache,
        now_us=lambda: shop.now_us,
        collector_url="https://collect.example",
    )
    parts = app.extensions["tallymark"]
    app.extensions["tallymark"] = replace(parts, reader=Turning(store, lambda: shop.now_us))
    for turn, expected in enumerate(["3", "9", "3", "9"]):
        asked = {"requests": [SESSIONS, totals, SESSIONS]}
        response = ask(app.test_client(), shop, asked, method="batchRunReports")
        by_source, whole, again = response.json["reports"]
        assert by_source == again, f"answer {turn}"
        sums = [
            str(sum(int(row[1]) for row in values(by_source["rows"]))),
            values(whole["rows"])[0][0],
        ]
        assert sums == [expected, expected]


def test_the_overview_says_all_that_the_page_shows(client: FlaskClient, shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.read_key}"}
    found = client.get(f"/v1/properties/{shop.property_id}/overview", headers=headers).json
    assert found["hasData"]
    assert found["now"] == "2023-11-15T13:10:00+00:00"
    assert {name: found["lastMinutes"][name] for name in ("users", "views", "events")} == {
        "users": 2, "views": 4, "events": 5,
    }  # fmt: skip
    assert [minute["views"] for minute in found["lastMinutes"]["minutes"]] == [0] * 29 + [4]
    assert found["today"]["sessions"] == "3"
    assert found["today"]["totalRevenue"] == "49.9"
    assert found["hours"] == [
        {"hour": "13", "screenPageViews": "12", "activeUsers": "2", "sessions": "3"}
    ]
    assert [row["pagePath"] for row in found["pages"]] == ["/", NASTY]
    assert found["sources"][0]["sessionSource"] == "google"
    assert found["events"][0] == {"eventName": "page_view", "eventCount": "12", "totalUsers": "3"}
    assert found["collectorUrl"] == "https://collect.example"


def test_a_property_without_hits_is_told_so(shop: Shop, store: WideRows) -> None:
    empty = make_shop(shop.data_dir, shop.now_us, "Empty")
    client = client_of(empty, store)
    headers = {"Authorization": f"Bearer {empty.read_key}"}
    found = client.get(f"/v1/properties/{empty.property_id}/overview", headers=headers).json
    assert not found["hasData"]
    assert found["today"]["sessions"] == "0"
    assert found["property"]["measurementId"] == empty.measurement_id


def test_the_page_is_static_and_may_run_only_its_own_scripts(client: FlaskClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = page.get_data(as_text=True)
    assert "<script>" not in text
    assert "style=" not in text
    names = ("page.js", "page.css", "charts.js", "icon.svg", "uplot/uPlot.iife.min.js")
    for name in (*names, "uplot/LICENSE"):
        found = client.get(f"/static/{name}")
        assert found.status_code == 200, name
        assert found.headers["X-Content-Type-Options"] == "nosniff"
    for name in ("../app.py", "..%2fapp.py", "nothing.js"):
        assert client.get(f"/static/{name}").status_code == 404


def test_answers_are_counted_by_method_and_status(client: FlaskClient, shop: Shop) -> None:
    ask(client, shop, SESSIONS)
    ask(client, shop, {})
    text = client.get("/metrics").get_data(as_text=True)
    assert 'tallymark_report_answers_total{method="run_report",status="200"} 1.0' in text
    assert 'tallymark_report_answers_total{method="run_report",status="400"} 1.0' in text
    assert 'tallymark_report_seconds_count{method="run_report"} 2.0' in text
    assert "tallymark_rules_doubtful_hours 0.0" in text
    assert "tallymark_rules_wrong_hours 0.0" in text
