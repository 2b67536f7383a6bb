"""Requests of reports: what is accepted in which forms, and what is said of everything else."""

from datetime import date
from typing import Any

import pytest

from tallymark.reports import InvalidRequestError, ReportRequest, parse_request, plan
from tallymark.reports.plan import key_ranges
from tallymark.slots import HOUR_US
from tests.tallymark.report_cells import NOON_US, PROPERTY_ID, asks

TODAY = {"startDate": "today", "endDate": "today"}
Request = dict[str, Any]


def parsed(request: Any, *, time_zone: str = "UTC", now_us: int = NOON_US) -> ReportRequest:
    return parse_request(
        request, now_us=now_us, time_zone=time_zone, currency="EUR", property_id=PROPERTY_ID
    )


def problems(request: Any) -> str:
    with pytest.raises(InvalidRequestError) as raised:
        plan(parsed(request), PROPERTY_ID)
    return str(raised.value)


def sessions(**others: Any) -> Request:
    return asks("", "sessions", **{"dateRanges": [TODAY], **others})


@pytest.mark.parametrize(
    ("given", "limit"),
    [({}, 10_000), ({"limit": 0}, 10_000), ({"limit": "10"}, 10), ({"limit": 7.0}, 7),
     ({"limit": 999_999}, 250_000), ({"limit": None}, 10_000)],
)  # fmt: skip
def test_a_limit_is_a_number_or_text(given: Request, limit: int) -> None:
    assert parsed(sessions(**given)).limit == limit


@pytest.mark.parametrize("given", [[1, "5", "MAXIMUM"], ["TOTAL", 5, "6"]])
def test_enums_are_names_or_numbers(given: list[Any]) -> None:
    found = parsed(sessions(metricAggregations=given)).aggregations
    assert found == ("TOTAL", "MINIMUM", "MAXIMUM")


def test_field_names_may_be_in_snake_case() -> None:
    request = {"date_ranges": [{"start_date": "today", "end_date": "today"}]}
    found = parsed(asks("", "sessions", keep_empty_rows=True, **request))
    assert found.keep_empty_rows
    assert found.date_ranges[0].first == date(2023, 11, 15)


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("today", "today", date(2023, 11, 15), date(2023, 11, 15)),
        ("yesterday", "today", date(2023, 11, 14), date(2023, 11, 15)),
        ("30daysAgo", "1daysAgo", date(2023, 10, 16), date(2023, 11, 14)),
        ("0daysAgo", "2024-02-29", date(2023, 11, 15), date(2024, 2, 29)),
    ],
)
def test_dates_are_absolute_or_counted_from_today(
    start: str, end: str, first: date, last: date
) -> None:
    (found,) = parsed(sessions(dateRanges=[{"startDate": start, "endDate": end}])).date_ranges
    assert (found.first, found.last) == (first, last)


@pytest.mark.parametrize(
    ("zone", "now_us", "day", "start_hour", "hours"),
    [
        ("UTC", NOON_US, date(2023, 11, 15), -12, 24),
        ("Europe/Berlin", NOON_US, date(2023, 11, 15), -13, 24),
        ("Pacific/Auckland", NOON_US, date(2023, 11, 16), -1, 24),
        ("America/Los_Angeles", NOON_US - 5 * HOUR_US, date(2023, 11, 14), -28, 24),
        # clocks were put back on 2023-11-05 in New York: a day of 25 hours
        ("America/New_York", NOON_US - 240 * HOUR_US, date(2023, 11, 5), -248, 25),
        # Sao Paulo skipped midnight on 2018-11-04: a day of 23 hours
        ("America/Sao_Paulo", 1_541_332_800_000_000, date(2018, 11, 4), None, 23),
        ("Asia/Kolkata", NOON_US, date(2023, 11, 15), -17.5, 24),
    ],
)
def test_days_are_those_of_the_property(
    zone: str, now_us: int, day: date, start_hour: float | None, hours: int
) -> None:
    (found,) = parsed(sessions(), time_zone=zone, now_us=now_us).date_ranges
    assert found.first == day
    assert found.end_us - found.start_us == hours * HOUR_US
    if start_hour is not None:
        assert found.start_us == NOON_US + start_hour * HOUR_US


