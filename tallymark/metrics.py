"""Report dimensions and metrics: how each name of the GA4 Data API is computed from rollups.

Adding a name is adding a row. A dimension is made of rollup keys or of the slot's local time; a
metric is a measure, or a ratio of measures. Which rollups can answer follows from their columns;
what none can is answered from hits (``hit_keys``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark import time_texts
from tallymark.countries import country_names
from tallymark.rollups import ROLLUPS, Rollup

NOT_SET: Final = "(not set)"
_OF: Final = " of "
"""Between a column and the name whose rows are meant, in a measure of these alone."""
TimeUnit = Literal["day", "hour", "minute"]

MetricType = Literal[
    "TYPE_INTEGER", "TYPE_FLOAT", "TYPE_SECONDS", "TYPE_CURRENCY", "TYPE_STANDARD", "TYPE_FEET",
    "TYPE_MILES", "TYPE_METERS", "TYPE_KILOMETERS", "TYPE_MILLISECONDS", "TYPE_MINUTES",
    "TYPE_HOURS",
]  # fmt: skip
Category = Literal[
    "Time", "Traffic Source", "Page / Screen", "Event", "Platform / Device", "User", "Session",
    "Geography", "Ecommerce", "General", "Custom",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One report dimension.

    Attributes:
        name: As requests name it.
        title: As people call it.
        category: Where a catalogue shows it.
        keys: Keys of rollups or hits it is made of; none where time alone tells it.
        value: Its text, computed from the key columns, or from ``LOCAL`` and beside it
            ``RANGE_START`` and ``NOW``.
        time: The span of time that it tells apart, where it is of time.
        deprecated_names: What it was called before; requests may still say so.
        is_custom: Whether a property's rules have defined it.
        among: The name whose rows it is of, in a rollup that counts within names.
    """

    name: str
    title: str
    category: Category
    keys: tuple[str, ...]
    value: Callable[[], pl.Expr]

    time: TimeUnit | None = None
    deprecated_names: tuple[str, ...] = ()
    is_custom: bool = False
    among: str = ""

    @property
    def is_by_hour(self) -> bool:
        """Whether it tells the hours of a day apart."""
        return self.time in ("hour", "minute")


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


def key_text(name: str) -> Callable[[], pl.Expr]:
    """The texts of a key; what is empty is ``(not set)``."""
    return lambda: pl.when(pl.col(name) == "").then(pl.lit(NOT_SET)).otherwise(pl.col(name))


def _source_medium(source: str, medium: str) -> Callable[[], pl.Expr]:
    return lambda: pl.concat_str(key_text(source)(), pl.lit(" / "), key_text(medium)())


def _query() -> pl.Expr:
    """The query string of a page with its question mark; nothing where there is none."""
    query = pl.col("page_query")
    return pl.when(query == "").then(pl.lit("")).otherwise(pl.lit("?") + query)


def _path_and_query() -> pl.Expr:
    return pl.concat_str(key_text("path")(), _query())


def _page_url() -> pl.Expr:
    is_known = (pl.col("host") != "") | (pl.col("path") != "")
    url = pl.concat_str("host", "path", _query())
    return pl.when(is_known).then(url).otherwise(pl.lit(NOT_SET))


def _country() -> pl.Expr:
    names = pl.col("country").map_batches(country_names, return_dtype=pl.String)
    return pl.when(names == "").then(pl.lit(NOT_SET)).otherwise(names)


def _by_time(
    name: str, title: str, value: Callable[[], pl.Expr], time: TimeUnit = "day",
    deprecated_names: tuple[str, ...] = (),
) -> Dimension:  # fmt: skip
    return Dimension(
        name=name, title=title, category="Time", value=value, time=time,
        keys=("minute",) if time == "minute" else (), deprecated_names=deprecated_names,
    )  # fmt: skip


def _by_key(name: str, title: str, category: Category, key: str) -> Dimension:
    return Dimension(name=name, title=title, category=category, keys=(key,), value=key_text(key))


