"""Answers: from decoded cells to the rows of a report.

A unique count of a row is that of the union of its sets. The total is the union of all sets, never
a sum, and no row says more than its total: of sets that keep as many hashes, the union of more
never counts less (below k members it is exact, from k on at least k − 1 and falling with the k-th
hash), and where the total comes from the totals rollup, rows are clamped to it.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from tallymark.decoded_cells import DecodedCells
from tallymark.metrics import LOCAL, TOTALS, Dimension
from tallymark.reports.dates import DateRange
from tallymark.reports.local_time import local_us
from tallymark.reports.plan import Plan
from tallymark.reports.request import DATE_RANGE, ReportRequest
from tallymark.reports.unique_counts import NO_GROUP, Members
from tallymark.slots import DAY_US, HOUR_US

Measures = dict[str, int]

_GROUP = "group"
_STORED = "stored"


@dataclass(frozen=True, kw_only=True)
class Report:
    """An answered report.

    Attributes:
        request: What was asked.
        rows: The page that was asked for: dimensions (String, those of the request and the date
            range's name where there are several) and metrics (Int64 or Float64), by name.
        row_count: How many rows there are without offset and limit.
        aggregates: For each of TOTAL, MINIMUM and MAXIMUM that was asked for, a row a date range:
            the range's name and the metrics.
        has_other_row: Whether a breakdown was larger than its cell may be, so that some of it is
            in rows named ``(other)``.
    """

    request: ReportRequest
    rows: pl.DataFrame
    row_count: int
    aggregates: dict[str, pl.DataFrame]
    has_other_row: bool


def answer(plan: Plan, decoded: DecodedCells, totals: DecodedCells | None = None) -> Report:
    """Compute a report.

    Args:
        plan: Of the request.
        decoded: The served cells of ``plan.rollup`` in ``plan.spans``, at least ``plan.columns``.
        totals: Those of the totals rollup; needed where ``plan.whole_measures`` names any.
    """
    request = plan.request
    facts = _with_times(plan, decoded.numbers)
    members = Members(decoded.sets, plan.uniques)
    tables, wholes = [], []
    for date_range in request.date_ranges:
        known = _whole(plan, totals, date_range) if totals else {}
        rows = facts if len(request.date_ranges) == 1 else facts.filter(_within(date_range))
        part = _Part(plan, rows, members, decoded.numbers.height, date_range)
        tables.append(part.table(known))
        if "TOTAL" in request.aggregations:
            wholes.append(part.whole(known))
    ordered = _ordered(request, pl.concat(tables))
    return Report(
        request=request,
        rows=ordered.slice(request.offset, request.limit),
        row_count=ordered.height,
        aggregates=_aggregates(request, ordered, wholes),
        has_other_row=decoded.has_other_row,
    )


def _all_dimensions(plan: Plan) -> tuple[Dimension, ...]:
    return tuple(dict.fromkeys((*plan.request.dimensions, *plan.request.filter_dimensions)))


def _with_times(plan: Plan, numbers: pl.DataFrame) -> pl.DataFrame:
    """The rows with their local day, or hour where a dimension tells hours apart."""
    timely = [dimension for dimension in _all_dimensions(plan) if dimension.is_time]
    if not timely:
        return numbers
    unit_us = HOUR_US if any(dimension.is_by_hour for dimension in timely) else DAY_US
    local = local_us(numbers.get_column("slot_start").to_numpy(), plan.request.time_zone)
    return numbers.with_columns(pl.Series(LOCAL, local // unit_us * unit_us))


def _column(dimension: str) -> str:
    """Column of a dimension beside measures, which have the names of some dimensions."""
    return f"by {dimension}"


class _Part:
    """The part of a report that one date range is.

    Rows are summed over what tells them apart in the store first; dimensions and filters are then
    worked out for these few groups.
    """

    def __init__(
        self, plan: Plan, facts: pl.DataFrame, members: Members, rows: int, date_range: DateRange
    ) -> None:
        self._plan = plan
        self._facts = facts
        self._members = members
        self._name = date_range.name
        self._stored_of_row = np.full(rows, NO_GROUP, dtype=np.int64)
        self._group_of_row = np.full(rows, NO_GROUP, dtype=np.int64)
        self._kept = pl.DataFrame()

    def table(self, known: Measures) -> pl.DataFrame:
        """The rows; none says more than the total, of which ``known`` measures are given."""
        request = self._plan.request
        clamped = self._grouped()
        limits = [name for name in self._plan.uniques if name in known]
        if limits:
            clamped = clamped.with_columns(
                pl.min_horizontal(name, pl.lit(known[name], pl.Int64)) for name in limits
            )
        table = _kept(request, self._named(clamped, request.dimensions))
        if "TOTAL" in request.aggregations:
            self._kept = clamped.join(table, on=_GROUP, how="semi")
        return table.drop(_GROUP)

    def whole(self, known: Measures) -> pl.DataFrame:
        """The total of what ``table`` has kept, as one row."""
        plan = self._plan
        kept = np.isin(self._group_of_row, self._kept.get_column(_GROUP).to_numpy())
        one_group = np.where(kept, 0, NO_GROUP)
        measures = {name: pl.Series([self._kept.get_column(name).sum()]) for name in plan.sums} | {
            name: self._members.counts(name, one_group, 1, plan.rollup.unique_k)
            for name in plan.uniques
        }
        given = {name: pl.Series([value], dtype=pl.Int64) for name, value in known.items()}
        total = pl.DataFrame({_GROUP: [0]} | measures | given)
        return self._named(total, ()).drop(_GROUP)

    def _grouped(self) -> pl.DataFrame:
        """Measures by group: its number, dimensions, sums and unique counts."""
        plan = self._plan
        stored = self._stored_groups()
        if plan.request.dimension_filter is not None:
            stored = stored.filter(
                plan.request.dimension_filter.expression(lambda name: pl.col(_column(name)))
            )
        keys = [_column(dimension.name) for dimension in plan.request.dimensions]
        sums = [pl.col(name).sum() for name in plan.sums]
        members = [_STORED] if plan.uniques else []
        if keys:
            found = stored.group_by(keys).agg(*sums, *members).with_row_index(_GROUP)
        else:
            found = stored.select(
                pl.lit(0, pl.UInt32).alias(_GROUP),
                *sums,
                *(pl.col(name).implode() for name in members),
            ).head(1)
        if not plan.uniques:
            return found
        self._place_rows(found)
        counts = [
            self._members.counts(name, self._group_of_row, found.height, plan.rollup.unique_k)
            for name in plan.uniques
        ]
        return found.with_columns(counts)

    def _place_rows(self, found: pl.DataFrame) -> None:
        """Note the group of each row whose stored group is in one."""
        groups = found.select(_GROUP, _STORED).explode(_STORED, empty_as_null=False)
        group_of_stored = np.full(self._facts.height + 1, NO_GROUP, dtype=np.int64)
        group_of_stored[groups.get_column(_STORED).to_numpy()] = groups.get_column(_GROUP)
        placed = self._stored_of_row != NO_GROUP
        self._group_of_row[placed] = group_of_stored[self._stored_of_row[placed]]

    def _stored_groups(self) -> pl.DataFrame:
        """Sums by stored keys and local time, with the values of all dimensions."""
        plan = self._plan
        dimensions = _all_dimensions(plan)
        times = [LOCAL] if LOCAL in self._facts.columns else []
        sums = [pl.col(name).sum() for name in plan.sums]
        if not (plan.keys or times):
            self._stored_of_row[self._facts.get_column("row").to_numpy()] = 0
            return self._facts.select(pl.lit(0, pl.UInt32).alias(_STORED), *sums).head(1)
        rows = ["row"] if plan.uniques else []
        groups = self._facts.group_by(*plan.keys, *times).agg(*sums, *rows).with_row_index(_STORED)
        if rows:
            placed = groups.select(_STORED, "row").explode("row")
            self._stored_of_row[placed.get_column("row").to_numpy()] = placed.get_column(_STORED)
        if times:
            groups = groups.with_columns(pl.from_epoch(LOCAL, time_unit="us"))
        return groups.with_columns(
            dimension.value().alias(_column(dimension.name)) for dimension in dimensions
        )

    def _named(self, measures: pl.DataFrame, dimensions: tuple[Dimension, ...]) -> pl.DataFrame:
        """Dimensions, date range and metrics by their names."""
        return measures.select(
            _GROUP,
            *(pl.col(_column(dimension.name)).alias(dimension.name) for dimension in dimensions),
            pl.lit(self._name).alias(DATE_RANGE),
            *(metric.value().alias(metric.name) for metric in self._plan.request.metrics),
        )


def _within(date_range: DateRange) -> pl.Expr:
    start = pl.col("slot_start")
    return (start >= date_range.start_us) & (start < date_range.end_us)


def _whole(plan: Plan, totals: DecodedCells, date_range: DateRange) -> Measures:
    """The measures of the total that the totals rollup knows best."""
    rows = totals.numbers.filter(_within(date_range))
    group_of_row = np.full(totals.numbers.height, NO_GROUP, dtype=np.int64)
    group_of_row[rows.get_column("row").to_numpy()] = 0
    uniques = [name for name in plan.whole_measures if name in TOTALS.uniques]
    members = Members(totals.sets, uniques)
    return {
        name: members.counts(name, group_of_row, 1, TOTALS.unique_k).item()
        if name in uniques
        else int(rows.get_column(name).sum())
        for name in plan.whole_measures
    }


def _kept(request: ReportRequest, table: pl.DataFrame) -> pl.DataFrame:
    """Without rows of nothing, unless they are wanted, and those that the metric filter drops."""
    names = [metric.name for metric in request.metrics]
    if names and not request.keep_empty_rows:
        table = table.filter(pl.any_horizontal(pl.col(name) != 0 for name in names))
    if request.metric_filter is not None:
        table = table.filter(request.metric_filter.expression(pl.col))
    return table


def _ordered(request: ReportRequest, table: pl.DataFrame) -> pl.DataFrame:
    """Sorted as asked, else by the first metric; ties by the dimensions, so that pages fit."""
    keys = [order.key(pl.col(order.name)) for order in request.order_bys]
    descending = [order.descending for order in request.order_bys]
    if not keys and request.metrics:
        keys, descending = [pl.col(request.metrics[0].name)], [True]
    ties = [pl.col(dimension.name) for dimension in request.dimensions]
    ranges = [part.name for part in request.date_ranges]
    if len(ranges) > 1:
        ties.append(pl.col(DATE_RANGE).replace_strict(ranges, list(range(len(ranges)))))
    if not keys and not ties:
        return table
    return table.sort([*keys, *ties], descending=[*descending, *(False for _ in ties)])


def _aggregates(
    request: ReportRequest, table: pl.DataFrame, wholes: list[pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    metrics = [metric.name for metric in request.metrics]
    bounds = {"MINIMUM": pl.col(metrics).min(), "MAXIMUM": pl.col(metrics).max()}
    ranges = pl.DataFrame({DATE_RANGE: [part.name for part in request.date_ranges]})
    found = {}
    for name in request.aggregations:
        if name == "TOTAL":
            found[name] = pl.concat(wholes)
        elif name in bounds:
            rows = table.group_by(DATE_RANGE).agg(bounds[name])
            joined = ranges.join(rows, on=DATE_RANGE, how="left", maintain_order="left")
            found[name] = joined.fill_null(0)
    return found
