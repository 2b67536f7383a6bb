"""Report dimensions: what the rows of a report can be told apart by, as the GA4 Data API names it.

Adding a name is adding a row. A dimension is made of keys of rollups or hits, or of the local time
of slots.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from tallymark import time_texts
from tallymark.countries import country_names

NOT_SET: Final = "(not set)"
TimeUnit = Literal["day", "hour", "minute"]

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

DIMENSIONS: Final = {dimension.name: dimension for dimension in _DIMENSIONS}
REALTIME_DIMENSIONS: Final = {
    "minutesAgo": _by_time("minutesAgo", "Realtime minutes ago", time_texts.minutes_ago, "minute"),
}
