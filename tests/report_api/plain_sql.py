"""What reports should say, as SQL over rows: written down from GA's definitions, not from ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb

KEYS = {
    "sessionSource": "source", "sessionMedium": "medium", "sessionCampaignName": "campaign",
    "sessionDefaultChannelGroup": "channel", "sessionPrimaryChannelGroup": "channel",
    "firstUserSource": "first_source", "firstUserMedium": "first_medium",
    "firstUserCampaignName": "first_campaign", "firstUserDefaultChannelGroup": "first_channel",
    "firstUserPrimaryChannelGroup": "first_channel", "newVsReturning": "new_vs_returning",
    "landingPage": "landing_page", "hostName": "host", "pagePath": "path",
    "unifiedPagePathScreen": "path", "eventName": "event_name",
    "deviceCategory": "device_category", "browser": "browser",
    "operatingSystem": "operating_system",
}  # fmt: skip
SET_TEXTS = {name: f"coalesce(nullif({key}, ''), '(not set)')" for name, key in KEYS.items()}
_PASSED = "lpad(date_diff('{unit}', timestamp '{start}', local)::varchar, 4, '0')"
_SUNDAY = "(date '{start}' - dayofweek(date '{start}')::int)"
DIMENSIONS = SET_TEXTS | {
    "sessionSourceMedium": f"{SET_TEXTS['sessionSource']} || ' / ' || {SET_TEXTS['sessionMedium']}",
    "firstUserSourceMedium": (
        f"{SET_TEXTS['firstUserSource']} || ' / ' || {SET_TEXTS['firstUserMedium']}"
    ),
    "date": "strftime(local, '%Y%m%d')",
    "dateHour": "strftime(local, '%Y%m%d%H')",
    "dateHourMinute": "strftime(local, '%Y%m%d%H%M')",
    "hour": "strftime(local, '%H')",
    "minute": "strftime(local, '%M')",
    "day": "strftime(local, '%d')",
    "dayOfWeek": "strftime(local, '%w')",
    "dayOfWeekZero": "strftime(local, '%w')",
    "dayOfWeekName": "strftime(local, '%A')",
    "isoWeek": "strftime(local, '%V')",
    "isoYear": "strftime(local, '%G')",
    "isoYearIsoWeek": "strftime(local, '%G%V')",
    "month": "strftime(local, '%m')",
    "yearMonth": "strftime(local, '%Y%m')",
    "year": "strftime(local, '%Y')",
    "nthMinute": _PASSED.replace("{unit}", "minute"),
    "nthHour": _PASSED.replace("{unit}", "hour"),
    "nthDay": _PASSED.replace("{unit}", "day"),
    "nthMonth": _PASSED.replace("{unit}", "month"),
    "nthYear": _PASSED.replace("{unit}", "year"),
    "nthWeek": f"lpad((date_diff('day', {_SUNDAY}, local::date) // 7)::varchar, 4, '0')",
}
_JANUARY = "dayofweek(date_trunc('year', local))"
_WEEK = f"lpad((strftime(local, '%U')::int + ({_JANUARY} <> 0)::int)::varchar, 2, '0')"
DIMENSIONS |= {"week": _WEEK, "yearWeek": f"strftime(local, '%Y') || {_WEEK}"}


def _of(name: str) -> str:
    return f"len(list_distinct(flatten(list({name}))))"


def _per(part: str, whole: str) -> str:
    return f"coalesce(({part}) / nullif(({whole})::double, 0), 0)"


METRICS = {
    "activeUsers": _of("active_users"),
    "newUsers": _of("new_users"),
    "totalUsers": _of("users"),
    "sessions": "sum(sessions)",
    "engagedSessions": "sum(engaged_sessions)",
    "engagementRate": _per("sum(engaged_sessions)", "sum(sessions)"),
    "bounceRate": _per("sum(sessions - engaged_sessions)", "sum(sessions)"),
    "sessionsPerUser": _per("sum(sessions)", _of("active_users")),
    "averageSessionDuration": _per("sum(session_duration_ms) / 1000", "sum(sessions)"),
    "userEngagementDuration": "sum(engagement_ms) / 1000",
    "screenPageViews": "sum(views)",
    "screenPageViewsPerSession": _per("sum(views)", "sum(sessions)"),
    "screenPageViewsPerUser": _per("sum(views)", _of("active_users")),
    "entrances": "sum(entrances)",
    "exits": "sum(exits)",
    "eventCount": "sum(events)",
    "eventCountPerUser": _per("sum(events)", _of("active_users")),
    "eventsPerSession": _per("sum(events)", "sum(sessions)"),
    "keyEvents": "sum(key_events)",
    "conversions": "sum(key_events)",
    "totalRevenue": "sum(value_micros) / 1000000",
    "purchaseRevenue": "sum(value_micros) / 1000000",
    "averageRevenuePerUser": _per("sum(value_micros) / 1000000", _of("active_users")),
}


@dataclass(frozen=True)
class Range:
    """A date range: its days, and what rows of it carry."""

    first: date
    last: date
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A report in plain words and in SQL.

    Attributes:
        table: Whose rows.
        by: Columns by name: SQL of each.
        metrics: The same of what is worked out.
        where: Which rows count.
        having: Which rows of the report are kept; over the names of metrics.
        order: Of the rows; "" where any will do.
        page: Limit and offset.
        ranges: Of days; what rows of each carry where there are several.
        keep_empty: Whether rows of nothing are kept.
    """

    table: str
    by: Mapping[str, str]
    metrics: Mapping[str, str]
    ranges: Sequence[Range]
    where: str = "true"
    having: str = "true"
    order: str = ""
    page: str = ""
    keep_empty: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def rows(self, database: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
        """The rows: texts, then numbers."""
        parts = [self._part(each) for each in self.ranges]
        sql = f"select * from ({' union all '.join(parts)}) where {self.having}"
        if self.order:
            sql += f" order by {self.order}"
        return [
            tuple(float(value) if not isinstance(value, str) else value for value in row)
            for row in database.execute(f"{sql} {self.page}").fetchall()
        ]

    def _part(self, part: Range) -> str:
        label = {"range": f"'{part.name}'"} if len(self.ranges) > 1 else {}
        by = {name: sql.replace("{start}", str(part.first)) for name, sql in self.by.items()}
        columns = by | dict(self.labels) | label
        worked_out = {name: f"coalesce({sql}, 0)" for name, sql in self.metrics.items()}
        chosen = ", ".join(f'{sql} as "{name}"' for name, sql in {**columns, **worked_out}.items())
        days = f"local::date between date '{part.first}' and date '{part.last}'"
        grouped = f"group by {', '.join(by.values())}" if by else ""
        says = " or ".join(f'"{name}" <> 0' for name in self.metrics) or "true"
        kept = "true" if self.keep_empty else says
        return (
            f"(select * from (select {chosen} from {self.table}"
            f" where {days} and ({self.where}) {grouped}) where {kept})"
        )