_DIMENSIONS: Final = (
    _by_time("date", "Date", time_texts.date),
    _by_time("dateHour", "Date + hour", time_texts.date_hour, "hour"),
    _by_time("dateHourMinute", "Date hour and minute", time_texts.date_hour_minute, "minute"),
    _by_time("hour", "Hour", time_texts.part("hour", 2), "hour"),
    _by_time("minute", "Minute", time_texts.part("minute", 2), "minute"),
    _by_time("day", "Day", time_texts.part("day", 2)),
    _by_time(
        "dayOfWeek", "Day of week", time_texts.day_of_week, deprecated_names=("dayOfWeekZero",)
    ),
    _by_time("dayOfWeekName", "Day of week name", time_texts.day_of_week_name),
    _by_time("week", "Week", time_texts.week),
    _by_time("yearWeek", "Year week", time_texts.year_week),
    _by_time("isoWeek", "ISO week of the year", time_texts.part("week", 2)),
    _by_time("isoYear", "ISO year", time_texts.part("iso_year", 4)),
    _by_time("isoYearIsoWeek", "ISO week of ISO year", time_texts.iso_year_iso_week),
    _by_time("month", "Month", time_texts.part("month", 2)),
    _by_time("yearMonth", "Year month", time_texts.year_month),
    _by_time("year", "Year", time_texts.part("year", 4)),
    _by_time("nthMinute", "Nth minute", time_texts.nth("minutes"), "minute"),
    _by_time("nthHour", "Nth hour", time_texts.nth("hours"), "hour"),
    _by_time("nthDay", "Nth day", time_texts.nth("days")),
    _by_time("nthWeek", "Nth week", time_texts.nth_week),
    _by_time("nthMonth", "Nth month", time_texts.nth_month),
    _by_time("nthYear", "Nth year", time_texts.nth_year),
    _by_key("sessionSource", "Session source", "Traffic Source", "source"),
    _by_key("sessionMedium", "Session medium", "Traffic Source", "medium"),
    Dimension(
        name="sessionSourceMedium", title="Session source / medium", category="Traffic Source",
        keys=("source", "medium"), value=_source_medium("source", "medium"),
    ),
    _by_key("sessionCampaignName", "Session campaign", "Traffic Source", "campaign"),
    Dimension(
        name="sessionDefaultChannelGroup", title="Session default channel group",
        category="Traffic Source", keys=("channel",), value=key_text("channel"),
        deprecated_names=("sessionDefaultChannelGrouping",),
    ),
    _by_key(
        "sessionPrimaryChannelGroup", "Session primary channel group", "Traffic Source", "channel"
    ),
    _by_key("firstUserSource", "First user source", "Traffic Source", "first_source"),
    _by_key("firstUserMedium", "First user medium", "Traffic Source", "first_medium"),
    Dimension(
        name="firstUserSourceMedium", title="First user source / medium",
        category="Traffic Source", keys=("first_source", "first_medium"),
        value=_source_medium("first_source", "first_medium"),
    ),
    _by_key("firstUserCampaignName", "First user campaign", "Traffic Source", "first_campaign"),
    _by_key(
        "firstUserDefaultChannelGroup", "First user default channel group", "Traffic Source",
        "first_channel",
    ),
    _by_key(
        "firstUserPrimaryChannelGroup", "First user primary channel group", "Traffic Source",
        "first_channel",
    ),
    _by_key("newVsReturning", "New / returning", "User", "new_vs_returning"),
    _by_key("landingPage", "Landing page", "Page / Screen", "landing_page"),
    _by_key("hostName", "Hostname", "Page / Screen", "host"),
    _by_key("pagePath", "Page path", "Page / Screen", "path"),
    _by_key("unifiedPagePathScreen", "Page path and screen class", "Page / Screen", "path"),
    _by_key("eventName", "Event name", "Event", "event_name"),
    _by_key("deviceCategory", "Device category", "Platform / Device", "device_category"),
    _by_key("browser", "Browser", "Platform / Device", "browser"),
    _by_key("operatingSystem", "Operating system", "Platform / Device", "operating_system"),
    _by_key("pageTitle", "Page title", "Page / Screen", "title"),
    Dimension(
        name="pagePathPlusQueryString", title="Page path + query string", category="Page / Screen",
        keys=("path", "page_query"), value=_path_and_query,
    ),
    Dimension(
        name="fullPageUrl", title="Full page URL", category="Page / Screen",
        keys=("host", "path", "page_query"), value=_page_url,
    ),
    _by_key("pageReferrer", "Page referrer", "Page / Screen", "referrer"),
    Dimension(
        name="country", title="Country", category="Geography", keys=("country",), value=_country
    ),
    _by_key("countryId", "Country ID", "Geography", "country"),
    Dimension(
        name="testDataFilterName", title="Test data filter name", category="General",
        keys=("custom_value",), value=key_text("custom_value"), among="testDataFilterName",
    ),
    _by_key("languageCode", "Language code", "Platform / Device", "language"),
    _by_key("screenResolution", "Screen resolution", "Platform / Device", "screen_resolution"),
    _by_key("transactionId", "Transaction ID", "Ecommerce", "transaction_id"),
    _by_key(
        "sessionManualTerm", "Session manual term", "Traffic Source", "session_term"
    ),
    _by_key(
        "sessionManualAdContent", "Session manual ad content", "Traffic Source", "session_content"
    ),
    _by_key("source", "Source", "Traffic Source", "hit_source"),
    _by_key("medium", "Medium", "Traffic Source", "hit_medium"),
    Dimension(
        name="sourceMedium", title="Source / medium", category="Traffic Source",
        keys=("hit_source", "hit_medium"), value=_source_medium("hit_source", "hit_medium"),
    ),
    _by_key("campaignName", "Campaign", "Traffic Source", "hit_campaign"),
    _by_key("manualTerm", "Manual term", "Traffic Source", "hit_term"),
    _by_key("manualAdContent", "Manual ad content", "Traffic Source", "hit_content"),
    _by_key("defaultChannelGroup", "Default channel group", "Traffic Source", "hit_channel"),
    _by_key("itemId", "Item ID", "Ecommerce", "item_id"),
    _by_key("itemName", "Item name", "Ecommerce", "item_name"),
    _by_key("itemBrand", "Item brand", "Ecommerce", "item_brand"),
    _by_key("itemVariant", "Item variant", "Ecommerce", "item_variant"),
    _by_key("itemCategory", "Item category", "Ecommerce", "item_category"),
    _by_key("itemCategory2", "Item category 2", "Ecommerce", "item_category2"),
    _by_key("itemCategory3", "Item category 3", "Ecommerce", "item_category3"),
    _by_key("itemCategory4", "Item category 4", "Ecommerce", "item_category4"),
    _by_key("itemCategory5", "Item category 5", "Ecommerce", "item_category5"),
    _by_key("itemAffiliation", "Item affiliation", "Ecommerce", "affiliation"),
    _by_key("itemListId", "Item list ID", "Ecommerce", "item_list_id"),
    _by_key("itemListName", "Item list name", "Ecommerce", "item_list_name"),
)  # fmt: skip

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

