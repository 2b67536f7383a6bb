"""Requests of the reporting methods: JSON in, a checked request or all of its problems out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallymark.dimensions import Dimension
from tallymark.metrics import AskedMetric
from tallymark.report_names import REALTIME, STANDARD, ReportNames
from tallymark.reports.aggregations import AGGREGATIONS
from tallymark.reports.columns import DATE_RANGE, invalid_field, limit_columns, read_columns
from tallymark.reports.comparisons import COMPARISON, Comparison, read_comparisons
from tallymark.reports.currencies import DatedRate, Money, read_currency
from tallymark.reports.dates import TimeRange, read_date_ranges
from tallymark.reports.fields import Reader
from tallymark.reports.filters import NUMERIC_KINDS, Filter, read_filter
from tallymark.reports.orders import Orderable, OrderBy, read_orders
from tallymark.reports.pivots import Pivot, pivot_fields, read_pivots
from tallymark.reports.problems import InvalidRequestError
from tallymark.reports.realtime import read_minute_ranges

DEFAULT_LIMIT: Final = 10_000
MAX_LIMIT: Final = 250_000


@dataclass(frozen=True)
class Method:
    """A method of the API that answers with rows.

    Attributes:
        name: As its address and its responses name it.
        fields: What its requests may hold.
    """

    name: str
    fields: tuple[str, ...]


_COLUMNS: Final = ("property", "dimensions", "metrics", "dimensionFilter", "metricFilter")
_DATED: Final = ("dateRanges", "currencyCode", "cohortSpec", "keepEmptyRows", "comparisons")
_PAGED: Final = ("limit", "metricAggregations", "orderBys")
RUN_REPORT: Final = Method(
    "runReport", (*_COLUMNS, *_DATED, *_PAGED, "offset", "returnPropertyQuota")
)
RUN_PIVOT_REPORT: Final = Method(
    "runPivotReport", (*_COLUMNS, *_DATED, "pivots", "returnPropertyQuota")
)
RUN_REALTIME_REPORT: Final = Method(
    "runRealtimeReport", (*_COLUMNS, *_PAGED, "minuteRanges", "returnPropertyQuota")
)
CHECK_COMPATIBILITY: Final = Method("checkCompatibility", (*_COLUMNS, "compatibilityFilter"))


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """A report that has been checked field by field.

    Attributes:
        method: What was called.
        dimensions: What rows are told apart by.
        metrics: What is worked out for rows, also what only filters and orders use.
        unlisted: Names of metrics that the request does not list: its filter needs them.
        invisible: Names of metrics that the response leaves out.
        date_ranges: One to four, or the minute ranges of a realtime report.
        comparisons: Filters that are put to the report side by side.
        dimension_filter: Which rows of the rollup count.
        filter_dimensions: The dimensions that it and the comparisons need.
        metric_filter: Which rows of the report are kept.
        order_bys: How rows are sorted.
        offset: How many rows are left out in front.
        limit: How many rows are answered at most.
        aggregations: Of ``AGGREGATIONS``.
        pivots: Of a pivot report.
        keep_empty_rows: Whether rows whose metrics are all zero are kept.
        tells_quota: Whether the response is to say what is left of the property's quotas.
        now_us: UTC µs of the asking.
        time_zone: Of the property.
        currency: Of the property.
        money: What amounts are answered in.
    """

    method: Method = RUN_REPORT
    dimensions: tuple[Dimension, ...]
    metrics: tuple[AskedMetric, ...]
    unlisted: frozenset[str] = frozenset()
    invisible: frozenset[str] = frozenset()
    date_ranges: tuple[TimeRange, ...]
    comparisons: tuple[Comparison, ...] = ()
    dimension_filter: Filter | None = None
    filter_dimensions: tuple[Dimension, ...] = ()
    metric_filter: Filter | None = None
    order_bys: tuple[OrderBy, ...] = ()
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    aggregations: tuple[str, ...] = ()
    pivots: tuple[Pivot, ...] = ()
    keep_empty_rows: bool = False
    tells_quota: bool = False
    now_us: int
    time_zone: str
    currency: str
    money: Money

    @property
    def is_realtime(self) -> bool:
        """Whether it is of minutes."""
        return self.method is RUN_REALTIME_REPORT

    @property
    def is_whole(self) -> bool:
        """Whether its rows make up all that there is in its date ranges."""
        return not (self.dimension_filter or self.metric_filter or self.comparisons)

    @property
    def listed(self) -> tuple[AskedMetric, ...]:
        """The metrics that the request lists."""
        return tuple(metric for metric in self.metrics if metric.name not in self.unlisted)

    @property
    def shown(self) -> tuple[AskedMetric, ...]:
        """The metrics that the response shows."""
        return tuple(metric for metric in self.listed if metric.name not in self.invisible)

    @property
    def labels(self) -> tuple[str, ...]:
        """The dimensions that say of which comparison and date range a row is."""
        compared = (COMPARISON,) if self.comparisons else ()
        return (*compared, DATE_RANGE) if len(self.date_ranges) > 1 else compared


def parse_request(
    document: Any,
    *,
    now_us: int,
    time_zone: str,
    currency: str,
    method: Method = RUN_REPORT,
    names: ReportNames = STANDARD,
    rates: Sequence[DatedRate] = (),
    property_id: int = 0,
) -> ReportRequest:
    """Check a request.

    Args:
        document: Decoded JSON.
        now_us: UTC µs, what "today" refers to.
        time_zone: Of the property.
        currency: Of the property.
        method: What is called.
        names: What the property may ask for.
        rates: What other currencies are worth in the property's.
        property_id: What a ``property`` in the request has to name; 0 for any.

    Raises:
        InvalidRequestError: with all that is wrong.
    """
    reader = Reader.of(document)
    problems = reader.problems
    reader.only(*method.fields)
    request = _Parser(reader, method, REALTIME if method is RUN_REALTIME_REPORT else names).request(
        now_us, time_zone, currency, rates
    )
    reader.check_property(property_id)
    is_empty = not (request.dimensions or request.listed) and method is not CHECK_COMPATIBILITY
    if is_empty and not problems:
        reader.say("Requests require dimensions and/or metrics. Most requests include both.")
    if problems:
        raise InvalidRequestError(problems)
    return request


class _Parser:
    """Reads a request of one method."""

    def __init__(self, reader: Reader, method: Method, names: ReportNames) -> None:
        self._reader = reader
        self._method = method
        self._columns = read_columns(reader, names)

    def request(
        self, now_us: int, time_zone: str, currency: str, rates: Sequence[DatedRate]
    ) -> ReportRequest:
        """All of it; problems go to the reader's list."""
        reader, columns = self._reader, self._columns
        limit, offset = _read_limit(reader), _read_offset(reader)
        ranges = self._read_ranges(now_us, time_zone)
        comparisons = read_comparisons(reader)
        if self._method is RUN_PIVOT_REPORT and COMPARISON not in pivot_fields(reader):
            comparisons = ()
        dimension_filter, filtered_by = self._read_dimension_filter(comparisons)
        limit_columns(reader, columns, filtered_by)
        metric_filter, hidden = self._read_metric_filter()
        pivots = self._read_pivots(comparisons)
        return ReportRequest(
            method=self._method,
            dimensions=self._dimensions(pivots),
            metrics=(*columns.metrics.values(), *hidden),
            unlisted=frozenset(metric.name for metric in hidden),
            invisible=columns.invisible,
            date_ranges=ranges,
            comparisons=comparisons,
            dimension_filter=dimension_filter,
            filter_dimensions=filtered_by,
            metric_filter=metric_filter,
            order_bys=self._read_orders(ranges, comparisons),
            offset=offset,
            limit=limit,
            aggregations=self._read_aggregations(),
            pivots=pivots,
            keep_empty_rows=reader.flag("keepEmptyRows"),
            tells_quota=reader.flag("returnPropertyQuota"),
            now_us=now_us,
            time_zone=time_zone,
            currency=currency,
            money=read_currency(reader, currency, rates, ranges),
        )

    def _read_ranges(self, now_us: int, time_zone: str) -> tuple[TimeRange, ...]:
        if self._method is CHECK_COMPATIBILITY:
            return ()
        if self._method is RUN_REALTIME_REPORT:
            return read_minute_ranges(self._reader, now_us)
        if "cohortSpec" in self._reader.content:
            self._reader.complain(
                "cohortSpec is not served: compare firstUser dimensions or dateRanges instead"
            )
        return read_date_ranges(self._reader, now_us, time_zone)

    def _read_dimension_filter(
        self, comparisons: Collection[Comparison]
    ) -> tuple[Filter | None, tuple[Dimension, ...]]:
        reader, columns = self._reader, self._columns
        found = read_filter(reader.object("dimensionFilter"))
        needed = list(columns.filtered_by(reader, "dimensionFilter", found))
        for comparison in comparisons:
            needed += columns.filtered_by(reader, "comparisons", comparison.filter)
        return found, tuple({dimension.name: dimension for dimension in needed}.values())

    def _read_metric_filter(self) -> tuple[Filter | None, list[AskedMetric]]:
        reader, columns = self._reader, self._columns
        found = read_filter(reader.object("metricFilter"), NUMERIC_KINDS)
        hidden = []
        for name in dict.fromkeys(found.fields() if found else ()):
            metric = columns.metric(name)
            if metric is None:
                reader.say(f"metricFilter: {invalid_field(name, 'metric', columns.names)}")
            elif name not in columns.metrics:
                hidden.append(metric)
        return found, hidden

    def _read_pivots(self, comparisons: Collection[Comparison]) -> tuple[Pivot, ...]:
        if self._method is not RUN_PIVOT_REPORT:
            return ()
        if not self._columns.metrics:
            self._reader.complain("metrics: expected at least one")
        labels = [DATE_RANGE, *([COMPARISON] if comparisons else [])]
        names = [*self._columns.dimensions, *labels]
        return read_pivots(self._reader, names, self._columns.metrics)

    def _dimensions(self, pivots: Collection[Pivot]) -> tuple[Dimension, ...]:
        """Those that tell rows apart: of a pivot report the ones that its pivots show."""
        known = self._columns.dimensions
        if self._method is not RUN_PIVOT_REPORT:
            return tuple(known.values())
        return tuple(known[name] for pivot in pivots for name in pivot.fields if name in known)

    def _read_orders(
        self, ranges: Collection[TimeRange], comparisons: Collection[Comparison]
    ) -> tuple[OrderBy, ...]:
        if self._method is RUN_PIVOT_REPORT:
            return ()
        labels = [COMPARISON] if comparisons else []
        labels += [DATE_RANGE] if len(ranges) > 1 else []
        columns = self._columns
        return read_orders(self._reader, Orderable([*columns.dimensions, *labels], columns.metrics))

    def _read_aggregations(self) -> tuple[str, ...]:
        found = self._reader.enums("metricAggregations", AGGREGATIONS)
        if "COUNT" in found:
            self._reader.say("Metric aggregation Count is not supported in ReportRequest.")
        return found


def _read_offset(request: Reader) -> int:
    offset = request.whole("offset")
    if offset < 0:
        request.say(f"offset must be positive. The API received offset = {offset}")
    return offset


def _read_limit(request: Reader) -> int:
    """As in GA, 0 stands for the default and no more than the maximum is answered."""
    limit = request.whole("limit")
    if limit < 0:
        request.say(f"limit must be positive. The API received limit = {limit}")
    return min(limit or DEFAULT_LIMIT, MAX_LIMIT)
