"""Realtime reports: minutes before the present one, and minutes of any day."""

from typing import Any

import pytest

from tallymark.reports import RUN_REALTIME_REPORT, InvalidRequestError
from tallymark.slots import MINUTE_US
from tests.tallymark.report_cells import NOON_US, Row, asks, report_of, values

NOW_US = NOON_US + 10 * MINUTE_US + 30_000_000
"""12:10:30."""


def minute(text: str, hour: int = 0, **measures: Any) -> Row:
    return {"minute": text, "hour": hour, **measures}


ROWS = [
    minute("40", -1, events=9, views=9, users={8}),  # too old
    minute("41", -1, events=2, views=1, users={1, 2}),
    minute("59", -1, events=1, users={4}),
    minute("00", events=2, views=2, users={2}),
    minute("10", events=3, views=2, users={2, 3}),
    minute("11", events=5, views=5, users={9}),  # yet to come
]


def realtime(dimensions: str, metrics: str, *, time_zone: str = "UTC", **others: Any) -> Any:
    return report_of(
        ROWS,
        asks(dimensions, metrics, **others),
        method=RUN_REALTIME_REPORT,
        now_us=NOW_US,
        time_zone=time_zone,
    )


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_the_last_thirty_minutes_are_counted_with_each_user_once(zone: str) -> None:
    report = realtime("", "activeUsers eventCount screenPageViews", time_zone=zone)
    assert values(report["rows"]) == [("4", "8", "5")]
    assert report["kind"] == "analyticsData#runRealtimeReport"
    assert "metadata" not in report


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_minutes_are_counted_back_from_the_present_one(zone: str) -> None:
    report = realtime(
        "minutesAgo", "eventCount activeUsers", metricAggregations=["TOTAL"], time_zone=zone,
        orderBys=[{"dimension": {"dimensionName": "minutesAgo", "orderType": "NUMERIC"}}],
    )  # fmt: skip
    assert values(report["rows"]) == [
        ("00", "3", "2"), ("10", "2", "1"), ("11", "1", "1"), ("29", "2", "2"),
    ]  # fmt: skip
    assert values(report["totals"]) == [("RESERVED_TOTAL", "8", "4")]


def test_minute_ranges_are_compared() -> None:
    ranges = [{"startMinutesAgo": 9}, {"startMinutesAgo": "11", "endMinutesAgo": 10, "name": "b"}]
    report = realtime("", "eventCount", minuteRanges=ranges)
    assert values(report["rows"]) == [("date_range_0", "3"), ("b", "3")]


def test_a_filter_and_a_limit_hold_for_minutes_too() -> None:
    recent = {"filter": {"fieldName": "minutesAgo", "numericFilter": {
        "operation": "LESS_THAN", "value": {"int64Value": "11"}}}}  # fmt: skip
    report = realtime("minutesAgo", "eventCount", dimensionFilter=recent, limit=1)
    assert (values(report["rows"]), report["rowCount"]) == ([("00", "3")], 2)


REFUSED = [
    (asks("", "eventCount", dateRanges=[]), 'Unknown name "dateRanges"'),
    (asks("", "eventCount", offset=1), 'Unknown name "offset"'),
    (asks("", "eventCount", minuteRanges=[{}] * 3), "This request contains 3 minuteRanges."),
    (asks("", "eventCount", minuteRanges=[{"startMinutesAgo": 30}]), "got 30 to 0"),
    (asks("", "eventCount", minuteRanges=[{"endMinutesAgo": -1}]), "got 29 to -1"),
    (
        asks("", "eventCount", minuteRanges=[{"startMinutesAgo": 1, "endMinutesAgo": 2}]),
        "startMinutesAgo not after endMinutesAgo, got 1 to 2",
    ),
    (asks("", "eventCount", minuteRanges=[{"name": "date_range_7"}]), "no reserved prefix"),
    (
        asks("pageTitle", "eventCount"),
        "Field pageTitle is not a valid dimension. For a list of valid dimensions and metrics, see"
        " https://developers.google.com/analytics/devguides/reporting/data/v1/realtime-api-schema ",
    ),
    (asks("", "sessions"), "Field sessions is not a valid metric.  For a list"),
]


@pytest.mark.parametrize(("request_", "said"), REFUSED)
def test_a_wrong_realtime_request_is_refused(request_: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        report_of([], request_, method=RUN_REALTIME_REPORT)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", ["202311151141", "202311151159", "202311151200"]),
        ("Asia/Kathmandu", ["202311151726", "202311151744", "202311151745"]),
        ("America/New_York", ["202311150641", "202311150659", "202311150700"]),
    ],
)
def test_minutes_of_any_day_are_local(zone: str, expected: list[str]) -> None:
    rows = [ROWS[1], ROWS[2], ROWS[3]]
    report = report_of(rows, asks("dateHourMinute minute", "eventCount"), time_zone=zone)
    found = sorted(row[:2] for row in values(report["rows"]))
    assert found == [(each, each[-2:]) for each in expected]
