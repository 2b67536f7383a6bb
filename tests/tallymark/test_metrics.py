"""Report dimensions and metrics: values, times, and which rollup answers what."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from tallymark import report_descriptions
from tallymark.dimensions import DIMENSIONS, REALTIME_DIMENSIONS
from tallymark.hit_keys import HITS, ITEMS
from tallymark.metrics import METRICS, REALTIME_METRICS, Metric
from tallymark.report_names import STANDARD
from tallymark.rollup_choice import NOT_ADDITIVE, TOTALS, missing, smallest_rollup
from tallymark.rollups import BY_NAME, ROLLUPS
from tallymark.time_texts import LOCAL, NOW, RANGE_START

REPORTED = [rollup for rollup in ROLLUPS if rollup.grain != "minute"]


def dimensions(names: str) -> list:
    return [DIMENSIONS[name] for name in names.split()]


def metrics(names: str) -> list[Metric]:
    return [METRICS[name] for name in names.split()]


TIMES = [
    # 2023-01-01 was a Sunday: week 1 is whole
    ("2023-01-01T00:00", "20230101", "2023010100", "00", "0", "01", "01", "202301", "2023"),
    ("2023-01-07T23:00", "20230107", "2023010723", "23", "6", "01", "01", "202301", "2023"),
    ("2023-01-08T00:00", "20230108", "2023010800", "00", "0", "02", "01", "202301", "2023"),
    ("2023-12-31T12:00", "20231231", "2023123112", "12", "0", "53", "12", "202312", "2023"),
    # 2022-01-01 was a Saturday: week 1 is that day alone
    ("2022-01-01T05:00", "20220101", "2022010105", "05", "6", "01", "01", "202201", "2022"),
    ("2022-01-02T05:00", "20220102", "2022010205", "05", "0", "02", "01", "202201", "2022"),
    # a leap year that begins on a Monday
    ("2024-02-29T09:00", "20240229", "2024022909", "09", "4", "09", "02", "202402", "2024"),
    ("2024-12-31T09:00", "20241231", "2024123109", "09", "2", "53", "12", "202412", "2024"),
]  # fmt: skip
NAMES = ("date", "dateHour", "hour", "dayOfWeek", "week", "month", "yearMonth", "year")


@pytest.mark.parametrize("case", TIMES, ids=lambda case: case[0])
def test_time_dimensions_are_as_in_ga(case: tuple[str, ...]) -> None:
    moment = datetime.fromisoformat(case[0]).replace(tzinfo=UTC)
    frame = pl.DataFrame({LOCAL: [moment]})
    found = frame.select(DIMENSIONS[name].value().alias(name) for name in NAMES)
    assert found.row(0) == case[1:]


OTHERS = [
    # of ISO 8601: 2021-01-03 was the Sunday of week 53 of 2020
    ("2021-01-03T23:59", "03", "Sunday", "202102", "53", "2020", "202053", "202101032359", "59"),
    ("2024-12-30T00:00", "30", "Monday", "202453", "01", "2025", "202501", "202412300000", "00"),
    ("2016-02-29T12:30", "29", "Monday", "201610", "09", "2016", "201609", "201602291230", "30"),
]
OTHER_NAMES = (
    "day", "dayOfWeekName", "yearWeek", "isoWeek", "isoYear", "isoYearIsoWeek", "dateHourMinute",
    "minute",
)  # fmt: skip


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case[0])
def test_further_time_dimensions_are_as_in_ga(case: tuple[str, ...]) -> None:
    frame = pl.DataFrame({LOCAL: [datetime.fromisoformat(case[0])]})
    found = frame.select(DIMENSIONS[name].value().alias(name) for name in OTHER_NAMES)
    assert found.row(0) == case[1:]


PASSED = [
    # 2023-12-30 was a Saturday
    ("2023-12-30", "2023-12-30T00:00", "0000", "0000", "0000", "0000", "0000", "0000"),
    ("2023-12-30", "2023-12-31T01:05", "1505", "0025", "0001", "0001", "0000", "0000"),
    ("2023-12-30", "2024-01-01T00:00", "2880", "0048", "0002", "0001", "0001", "0001"),
    ("2023-12-31", "2024-01-06T00:00", "8640", "0144", "0006", "0000", "0001", "0001"),
    ("2022-11-05", "2024-02-04T00:00", "656640", "10944", "0456", "0066", "0015", "0002"),
]
PASSED_NAMES = ("nthMinute", "nthHour", "nthDay", "nthWeek", "nthMonth", "nthYear")


@pytest.mark.parametrize("case", PASSED, ids=lambda case: case[1])
def test_what_has_passed_since_a_range_began_is_counted_from_zero(case: tuple[str, ...]) -> None:
    start, moment = (datetime.fromisoformat(text) for text in case[:2])
    frame = pl.DataFrame({LOCAL: [moment], RANGE_START: [start]})
    found = frame.select(DIMENSIONS[name].value().alias(name) for name in PASSED_NAMES)
    assert found.row(0) == case[2:]


def test_minutes_ago_are_counted_back_from_the_present_one() -> None:
    now = datetime(2024, 1, 1, 0, 5)  # noqa: DTZ001  local clocks
    frame = pl.DataFrame({LOCAL: [now, datetime(2023, 12, 31, 23, 36)], NOW: now})  # noqa: DTZ001
    minutes_ago = REALTIME_DIMENSIONS["minutesAgo"].value()
    assert frame.select(minutes_ago).to_series().to_list() == ["00", "29"]


def test_a_former_name_is_understood_and_kept() -> None:
    for former, dimension in (
        ("dayOfWeekZero", "dayOfWeek"),
        ("sessionDefaultChannelGrouping", "sessionDefaultChannelGroup"),
    ):
        found = STANDARD.dimension(former)
        assert found is not None
        assert (found.name, found.title) == (former, DIMENSIONS[dimension].title)
    found = STANDARD.metric("conversions")
    assert found is not None
    assert (found.name, found.of) == ("conversions", "key_events")
    assert STANDARD.dimension("nothing") is STANDARD.metric("nothing") is None


def test_every_name_is_described_and_no_other() -> None:
    assert set(report_descriptions.DIMENSIONS) == {*DIMENSIONS, *REALTIME_DIMENSIONS}
    assert set(report_descriptions.METRICS) == {*METRICS, *REALTIME_METRICS, "eventValue"}
    for text in (*report_descriptions.DIMENSIONS.values(), *report_descriptions.METRICS.values()):
        assert text.endswith(".")


def test_an_empty_key_is_not_set() -> None:
    frame = pl.DataFrame({"source": ["", "a"], "medium": ["b", ""], "path": ["", "/"]})
    assert frame.select(DIMENSIONS["pagePath"].value()).to_series().to_list() == ["(not set)", "/"]
    first = frame.rename({"source": "first_source", "medium": "first_medium"})
    for name, keyed in (("sessionSourceMedium", frame), ("firstUserSourceMedium", first)):
        both = keyed.select(DIMENSIONS[name].value()).to_series().to_list()
        assert both == ["(not set) / b", "a / (not set)"]


MEASURES = {
    "active_users": 4, "new_users": 1, "users": 5, "sessions": 8, "engaged_sessions": 6,
    "session_duration_ms": 12_500, "engagement_ms": 4_250, "views": 10, "events": 20,
    "key_events": 3, "value_micros": 19_990_000, "entrances": 2, "exits": 7,
    "items_purchased": 11, "item_revenue_micros": 12_500_000, "items_viewed": 12,
    "items_viewed_in_list": 13, "items_clicked_in_list": 14, "items_added_to_cart": 15,
    "items_checked_out": 16,
}  # fmt: skip
VALUES = {
    "activeUsers": 4, "newUsers": 1, "totalUsers": 5, "sessions": 8, "engagedSessions": 6,
    "engagementRate": 0.75, "bounceRate": 0.25, "sessionsPerUser": 2.0,
    "averageSessionDuration": 1.5625, "userEngagementDuration": 4.25, "screenPageViews": 10,
    "screenPageViewsPerSession": 1.25, "screenPageViewsPerUser": 2.5, "entrances": 2, "exits": 7,
    "eventCount": 20, "eventCountPerUser": 5.0, "eventsPerSession": 2.5, "keyEvents": 3,
    "totalRevenue": 19.99, "purchaseRevenue": 19.99, "averageRevenuePerUser": 4.9975,
    "itemsPurchased": 11, "itemRevenue": 12.5, "itemsViewed": 12, "itemsViewedInList": 13,
    "itemsClickedInList": 14, "itemsAddedToCart": 15, "itemsCheckedOut": 16,
}  # fmt: skip


def test_every_metric_has_a_case() -> None:
    assert VALUES.keys() == METRICS.keys()


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_computed_from_its_measures(name: str) -> None:
    value = METRICS[name].value({key: np.array([number]) for key, number in MEASURES.items()})
    assert value.item() == VALUES[name]
    assert isinstance(value.item(), int) == (METRICS[name].type == "TYPE_INTEGER")


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_of_nothing_is_zero(name: str) -> None:
    nothing = {key: np.array([0]) for key in MEASURES}
    assert METRICS[name].value(nothing).item() == 0


@pytest.mark.parametrize("beside", [0, 1, 30])
def test_an_amount_is_the_nearest_number_to_its_micros(beside: int) -> None:
    """777 micros times a millionth would be 0.0007769999999999999."""
    micros = np.array([777] * (1 + beside))
    assert METRICS["totalRevenue"].value({"value_micros": micros})[0] == 0.000777


def test_every_name_but_minutes_and_tested_filters_is_answered_from_hits() -> None:
    for name, dimension in DIMENSIONS.items():
        lacking = [name] if dimension.time == "minute" or dimension.among else []
        assert missing(ITEMS, [dimension], [], []) == lacking, name
    for name, metric in METRICS.items():
        assert missing(HITS, [], [], [metric]) == [], name


def test_what_hits_share_with_rollups_has_the_same_name() -> None:
    shared = [rollup for rollup in REPORTED if not rollup.within]
    of_rollups = {key for rollup in shared for key in rollup.keys}
    assert of_rollups <= set(HITS.keys)
    assert {name for rollup in shared for name in rollup.sums} <= {*HITS.sums, *HITS.uniques}


ROLLUP_CASES = [
    ("", "sessions", "totals"),
    ("date hour", "activeUsers eventCount", "totals"),
    ("sessionSource", "sessions", "acquisition"),
    ("date sessionSourceMedium sessionDefaultChannelGroup", "activeUsers", "acquisition"),
    ("firstUserSource firstUserMedium", "activeUsers newUsers", "first_user"),
    ("date firstUserSourceMedium firstUserDefaultChannelGroup", "sessions", "first_user"),
    ("newVsReturning", "activeUsers totalUsers sessions", "visitors"),
    ("landingPage", "bounceRate", "landing"),
    ("browser operatingSystem deviceCategory", "newUsers", "technology"),
    ("pagePath", "screenPageViews sessions", "pages"),
    ("", "entrances", "pages"),
    ("eventName", "eventCount totalUsers totalRevenue", "events"),
]


@pytest.mark.parametrize(("by", "asked", "rollup"), ROLLUP_CASES)
def test_the_smallest_rollup_that_fits_answers(by: str, asked: str, rollup: str) -> None:
    assert smallest_rollup(dimensions(by), [], metrics(asked)) == (BY_NAME[rollup], [])


def test_a_filter_takes_part_in_the_choice() -> None:
    found, lacking = smallest_rollup([], dimensions("sessionMedium"), metrics("sessions"))
    assert (found.name, lacking) == ("acquisition", [])


@pytest.mark.parametrize(
    ("by", "asked", "lacking"),
    [
        ("sessionSource pagePath", "sessions", ["pagePath"]),
        ("eventName", "sessions", ["eventName"]),
        ("pagePath", "activeUsers", ["pagePath"]),
        ("hostName", "sessions", ["hostName"]),
        ("sessionSource", "entrances", ["entrances"]),
        ("sessionSource firstUserSource", "sessions", ["firstUserSource"]),
    ],
)
def test_as_few_names_as_can_be_are_left_out(by: str, asked: str, lacking: list[str]) -> None:
    assert smallest_rollup(dimensions(by), [], metrics(asked))[1] == lacking


def test_sessions_by_page_do_not_add_up_to_anything_coarser() -> None:
    pages = BY_NAME["pages"]
    assert missing(pages, dimensions("pagePath"), [], metrics("sessions")) == []
    assert missing(pages, dimensions("hostName"), [], metrics("sessions")) == ["sessions"]
    filtered = missing(pages, [], dimensions("pagePath"), metrics("sessions"))
    assert filtered == ["sessions"]


def test_what_the_tables_refer_to_exists() -> None:
    tables = (*ROLLUPS, HITS, ITEMS)
    keys = {key for rollup in tables for key in rollup.keys}
    measures = {name for rollup in tables for name in (*rollup.sums, *rollup.uniques)}
    assert all(set(dimension.keys) <= keys for dimension in DIMENSIONS.values())
    assert all(set(metric.measures) <= measures for metric in METRICS.values())
    assert all(name in BY_NAME[rollup].sums for rollup, name in NOT_ADDITIVE)
    assert TOTALS.name == "totals"
