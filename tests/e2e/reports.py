"""What the report API answers, asked by Google's own client, and what it should answer."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from google.analytics.data_v1beta import BetaAnalyticsDataClient
from google.analytics.data_v1beta.types import DateRange, Dimension, Metric, RunReportRequest
from google.oauth2.credentials import Credentials

from .cells_reader import LAYOUTS, Cells
from .stack import Site, Stack

Answer = dict[tuple[str, ...], tuple[float, ...]]
Report = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Rollup, dimensions, metrics."""

METRICS = {
    "eventCount": ("events", "", 1),
    "screenPageViews": ("views", "", 1),
    "userEngagementDuration": ("engagement_ms", "", 1000),
    "keyEvents": ("key_events", "", 1),
    "purchaseRevenue": ("value_micros", "", 1_000_000),
    "sessions": ("sessions", "", 1),
    "engagedSessions": ("engaged_sessions", "", 1),
    "engagementRate": ("engaged_sessions", "sessions", 1),
    "averageSessionDuration": ("session_duration_ms", "sessions", 1000),
    "entrances": ("entrances", "", 1),
    "exits": ("exits", "", 1),
    "totalUsers": ("users", "", 1),
    "activeUsers": ("active_users", "", 1),
    "newUsers": ("new_users", "", 1),
}
"""Metric to measure, divisor and scale."""
DIMENSIONS = {
    "sessionSource": "source",
    "sessionMedium": "medium",
    "sessionCampaignName": "campaign",
    "sessionDefaultChannelGroup": "channel",
    "firstUserSource": "first_source",
    "firstUserMedium": "first_medium",
    "firstUserCampaignName": "first_campaign",
    "firstUserDefaultChannelGroup": "first_channel",
    "newVsReturning": "new_vs_returning",
    "landingPage": "landing_page",
    "hostName": "host",
    "pagePath": "path",
    "eventName": "event_name",
    "deviceCategory": "device_category",
    "browser": "browser",
    "operatingSystem": "operating_system",
}
"""Dimension to key; ``date`` is the local day of the slot."""
OF_SESSIONS = (
    "eventCount", "screenPageViews", "keyEvents", "purchaseRevenue", "sessions",
    "engagedSessions", "engagementRate", "totalUsers", "activeUsers", "newUsers",
)  # fmt: skip
REPORTS: tuple[Report, ...] = (
    ("totals", (), OF_SESSIONS),
    ("totals", ("date",), OF_SESSIONS),
    ("totals", ("date",), ("userEngagementDuration", "averageSessionDuration")),
    ("acquisition", ("sessionSource", "sessionMedium", "sessionCampaignName"), OF_SESSIONS),
    ("acquisition", ("date", "sessionDefaultChannelGroup"), OF_SESSIONS),
    ("first_user", ("firstUserSource", "firstUserMedium", "firstUserCampaignName"), OF_SESSIONS),
    ("first_user", ("date", "firstUserDefaultChannelGroup"), OF_SESSIONS),
    ("visitors", ("date", "newVsReturning"), OF_SESSIONS),
    ("landing", ("landingPage",), OF_SESSIONS),
    ("technology", ("deviceCategory", "browser", "operatingSystem"), OF_SESSIONS),
    (
        "pages",
        ("hostName", "pagePath"),
        ("eventCount", "screenPageViews", "userEngagementDuration", "sessions", "entrances",
         "exits", "totalUsers"),
    ),
    ("events", ("eventName",), ("eventCount", "keyEvents", "purchaseRevenue", "totalUsers")),
)  # fmt: skip
"""The reports that are compared."""


def ask(
    stack: Stack,
    site: Site,
    dimensions: Iterable[str],
    metrics: Iterable[str],
    dates: tuple[str, str] = ("2daysAgo", "today"),
) -> Answer:
    """Ask for a report as any program written for Google Analytics would."""
    client = BetaAnalyticsDataClient(
        transport="rest",
        credentials=Credentials(token=site.read_key),
        client_options={"api_endpoint": stack.report_url},
    )
    response = client.run_report(
        RunReportRequest(
            property=f"properties/{site.property_id}",
            dimensions=[Dimension(name=name) for name in dimensions],
            metrics=[Metric(name=name) for name in metrics],
            date_ranges=[DateRange(start_date=dates[0], end_date=dates[1])],
            limit=100_000,
        ),
        timeout=30,
    )
    return {
        tuple(value.value for value in row.dimension_values): tuple(
            float(value.value) for value in row.metric_values
        )
        for row in response.rows
    }


def expected_answer(
    cells: Cells,
    site: Site,
    zone: ZoneInfo,
    report: Report,
) -> Answer:
    """The same report, added up from the cells that the oracle expects."""
    rollup, dimensions, metrics = report
    sums: dict[tuple[str, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    sets: dict[tuple[str, ...], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    names = LAYOUTS[rollup].keys
    for (property_id, start, _), rows in cells[rollup].items():
        if property_id != site.property_id:
            continue
        day = datetime.fromtimestamp(start / 1e6, UTC).astimezone(zone).strftime("%Y%m%d")
        for keys, row in rows.items():
            texts = {"date": day} | {
                dimension: dict(zip(names, keys, strict=True)).get(key) or "(not set)"
                for dimension, key in DIMENSIONS.items()
            }
            group = tuple(texts[dimension] for dimension in dimensions)
            for measure, value in row.items():
                if isinstance(value, frozenset):
                    sets[group][measure] |= value
                else:
                    sums[group][measure] += value
    answer: Answer = {}
    for group, values in sums.items():
        values |= {measure: len(members) for measure, members in sets[group].items()}
        row_values = tuple(_metric(values, metric) for metric in metrics)
        if any(row_values):  # rows of nothing are left out of answers
            answer[group] = row_values
    return answer


def _metric(values: dict[str, float], metric: str) -> float:
    of, per, scale = METRICS[metric]
    value = values.get(of, 0) / scale
    if not per:
        return value
    return value / values[per] if values.get(per) else 0.0


def answer_differences(expected: Answer, found: Answer) -> list[str]:
    """Rows that differ, in words."""
    return [
        f"{group}: expected {expected.get(group)}, found {found.get(group)}"
        for group in sorted(expected.keys() | found.keys())
        if group not in expected or group not in found or not _close(expected[group], found[group])
    ]


def _close(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= 1e-9 * max(abs(a), abs(b)) for a, b in zip(one, other, strict=True)
    )
