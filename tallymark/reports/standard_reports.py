"""Standard reports: what merchants ask for most, as data. Each is a request of ``runReport``.

Adding a report is adding a row. What a report counts follows Google Analytics' standard reports of
the same subject, in the names of its Data API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tallymark.reports.problems import InvalidRequestError
from tallymark.reports.services import ServiceName

Chart = Literal["line", "bars", "table", "funnel", "heatmap"]
TIME_UNITS: Final[Mapping[str, str]] = {
    "hour": "dateHour", "day": "date", "week": "isoYearIsoWeek", "month": "yearMonth",
    "year": "year",
}  # fmt: skip
"""Of time series, and the dimension of each."""
LAST_28_DAYS: Final = ({"startDate": "28daysAgo", "endDate": "yesterday"},)
_CHANGEABLE: Final = (
    "dateRanges", "dimensionFilter", "metricFilter", "comparisons", "orderBys", "limit", "offset",
    "metricAggregations", "keepEmptyRows", "currencyCode", "returnPropertyQuota",
)  # fmt: skip
_TIME_UNIT: Final = "timeUnit"


@dataclass(frozen=True, kw_only=True)
class StandardReport:
    """One report.

    Attributes:
        name: As addresses name it.
        service: That answers it.
        title: As people call it.
        description: What it tells.
        dimensions: Of ``runReport``.
        metrics: Of ``runReport``; the first orders the rows, the greatest first.
        chart: How it is best looked at.
        filter: A ``dimensionFilter``, where there is one.
        is_of_hits: Whether no rollup holds it, so that single hits are read: slower, within limits.
    """

    name: str
    service: ServiceName
    title: str
    description: str
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    chart: Chart = "bars"
    filter: Mapping[str, Any] | None = None
    is_of_hits: bool = False

    def request(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """It as a request of ``runReport``.

        Args:
            changes: Fields of ``runReport`` that are otherwise, but for what it counts by and what
                it counts; ``timeUnit`` makes it a time series. A filter comes on top of its own.

        Raises:
            InvalidRequestError: when something else is to be changed.
        """
        wanted = dict(changes or {})
        unit = wanted.pop(_TIME_UNIT, None)
        _refuse_others(wanted, unit)
        by = list(self.dimensions)
        if unit:
            by = [TIME_UNITS[unit], *(name for name in by if name not in TIME_UNITS.values())]
        request: dict[str, Any] = {
            "dateRanges": list(LAST_28_DAYS),
            "dimensions": [{"name": name} for name in by],
            "metrics": [{"name": name} for name in self.metrics],
            "orderBys": _orders(by, self.metrics),
        }
        own = [one for one in (self.filter, wanted.pop("dimensionFilter", None)) if one]
        if own:
            request["dimensionFilter"] = (
                own[0] if len(own) == 1 else {"andGroup": {"expressions": own}}
            )
        return request | wanted

    def document(self) -> dict[str, Any]:
        """What is told of it."""
        return {
            "name": self.name,
            "service": self.service,
            "title": self.title,
            "description": self.description,
            "chart": self.chart,
            "computedFrom": "hits" if self.is_of_hits else "cells",
            "request": self.request(),
        }


def _refuse_others(wanted: Mapping[str, Any], unit: object) -> None:
    problems = [
        f"{name}: expected one of {', '.join((*_CHANGEABLE, _TIME_UNIT))}; ask runReport for others"
        for name in wanted
        if name not in _CHANGEABLE
    ]
    if unit is not None and unit not in tuple(TIME_UNITS):  # which may be unhashable
        problems.append(f"timeUnit: expected one of {', '.join(TIME_UNITS)}, got {unit!r}")
    if problems:
        raise InvalidRequestError(problems)


def _orders(dimensions: list[str], metrics: tuple[str, ...]) -> list[dict[str, Any]]:
    """By time where the first dimension is of it, then by the first metric."""
    by_metric = {"metric": {"metricName": metrics[0]}, "desc": True}
    if dimensions and dimensions[0] in TIME_UNITS.values():
        return [{"dimension": {"dimensionName": dimensions[0]}}, by_metric]
    return [by_metric]


_VISITS: Final = (
    "sessions", "activeUsers", "engagedSessions", "engagementRate", "averageSessionDuration",
    "keyEvents", "totalRevenue",
)  # fmt: skip
_COMERS: Final = ("newUsers", "activeUsers", "engagedSessions", "keyEvents", "totalRevenue")
_ITEMS: Final = (
    "itemRevenue", "itemsPurchased", "itemsViewed", "itemsAddedToCart", "itemsCheckedOut",
)  # fmt: skip
_SHOPPING: Final = ("view_item", "add_to_cart", "begin_checkout", "purchase")


def _acquisition(
    name: str, title: str, description: str, *dimensions: str, metrics: tuple[str, ...] = _VISITS,
    **more: Any,
) -> StandardReport:  # fmt: skip
    return StandardReport(
        name=name, service="acquisition", title=title, description=description,
        dimensions=dimensions, metrics=metrics, **more,
    )  # fmt: skip


def _behaviour(
    name: str, title: str, description: str, *dimensions: str, metrics: tuple[str, ...], **more: Any
) -> StandardReport:
    return StandardReport(
        name=name, service="behaviour", title=title, description=description,
        dimensions=dimensions, metrics=metrics, **more,
    )  # fmt: skip


_REPORTS: Final = (
    _acquisition(
        "visits", "Visits", "How many came, day by day, and how many of them for the first time",
        "date", metrics=("sessions", "activeUsers", "newUsers", "engagementRate", "keyEvents"),
        chart="line",
    ),
    _acquisition(
        "first-user-channels", "Channels that brought users first",
        "By the channel of each user's first visit of all", "firstUserDefaultChannelGroup",
        metrics=_COMERS,
    ),
    _acquisition(
        "first-user-sources", "Sources that brought users first",
        "By source and medium of each user's first visit of all", "firstUserSourceMedium",
        metrics=_COMERS, chart="table",
    ),
    _acquisition(
        "first-user-campaigns", "Campaigns that brought users first",
        "By the campaign of each user's first visit of all", "firstUserCampaignName",
        metrics=_COMERS, chart="table",
    ),
    _acquisition(
        "channels", "Channels", "By the channel that each session came from",
        "sessionDefaultChannelGroup",
    ),
    _acquisition(
        "sources", "Sources", "By source and medium of each session", "sessionSourceMedium",
        chart="table",
    ),
    _acquisition(
        "campaigns", "Campaigns", "By the campaign of each session", "sessionCampaignName",
        chart="table",
    ),
    _acquisition(
        "new-and-returning", "New and returning", "By whether a user had a session before",
        "newVsReturning",
    ),
    _acquisition(
        "landing-pages", "Landing pages", "By the first page that a session viewed", "landingPage",
        metrics=(
            "sessions", "activeUsers", "newUsers", "bounceRate", "averageSessionDuration",
            "keyEvents",
        ),
        chart="table",
    ),
    _behaviour(
        "engagement", "Engagement", "How long and how far visitors went, day by day", "date",
        metrics=(
            "engagedSessions", "engagementRate", "averageSessionDuration",
            "userEngagementDuration", "screenPageViewsPerSession", "eventsPerSession",
        ),
        chart="line",
    ),
    _behaviour(
        "pages", "Pages", "By page: views, viewers, and where sessions began and ended", "pagePath",
        metrics=(
            "screenPageViews", "totalUsers", "userEngagementDuration", "entrances", "exits",
        ),
        chart="table",
    ),
    _behaviour(
        "page-titles", "Page titles", "By the title that a page had when it was viewed",
        "pageTitle", metrics=("screenPageViews", "totalUsers", "userEngagementDuration"),
        chart="table", is_of_hits=True,
    ),
    _behaviour(
        "exits", "Exit pages", "By the last page that a session viewed", "pagePath",
        metrics=("exits", "screenPageViews"), chart="table",
    ),
    _behaviour(
        "events", "Events", "By the name of what happened", "eventName",
        metrics=("eventCount", "totalUsers", "keyEvents", "totalRevenue"), chart="table",
    ),
    _behaviour(
        "key-events", "Key events", "What the property is after, by name", "eventName",
        metrics=("keyEvents", "totalUsers", "totalRevenue"), chart="bars",
    ),
    _behaviour(
        "shopping", "From product to purchase", "How many users took each step", "eventName",
        metrics=("totalUsers", "eventCount", "totalRevenue"), chart="funnel",
        filter={"filter": {"fieldName": "eventName", "inListFilter": {"values": list(_SHOPPING)}}},
    ),
    _behaviour(
        "items", "Items", "By what is sold", "itemName", metrics=_ITEMS, chart="table",
        is_of_hits=True,
    ),
    _behaviour(
        "item-categories", "Item categories", "By the category of what is sold", "itemCategory",
        metrics=_ITEMS, is_of_hits=True,
    ),
    _behaviour(
        "devices", "Devices", "By the kind of device", "deviceCategory",
        metrics=("activeUsers", "sessions", "engagementRate", "totalRevenue"),
    ),
    _behaviour(
        "browsers", "Browsers and systems", "By browser and operating system", "browser",
        "operatingSystem", metrics=("activeUsers", "sessions", "engagementRate", "totalRevenue"),
        chart="table",
    ),
    _behaviour(
        "screens", "Screens", "By the resolution of the screen", "screenResolution",
        metrics=("totalUsers", "eventCount"), chart="table", is_of_hits=True,
    ),
    _behaviour(
        "countries", "Countries", "By where visitors are", "country",
        metrics=("totalUsers", "eventCount"), is_of_hits=True,
    ),
    _behaviour(
        "languages", "Languages", "By the language that browsers ask for", "languageCode",
        metrics=("totalUsers", "eventCount"), is_of_hits=True,
    ),
    _behaviour(
        "hours-of-the-week", "Hours of the week", "When visitors are there", "dayOfWeekName",
        "hour", metrics=("activeUsers", "eventCount"), chart="heatmap",
    ),
)  # fmt: skip

STANDARD_REPORTS: Final = {report.name: report for report in _REPORTS}
