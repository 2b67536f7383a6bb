"""The overview: everything that the merchant's page shows, in one answer of one moment."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from report_api.reader import Answer, ReportReader, rules_at
from tallymark.properties import Property
from tallymark.reports.serving import Freshness
from tallymark.slots import EPOCH

_TODAY: Final = [{"startDate": "today", "endDate": "today"}]
_ROWS: Final = 8


def _request(dimensions: tuple[str, ...], metrics: tuple[str, ...]) -> dict[str, Any]:
    return {
        "dateRanges": _TODAY,
        "dimensions": [{"name": name} for name in dimensions],
        "metrics": [{"name": name} for name in metrics],
        "limit": _ROWS,
    }


_TOTALS: Final = (
    "activeUsers", "totalUsers", "sessions", "screenPageViews", "eventCount", "engagementRate",
    "keyEvents", "totalRevenue",
)  # fmt: skip
REQUESTS: Final = {
    "today": _request((), _TOTALS),
    "hours": _request(("hour",), ("screenPageViews", "activeUsers", "sessions")) | {"limit": 24},
    "pages": _request(("hostName", "pagePath"), ("screenPageViews", "totalUsers")),
    "sources": _request(("sessionSource", "sessionMedium"), ("sessions", "activeUsers")),
    "events": _request(("eventName",), ("eventCount", "totalUsers")),
}
"""The reports of today that the page shows, as requests of ``runReport``."""


def overview_document(
    reader: ReportReader, owner: Property, now_us: Callable[[], int]
) -> dict[str, Any]:
    """The overview of a property: its last 30 minutes, and today in its time zone.

    Raises:
        WideRowsUnavailableError: when the store cannot be read.
    """
    now = now_us()
    rules = rules_at(owner, now)
    pointers = reader.pointers(owner.property_id)
    last_minutes, of_minutes = reader.recent(owner, pointers)
    answers = {
        name: reader.report(owner, request, pointers, only_cells=True)
        for name, request in REQUESTS.items()
    }
    freshness = Freshness.together([of_minutes, *(found.freshness for found in answers.values())])
    local = (EPOCH + timedelta(microseconds=now)).astimezone(ZoneInfo(rules.time_zone))
    tables = {name: _table(found) for name, found in answers.items()}
    return {
        "property": {
            "id": str(owner.property_id),
            "name": owner.name,
            "measurementId": next(iter(owner.measurement_ids), ""),
            "timeZone": rules.time_zone,
            "currency": rules.currency,
        },
        "now": local.isoformat(timespec="seconds"),
        "hasData": bool(last_minutes.events or answers["today"].document["rowCount"]),
        "lastMinutes": {
            "users": last_minutes.users,
            "views": last_minutes.views,
            "events": last_minutes.events,
            "minutes": [
                {"startSeconds": start // 1_000_000, "views": views, "events": events}
                for start, views, events in last_minutes.minutes.select(
                    "minute", "views", "events"
                ).iter_rows()
            ],
        },
        **tables,
        "today": tables["today"][0] if tables["today"] else dict.fromkeys(_TOTALS, "0"),
        "freshness": asdict(freshness),
    }


def _table(found: Answer) -> list[dict[str, str]]:
    """Rows as objects: the page reads them by name."""
    document = found.document
    dimensions = [header["name"] for header in document["dimensionHeaders"]]
    metrics = [header["name"] for header in document["metricHeaders"]]
    return [
        {
            name: cell["value"]
            for name, cell in (
                *zip(dimensions, row["dimensionValues"], strict=True),
                *zip(metrics, row["metricValues"], strict=True),
            )
        }
        for row in document["rows"]
    ]
