"""Answers: from decoded cells to the rows of a report.

A unique count of a row is that of the union of its sets. The total is the union of all sets, never
a sum, and no row says more than its total: of sets that keep as many hashes, the union of more
never counts less (below k members it is exact, from k on at least k − 1 and falling with the k-th
hash), and where the total comes from the totals rollup, rows are clamped to it.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from tallymark.aggregates import OTHER
from tallymark.decoded_cells import DecodedCells
from tallymark.metrics import LOCAL, TOTALS, Dimension
from tallymark.reports.dates import DateRange
from tallymark.reports.plan import Plan
from tallymark.reports.request import DATE_RANGE, ReportRequest
from tallymark.reports.unique_counts import NO_GROUP, Members
from tallymark.rollups import Rollup

Measures = dict[str, int]

_GROUP = "group"


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
        decoded: The served cells of ``plan.rollup`` in ``plan.spans``.
        totals: Those of the totals rollup; needed where ``plan.whole_measures`` names any.
    """
    request = plan.request
    facts = _facts(plan, decoded.numbers)
    members = Members(decoded.sets, plan.uniques)
    tables, wholes = [], []
    for date_range in request.date_ranges:
        known = _whole(plan, totals, date_range) if totals else {}
        part = _Part(plan, facts, members, decoded.numbers.height, date_range)
        tables.append(part.table(known))
        if "TOTAL" in request.aggregations:
            wholes.append(part.whole(known))
    ordered = _ordered(request, pl.concat(tables))
    return Report(
        request=request,
        rows=ordered.slice(request.offset, request.limit),
        row_count=ordered.height,
        aggregates=_aggregates(request, ordered, wholes),
        has_other_row=_has_other_row(plan.rollup, decoded.numbers),
    )


def _facts(plan: Plan, numbers: pl.DataFrame) -> pl.DataFrame:
    """The rollup's rows that pass the dimension filter, with the values of all dimensions."""
    request = plan.request
    dimensions = tuple(dict.fromkeys((*request.dimensions, *request.filter_dimensions)))
    keyed = numbers.select("row", "slot_start", *plan.sums, *_values(dimensions, is_time=False))
    timely = _values(dimensions, is_time=True)
    if timely:
        slots = numbers.select(pl.col("slot_start").unique())
        local = pl.from_epoch("slot_start", time_unit="us").dt.replace_time_zone("UTC")
        times = slots.with_columns(local.dt.convert_time_zone(request.time_zone).alias(LOCAL))
        keyed = keyed.join(times.select("slot_start", *timely), on="slot_start", how="left")
    if request.dimension_filter is None:
        return keyed
    return keyed.filter(request.dimension_filter.expression(lambda name: pl.col(_column(name))))


def _values(dimensions: tuple[Dimension, ...], *, is_time: bool) -> list[pl.Expr]:
    return [
        dimension.value().alias(_column(dimension.name))
        for dimension in dimensions
        if dimension.is_time == is_time
    ]


def _column(dimension: str) -> str:
    """Column of a dimension beside measures, which have the names of some dimensions."""
    return f"by {dimension}"


class _Part:
    """The part of a report that one date range is."""

    def __init__(
        self, plan: Plan, facts: pl.DataFrame, members: Members, rows: int, date_range: DateRange
    ) -> None:
        self._plan = plan
        self._members = members
        self._name = date_range.name
        self._facts = facts.filter(_within(date_range))
        self._group_of_row = np.full(rows, NO_GROUP, dtype=np.int64)

    def table(self, known: Measures) -> pl.DataFrame:
        """The rows; none says more than the total, of which ``known`` measures are given."""
        request = self._plan.request
        groups = self._grouped()
        clamped = groups.with_columns(
            pl.min_horizontal(name, pl.lit(known[name], pl.Int64))
            for name in self._plan.uniques
            if name in known
        )
        table = _kept(request, self._named(clamped, request.dimensions))
        if request.metric_filter is not None:
            kept = np.isin(self._group_of_row, table.get_column(_GROUP).to_numpy())
            self._group_of_row[~kept] = NO_GROUP
        return table.drop(_GROUP)

    def whole(self, known: Measures) -> pl.DataFrame:
        """The total of what ``table`` has kept, as one row."""
        plan = self._plan
        counts = self._group_of_row != NO_GROUP
        rows = pl.Series(counts).gather(self._facts.get_column("row"))
        sums = self._facts.filter(rows).select(pl.col(name).sum() for name in plan.sums)
        one_group = np.where(counts, 0, NO_GROUP)
        measures = {name: sums.get_column(name) for name in plan.sums} | {
            name: self._members.counts(name, one_group, 1, plan.rollup.unique_k)
            for name in plan.uniques
        }
        given = {name: pl.Series([value], dtype=pl.Int64) for name, value in known.items()}
        total = pl.DataFrame({_GROUP: [0]} | measures | given)
        return self._named(total, ()).drop(_GROUP)

    def _grouped(self) -> pl.DataFrame:
        """Measures by group: its number, dimensions, sums and unique counts."""
        plan = self._plan
        keys = [_column(dimension.name) for dimension in plan.request.dimensions]
        sums = [pl.col(name).sum() for name in plan.sums]
        if keys:
            found = self._facts.group_by(keys).agg(*sums, "row").with_row_index(_GROUP)
            placed = found.select("row", _GROUP).explode("row")
            rows = placed.get_column("row").to_numpy()
            self._group_of_row[rows] = placed.get_column(_GROUP).to_numpy()
            found = found.drop("row")
        else:
            self._group_of_row[self._facts.get_column("row").to_numpy()] = 0
            found = self._facts.select(pl.lit(0, pl.UInt32).alias(_GROUP), *sums).head(1)
        counts = [
            self._members.counts(name, self._group_of_row, found.height, plan.rollup.unique_k)
            for name in plan.uniques
        ]
        return found.with_columns(counts)

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


def _has_other_row(rollup: Rollup, numbers: pl.DataFrame) -> bool:
    if not rollup.keys:
        return False
    is_other = pl.all_horizontal(pl.col(key) == OTHER for key in rollup.keys)
    return bool(numbers.select(is_other.any()).item())
