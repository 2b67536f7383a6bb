"""Answers: from decoded cells to the rows of a report.

A unique count of a row is that of the union of its sets. The total is the union of all sets, never
a sum, and no row says more than its total: of sets that keep as many hashes, the union of more
never counts less (below k members it is exact, from k on at least k − 1 and falling with the k-th
hash), and where the total comes from the totals rollup, rows are clamped to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.decoded_cells import DecodedCells
from tallymark.metrics import LOCAL, TOTALS, Dimension
from tallymark.reports.dates import DateRange
from tallymark.reports.groups import Groups, grouped
from tallymark.reports.local_time import local_us
from tallymark.reports.plan import Plan
from tallymark.reports.request import DATE_RANGE, ReportRequest
from tallymark.reports.unique_counts import NO_GROUP, Members
from tallymark.slots import DAY_US, HOUR_US

Measures = dict[str, int]
Columns = dict[str, npt.NDArray[np.int64]]

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
    ordered = _ordered(request, tables[0] if len(tables) == 1 else pl.concat(tables))
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
    return numbers.hstack([pl.Series(LOCAL, local // unit_us * unit_us)])


class _Part:
    """The part of a report that one date range is.

    Rows are grouped by what tells them apart in the store first; dimensions and filters are then
    worked out for these few groups.
    """

    def __init__(
        self, plan: Plan, facts: pl.DataFrame, members: Members, rows: int, date_range: DateRange
    ) -> None:
        self._plan = plan
        self._facts = facts
        self._members = members
        self._name = date_range.name
        self._group_of_row = np.full(rows, NO_GROUP, dtype=np.int64)
        self._measures: Columns = {}
        self._kept = np.zeros(0, dtype=np.int64)

    def table(self, known: Measures) -> pl.DataFrame:
        """The rows; none says more than the total, of which ``known`` measures are given."""
        by = self._grouped()
        for name in self._plan.uniques:
            if name in known:
                self._measures[name] = np.minimum(self._measures[name], known[name])
        table = _kept(self._plan.request, self._named(by, self._measures))
        self._kept = table.drop_in_place(_GROUP).to_numpy()
        return table

    def whole(self, known: Measures) -> pl.DataFrame:
        """The total of what ``table`` has kept, as one row."""
        plan = self._plan
        one_group = np.where(np.isin(self._group_of_row, self._kept), 0, NO_GROUP)
        measures = (
            {name: self._measures[name][self._kept].sum(keepdims=True) for name in plan.sums}
            | {
                name: self._members.counts(name, one_group, 1, plan.rollup.unique_k)
                for name in plan.uniques
            }
            | {name: np.array([value], dtype=np.int64) for name, value in known.items()}
        )
        total = self._named((), measures)
        total.drop_in_place(_GROUP)
        return total

    def _grouped(self) -> list[pl.Series]:
        """Work out the measures by group; the dimensions of each group."""
        plan, facts = self._plan, self._facts
        stored, dimensions, passes = self._stored_groups()
        by = [column.filter(passes) for column in dimensions[: len(plan.request.dimensions)]]
        found = grouped(by, int(np.count_nonzero(passes)))
        groups = len(found.first) if by else 1
        group_of_stored = np.full(len(passes), NO_GROUP, dtype=np.int64)
        group_of_stored[passes] = found.of_row
        group = group_of_stored[stored.of_row]
        inside = group != NO_GROUP
        group, rows = group[inside], facts.get_column("row").to_numpy()[inside]
        self._group_of_row[rows] = group
        for name in plan.sums:
            sums = np.zeros(groups, dtype=np.int64)
            np.add.at(sums, group, facts.get_column(name).to_numpy()[inside])
            self._measures[name] = sums
        for name in plan.uniques:
            self._measures[name] = self._members.counts(
                name, self._group_of_row, groups, plan.rollup.unique_k
            )
        return [column[found.first] for column in by]

    def _stored_groups(self) -> tuple[Groups, list[pl.Series], npt.NDArray[np.bool_]]:
        """Groups by stored keys and local time; their dimensions, and which pass the filter."""
        plan, facts = self._plan, self._facts
        keys = [facts.get_column(key) for key in plan.keys]
        times = [facts.get_column(LOCAL)] if LOCAL in facts.columns else []
        stored = grouped([*keys, *(time.to_numpy() for time in times)], facts.height)
        held = pl.DataFrame(
            [column[stored.first] for column in keys]
            + [time[stored.first].cast(pl.Datetime("us")) for time in times]
        )
        if held.width == 0:
            return stored, [], np.ones(len(stored.first), dtype=bool)
        values = held.select(
            dimension.value().alias(dimension.name) for dimension in _all_dimensions(plan)
        )
        passes = np.ones(held.height, dtype=bool)
        if plan.request.dimension_filter is not None:
            passing = plan.request.dimension_filter.expression(pl.col).fill_null(value=False)
            passes = values.select(passing).to_series().to_numpy()
        return stored, values.get_columns(), passes

    def _named(self, by: Sequence[pl.Series], measures: Columns) -> pl.DataFrame:
        """Groups with dimensions, date range and metrics by their names."""
        metrics = self._plan.request.metrics
        height = len(next(iter(measures.values()))) if measures else len(by[0]) if by else 1
        return pl.DataFrame(
            [
                pl.Series(_GROUP, np.arange(height)),
                *by,
                pl.Series(DATE_RANGE, [self._name] * height, pl.String),
                *(pl.Series(metric.name, metric.value(measures)) for metric in metrics),
            ]
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
        name: members.counts(name, group_of_row, 1, TOTALS.unique_k)[0].item()
        if name in uniques
        else int(rows.get_column(name).sum())
        for name in plan.whole_measures
    }


def _kept(request: ReportRequest, table: pl.DataFrame) -> pl.DataFrame:
    """Without rows of nothing, unless they are wanted, and those that the metric filter drops."""
    metrics = [table.get_column(metric.name).to_numpy() for metric in request.metrics]
    if metrics and not request.keep_empty_rows:
        says_something = np.logical_or.reduce([values != 0 for values in metrics])
        if not says_something.all():
            table = table.filter(says_something)
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
