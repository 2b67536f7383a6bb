"""Answers of pivot reports: the combinations of each pivot, and the cells where they meet."""

from dataclasses import dataclass
from itertools import product

import polars as pl

from tallymark.decoded_cells import DecodedCells
from tallymark.reports.aggregations import MARKS
from tallymark.reports.answer import bound, kept_rows, sorted_by
from tallymark.reports.breakdown import Breakdown, Part
from tallymark.reports.columns import DATE_RANGE
from tallymark.reports.orders import OrderBy
from tallymark.reports.pivots import Pivot, shown_fields, taken_together
from tallymark.reports.plan import Plan
from tallymark.reports.request import ReportRequest

_RANK = "rank_of_pivot_"
_ORDER = "order_"


@dataclass(frozen=True, kw_only=True)
class PivotReport:
    """An answered pivot report.

    Attributes:
        request: What was asked.
        combinations: For each pivot the combinations of values that were asked for, in order.
        counts: For each pivot how many combinations there are without offset and limit.
        rows: Dimensions and metrics by name, where combinations meet that are shown.
        aggregates: The same with the mark of an aggregation in the place of the dimensions that
            it is taken over.
        has_other_row: As in ``Report``.
        has_data: As in ``Report``.
    """

    request: ReportRequest
    combinations: tuple[pl.DataFrame, ...]
    counts: tuple[int, ...]
    rows: pl.DataFrame
    aggregates: pl.DataFrame
    has_other_row: bool
    has_data: bool

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return self.rows.height

    @property
    def fields(self) -> list[str]:
        """The dimensions of rows."""
        return list(shown_fields(self.request.pivots, ()))


def answer_pivots(plan: Plan, decoded: DecodedCells) -> PivotReport:
    """Compute a pivot report.

    Args:
        plan: Of the request.
        decoded: The served cells of ``plan.rollup`` in ``plan.spans``, at least ``plan.columns``.
    """
    request = plan.request
    fields = shown_fields(request.pivots, ())
    breakdown = Breakdown(plan, decoded, _parts(request, fields))
    found = breakdown.by(fields)
    table = found.table(request.metrics)
    kept = kept_rows(request, table)
    breakdown.keep(found, kept)
    cells = table.filter(kept)
    ordered = [_ordered(request, pivot, breakdown) for pivot in request.pivots]
    pages = tuple(
        combinations.slice(pivot.offset, pivot.limit)
        for pivot, combinations in zip(request.pivots, ordered, strict=True)
    )
    every = range(len(pages))
    return PivotReport(
        request=request,
        combinations=pages,
        counts=tuple(combinations.height for combinations in ordered),
        rows=_shown(cells, request, pages, every),
        aggregates=_aggregates(request, breakdown, cells, pages),
        has_other_row=breakdown.has_other_row,
        has_data=decoded.numbers.height > 0,
    )


def _parts(request: ReportRequest, fields: tuple[str, ...]) -> list[Part]:
    """Without a dimension for them, date ranges are one."""
    ranges = request.date_ranges
    apart = [(each,) for each in ranges] if DATE_RANGE in fields else [ranges]
    return [
        Part(comparison, each)
        for comparison, each in product(request.comparisons or (None,), apart)
    ]


def _ordered(request: ReportRequest, pivot: Pivot, breakdown: Breakdown) -> pl.DataFrame:
    """All combinations of a pivot, sorted as asked, else by the first metric."""
    orders = pivot.order_bys or (OrderBy("metric", request.listed[0].name, "", descending=True),)
    fields = list(pivot.fields)
    table = breakdown.by(fields).table(request.metrics)
    keys = []
    for number, order in enumerate(orders):
        if order.kind == "pivot":
            selected = _selected(request, order, breakdown, fields).rename(
                {order.name: f"{_ORDER}{number}"}
            )
            table = table.join(selected, on=fields, how="left", maintain_order="left")
            table = table.with_columns(pl.col(f"{_ORDER}{number}").fill_null(0))
            keys.append(OrderBy("metric", f"{_ORDER}{number}", "", order.descending))
        else:
            keys.append(order)
    return sorted_by(table, tuple(keys), fields).select(fields)


def _selected(
    request: ReportRequest, order: OrderBy, breakdown: Breakdown, fields: list[str]
) -> pl.DataFrame:
    """The metric of an order where the dimensions of other pivots have the selected values."""
    names = [name for name, _ in order.selections]
    table = breakdown.by([*fields, *names]).table(request.metrics)
    is_selected = [pl.col(name) == value for name, value in order.selections]
    return table.filter(pl.all_horizontal(is_selected)).select(*fields, order.name)


def _shown(
    table: pl.DataFrame,
    request: ReportRequest,
    pages: tuple[pl.DataFrame, ...],
    numbers: range | list[int],
) -> pl.DataFrame:
    """The rows of combinations that are shown, in the order of these."""
    for number in numbers:
        ranked = pages[number].with_row_index(f"{_RANK}{number}")
        table = table.join(ranked, on=request.pivots[number].fields, how="inner")
    ranks = [f"{_RANK}{number}" for number in numbers]
    return table.sort(ranks).drop(ranks) if ranks else table


def _aggregates(
    request: ReportRequest,
    breakdown: Breakdown,
    cells: pl.DataFrame,
    pages: tuple[pl.DataFrame, ...],
) -> pl.DataFrame:
    metrics = [metric.name for metric in request.metrics]
    columns = [*shown_fields(request.pivots, ()), *metrics]
    found = [cells.select(columns).clear()]
    for aggregation, mark in MARKS.items():
        for taken in taken_together(request.pivots, aggregation):
            left = [number for number in range(len(pages)) if number not in taken]
            fields = shown_fields(request.pivots, taken)
            if aggregation == "TOTAL":
                table = breakdown.by(fields).table(request.metrics)
            else:
                values = (
                    pl.col(metrics).len() if aggregation == "COUNT" else bound(aggregation, metrics)
                )
                table = cells.group_by(fields).agg(values) if fields else cells.select(values)
            marks = [
                pl.lit(mark).alias(name)
                for number in taken
                for name in request.pivots[number].fields
            ]
            shown = _shown(table, request, pages, left).with_columns(marks)
            found.append(shown.select(columns))
    return pl.concat(found, how="vertical_relaxed")
