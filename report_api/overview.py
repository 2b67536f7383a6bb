"""The overview: everything that the merchant's page shows, in one answer of one moment."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from report_api.reader import Answer, ReportReader, rules_at
from tallymark.properties import Property
from tallymark.reports import RUN_REALTIME_REPORT
from tallymark.reports.serving import Freshness
from tallymark.slots import EPOCH, MINUTE_US

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
_LAST_MINUTES: Final = {
    "dimensions": [{"name": "minutesAgo"}],
    "metrics": [{"name": name} for name in ("activeUsers", "screenPageViews", "eventCount")],
    "metricAggregations": ["TOTAL"],
}
_MINUTES: Final = 30


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
    last_minutes = reader.report(owner, _LAST_MINUTES, pointers, RUN_REALTIME_REPORT)
    answers = {
        name: reader.report(owner, request, pointers, only_cells=True)
        for name, request in REQUESTS.items()
    }
    receipts = [found.freshness for found in (last_minutes, *answers.values())]
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
        "hasData": bool(last_minutes.document["rowCount"] or answers["today"].document["rowCount"]),
        "lastMinutes": _minutes(last_minutes, now),
        **tables,
        "today": tables["today"][0] if tables["today"] else dict.fromkeys(_TOTALS, "0"),
        "freshness": asdict(Freshness.together(receipts)),
    }


def _minutes(found: Answer, now_us: int) -> dict[str, Any]:
    """The last 30 minutes one by one, the present one last, and together."""
    present = now_us // MINUTE_US
    rows = {int(row["minutesAgo"]): row for row in _table(found, "rows")}
    (whole,) = _table(found, "totals")
    return {
        "users": int(whole["activeUsers"]),
        "views": int(whole["screenPageViews"]),
        "events": int(whole["eventCount"]),
        "minutes": [
            {
                "startSeconds": (present - ago) * 60,
                "views": int(rows[ago]["screenPageViews"]) if ago in rows else 0,
                "events": int(rows[ago]["eventCount"]) if ago in rows else 0,
            }
            for ago in reversed(range(_MINUTES))
        ],
    }


def _table(found: Answer, field: str = "rows") -> list[dict[str, str]]:
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
        for row in document[field]
    ]