DIMENSIONS: Final = {dimension.name: dimension for dimension in _DIMENSIONS}
METRICS: Final = {metric.name: metric for metric in _METRICS}
REALTIME_DIMENSIONS: Final = {
    "minutesAgo": _by_time("minutesAgo", "Realtime minutes ago", time_texts.minutes_ago, "minute"),
}
REALTIME_METRICS: Final = {
    "activeUsers": _metric("activeUsers", "Active users", _COUNT, "User", "users"),
    "eventCount": METRICS["eventCount"],
    "screenPageViews": METRICS["screenPageViews"],
}

NOT_ADDITIVE: Final = {("pages", "sessions"): "pagePath"}
"""(rollup, sum) → the dimension without which it does not add up: a session that viewed two pages
counts for both, so rows by page are right, and everything coarser would count it twice."""

TOTALS: Final = next(rollup for rollup in ROLLUPS if not rollup.keys)
"""The rollup without breakdown: what is whole is best counted there."""
_BY_SIZE: Final = sorted(ROLLUPS, key=lambda rollup: rollup.max_rows)


def missing(
    rollup: Rollup,
    rows_by: Sequence[Dimension],
    filtered_by: Sequence[Dimension],
    metrics: Sequence[AskedMetric],
) -> list[str]:
    """The names that ``rollup`` cannot answer in this combination."""
    names = {dimension.name for dimension in rows_by}
    dimensions = dict.fromkeys((*rows_by, *filtered_by))
    meant = meant_by(dimensions) if rollup.within else ""
    columns = {
        column
        for column in (*rollup.sums, *rollup.uniques)
        if whole_by(rollup, column, meant) in ("", *names)
    }
    said = {metric.name: [part_of(measure) for measure in metric.measures] for metric in metrics}
    if rollup.within and not (meant or any(name for parts in said.values() for _, name in parts)):
        return [*(dimension.name for dimension in dimensions), *said]
    return [
        dimension.name
        for dimension in dimensions
        if not set(dimension.keys) <= set(rollup.keys) or dimension.among not in ("", meant)
    ] + [
        name
        for name, parts in said.items()
        if any(column not in columns or not _says(rollup, meant, own) for column, own in parts)
    ]


def part_of(measure: str) -> tuple[str, str]:
    """The column that a measure is, and the name whose rows it is of; "" where it is of all."""
    column, _, name = measure.partition(_OF)
    return column, name


def meant_by(dimensions: Iterable[Dimension]) -> str:
    """The name whose rows dimensions mean in a rollup that counts within names: the first's."""
    return next((each.among for each in dimensions if each.among), "")


def whole_by(rollup: Rollup, column: str, meant: str) -> str:
    """The dimension without which a column does not add up over rows; "" where it always does.

    Args:
        rollup: Whose column.
        column: A sum or a set.
        meant: The name whose rows dimensions mean.
    """
    if rollup.within and column == "sessions":
        return meant
    return NOT_ADDITIVE.get((rollup.name, column), "")


def _says(rollup: Rollup, meant: str, name: str) -> bool:
    """Whether the rows that are meant, or those of the name itself, add up to a measure."""
    if name:
        return bool(rollup.within) and not meant
    return bool(meant) or not rollup.within


def smallest_rollup(
    rows_by: Sequence[Dimension], filtered_by: Sequence[Dimension], metrics: Sequence[AskedMetric]
) -> tuple[Rollup, list[str]]:
    """The smallest rollup that answers most of the names, and the names that it cannot answer."""
    unanswered = [
        (len(lacking := missing(rollup, rows_by, filtered_by, metrics)), rollup, lacking)
        for rollup in _BY_SIZE
    ]
    _, rollup, lacking = min(unanswered, key=lambda entry: entry[0])
    return rollup, lacking
