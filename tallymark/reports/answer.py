"""Answers: from decoded cells to the rows of a report.

The total is the union of all sets, never a sum, and no row says more than its total: of sets that
keep as many hashes, the union of more never counts less (below k members it is exact, from k on at
least k − 1 and falling with the k-th hash), and where the total comes from the totals rollup, rows
are clamped to it.
"""

from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.decoded_cells import DecodedCells
from tallymark.reports.breakdown import PART, Breakdown, Grouping, Part
from tallymark.reports.orders import OrderBy
from tallymark.reports.plan import Plan
from tallymark.reports.request import ReportRequest
from tallymark.reports.unique_counts import NO_GROUP, Members
from tallymark.rollup_choice import TOTALS

Known = dict[str, int]
"""Measures of a part's total that the totals rollup knows best."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """An answered report.

    Attributes:
        request: What was asked.
        rows: The page that was asked for: dimensions (String), labels of the comparison and the
            date range, and metrics (Int64 or Float64), by name.
        row_count: How many rows there are without offset and limit.
        aggregates: For each of TOTAL, MINIMUM and MAXIMUM that was asked for, a row a part: its
            labels and the metrics.
        has_other_row: Whether a breakdown was larger than its cell may be, so that some of it is
            in rows named ``(other)``.
        has_data: Whether anything was recorded at all in its date ranges.
    """

    request: ReportRequest
    rows: pl.DataFrame
    row_count: int
    aggregates: dict[str, pl.DataFrame] = field(default_factory=dict)
    has_other_row: bool
    has_data: bool


def answer(plan: Plan, decoded: DecodedCells, totals: DecodedCells | None = None) -> Report:
    """Compute a report.

    Args:
        plan: Of the request.
        decoded: The served cells of ``plan.rollup`` in ``plan.spans``, at least ``plan.columns``.
        totals: Those of the totals rollup; needed where ``plan.whole_measures`` names any.
    """
    request = plan.request
    parts = [
        Part(comparison, (each,))
        for comparison, each in product(request.comparisons or (None,), request.date_ranges)
    ]
    known = [_known(plan, totals, part) if totals else {} for part in parts]
    breakdown = Breakdown(plan, decoded, parts)
    names = [dimension.name for dimension in request.dimensions]
    found = breakdown.by([*names, PART]) if names else breakdown.by_part()
    _clamp(plan, found, known)
    table = found.table(request.metrics)
    kept = kept_rows(request, table)
    breakdown.keep(found, kept)
    rows = _labelled(table if kept.all() else table.filter(kept), parts)
    ordered = _ordered(request, rows)
    return Report(
        request=request,
        rows=ordered.slice(request.offset, request.limit),
        row_count=ordered.height,
        aggregates=_aggregates(request, ordered, parts, _Totals(plan, breakdown, known)),
        has_other_row=breakdown.has_other_row,
        has_data=decoded.numbers.height > 0,
    )


def _known(plan: Plan, totals: DecodedCells, part: Part) -> Known:
    rows = totals.numbers.filter(part.within("slot_start"))
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


def _clamp(plan: Plan, found: Grouping, known: list[Known]) -> None:
    for name in plan.uniques:
        if name in known[0]:
            most = np.array([each[name] for each in known])
            found.measures[name] = np.minimum(found.measures[name], most[found.columns[PART]])


def kept_rows(request: ReportRequest, table: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Which rows say something, or are wanted if they do not, and pass the metric filter."""
    kept = np.ones(table.height, dtype=bool)
    metrics = [table.get_column(metric.name).to_numpy() for metric in request.listed]
    if metrics and not request.keep_empty_rows:
        kept = np.logical_or.reduce([values != 0 for values in metrics])
    if request.metric_filter is not None:
        passing = request.metric_filter.expression(pl.col).fill_null(value=False)
        kept = kept & table.select(passing).to_series().to_numpy()
    return kept


def _labelled(table: pl.DataFrame, parts: list[Part]) -> pl.DataFrame:
    """The table with the labels of each row's part."""
    part_of = table.get_column(PART).to_numpy()
    return table.with_columns(
        pl.Series(name, np.array([part.labels[name] for part in parts])[part_of], pl.String)
        for name in parts[0].labels
    )


def _ordered(request: ReportRequest, table: pl.DataFrame) -> pl.DataFrame:
    """Sorted as asked, else by the first metric; ties by the dimensions, so that pages fit."""
    orders = request.order_bys
    if not orders and request.listed:
        orders = (OrderBy("metric", request.listed[0].name, "", descending=True),)
    return sorted_by(table, orders, [*(each.name for each in request.dimensions), PART])


def sorted_by(table: pl.DataFrame, orders: tuple[OrderBy, ...], ties: list[str]) -> pl.DataFrame:
    """The table sorted by ``orders``, and where these are equal by the columns ``ties``."""
    keys = [order.key(pl.col(order.name)) for order in orders]
    if not keys and not ties:
        return table
    descending = [order.descending for order in orders]
    return table.sort([*keys, *ties], descending=[*descending, *(False for _ in ties)])


@dataclass(frozen=True)
class _Totals:
    """The totals of what a breakdown has kept."""

    plan: Plan
    breakdown: Breakdown
    known: list[Known]

    def table(self) -> pl.DataFrame:
        """A row a part."""
        found = self.breakdown.by_part()
        for name in self.plan.whole_measures:
            found.measures[name] = np.array([each[name] for each in self.known], dtype=np.int64)
        return found.table(self.plan.request.metrics)


def _aggregates(
    request: ReportRequest, table: pl.DataFrame, parts: list[Part], totals: _Totals
) -> dict[str, pl.DataFrame]:
    metrics = [metric.name for metric in request.metrics]
    every = pl.DataFrame({PART: np.arange(len(parts))})
    found = {}
    for name in request.aggregations:
        if name == "TOTAL":
            found[name] = _labelled(totals.table(), parts)
        elif name in ("MINIMUM", "MAXIMUM"):
            rows = table.group_by(PART).agg(bound(name, metrics))
            joined = every.join(rows, on=PART, how="left", maintain_order="left").fill_null(0)
            found[name] = _labelled(joined, parts)
    return found


def bound(aggregation: str, metrics: list[str]) -> pl.Expr:
    """The least or the largest value of each metric."""
    return pl.col(metrics).min() if aggregation == "MINIMUM" else pl.col(metrics).max()
