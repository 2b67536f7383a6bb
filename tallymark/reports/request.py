"""Requests of ``runReport``: JSON in, a checked request or all of its problems out."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tallymark.metrics import Dimension, Metric
from tallymark.report_names import STANDARD, ReportNames
from tallymark.reports.dates import DateRange, read_date_ranges
from tallymark.reports.fields import Reader, normalised
from tallymark.reports.filters import NUMERIC_KINDS, Filter, read_filter
from tallymark.reports.orders import OrderBy, read_orders
from tallymark.reports.problems import InvalidRequestError

MAX_DIMENSIONS: Final = 9
MAX_METRICS: Final = 10
DEFAULT_LIMIT: Final = 10_000
MAX_LIMIT: Final = 250_000
DATE_RANGE: Final = "dateRange"
"""The dimension that reports of several date ranges have besides those asked for."""
AGGREGATIONS: Final = {
    "METRIC_AGGREGATION_UNSPECIFIED": 0,
    "TOTAL": 1,
    "COUNT": 4,
    "MINIMUM": 5,
    "MAXIMUM": 6,
}
_FIELDS: Final = (
    "property", "dimensions", "metrics", "dateRanges", "dimensionFilter", "metricFilter", "offset",
    "limit", "metricAggregations", "orderBys", "currencyCode", "keepEmptyRows",
    "returnPropertyQuota",
)  # fmt: skip
_NOT_SERVED: Final = ("cohortSpec", "comparisons")

Named = TypeVar("Named", Dimension, Metric)


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """A report that has been checked field by field.

    Attributes:
        dimensions: What rows are told apart by.
        metrics: What rows say, the invisible ones too.
        invisible: Names of metrics that only filters and orders use.
        date_ranges: One to four.
        dimension_filter: Which rows of the rollup count.
        filter_dimensions: The dimensions that it needs.
        metric_filter: Which rows of the report are kept.
        order_bys: How rows are sorted.
        offset: How many rows are left out in front.
        limit: How many rows are answered at most.
        aggregations: Of ``AGGREGATIONS``.
        keep_empty_rows: Whether rows whose metrics are all zero are kept.
        time_zone: Of the property.
        currency: Of the property.
    """

    dimensions: tuple[Dimension, ...]
    metrics: tuple[Metric, ...]
    invisible: frozenset[str] = frozenset()
    date_ranges: tuple[DateRange, ...]
    dimension_filter: Filter | None = None
    filter_dimensions: tuple[Dimension, ...] = ()
    metric_filter: Filter | None = None
    order_bys: tuple[OrderBy, ...] = ()
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    aggregations: tuple[str, ...] = ()
    keep_empty_rows: bool = False
    time_zone: str
    currency: str


def parse_request(
    document: Any,
    *,
    now_us: int,
    time_zone: str,
    currency: str,
    names: ReportNames = STANDARD,
) -> ReportRequest:
    """Check a request.

    Args:
        document: Decoded JSON.
        now_us: UTC µs, what "today" refers to.
        time_zone: Of the property.
        currency: Of the property.
        names: What the property may ask for.

    Raises:
        InvalidRequestError: with all that is wrong.
    """
    problems: list[str] = []
    reader = Reader(normalised(document), "", problems)
    reader.only(*_FIELDS, *_NOT_SERVED)
    for name in _NOT_SERVED:
        if name in reader.content:
            reader.complain(f"{name} is not served")
    dimensions = _read_names(reader, "dimensions", names.dimensions, MAX_DIMENSIONS)
    metrics = _read_names(reader, "metrics", names.metrics, MAX_METRICS)
    if not (dimensions or metrics or problems):
        reader.complain("expected at least one dimension or metric")
    dimension_filter, filter_dimensions = _read_dimension_filter(reader, names)
    request = ReportRequest(
        dimensions=dimensions,
        metrics=metrics,
        invisible=_read_invisible(reader),
        date_ranges=read_date_ranges(reader, now_us, time_zone),
        dimension_filter=dimension_filter,
        filter_dimensions=filter_dimensions,
        metric_filter=_read_metric_filter(reader, metrics),
        order_bys=_read_orders(reader, dimensions, metrics),
        offset=_read_offset(reader),
        limit=_read_limit(reader),
        aggregations=reader.enums("metricAggregations", AGGREGATIONS),
        keep_empty_rows=reader.flag("keepEmptyRows"),
        time_zone=time_zone,
        currency=_read_currency(reader, currency),
    )
    if problems:
        raise InvalidRequestError(problems)
    return request


def _read_names(
    request: Reader, field: str, known: Mapping[str, Named], most: int
) -> tuple[Named, ...]:
    readers = request.objects(field)
    if len(readers) > most:
        request.complain(f"{field}: expected at most {most}, got {len(readers)}")
    found: dict[str, Named] = {}
    for reader in readers[:most]:
        reader.only("name", "dimensionExpression", "expression", "invisible")
        for expression in ("dimensionExpression", "expression"):
            if expression in reader.content:
                reader.complain(f"{expression} is not served")
        name = reader.text("name")
        if name in found:
            reader.complain(f"expected each name once, got {name} again")
        elif (entry := _named(reader, field, name, known)) is not None:
            found[name] = entry
    return tuple(found.values())


def _named(reader: Reader, field: str, name: str, known: Mapping[str, Named]) -> Named | None:
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name[:100], known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Valid are {', '.join(known)}."
    reader.complain(f"Field {name:.100} is not a valid {field[:-1]}. {hint}")
    return None


def _read_invisible(request: Reader) -> frozenset[str]:
    return frozenset(
        reader.text("name") for reader in request.objects("metrics") if reader.flag("invisible")
    )


def _read_dimension_filter(
    request: Reader, names: ReportNames
) -> tuple[Filter | None, tuple[Dimension, ...]]:
    found = read_filter(request.object("dimensionFilter"))
    fields = dict.fromkeys(found.fields() if found else ())
    unknown = [name for name in fields if name not in names.dimensions]
    for name in unknown:
        request.complain(f"dimensionFilter: Field {name:.100} is not a valid dimension")
    if unknown:
        return None, ()
    return found, tuple(names.dimensions[name] for name in fields)


def _read_metric_filter(request: Reader, metrics: tuple[Metric, ...]) -> Filter | None:
    found = read_filter(request.object("metricFilter"), NUMERIC_KINDS)
    asked = {metric.name for metric in metrics}
    unknown = [name for name in (found.fields() if found else ()) if name not in asked]
    for name in unknown:
        request.complain(f"metricFilter: expected a metric of the request, got {name:.100}")
    return None if unknown else found


def _read_orders(
    request: Reader, dimensions: tuple[Dimension, ...], metrics: tuple[Metric, ...]
) -> tuple[OrderBy, ...]:
    names = [dimension.name for dimension in dimensions]
    if len(request.objects("dateRanges")) > 1:
        names.append(DATE_RANGE)
    return read_orders(request, names, [metric.name for metric in metrics])


def _read_offset(request: Reader) -> int:
    offset = request.whole("offset")
    if offset < 0:
        request.complain(f"offset: expected 0 or more, got {offset}")
    return offset


def _read_limit(request: Reader) -> int:
    """As in GA, 0 stands for the default and no more than the maximum is answered."""
    limit = request.whole("limit")
    if limit < 0:
        request.complain(f"limit: expected a positive number, got {limit}")
    return min(limit or DEFAULT_LIMIT, MAX_LIMIT)


def _read_currency(request: Reader, currency: str) -> str:
    asked = request.text("currencyCode")
    if asked not in ("", currency):
        request.complain(
            f"currencyCode: expected {currency}, the property's, got {asked:.20}:"
            " amounts are not converted"
        )
    return currency
