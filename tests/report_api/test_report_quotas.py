"""Quotas of the report API: told in every method that tells them, kept by every worker."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from google.analytics.data_v1beta.types import RunReportRequest
from google.api_core import exceptions
from werkzeug.test import TestResponse

from report_api.answer_cache import AnswerCache
from report_api.reader import ReportReader
from stores.archive.damage import ArchiveDamageError
from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.quotas import QuotaLimits
from tests.report_api.conftest import Shop, client_of, fill, make_shop, serving
from tests.report_api.test_google_client import client_of as google_client_of

TODAY = [{"startDate": "today", "endDate": "today"}]
REPORT = {"dateRanges": TODAY, "metrics": [{"name": "sessions"}], "returnPropertyQuota": True}
PIVOTS = REPORT | {
    "dimensions": [{"name": "sessionSource"}],
    "pivots": [{"fieldNames": ["sessionSource"], "limit": 5}],
}
MINUTES = {"metrics": [{"name": "activeUsers"}], "return_property_quota": True}
LEFT = {
    "tokensPerDay": {"consumed": 1, "remaining": 199_999},
    "tokensPerHour": {"consumed": 1, "remaining": 39_999},
    "concurrentRequests": {"consumed": 0, "remaining": 10},
    "serverErrorsPerProjectPerHour": {"consumed": 0, "remaining": 10},
    "potentiallyThresholdedRequestsPerHour": {"consumed": 0, "remaining": 120},
    "tokensPerProjectPerHour": {"consumed": 1, "remaining": 13_999},
}
"""After the first report of a property."""


def ask(client: FlaskClient, shop: Shop, method: str, request: dict[str, Any]) -> TestResponse:
    return client.post(
        f"/v1beta/properties/{shop.property_id}:{method}",
        json=request,
        headers={"X-Goog-Api-Key": shop.read_key},
    )


@pytest.mark.parametrize(
    ("method", "request_", "told"),
    [
        ("runReport", REPORT, []),
        ("runPivotReport", PIVOTS, []),
        ("runRealtimeReport", MINUTES, []),
        ("batchRunReports", {"requests": [REPORT]}, ["reports", 0]),
        ("batchRunPivotReports", {"requests": [PIVOTS]}, ["pivotReports", 0]),
    ],
)
def test_every_method_tells_what_is_left_to_who_asks(
    shop: Shop, store: WideRows, method: str, request_: dict[str, Any], told: list[Any]
) -> None:
    client = client_of(shop, store, quota_limits=QuotaLimits())
    found = ask(client, shop, method, request_).json
    for step in told:
        found = found[step]
    assert found["propertyQuota"] == LEFT
    silent = {**MINUTES, "return_property_quota": False}
    assert "propertyQuota" not in ask(client, shop, "runRealtimeReport", silent).json


def test_each_report_of_a_batch_is_charged_and_realtime_has_quotas_of_its_own(
    shop: Shop, store: WideRows
) -> None:
    client = client_of(shop, store, quota_limits=QuotaLimits())
    ask(client, shop, "runRealtimeReport", MINUTES)
    found = ask(client, shop, "batchRunReports", {"requests": [REPORT] * 3}).json
    left = [report["propertyQuota"]["tokensPerDay"]["remaining"] for report in found["reports"]]
    assert left == [199_999, 199_998, 199_997]


def test_a_quota_that_is_used_up_is_a_429_that_says_when_to_come_again(
    shop: Shop, store: WideRows
) -> None:
    client = client_of(shop, store, quota_limits=QuotaLimits(tokens_per_project_per_hour=2))
    other = make_shop(shop.data_dir, shop.now_us, "Other")
    for _ in range(2):
        assert ask(client, shop, "runReport", REPORT).status_code == 200
    for method, request in (("runReport", REPORT), ("checkCompatibility", {})):
        refused = ask(client, shop, method, request)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == str(50 * 60)  # it is ten past
        assert refused.json["error"]["status"] == "RESOURCE_EXHAUSTED"
        assert refused.json["error"]["message"].startswith(
            "Exhausted property tokens for a project per hour."
        )
    assert ask(client, other, "runReport", REPORT).status_code == 200
    assert ask(client, shop, "runRealtimeReport", MINUTES).status_code == 200


def test_a_request_that_is_refused_costs_a_token_too(shop: Shop, store: WideRows) -> None:
    client = client_of(shop, store, quota_limits=QuotaLimits())
    assert ask(client, shop, "runReport", {"colour": 1}).status_code == 400
    found = ask(client, shop, "runReport", REPORT).json
    assert found["propertyQuota"]["tokensPerHour"]["remaining"] == 39_998


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ZeroDivisionError(), 500),
        (ArchiveDamageError("a file"), 500),
        (WideRowsUnavailableError("away"), 503),
    ],
)
def test_no_error_keeps_its_place_and_only_faults_of_the_server_count(
    shop: Shop,
    store: WideRows,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
) -> None:
    limits = QuotaLimits(concurrent_requests=1, server_errors_per_project_per_hour=3)
    client = client_of(shop, store, quota_limits=limits)
    client.application.config["PROPAGATE_EXCEPTIONS"] = False

    def fail(*_arguments: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(ReportReader, "report", fail)
        answers = [ask(client, shop, "runReport", REPORT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status] * 3
    assert all(set(answer.json["error"]) == {"code", "message", "status"} for answer in answers)
    after = ask(client, shop, "runReport", REPORT)
    assert after.status_code == (429 if status == 500 else 200)
    if status == 500:
        assert "server errors" in after.json["error"]["message"]


def test_an_answer_that_was_kept_tells_what_is_left_now(shop: Shop, store: WideRows) -> None:
    cache = AnswerCache(1 << 20, seed=1)
    client = client_of(shop, store, quota_limits=QuotaLimits(), answer_cache=cache)
    left = [
        ask(client, shop, "runReport", REPORT).json["propertyQuota"]["tokensPerDay"]["remaining"]
        for _ in range(3)
    ]
    assert left == [199_999, 199_998, 199_997]
    assert (cache.hits, cache.misses) == (2, 1)


@pytest.mark.slow
def test_workers_keep_the_quotas_of_a_property_together(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, now_us=time.time_ns() // 1000)
    fill(shop)
    limits = {"tokens_per_hour": 30, "tokens_per_project_per_hour": 0}
    with serving(shop, workers=2, quotas=limits) as server:
        allowed = refused = 0
        while not refused and allowed < 300:
            status = _status(server.url, shop)
            allowed, refused = allowed + (status == 200), refused + (status == 429)
            time.sleep(0.04)
        # The two know of each other within half a second.
        assert 30 <= allowed <= 30 + 0.6 / 0.04
        time.sleep(1)
        assert {_status(server.url, shop) for _ in range(12)} == {429}
        with pytest.raises(exceptions.TooManyRequests, match="Exhausted property tokens per hour"):
            google_client_of(server, shop.read_key).run_report(
                RunReportRequest(
                    property=f"properties/{shop.property_id}",
                    metrics=[{"name": "sessions"}],
                    date_ranges=[{"start_date": "today", "end_date": "today"}],
                )
            )


def _status(url: str, shop: Shop) -> int:
    request = urllib.request.Request(
        f"{url}/v1beta/properties/{shop.property_id}:runReport",
        data=json.dumps(REPORT).encode(),
        headers={"X-Goog-Api-Key": shop.read_key, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
