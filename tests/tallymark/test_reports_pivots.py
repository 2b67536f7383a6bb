"""Pivot reports: combinations, cells where they meet, and aggregations over some of the pivots."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.reports import RUN_PIVOT_REPORT, InvalidRequestError
from tests.tallymark.report_cells import Row, asks, report_of, values

TWO_RANGES = [
    {"startDate": "today", "endDate": "today", "name": "now"},
    {"startDate": "yesterday", "endDate": "today"},
]


def hit(source: str, medium: str, hour: int = 0, **measures: Any) -> Row:
    return {"source": source, "medium": medium, "hour": hour, **measures}


ROWS = [
    hit("google", "organic", sessions=5, users={1, 2, 3}),
    hit("google", "cpc", sessions=2, users={3, 4}),
    hit("bing", "organic", sessions=3, users={1, 9}),
    hit("bing", "organic", hour=-13, sessions=1, users={1}),
    hit("letter", "email", sessions=4, users={5}),
]


def pivot(fields: str, **others: Any) -> dict[str, Any]:
    return {"fieldNames": fields.split(), "limit": 10, **others}


def pivoted(*pivots: dict[str, Any], metrics: str = "sessions totalUsers", **others: Any) -> Any:
    request = asks("sessionSource sessionMedium", metrics, pivots=list(pivots), **others)
    return report_of(others.pop("rows", ROWS), request, method=RUN_PIVOT_REPORT)


def combinations(header: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        tuple(value["value"] for value in each["dimensionValues"])
        for each in header["pivotDimensionHeaders"]
    ]


SOURCES = pivot("sessionSource")
MEDIA = pivot("sessionMedium")


def test_rows_are_where_combinations_meet() -> None:
    report = pivoted(SOURCES, MEDIA)
    assert report["kind"] == "analyticsData#runPivotReport"
    assert [header["name"] for header in report["dimensionHeaders"]] == [
        "sessionSource", "sessionMedium",
    ]  # fmt: skip
    sources, media = report["pivotHeaders"]
    assert combinations(sources) == [("google",), ("bing",), ("letter",)]
    assert combinations(media) == [("organic",), ("email",), ("cpc",)]
    assert values(report["rows"]) == [
        ("google", "organic", "5", "3"),
        ("google", "cpc", "2", "2"),
        ("bing", "organic", "4", "2"),
        ("letter", "email", "4", "1"),
    ]
    assert report["aggregates"] == []


def test_a_pivot_has_pages_of_its_own() -> None:
    report = pivoted(
        pivot("sessionSource", limit="1", offset=1),
        pivot("sessionMedium", limit=1),
    )
    assert [header["rowCount"] for header in report["pivotHeaders"]] == [3, 3]
    assert values(report["rows"]) == [("bing", "organic", "4", "2")]


def test_an_aggregation_is_taken_over_the_pivots_that_ask_for_it() -> None:
    both = {"metricAggregations": ["TOTAL"]}
    report = pivoted(SOURCES | both, MEDIA | {"metricAggregations": [1, 4, 5, 6]})
    found = values(report["aggregates"])
    assert ("RESERVED_TOTAL", "organic", "9", "4") in found
    assert ("google", "RESERVED_TOTAL", "7", "4") in found
    assert ("RESERVED_TOTAL", "RESERVED_TOTAL", "15", "6") in found
    assert ("google", "RESERVED_COUNT", "2", "2") in found
    assert ("google", "RESERVED_MIN", "2", "2") in found
    assert ("google", "RESERVED_MAX", "5", "3") in found
    assert len(found) == 3 + 3 + 1 + 3 * 3


def test_only_what_is_shown_is_aggregated_by() -> None:
    report = pivoted(pivot("sessionSource", limit=1), MEDIA | {"metricAggregations": ["TOTAL"]})
    assert values(report["aggregates"]) == [("google", "RESERVED_TOTAL", "7", "4")]


ORDERS = [
    ([{"dimension": {"dimensionName": "sessionSource"}}], "bing google letter"),
    ([{"dimension": {"dimensionName": "sessionSource"}, "desc": True}], "letter google bing"),
    ([{"metric": {"metricName": "totalUsers"}}], "letter bing google"),
    (
        [{"pivot": {"metricName": "sessions", "pivotSelections": [
            {"dimensionName": "sessionMedium", "dimensionValue": "organic"}]}, "desc": True}],
        "google bing letter",
    ),
    (
        [{"pivot": {"metricName": "sessions", "pivotSelections": [
            {"dimensionName": "sessionMedium", "dimensionValue": "email"}]}}],
        "bing google letter",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("orders", "expected"), ORDERS)
def test_the_first_pivot_orders_rows(orders: list[Any], expected: str) -> None:
    report = pivoted(SOURCES | {"orderBys": orders}, MEDIA)
    found = [name for (name,) in combinations(report["pivotHeaders"][0])]
    assert found == expected.split()
    assert list(dict.fromkeys(row[0] for row in values(report["rows"]))) == expected.split()


def test_date_ranges_are_compared_where_a_pivot_names_them_and_joined_where_none_does() -> None:
    together = pivoted(SOURCES, metrics="sessions", dateRanges=TWO_RANGES)
    assert values(together["rows"]) == [("google", "7"), ("bing", "4"), ("letter", "4")]
    apart = pivoted(SOURCES, pivot("dateRange"), metrics="totalUsers", dateRanges=TWO_RANGES)
    assert ("bing", "date_range_1", "2") in values(apart["rows"])
    assert ("bing", "now", "2") in values(apart["rows"])
    total = pivoted(
        SOURCES, pivot("dateRange", metricAggregations=["TOTAL"]), metrics="totalUsers",
        dateRanges=TWO_RANGES,
    )  # fmt: skip
    assert ("bing", "RESERVED_TOTAL", "2") in values(total["aggregates"])  # each user once


def test_comparisons_are_a_dimension_of_a_pivot() -> None:
    organic = {"filter": {"fieldName": "sessionMedium", "stringFilter": {"value": "organic"}}}
    comparisons = [
        {"name": "all", "dimensionFilter": {}},
        {"name": "organic", "dimensionFilter": organic},
    ]
    report = pivoted(SOURCES, pivot("comparison"), metrics="sessions", comparisons=comparisons)
    assert values(report["rows"]) == [
        ("google", "all", "7"), ("google", "organic", "5"),
        ("bing", "all", "4"), ("bing", "organic", "4"),
        ("letter", "all", "4"),
    ]  # fmt: skip
    ignored = pivoted(SOURCES, metrics="sessions", comparisons=comparisons)
    assert values(ignored["rows"]) == [("google", "7"), ("bing", "4"), ("letter", "4")]


def test_filters_hold_before_and_after_rows_are_summed() -> None:
    report = pivoted(
        SOURCES, MEDIA, metrics="sessions",
        dimensionFilter={"filter": {"fieldName": "sessionSource",
                                    "inListFilter": {"values": ["google", "bing"]}}},
        metricFilter={"filter": {"fieldName": "sessions",
                                 "betweenFilter": {"fromValue": {"int64Value": "3"},
                                                   "toValue": {"doubleValue": 4.5}}}},
    )  # fmt: skip
    assert values(report["rows"]) == [("bing", "organic", "4")]
    assert [header["rowCount"] for header in report["pivotHeaders"]] == [1, 1]


REFUSED = [
    ([], {}, "pivots: expected 1 to 9, got 0"),
    ([pivot("sessionSource", limit=0)], {}, "limit: expected a positive number, which every"),
    ([pivot("sessionSource", limit=501), pivot("sessionMedium", limit=500)], {}, "got 250500"),
    ([SOURCES, SOURCES], {}, "expected each dimension once, got sessionSource again"),
    ([pivot("browser")], {}, "expected a dimension of the request, got browser"),
    ([pivot("")], {}, "pivots[0]: fieldNames: expected at least one"),
    ([SOURCES], {"metrics": []}, "metrics: expected at least one"),
    ([SOURCES | {"offset": -1}], {}, "offset must be positive."),
    ([SOURCES], {"limit": 5}, 'Unknown name "limit": Cannot find field.'),
    (
        [SOURCES | {"orderBys": [{"pivot": {"metricName": "sessions"}}]}],
        {},
        "pivotSelections: expected at least one",
    ),
    (
        [SOURCES | {"orderBys": [{"dimension": {"dimensionName": "sessionMedium"}}]}, MEDIA],
        {},
        "Field sessionMedium exists in OrderBy but is not defined in",
    ),
    ([SOURCES | {"metricAggregations": ["x"]}], {}, "at 'pivots[0].metric_aggregations[0]'"),
]


@pytest.mark.parametrize(("pivots", "others", "said"), REFUSED)
def test_a_wrong_pivot_is_refused_with_what_is_wrong(
    pivots: list[Any], others: dict[str, Any], said: str
) -> None:
    request = asks("sessionSource sessionMedium", "sessions", pivots=pivots) | others
    with pytest.raises(InvalidRequestError) as raised:
        report_of([], request, method=RUN_PIVOT_REPORT)
    assert said in str(raised.value)


def test_sessions_by_page_are_not_added_up_over_pages() -> None:
    by_page = pivot("pagePath", orderBys=[{"dimension": {"dimensionName": "pagePath"}}])
    total = by_page | {"metricAggregations": ["TOTAL"]}
    request = asks("pagePath", "sessions", pivots=[total])
    with pytest.raises(InvalidRequestError, match="Please remove sessions"):
        report_of([], request, method=RUN_PIVOT_REPORT)
    pages = [{"host": "h", "path": "/", "sessions": 2}, {"host": "h", "path": "/b", "sessions": 1}]
    found = report_of(pages, request | {"pivots": [by_page]}, method=RUN_PIVOT_REPORT)
    assert values(found["rows"]) == [("/", "2"), ("/b", "1")]


SETS = st.sets(st.integers(0, 20))
DRAWN = st.lists(
    st.builds(
        hit, st.sampled_from("abc"), st.sampled_from("xyz"), hour=st.integers(-40, 11),
        sessions=st.integers(0, 4), users=SETS,
    ),
    max_size=12,
)  # fmt: skip


@given(DRAWN)
def test_a_pivot_report_is_what_its_rows_say(rows: list[Row]) -> None:
    both = {"metricAggregations": ["TOTAL"]}
    sums: dict[tuple[str, str], int] = defaultdict(int)
    sets: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in rows:
        for source in (row["source"], "RESERVED_TOTAL"):
            for medium in (row["medium"], "RESERVED_TOTAL"):
                sums[source, medium] += row["sessions"]
                sets[source, medium] |= row["users"]
    expected = {
        key: (str(sums[key]), str(len(sets[key]))) for key in sums if sums[key] or sets[key]
    }
    report = report_of(
        rows,
        asks("sessionSource sessionMedium", "sessions totalUsers",
             pivots=[SOURCES | both, MEDIA | both]),
        method=RUN_PIVOT_REPORT,
    )  # fmt: skip
    found = {row[:2]: row[2:] for row in values([*report["rows"], *report["aggregates"]])}
    found.pop(("RESERVED_TOTAL", "RESERVED_TOTAL")) if not expected else None
    assert found == expected
