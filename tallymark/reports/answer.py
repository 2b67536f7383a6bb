"""Answers: from decoded cells to the rows of a report.

A unique count of a row is that of the union of its sets. The total is the union of all sets, never
a sum, and no row says more than its total.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from tallymark.aggregates import OTHER
from tallymark.cells import DecodedCells
from tallymark.metrics import LOCAL, TOTALS, Dimension, Metric
from tallymark.reports.dates import DateRange
from tallymark.reports.plan import Plan
from tallymark.reports.request import DATE_RANGE, ReportRequest
from tallymark.rollups import Rollup
from tallymark.uniques import estimates

_GROUP = "group"
_RANGE = "range"


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
    parts = [
        _range_table(plan, facts, decoded.sets, totals, date_range)
        for date_range in request.date_ranges
    ]
    table = pl.concat([rows for rows, _ in parts])
    whole = pl.concat([total for _, total in parts])
    ordered = _ordered(request, table)
    return Report(
        request=request,
        rows=ordered.slice(request.offset, request.limit),
        row_count=ordered.height,
        aggregates=_aggregates(request, table, whole),
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
    return keyed.filter(request.dimension_filter.expression(_dimension))


def _values(dimensions: tuple[Dimension, ...], *, is_time: bool) -> list[pl.Expr]:
    return [
        dimension.value().alias(_column(dimension.name))
        for dimension in dimensions
        if dimension.is_time == is_time
    ]


def _column(dimension: str) -> str:
    """Column of a dimension in the tables; some measures have the names of dimensions."""
    return f"by {dimension}"


def _dimension(name: str) -> pl.Expr:
    return pl.col(_column(name))


def _range_table(
    plan: Plan,
    facts: pl.DataFrame,
    sets: pl.DataFrame,
    totals: DecodedCells | None,
    date_range: DateRange,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of one date range, and its total as one row."""
    request = plan.request
    keys = [_column(dimension.name) for dimension in request.dimensions]
    rows = facts.filter(_within(date_range))
    grouped, row_groups = _grouped(rows, keys, plan.sums)
    measures = _with_uniques(plan, grouped, rows, row_groups, sets)
    whole = _total_measures(plan, rows, sets, totals, date_range)
    clamped = measures.with_columns(
        pl.min_horizontal(name, pl.lit(whole.item(0, name))).alias(name) for name in plan.uniques
    )
    table = _kept(request, _named(request, clamped, date_range))
    if request.metric_filter is not None and "TOTAL" in request.aggregations:
        kept = rows.join(
            table.rename({name.name: _column(name.name) for name in request.dimensions}),
            on=keys, how="semi", nulls_equal=True,
        ) if keys else rows.head(rows.height * table.height)  # fmt: skip
        whole = _total_measures(plan, kept, sets, None, date_range)
    metrics = [metric.value().alias(metric.name) for metric in request.metrics]
    total = whole.select(pl.lit(date_range.name).alias(DATE_RANGE), *metrics)
    return table, total


def _within(date_range: DateRange) -> pl.Expr:
    return (pl.col("slot_start") >= date_range.start_us) & (
        pl.col("slot_start") < date_range.end_us
    )


def _grouped(
    rows: pl.DataFrame, keys: list[str], sums: tuple[str, ...]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sums by group (columns ``group``, keys, sums), and the group of each row."""
    if not keys:
        table = rows.select(pl.col(*sums).sum()) if sums else pl.DataFrame({"": [0]}).select()
        grouped = pl.DataFrame({_GROUP: pl.Series([0], dtype=pl.UInt32)})
        return grouped.hstack(table), rows.select("row", pl.lit(0, pl.UInt32).alias(_GROUP))
    table = rows.group_by(keys).agg(pl.col(*sums).sum(), pl.col("row")).with_row_index(_GROUP)
    return table.drop("row"), table.select("row", _GROUP).explode("row")


def _with_uniques(
    plan: Plan,
    grouped: pl.DataFrame,
    rows: pl.DataFrame,
    row_groups: pl.DataFrame,
    sets: pl.DataFrame,
) -> pl.DataFrame:
    if not plan.uniques:
        return grouped
    place = np.full(int(rows.get_column("row").max() or 0) + 1, -1, dtype=np.int64)
    place[row_groups.get_column("row").to_numpy()] = row_groups.get_column(_GROUP).to_numpy()
    for measure in plan.uniques:
        members = sets.filter(pl.col("measure") == measure)
        row = members.get_column("row").to_numpy()
        ...
    return grouped
