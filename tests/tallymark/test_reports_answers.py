"""Reports from hand-made cells: rows, totals, filters, orders, pages of rows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.reports.fields import normalised
from tallymark.rollups import BY_NAME
from tests.tallymark.report_cells import Row, asks, report_of, values

K = BY_NAME["acquisition"].unique_k


def by_source(source: str, hour: int = 0, **measures: Any) -> Row:
    return {"source": source, "medium": "m", "hour": hour, **measures}


SOURCES = [
    by_source("google", sessions=3, engaged_sessions=1, views=7, users={1, 2, 3}),
    by_source("google", hour=-12, sessions=2, views=1, users={3, 4}),
    by_source("(direct)", sessions=5, engaged_sessions=5, users={1}),
    by_source("Letter", hour=-13, sessions=1, value_micros=5_500_000, users={9}),
    by_source("", sessions=4, users={5}),
]


def test_rows_are_summed_and_users_united() -> None:
    report = report_of(SOURCES, asks("sessionSource", "sessions totalUsers screenPageViews"))
    assert values(report["rows"]) == [
        ("(direct)", "5", "1", "0"),
        ("google", "5", "4", "8"),
        ("(not set)", "4", "1", "0"),
        ("Letter", "1", "1", "0"),
    ]
    assert report["rowCount"] == 4
    assert report["metricHeaders"][1] == {"name": "totalUsers", "type": "TYPE_INTEGER"}
    assert report["kind"] == "analyticsData#runReport"


def test_the_total_of_users_is_a_union_and_no_sum() -> None:
    request = asks("sessionSource", "totalUsers", metricAggregations=["TOTAL"])
    whole = [{"users": {1, 2, 3, 4, 5, 9}}]
    report = report_of(SOURCES, request, totals=whole)
    assert values(report["totals"]) == [("RESERVED_TOTAL", "6")]


def test_a_ratio_is_one_of_sums() -> None:
    report = report_of(SOURCES, asks("sessionMedium", "engagementRate bounceRate totalRevenue"))
    assert values(report["rows"]) == [("m", "0.4", "0.6", "5.5")]


def test_a_slot_belongs_to_the_local_day_of_its_start() -> None:
    rows = [by_source("a", hour=hour, sessions=1) for hour in (-13, -12, 11, 12)]
    in_utc = report_of(rows, asks("date sessionSource", "sessions"))
    assert values(in_utc["rows"]) == [("20231115", "a", "2"), ("20231114", "a", "1")]
    west = report_of(rows, asks("date hour sessionSource", "sessions"), time_zone="America/Denver")
    assert sorted(values(west["rows"])) == [
        ("20231114", "16", "a", "1"),
        ("20231114", "17", "a", "1"),
        ("20231115", "16", "a", "1"),
        ("20231115", "17", "a", "1"),
    ]


def test_several_date_ranges_are_rows_of_their_own() -> None:
    ranges = [
        {"startDate": "today", "endDate": "today", "name": "now"},
        {"startDate": "yesterday", "endDate": "today"},
    ]
    request = asks(
        "sessionSource", "sessions", dateRanges=ranges, metricAggregations=["TOTAL", "MAXIMUM"],
        orderBys=[
            {"dimension": {"dimensionName": "sessionSource"}},
            {"dimension": {"dimensionName": "dateRange"}, "desc": True},
        ],
    )  # fmt: skip
    report = report_of(SOURCES, request)
    assert report["dimensionHeaders"] == [{"name": "sessionSource"}, {"name": "dateRange"}]
    assert values(report["rows"]) == [
        ("(direct)", "now", "5"),
        ("(direct)", "date_range_1", "5"),
        ("(not set)", "now", "4"),
        ("(not set)", "date_range_1", "4"),
        ("Letter", "date_range_1", "1"),
        ("google", "now", "5"),
        ("google", "date_range_1", "5"),
    ]
    assert values(report["totals"]) == [
        ("RESERVED_TOTAL", "now", "14"),
        ("RESERVED_TOTAL", "date_range_1", "15"),
    ]
    assert values(report["maximums"]) == [
        ("RESERVED_MAX", "now", "5"),
        ("RESERVED_MAX", "date_range_1", "5"),
    ]


def leaf(field: str, kind: str, **content: Any) -> dict[str, Any]:
    return {"filter": {"fieldName": field, kind: content}}


def text(match: Any, value: str, **content: Any) -> dict[str, Any]:
    return leaf("sessionSource", "stringFilter", matchType=match, value=value, **content)


GOOGLE = text("EXACT", "google")
FILTERS = [
    (text("EXACT", "GOOGLE"), "google"),
    (text("EXACT", "GOOGLE", caseSensitive=True), ""),
    (text(2, "L"), "Letter"),
    (text("BEGINS_WITH", "l", caseSensitive=True), ""),
    (text("ENDS_WITH", "TER"), "Letter"),
    (text("CONTAINS", "T)"), "(direct) (not set)"),
    (text("FULL_REGEXP", "g.*e"), "google"),
    (text("FULL_REGEXP", "oo"), ""),
    (text("FULL_REGEXP", "x|goog|google"), "google"),
    (text("PARTIAL_REGEXP", "OO|^l"), "Letter google"),
    (text("PARTIAL_REGEXP", "OO", caseSensitive=True), ""),
    (leaf("sessionSource", "inListFilter", values=["LETTER", "google", "x"]), "Letter google"),
    (leaf("sessionSource", "inListFilter", values=["LETTER"], caseSensitive=True), ""),
    (leaf("sessionSource", "emptyFilter"), "(not set)"),
    (leaf("hour", "numericFilter", operation=2, value={"int64Value": "12"}), "google"),
    (leaf("hour", "numericFilter", operation="EQUAL", value={"doubleValue": 23}), "Letter"),
    (leaf("sessionSource", "numericFilter", operation=4, value={"int64Value": -9}), ""),
    (
        leaf("date", "betweenFilter", fromValue={"int64Value": 20231114},
             toValue={"int64Value": "20231114"}),
        "Letter",
    ),
    ({"notExpression": GOOGLE}, "(direct) (not set) Letter"),
    ({"notExpression": leaf("sessionSource", "numericFilter", operation=4,
                            value={"int64Value": 0})}, "(direct) (not set) Letter google"),
    ({"andGroup": {"expressions": [GOOGLE, text("CONTAINS", "x")]}}, ""),
    ({"orGroup": {"expressions": [GOOGLE, text("CONTAINS", "lett")]}}, "Letter google"),
    ({}, "(direct) (not set) Letter google"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("tree", "sources"), FILTERS, ids=[str(index) for index in range(len(FILTERS))]
)
def test_a_dimension_filter_keeps_what_passes(tree: dict[str, Any], sources: str) -> None:
    request = asks("sessionSource", "sessions", dimensionFilter=tree)
    found = sorted(row[0] for row in values(report_of(SOURCES, request)["rows"]))
    expected = sources.replace("(not set)", "(not_set)").split()
    assert found == [name.replace("_", " ") for name in expected]


def test_a_filter_may_use_what_rows_do_not_show() -> None:
    request = asks("date", "sessions", dimensionFilter=GOOGLE)
    assert values(report_of(SOURCES, request)["rows"]) == [("20231115", "5")]


@pytest.mark.parametrize(
    ("operation", "bound", "kept"),
    [("EQUAL", 5, "(direct) google"), (2, 4, "Letter"), (3, 4, "(not_set) Letter"),
     (4, 5, ""), ("GREATER_THAN_OR_EQUAL", 5, "(direct) google")],
)  # fmt: skip
def test_a_metric_filter_keeps_rows_after_they_are_summed(
    operation: Any, bound: int, kept: str
) -> None:
    tree = leaf("sessions", "numericFilter", operation=operation, value={"int64Value": str(bound)})
    request = asks("sessionSource", "sessions totalUsers", metricFilter=tree,
                   metricAggregations=["TOTAL"])  # fmt: skip
    report = report_of(SOURCES, request)
    found = sorted(row[0] for row in values(report["rows"]))
    assert found == [name.replace("_", " ") for name in kept.split()]
    ((_, total, users),) = values(report["totals"])
    assert int(total) == sum(int(row[1]) for row in values(report["rows"]))
    members = {"google": {1, 2, 3, 4}, "(direct)": {1}, "Letter": {9}, "(not set)": {5}}
    assert int(users) == len(set().union(*(members[name] for name in found)))


ORDERS = [
    ([], "(direct) google (not_set) Letter"),
    ([{"metric": {"metricName": "sessions"}}], "Letter (not_set) (direct) google"),
    ([{"dimension": {"dimensionName": "sessionSource"}}], "(direct) (not_set) Letter google"),
    ([{"dimension": {"dimensionName": "sessionSource", "orderType": 2}, "desc": True}],
     "Letter google (not_set) (direct)"),
    ([{"metric": {"metricName": "sessions"}, "desc": True},
      {"dimension": {"dimensionName": "sessionSource"}, "desc": True}],
     "google (direct) (not_set) Letter"),
]  # fmt: skip


@pytest.mark.parametrize(("orders", "expected"), ORDERS)
def test_rows_are_ordered_as_asked(orders: list[Any], expected: str) -> None:
    report = report_of(SOURCES, asks("sessionSource", "sessions", orderBys=orders))
    found = [row[0] for row in values(report["rows"])]
    assert found == [name.replace("_", " ") for name in expected.split()]


def test_texts_may_be_ordered_as_numbers() -> None:
    rows = [by_source(name, sessions=1) for name in ("100", "25", "x", "3")]
    order = {"dimension": {"dimensionName": "sessionSource", "orderType": "NUMERIC"}}
    report = report_of(rows, asks("sessionSource", "sessions", orderBys=[order]))
    assert [row[0] for row in values(report["rows"])] == ["x", "3", "25", "100"]


def test_pages_of_rows_make_up_all_rows() -> None:
    rows = [by_source(f"s{index:02d}", sessions=index % 3 + 1) for index in range(20)]
    whole = values(report_of(rows, asks("sessionSource", "sessions"))["rows"])
    pages = [
        report_of(rows, asks("sessionSource", "sessions", offset=str(offset), limit="6"))
        for offset in (0, 6, 12, 18)
    ]
    assert [row for page in pages for row in values(page["rows"])] == whole
    assert {page["rowCount"] for page in pages} == {20}


def test_rows_of_nothing_are_kept_only_when_asked() -> None:
    rows = [by_source("a", sessions=1), by_source("b")]
    assert report_of(rows, asks("sessionSource", "sessions"))["rowCount"] == 1
    kept = report_of(rows, asks("sessionSource", "sessions", keepEmptyRows=True))
    assert values(kept["rows"]) == [("a", "1"), ("b", "0")]


def test_an_invisible_metric_orders_without_being_shown() -> None:
    request = asks("sessionSource", orderBys=[{"metric": {"metricName": "sessions"}}])
    request["metrics"] = [{"name": "totalUsers"}, {"name": "sessions", "invisible": True}]
    report = report_of(SOURCES, request)
    assert values(report["rows"])[0] == ("Letter", "1")
    assert [header["name"] for header in report["metricHeaders"]] == ["totalUsers"]


def test_no_cells_give_no_rows_and_totals_of_nothing() -> None:
    request = asks("sessionSource", "sessions totalUsers bounceRate",
                   metricAggregations=["TOTAL", "MINIMUM", "MAXIMUM"])  # fmt: skip
    report = report_of([], request)
    assert (report["rows"], report["rowCount"]) == ([], 0)
    for name in ("totals", "minimums", "maximums"):
        assert [row[1:] for row in values(report[name])] == [("0", "0", "0")]


def test_dimensions_alone_give_their_values() -> None:
    assert [row[0] for row in values(report_of(SOURCES, asks("sessionSource"))["rows"])] == [
        "(direct)", "(not set)", "Letter", "google",
    ]  # fmt: skip


def test_a_folded_breakdown_is_said() -> None:
    other = dict.fromkeys(("source", "medium", "campaign", "channel"), "(other)")
    whole = report_of(SOURCES, asks("sessionSource", "sessions"))
    folded = report_of([*SOURCES, other | {"sessions": 2}], asks("sessionSource", "sessions"))
    assert not whole["metadata"]["dataLossFromOtherRow"]
    assert folded["metadata"]["dataLossFromOtherRow"]


def test_the_total_of_sessions_by_page_is_that_of_all_sessions() -> None:
    pages = [
        {"host": "h", "path": "/", "views": 3, "sessions": 2, "users": {1, 2}},
        {"host": "h", "path": "/cart", "views": 1, "sessions": 1, "users": {2}},
    ]
    request = asks("pagePath", "sessions screenPageViews screenPageViewsPerSession totalUsers",
                   metricAggregations=["TOTAL"])  # fmt: skip
    report = report_of(pages, request, totals=[{"sessions": 2, "views": 9, "users": {1, 2}}])
    assert values(report["rows"]) == [("/", "2", "3", "1.5", "2"), ("/cart", "1", "1", "1", "1")]
    assert values(report["totals"]) == [("RESERVED_TOTAL", "2", "4", "2", "2")]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("is_filtered", [True, False])
def test_an_estimated_part_never_passes_its_total(seed: int, is_filtered: bool) -> None:
    hashes = np.random.default_rng(seed).integers(0, 2**64, 3 * K, dtype=np.uint64)
    ends = (K - 1, K + 1, 3 * K - seed * 100)
    sets = [np.unique(hashes[:end])[:K].tolist() for end in ends]
    rows = [by_source(f"s{end}", users=set(users)) for end, users in zip(ends, sets, strict=True)]
    nothing = {"notExpression": text("EXACT", "x")} if is_filtered else {}
    request = asks("sessionSource", "totalUsers", metricAggregations=["TOTAL"],
                   dimensionFilter=nothing)  # fmt: skip
    report = report_of(rows, request, totals=[{"users": set(hashes.tolist())}])
    ((_, total),) = values(report["totals"])
    assert int(total) == pytest.approx(ends[-1] if is_filtered else 3 * K, rel=0.1)
    assert all(int(users) <= int(total) for _, users in values(report["rows"]))
    exact = dict(values(report["rows"]))[f"s{K - 1}"]
    assert int(exact) == K - 1


ROWS = st.lists(
    st.builds(
        by_source,
        st.sampled_from(["a", "b", "c"]),
        hour=st.integers(-60, 20),
        sessions=st.integers(0, 5),
        views=st.integers(0, 5),
        value_micros=st.integers(-(10**9), 10**9),
        users=st.sets(st.integers(0, 30)),
        active_users=st.sets(st.integers(0, 30)),
    ),
    max_size=12,
)
EVERYTHING = asks(
    "sessionSource date", "sessions totalUsers activeUsers screenPageViewsPerSession totalRevenue",
    metricAggregations=["TOTAL", "MINIMUM", "MAXIMUM"],
    dimensionFilter={"notExpression": text("EXACT", "c")},
)  # fmt: skip


@given(ROWS)
def test_no_row_says_more_users_than_the_total(rows: list[Row]) -> None:
    report = report_of(rows, EVERYTHING)
    ((*_, users, active, _, _),) = values(report["totals"])
    for row in values(report["rows"]):
        assert int(row[3]) <= int(users)
        assert int(row[4]) <= int(active)
    assert int(values(report["totals"])[0][2]) == sum(int(row[2]) for row in values(report["rows"]))


@given(ROWS, st.data())
def test_any_split_and_order_of_rows_gives_the_same_report(
    rows: list[Row], data: st.DataObject
) -> None:
    split = []
    for row in rows:
        mine = set(
            data.draw(st.sets(st.sampled_from(sorted(row["users"])))) if row["users"] else ()
        )
        share = data.draw(st.integers(0, row["sessions"]))
        campaign = {"campaign": "other half"}
        split.append({**row, "users": mine, "sessions": share})
        rest = {"users": row["users"] - mine, "sessions": row["sessions"] - share}
        split.append({**row, "views": 0, "value_micros": 0, **campaign, **rest})
    shuffled = data.draw(st.permutations(split))
    assert report_of(shuffled, EVERYTHING) == report_of(rows, EVERYTHING)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_json_that_is_no_object_is_left_as_it_is(document: Any) -> None:
    assert normalised(document) == document
