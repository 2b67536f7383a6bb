"""Report metrics: what the rows of a report count, as the GA4 Data API names it.

Adding a name is adding a row. A metric is a measure of rollups or hits, or a ratio of measures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tallymark.dimensions import Category

_OF: Final = " of "
"""Between a column and the name whose rows are meant, in a measure of these alone."""

MetricType = Literal[
    "TYPE_INTEGER", "TYPE_FLOAT", "TYPE_SECONDS", "TYPE_CURRENCY", "TYPE_STANDARD", "TYPE_FEET",
    "TYPE_MILES", "TYPE_METERS", "TYPE_KILOMETERS", "TYPE_MILLISECONDS", "TYPE_MINUTES",
    "TYPE_HOURS",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One report metric: ``(of - less) / scale / per``, as far as these are given.

    Attributes:
        name: As requests name it.
        title: As people call it.
        type: GA's type of its values.
        category: Where a catalogue shows it.
        of: A measure: a column of sums or of unique sets.
        less: A measure that is taken off.
        per: A measure that is divided by; nothing counted per nothing is 0.
        scale: How many units of the measure make one of the metric.
        deprecated_names: What it was called before; requests may still say so.
        is_custom: Whether a property's rules have defined it.
        among: The name whose rows it is of, in a rollup that counts within names.
    """

    name: str
    title: str
    type: MetricType
    category: Category
    of: str
    less: str = ""
    per: str = ""
    scale: int = 1
    deprecated_names: tuple[str, ...] = ()
    is_custom: bool = False
    among: str = ""

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures it needs."""
        columns = dict.fromkeys(name for name in (self.of, self.less, self.per) if name)
        return tuple(map(self._measure, columns))

    def _measure(self, column: str) -> str:
        return f"{column}{_OF}{self.among}" if self.among else column

    def value(
        self, measures: Mapping[str, npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
        """Its values from those of measures, whole numbers as such.

        NumPy's division is the correctly rounded one, whatever lies beside a number: Polars
        multiplies by the reciprocal where it divides by one number.
        """
        measure = measures[self._measure(self.of)]
        if self.less:
            measure = measure - measures[self._measure(self.less)]
        if self.type == "TYPE_INTEGER":
            return measure
        scaled = measure / self.scale
        if not self.per:
            return scaled
        per = measures[self._measure(self.per)]
        return np.where(per == 0, 0.0, scaled / np.where(per == 0, 1, per))


class AskedMetric(Protocol):
    """A metric of a report: one of the table, or one that the request derives from others."""

    @property
    def name(self) -> str:
        """As the request names it."""

    @property
    def type(self) -> MetricType:
        """GA's type of its values."""

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures it needs."""

    def value(
        self, measures: Mapping[str, npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
        """Its values from those of measures."""


_COUNT: Final = "TYPE_INTEGER"
_RATE: Final = "TYPE_FLOAT"
_TIME: Final = "TYPE_SECONDS"
_MONEY: Final = "TYPE_CURRENCY"


def _metric(
    name: str, title: str, kind: MetricType, category: Category, of: str,
    *, less: str = "", per: str = "", scale: int = 1, deprecated_names: tuple[str, ...] = (),
) -> Metric:  # fmt: skip
    return Metric(
        name=name, title=title, type=kind, category=category,
        of=of, less=less, per=per, scale=scale, deprecated_names=deprecated_names,
    )  # fmt: skip


_METRICS: Final = (
    _metric("activeUsers", "Active users", _COUNT, "User", "active_users"),
    _metric("newUsers", "New users", _COUNT, "User", "new_users"),
    _metric("totalUsers", "Total users", _COUNT, "User", "users"),
    _metric("sessions", "Sessions", _COUNT, "Session", "sessions"),
    _metric("engagedSessions", "Engaged sessions", _COUNT, "Session", "engaged_sessions"),
    _metric(
        "engagementRate", "Engagement rate", _RATE, "Session", "engaged_sessions", per="sessions"
    ),
    _metric(
        "bounceRate", "Bounce rate", _RATE, "Session", "sessions",
        less="engaged_sessions", per="sessions",
    ),
    _metric(
        "sessionsPerUser", "Sessions per active user", _RATE, "Session", "sessions",
        per="active_users",
    ),
    _metric(
        "averageSessionDuration", "Average session duration", _TIME, "Session",
        "session_duration_ms", per="sessions", scale=1000,
    ),
    _metric(
        "userEngagementDuration", "User engagement", _TIME, "User", "engagement_ms", scale=1000
    ),
    _metric("screenPageViews", "Views", _COUNT, "Page / Screen", "views"),
    _metric(
        "screenPageViewsPerSession", "Views per session", _RATE, "Page / Screen", "views",
        per="sessions",
    ),
    _metric(
        "screenPageViewsPerUser", "Views per active user", _RATE, "Page / Screen", "views",
        per="active_users",
    ),
    _metric("entrances", "Entrances", _COUNT, "Page / Screen", "entrances"),
    _metric("exits", "Exits", _COUNT, "Page / Screen", "exits"),
    _metric("eventCount", "Event count", _COUNT, "Event", "events"),
    _metric(
        "eventCountPerUser", "Event count per active user", _RATE, "Event", "events",
        per="active_users",
    ),
    _metric("eventsPerSession", "Events per session", _RATE, "Event", "events", per="sessions"),
    _metric(
        "keyEvents", "Key events", _RATE, "Event", "key_events", deprecated_names=("conversions",)
    ),
    _metric(
        "totalRevenue", "Total revenue", _MONEY, "Event", "value_micros", scale=1_000_000
    ),
    _metric(
        "purchaseRevenue", "Purchase revenue", _MONEY, "Event", "value_micros", scale=1_000_000
    ),
    _metric(
        "averageRevenuePerUser", "ARPU", _MONEY, "User", "value_micros",
        per="active_users", scale=1_000_000,
    ),
    _metric("itemsPurchased", "Items purchased", _COUNT, "Ecommerce", "items_purchased"),
    _metric(
        "itemRevenue", "Item revenue", _MONEY, "Ecommerce", "item_revenue_micros", scale=1_000_000
    ),
    _metric("itemsViewed", "Items viewed", _COUNT, "Ecommerce", "items_viewed"),
    _metric(
        "itemsViewedInList", "Items viewed in list", _COUNT, "Ecommerce", "items_viewed_in_list"
    ),
    _metric(
        "itemsClickedInList", "Items clicked in list", _COUNT, "Ecommerce",
        "items_clicked_in_list",
    ),
    _metric(
        "itemsAddedToCart", "Items added to cart", _COUNT, "Ecommerce", "items_added_to_cart"
    ),
    _metric("itemsCheckedOut", "Items checked out", _COUNT, "Ecommerce", "items_checked_out"),
)  # fmt: skip

METRICS: Final = {metric.name: metric for metric in _METRICS}
REALTIME_METRICS: Final = {
    "activeUsers": _metric("activeUsers", "Active users", _COUNT, "User", "users"),
    "eventCount": METRICS["eventCount"],
    "screenPageViews": METRICS["screenPageViews"],
}


def part_of(measure: str) -> tuple[str, str]:
    """The column that a measure is, and the name whose rows it is of; "" where it is of all."""
    column, _, name = measure.partition(_OF)
    return column, name