def test_date_ranges_are_named_and_their_hours_joined_for_reading() -> None:
    ranges = [
        {"startDate": "2daysAgo", "endDate": "yesterday"},
        {"startDate": "yesterday", "endDate": "today", "name": "now"},
        {"startDate": "30daysAgo", "endDate": "30daysAgo"},
    ]
    found = parsed(sessions(dateRanges=ranges))
    assert [part.name for part in found.date_ranges] == ["date_range_0", "now", "date_range_2"]
    planned = plan(found, PROPERTY_ID)
    assert [end - start for start, end in planned.spans] == [24 * HOUR_US, 72 * HOUR_US]
    first, last = key_ranges(PROPERTY_ID, planned.rollup, planned.spans)[-1]
    assert b"#4711#totals#20231113#" in first
    assert b"#4711#totals#20231115#" in last


def by_date(**test: Any) -> Request:
    return sessions(dimensionFilter={"filter": {"fieldName": "date", **test}})


def having(field: str, **test: Any) -> Request:
    return {"metricFilter": {"filter": {"fieldName": field, **test}}}


def day(**others: Any) -> Request:
    return {"dateRanges": [TODAY], **others}


ABOVE_ONE = {"operation": 4, "value": {"int64Value": 1}}
RANGE = "start_date must be less than or equal to end_date. start_date = 2023-11-15 and end_date ="
ELEVEN = [{"name": f"m{index}", "expression": "exits"} for index in range(11)]
COMPARED = {"name": "a", "dimensionFilter": {}}
REFUSED = [
    ("no JSON object", [], "Root element must be a message."),
    ("no date range", asks("", "sessions"), "A dateRange is required."),
    ("five ranges", sessions(dateRanges=[TODAY] * 5), "This request contains 5 dateRanges."),
    ("nothing asked", day(), "Requests require dimensions and/or metrics."),
    ("unknown field", sessions(colour="red"), 'Unknown name "colour": Cannot find field.'),
    (
        "unknown inner field",
        sessions(dateRanges=[TODAY | {"colour": 1}]),
        """Unknown name "colour" at 'date_ranges[0]': Cannot find field.""",
    ),
    ("cohorts", sessions(cohortSpec={}), "cohortSpec is not served"),
    ("misspelt", asks("browsr", "", **day()), "Did you mean browser? Field browsr is not a valid"),
    ("unknown metric", asks("", "xyzzy", **day()), "Field xyzzy is not a valid metric.  For a"),
    ("ten dimensions", asks("date " * 10, "", **day()), "This request is for 10 dimensions."),
    (
        "ten dimensions by a filter",
        asks(
            "date year month day week hour dayOfWeek nthDay yearMonth",
            "eventCount",
            **day(dimensionFilter={"filter": {"fieldName": "browser", "emptyFilter": {}}}),
        ),
        "Requests are limited to 9 dimensions within a nested request.",
    ),
    ("eleven metrics", day(metrics=ELEVEN), "This request is for 11 metrics."),
    ("twice", asks("date date", "", **day()), "Found duplicate dimensions: date"),
    ("metric twice", asks("", "exits exits", **day()), "Found duplicate metrics: exits"),
    (
        "start after end",
        sessions(dateRanges=[{"startDate": "today", "endDate": "yesterday"}]),
        RANGE,
    ),
    (
        "no date",
        sessions(dateRanges=[{"startDate": "2023-02-30", "endDate": "today"}]),
        "Invalid startDate : 2023-02-30. startDate must be YYYY-MM-DD, NdaysAgo, yesterday, or",
    ),
    (
        "an ancient date",
        sessions(dateRanges=[{"startDate": "1999-12-31", "endDate": "today"}]),
        "start_date = 1999-12-31 must be greater than 1999-12-31 and less than 2200-01-01.",
    ),
    ("reserved name", sessions(dateRanges=[TODAY | {"name": "RESERVED_x"}]), "reserved prefix"),
    ("same names", sessions(dateRanges=[TODAY | {"name": "a"}] * 2), "different names, got a, a"),
    ("negative limit", sessions(limit="-1"), "limit must be positive. The API received limit = -1"),
    ("half an offset", sessions(offset=1.5), "Invalid value at 'offset' (TYPE_INT64), 1.5"),
    ("negative offset", sessions(offset=-1), "offset must be positive. The API received"),
    ("huge limit", sessions(limit="9" * 30), "Invalid value at 'limit' (TYPE_INT64)"),
    (
        "aggregation",
        sessions(metricAggregations=["TOTAL", "MEDIAN"]),
        "Invalid value at 'metric_aggregations[1]'"
        ' (type.googleapis.com/google.analytics.data.v1beta.MetricAggregation), "MEDIAN"',
    ),
    ("count", sessions(metricAggregations=[4]), "Metric aggregation Count is not supported in"),
    (
        "two comparisons of one name",
        sessions(comparisons=[COMPARED, COMPARED]),
        "comparisons: expected different names, got a, a",
    ),
    (
        "five comparisons",
        sessions(comparisons=[{"dimensionFilter": {}}] * 5),
        "comparisons: expected at most 4, got 5",
    ),
    (
        "saved comparison",
        sessions(comparisons=[{"comparison": "comparisons/1"}]),
        "comparisons[0]: comparison: no comparisons are saved",
    ),
    (
        "comparison of nothing",
        sessions(comparisons=[{"name": "x"}]),
        "comparisons[0]: expected a dimensionFilter",
    ),
    ("other property", sessions(property="properties/1"), "expected none or properties/4711"),
    ("currency", sessions(currencyCode="USD"), "currencyCode: expected EUR"),
    ("flag", sessions(keepEmptyRows="yes"), "Invalid value at 'keep_empty_rows' (TYPE_BOOL)"),
    (
        "order",
        sessions(orderBys=[{"metric": {"metricName": "exits"}}]),
        "Field exits exists in OrderBy but is not defined in input Dimensions/Metrics list",
    ),
    ("empty order", sessions(orderBys=[{}]), "exactly one of dimension, metric"),
    ("filter of nothing", by_date(), "exactly one of stringFilter"),
    ("filter on unknown", by_date(fieldName="x", emptyFilter={}), "x is not a valid dimension"),
    ("bad pattern", by_date(stringFilter={"matchType": 5, "value": "("}), "regular expression"),
    (
        "look-behind",
        by_date(stringFilter={"matchType": 6, "value": "(?<=a)b"}),
        "regular expression",
    ),
    (
        "pattern that leaves its group",
        by_date(stringFilter={"matchType": 5, "value": "a)|(b"}),
        "regular expression",
    ),
    (
        "two branches",
        sessions(dimensionFilter={"filter": {}, "andGroup": {}}),
        "exactly one of andGroup",
    ),
    (
        "empty group",
        sessions(dimensionFilter={"orGroup": {"expressions": []}}),
        "at least one expression",
    ),
    (
        "text of a metric",
        sessions(**having("sessions", stringFilter={"value": "1"})),
        "exactly one of numericFilter, betweenFilter",
    ),
    (
        "unknown metric of a filter",
        sessions(**having("exit", numericFilter=ABOVE_ONE)),
        "metricFilter: Did you mean exits? Field exit is not a valid metric.",
    ),
    (
        "no operation",
        sessions(**having("sessions", numericFilter={"value": {"int64Value": 1}})),
        "operation: expected one of",
    ),
    (
        "no number",
        sessions(**having("sessions", numericFilter={"operation": 1})),
        "value: expected int64Value or doubleValue",
    ),
    ("incompatible", asks("pagePath", "activeUsers", **day()), "Please remove pagePath to make"),
    ("sessions by host", asks("hostName", "sessions", **day()), "Or add pagePath."),
    (
        "total of some pages",
        asks(
            "pagePath",
            "sessions",
            **day(metricAggregations=["TOTAL"], **having("sessions", numericFilter=ABOVE_ONE)),
        ),
        "the total of only some of them is not kept",
    ),
]


@pytest.mark.parametrize(
    ("request_", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_wrong_request_is_refused_with_what_is_wrong(request_: Any, said: str) -> None:
    assert said in problems(request_)


def test_all_problems_are_said_together() -> None:
    said = problems(asks("nope", "sesions", limit=-1))
    assert [word in said for word in ("nope", "sesions", "limit", "dateRange")] == [True] * 4


def test_a_request_nested_without_end_is_refused() -> None:
    tree: Request = {"filter": {"fieldName": "date", "emptyFilter": {}}}
    for _ in range(100):
        tree = {"notExpression": tree}
    assert "nested deeper" in problems(sessions(dimensionFilter=tree))


def test_a_filter_may_have_many_leaves_but_not_any_number() -> None:
    leaf = {"filter": {"fieldName": "date", "emptyFilter": {}}}
    assert parsed(sessions(dimensionFilter={"orGroup": {"expressions": [leaf] * 200}}))
    many = sessions(dimensionFilter={"orGroup": {"expressions": [leaf] * 201}})
    assert "at most 200 filters" in problems(many)
