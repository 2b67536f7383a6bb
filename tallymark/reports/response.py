"""Responses of the reporting methods, as Google's clients read them."""

from typing import Any, Final

import polars as pl

from tallymark.reports.aggregations import MARKS
from tallymark.reports.answer import Report
from tallymark.reports.pivot_answer import PivotReport
from tallymark.reports.request import ReportRequest

_FIELDS: Final = {"TOTAL": "totals", "MINIMUM": "minimums", "MAXIMUM": "maximums"}


def response_document(report: Report | PivotReport) -> dict[str, Any]:
    """The JSON of a report; all values are text, as in GA."""
    request = report.request
    document = _pivoted(report) if isinstance(report, PivotReport) else _plain(report)
    document["kind"] = f"analyticsData#{request.method.name}"
    if not request.is_realtime:
        document["metadata"] = _metadata(report)
    return document


def _plain(report: Report) -> dict[str, Any]:
    request = report.request
    names = [*(dimension.name for dimension in request.dimensions), *request.labels]
    document = {
        **_headers(request, names),
        "rows": _rows(report.rows, names, request),
        "rowCount": report.row_count,
    }
    for name, rows in report.aggregates.items():
        marks = [pl.lit(MARKS[name]).alias(dimension.name) for dimension in request.dimensions]
        document[_FIELDS[name]] = _rows(rows.with_columns(marks), names, request)
    return document


def _pivoted(report: PivotReport) -> dict[str, Any]:
    request = report.request
    return {
        "pivotHeaders": [
            {
                "pivotDimensionHeaders": [
                    {"dimensionValues": [*values]} for values in _values(table, table.columns)
                ],
                "rowCount": count,
            }
            for table, count in zip(report.combinations, report.counts, strict=True)
        ],
        **_headers(request, report.fields),
        "rows": _rows(report.rows, report.fields, request),
        "aggregates": _rows(report.aggregates, report.fields, request),
    }


def _headers(request: ReportRequest, names: list[str]) -> dict[str, Any]:
    """What the columns of rows are."""
    return {
        "dimensionHeaders": [{"name": name} for name in names],
        "metricHeaders": [{"name": metric.name, "type": metric.type} for metric in request.shown],
    }


def _metadata(report: Report | PivotReport) -> dict[str, Any]:
    """What holds for all rows."""
    request = report.request
    metadata = {
        "currencyCode": request.money.currency,
        "timeZone": request.time_zone,
        "dataLossFromOtherRow": report.has_other_row,
    }
    if report.row_count == 0:
        metadata["emptyReason"] = "NO_MATCHING_DATA" if report.has_data else "NO_DATA"
    return metadata


def _rows(
    table: pl.DataFrame, dimensions: list[str], request: ReportRequest
) -> list[dict[str, Any]]:
    """Rows with their dimensions and the metrics that are shown."""
    dimension_values = _values(table, dimensions)
    metric_values = _values(table, [metric.name for metric in request.shown])
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
    """As protobuf writes doubles: in 15 digits where these say it exactly, else in 17."""
    if not isinstance(value, float):
        return str(value)
    if value.is_integer():
        return str(int(value))
    short = f"{value:.15g}"
    return short if float(short) == value else f"{value:.17g}"
