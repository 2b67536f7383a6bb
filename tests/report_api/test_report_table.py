"""Google's own clients, pointed here by nothing but an address and a key, through a table of
requests that covers the contract; answers are held against plain SQL over the same rows."""

import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from google.analytics.data_v1beta import BetaAnalyticsDataClient, types
from google.api_core import exceptions
from google.oauth2.credentials import Credentials

from tests.report_api.conftest import Server, make_shop, serving
from tests.report_api.plain_sql import DIMENSIONS, METRICS, Asked
from tests.report_api.recorded_days import local_day, recorded_days
from tests.report_api.report_table import Case, Days, named, report_table

MODULES = Path(__file__).parents[2] / ".servers" / "reporting_clients" / "node_modules"
needs_node_client = pytest.mark.skipif(
    not (MODULES.exists() and shutil.which("node")),
    reason="the client is not installed; run deploy/servers/install_reporting_clients.sh",
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Recorded:
    """A report API over some days, and the same days in DuckDB."""

    server: Server
    database: duckdb.DuckDBPyConnection
    cases: list[Case]

    @property
    def client(self) -> BetaAnalyticsDataClient:
        return BetaAnalyticsDataClient(
            transport="rest",
            credentials=Credentials(token=self.server.shop.read_key),
            client_options={"api_endpoint": self.server.url},
        )

    @property
    def place(self) -> str:
        return f"properties/{self.server.shop.property_id}"

    @property
    def days(self) -> Days:
        return Days(lambda ago: local_day(self.server.shop, ago))

    @property
    def all_days(self) -> list[dict[str, str]]:
        return [{"startDate": str(self.days.ago(5)), "endDate": str(self.days.ago(0))}]

    def asked(self, table: str, by: str, metrics: str, **others: Any) -> Rows:
        return Asked(
            table=table,
            by={name: DIMENSIONS[name] for name in by.split()},
            metrics={name: METRICS[name] for name in metrics.split()},
            ranges=[self.days.range(5, 0)],
            **others,
        ).rows(self.database)


@pytest.fixture(scope="module", name="recorded")
def _recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("table")
    rates = [{"currency": "USD", "since": "2020-01-01", "rate": "0.8"}]
    shop = make_shop(
        folder, time.time_ns() // 1000, time_zone="America/New_York", exchange_rates=rates
    )
    database = recorded_days(shop)
    with serving(shop) as server:
        yield Recorded(server, database, report_table(Days(lambda ago: local_day(shop, ago))))


def plain(rows: Any) -> Rows:
    """Rows of an answer: texts, then numbers."""
    return [
        (
            *(cell.value for cell in row.dimension_values),
            *(float(cell.value) for cell in row.metric_values),
        )
        for row in rows
    ]


def same(found: Rows, expected: Rows) -> bool:
    return len(found) == len(expected) and all(
        len(one) == len(other)
        and all(
            math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
            if isinstance(a, float) and isinstance(b, float)
            else a == b
            for a, b in zip(one, other, strict=True)
        )
        for one, other in zip(found, expected, strict=True)
    )


NAMES = [case.name for case in report_table(Days(lambda ago: f"2024-01-{9 - ago:02d}"))]


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_a_report_says_what_plain_sql_says(recorded: Recorded, number: int) -> None:
    case = recorded.cases[number]
    request = types.RunReportRequest.from_json(json.dumps(case.request))
    request.property = recorded.place
    answer = recorded.client.run_report(request)
    found, expected = plain(answer.rows), case.asked.rows(recorded.database)
    if not case.asked.order:
        found, expected = sorted(found), sorted(expected)
    assert same(found, expected), f"expected {expected[:20]}, found {found[:20]}"
    assert answer.kind == "analyticsData#runReport"
    assert answer.metadata.time_zone == "America/New_York"
    assert [header.name for header in answer.metric_headers] == [*case.asked.metrics]
    if not case.asked.page:
        assert answer.row_count == len(expected)


def test_the_table_is_large_and_most_of_its_reports_say_something(recorded: Recorded) -> None:
    assert len(NAMES) == len(set(NAMES)) >= 150
    silent = [case.name for case in recorded.cases if not case.asked.rows(recorded.database)]
    # How many hours of the recorded days lie in a range depends on the time of the test's day.
    assert len(silent) <= len(NAMES) // 10, silent


def test_totals_minimums_and_maximums_are_of_all_rows(recorded: Recorded) -> None:
    request = types.RunReportRequest(
        property=recorded.place,
        date_ranges=[types.DateRange(start_date="5daysAgo", end_date="today")],
        dimensions=[types.Dimension(name="sessionSource")],
        metrics=[types.Metric(name=name) for name in ("sessions", "totalUsers", "engagementRate")],
        metric_aggregations=[
            types.MetricAggregation.TOTAL,
            types.MetricAggregation.MINIMUM,
            types.MetricAggregation.MAXIMUM,
        ],
        dimension_filter=types.FilterExpression(
            not_expression=types.FilterExpression(
                filter=types.Filter(
                    field_name="sessionMedium", empty_filter=types.Filter.EmptyFilter()
                )
            )
        ),
        limit=1,
    )
    answer = recorded.client.run_report(request)
    metrics = "sessions totalUsers engagementRate"
    whole = recorded.asked("acquisition", "", metrics, where="medium <> ''")
    rows = recorded.asked("acquisition", "sessionSource", metrics, where="medium <> ''")
    columns = list(zip(*rows, strict=True))[1:]
    assert same(plain(answer.totals), [("RESERVED_TOTAL", *row) for row in whole])
    assert same(plain(answer.minimums), [("RESERVED_MIN", *map(min, columns))])
    assert same(plain(answer.maximums), [("RESERVED_MAX", *map(max, columns))])


PIVOTED = {
    "dimensions": named("sessionMedium dayOfWeekName sessionDefaultChannelGroup"),
    "metrics": named("sessions totalUsers"),
    "pivots": [
        {"fieldNames": ["sessionMedium"], "limit": 3, "metricAggregations": ["TOTAL", "MAXIMUM"],
         "orderBys": [{"dimension": {"dimensionName": "sessionMedium"}}]},
        {"fieldNames": ["dayOfWeekName"], "limit": 50, "metricAggregations": ["TOTAL"],
         "orderBys": [{"metric": {"metricName": "totalUsers"}, "desc": True}]},
    ],
}  # fmt: skip


def test_a_pivot_report_says_what_plain_sql_says(recorded: Recorded) -> None:
    request = types.RunPivotReportRequest.from_json(
        json.dumps(PIVOTED | {"dateRanges": recorded.all_days})
    )
    request.property = recorded.place
    answer = recorded.client.run_pivot_report(request)
    metrics = "sessions totalUsers"
    media = [row[0] for row in recorded.asked("acquisition", "sessionMedium", metrics)]
    shown = sorted(media)[:3]
    days = recorded.asked(
        "acquisition", "dayOfWeekName", metrics, order='"totalUsers" desc, "dayOfWeekName"'
    )

    def combinations(number: int) -> list[str]:
        headers = answer.pivot_headers[number].pivot_dimension_headers
        return [header.dimension_values[0].value for header in headers]

    assert combinations(0) == shown
    assert combinations(1) == [row[0] for row in days]
    assert [header.row_count for header in answer.pivot_headers] == [len(media), len(days)]
    cells = recorded.asked("acquisition", "sessionMedium dayOfWeekName", metrics)
    of_shown = [row for row in cells if row[0] in shown]
    assert same(sorted(plain(answer.rows)), sorted(of_shown))
    by_medium = recorded.asked("acquisition", "sessionMedium", metrics)
    (whole,) = recorded.asked("acquisition", "", metrics)
    of_day = {day: [row[2:] for row in cells if row[1] == day] for day in combinations(1)}
    largest = [
        ("RESERVED_MAX", day, *map(max, zip(*rows, strict=True))) for day, rows in of_day.items()
    ]
    expected = [
        *(("RESERVED_TOTAL", *row) for row in days),
        *((row[0], "RESERVED_TOTAL", *row[1:]) for row in by_medium if row[0] in shown),
        ("RESERVED_TOTAL", "RESERVED_TOTAL", *whole),
        *largest,
    ]
    assert same(sorted(plain(answer.aggregates)), sorted(expected))
    batch = recorded.client.batch_run_pivot_reports(
        types.BatchRunPivotReportsRequest(property=recorded.place, requests=[request, request])
    )
    assert [list(each.rows) for each in batch.pivot_reports] == [list(answer.rows)] * 2
    assert batch.kind == "analyticsData#batchRunPivotReports"


def test_the_last_minutes_say_what_plain_sql_says(recorded: Recorded) -> None:
    client = recorded.client
    metrics = [types.Metric(name=name) for name in ("activeUsers", "eventCount", "screenPageViews")]
    request = types.RunRealtimeReportRequest(property=recorded.place, metrics=metrics)
    whole = client.run_realtime_report(request)
    recent = f"start_us > {recorded.server.shop.now_us} - 30 * 60 * 1000000"
    (expected,) = Asked(
        table="minutes",
        by={},
        metrics={name: METRICS[name] for name in ("totalUsers", "eventCount", "screenPageViews")},
        ranges=[recorded.days.range(1, 0)],
        where=recent,
    ).rows(recorded.database)
    assert same(plain(whole.rows), [expected])
    assert whole.kind == "analyticsData#runRealtimeReport"
    request.dimensions = [types.Dimension(name="minutesAgo")]
    request.minute_ranges = [
        types.MinuteRange(name="recent", start_minutes_ago=29, end_minutes_ago=15),
        types.MinuteRange(start_minutes_ago=14, end_minutes_ago=0),
    ]
    request.metrics = [types.Metric(name="eventCount")]
    request.order_bys = [
        types.OrderBy(dimension=types.OrderBy.DimensionOrderBy(dimension_name="minutesAgo"))
    ]
    apart = plain(client.run_realtime_report(request).rows)
    assert sum(row[2] for row in apart) == expected[1]
    assert {row[1] for row in apart} <= {"recent", "date_range_1"}
    assert [row[0] for row in apart] == sorted(row[0] for row in apart)


def test_a_batch_a_catalogue_and_compatibility_go_together(recorded: Recorded) -> None:
    client = recorded.client
    some = [recorded.cases[number] for number in (0, 30, 60, 90, 120)]
    requests = [types.RunReportRequest.from_json(json.dumps(case.request)) for case in some]
    batch = client.batch_run_reports(
        types.BatchRunReportsRequest(property=recorded.place, requests=requests)
    )
    for case, report in zip(some, batch.reports, strict=True):
        expected = case.asked.rows(recorded.database)
        assert same(sorted(plain(report.rows)), sorted(expected))
    catalogue = client.get_metadata(name=f"{recorded.place}/metadata")
    names = {field.api_name for field in catalogue.dimensions}
    assert {*DIMENSIONS} - {"dayOfWeekZero"} <= names
    assert {*METRICS} - {"conversions"} <= {field.api_name for field in catalogue.metrics}
    former = {field.api_name: list(field.deprecated_api_names) for field in catalogue.metrics}
    assert former["keyEvents"] == ["conversions"]
    everywhere = client.get_metadata(name="properties/0/metadata")
    assert names >= {field.api_name for field in everywhere.dimensions}
    checked = client.check_compatibility(
        types.CheckCompatibilityRequest(
            property=recorded.place,
            dimensions=[types.Dimension(name="eventName")],
            compatibility_filter=types.Compatibility.COMPATIBLE,
        )
    )
    good = {each.metric_metadata.api_name for each in checked.metric_compatibilities}
    assert {"eventCount", "totalUsers"} <= good
    for name in good:
        request = types.RunReportRequest(
            property=recorded.place,
            date_ranges=[types.DateRange(start_date="yesterday", end_date="today")],
            dimensions=[types.Dimension(name="eventName")],
            metrics=[types.Metric(name=name)],
        )
        with suppress(exceptions.MethodNotImplemented):  # what only single hits tell
            client.run_report(request)


@needs_node_client
def test_the_client_for_node_reads_the_same(recorded: Recorded) -> None:
    asked = [{"method": "runReport", "request": case.request} for case in recorded.cases]
    asked += [
        {"method": "runPivotReport", "request": PIVOTED | {"dateRanges": recorded.all_days}},
        {"method": "runRealtimeReport", "request": {"metrics": named("eventCount")}},
        {"method": "getMetadata", "request": {}},
        {"method": "checkCompatibility", "request": {"dimensions": named("browser")}},
        {"method": "batchRunReports", "request": {"requests": [recorded.cases[0].request]}},
        {"method": "runReport", "request": {"metrics": named("sessions")}},
    ]
    script = Path(__file__).parent / "clients" / "google_data.cjs"
    port = recorded.server.url.rpartition(":")[2]
    answers = json.loads(
        subprocess.run(
            ["node", script, port, recorded.server.shop.read_key, recorded.place],
            input=json.dumps(asked).encode(),
            capture_output=True,
            check=True,
            timeout=200,
            env=os.environ | {"NODE_PATH": str(MODULES)},
        ).stdout
    )
    for case, found in zip(recorded.cases, answers, strict=False):
        expected = case.asked.rows(recorded.database)
        rows = [
            (
                *(cell["value"] for cell in row["dimensionValues"]),
                *(float(cell["value"]) for cell in row["metricValues"]),
            )
            for row in found["answer"]["rows"]
        ]
        assert same(sorted(rows), sorted(expected)), case.name
    pivoted, realtime, catalogue, checked, batch, refused = answers[len(recorded.cases) :]
    assert len(pivoted["answer"]["pivotHeaders"]) == 2
    assert realtime["answer"]["rows"][0]["metricValues"]
    assert {field["apiName"] for field in catalogue["answer"]["dimensions"]} >= {"date", "browser"}
    assert checked["answer"]["dimensionCompatibilities"]
    assert batch["answer"]["reports"][0]["kind"] == "analyticsData#runReport"
    assert (
        refused["error"]["code"],
        "A dateRange is required." in refused["error"]["message"],
    ) == (
        400,
        True,
    )
