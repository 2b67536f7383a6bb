"""Standard reports: each can be asked for as it is told, and of its service alone."""

from typing import Any

import pytest

from tallymark.dimensions import DIMENSIONS
from tallymark.reports import InvalidRequestError, ReportRequest, parse_request, plan, plan_of_hits
from tallymark.reports.services import BOTH, SERVICES, Services, services_of
from tallymark.reports.standard_reports import (
    LAST_28_DAYS,
    STANDARD_REPORTS,
    TIME_UNITS,
    StandardReport,
)

NOON_US = 1_700_049_600_000_000
REPORTS = pytest.mark.parametrize("report", STANDARD_REPORTS.values(), ids=lambda one: one.name)


def parsed(request: dict[str, Any]) -> ReportRequest:
    return parse_request(request, now_us=NOON_US, time_zone="Europe/Zurich", currency="EUR")


@REPORTS
def test_each_is_answered_by_a_rollup_unless_it_says_that_hits_are_read(
    report: StandardReport,
) -> None:
    request = parsed(report.request())
    if report.is_of_hits:
        with pytest.raises(InvalidRequestError):
            plan(request, 1)
        assert plan_of_hits(request, 1).is_of_hits
    else:
        assert not plan(request, 1).is_of_hits


@REPORTS
@pytest.mark.parametrize("unit", TIME_UNITS)
def test_each_is_a_time_series_by_any_unit(report: StandardReport, unit: str) -> None:
    request = parsed(report.request({"timeUnit": unit}))
    by = [dimension.name for dimension in request.dimensions]
    kept = [name for name in report.dimensions if name not in TIME_UNITS.values()]
    assert by == [TIME_UNITS[unit], *kept]
    assert request.order_bys[0].name == TIME_UNITS[unit]
    planned = plan_of_hits if report.is_of_hits else plan
    assert planned(request, 1).request.time_zone == "Europe/Zurich"


@REPORTS
def test_each_is_answered_by_its_service_alone_and_by_both(report: StandardReport) -> None:
    request = parsed(report.request())
    BOTH.check(request)
    Services((report.service,)).check(request)
    (other,) = set(SERVICES) - {report.service}
    of_one = [name for name in report.dimensions if len(services_of(DIMENSIONS[name])) == 1]
    if of_one:
        with pytest.raises(InvalidRequestError, match=f"service {report.service}"):
            Services((other,)).check(request)


def test_every_dimension_is_of_one_service_at_least() -> None:
    answered = {
        name
        for name, dimension in DIMENSIONS.items()
        if any(Services((service,)).answers(dimension) for service in SERVICES)
    }
    assert answered == set(DIMENSIONS)
    both = [name for name in DIMENSIONS if len(services_of(DIMENSIONS[name])) == 2]
    assert both == ["landingPage"], "where a visit began is of both"


def test_what_is_asked_otherwise_takes_the_place_of_what_is_usual() -> None:
    report = STANDARD_REPORTS["shopping"]
    assert report.request()["dateRanges"] == list(LAST_28_DAYS)
    chosen = {"filter": {"fieldName": "eventName", "stringFilter": {"value": "purchase"}}}
    days = [{"startDate": "today", "endDate": "today"}]

    request = report.request({"dateRanges": days, "dimensionFilter": chosen, "limit": 5})

    assert (request["dateRanges"], request["limit"]) == (days, 5)
    own = report.request()["dimensionFilter"]
    assert request["dimensionFilter"] == {"andGroup": {"expressions": [own, chosen]}}
    assert parsed(request).limit == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": []}, "metrics: expected one of dateRanges, "),
        ({"timeUnit": "minute"}, "timeUnit: expected one of hour, day, week, month, year"),
        ({"timeUnit": ["day"]}, r"timeUnit: .* got \['day'\]"),
        ({"dimensions": [], "pivots": []}, "(?s)dimensions: .*pivots: "),
    ],
)
def test_what_cannot_be_otherwise_is_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        STANDARD_REPORTS["pages"].request(changes)
