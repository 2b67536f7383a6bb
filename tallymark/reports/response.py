"""Responses of ``runReport``, as Google's clients read them."""

from typing import Any, Final

import polars as pl

from tallymark.reports.answer import Report
from tallymark.reports.request import DATE_RANGE, ReportRequest

KIND: Final = "analyticsData#runReport"
_AGGREGATES: Final = {
    "TOTAL": ("totals", "RESERVED_TOTAL"),
    "MINIMUM": ("minimums", "RESERVED_MIN"),
    "MAXIMUM": ("maximums", "RESERVED_MAX"),
}


def response_document(report: Report) -> dict[str, Any]:
    """The JSON of a report; all values are text, as in GA."""
    request = report.request
    names = _dimension_names(request)
    document: dict[str, Any] = {
        "dimensionHeaders": [{"name": name} for name in names],
        "metricHeaders": [
            {"name": metric.name, "type": metric.type}
            for metric in request.metrics
            if metric.name not in request.invisible
        ],
        "rows": _rows(report.rows, names, request),
        "rowCount": report.row_count,
        "metadata": {
            "currencyCode": request.currency,
            "timeZone": request.time_zone,
            "dataLossFromOtherRow": report.has_other_row,
        },
        "kind": KIND,
    }
    for name, rows in report.aggregates.items():
        field, mark = _AGGREGATES[name]
        marks = [pl.lit(mark).alias(dimension.name) for dimension in request.dimensions]
        document[field] = _rows(rows.with_columns(marks), names, request)
    return document


def _dimension_names(request: ReportRequest) -> list[str]:
    names = [dimension.name for dimension in request.dimensions]
    return [*names, DATE_RANGE] if len(request.date_ranges) > 1 else names


def _rows(
    table: pl.DataFrame, dimensions: list[str], request: ReportRequest
) -> list[dict[str, Any]]:
    metrics = [metric.name for metric in request.metrics if metric.name not in request.invisible]
    dimension_values = _values(table, dimensions)
    metric_values = _values(table, metrics)
    return [
        {"dimensionValues": [*by], "metricValues": [*values]}
        for by, values in zip(dimension_values, metric_values, strict=True)
    ]


def _values(table: pl.DataFrame, names: list[str]) -> list[tuple[dict[str, str], ...]]:
    if not names:
        return [()] * table.height
    columns = [[{"value": _text(value)} for value in table.get_column(name)] for name in names]
    return list(zip(*columns, strict=True))


def _text(value: str | float) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)
