"""Breakdowns: what a read says, to be grouped by any dimensions of a request.

A unique count of a group is that of the union of its sets, never a sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.aggregates import OTHER
from tallymark.decoded_cells import DecodedCells
from tallymark.dimensions import Dimension
from tallymark.metrics import AskedMetric, part_of
from tallymark.reports.columns import DATE_RANGE
from tallymark.reports.comparisons import COMPARISON, Comparison
from tallymark.reports.dates import DateRange, TimeRange
from tallymark.reports.groups import Column, Groups, grouped
from tallymark.reports.local_time import local_us
from tallymark.reports.plan import Plan
from tallymark.reports.unique_counts import NO_GROUP, Members
from tallymark.slots import DAY_US, HOUR_US, MINUTE_US
from tallymark.time_texts import LOCAL, NOW, RANGE_START

Measures = dict[str, npt.NDArray[np.int64]]
PART = "part"
"""The number of the part that a group is of, as a column to group by."""
_AT = "at"
_UNITS_US = {"day": DAY_US, "hour": HOUR_US, "minute": MINUTE_US}


@dataclass(frozen=True)
class Part:
    """What is compared with others: one comparison in one date range, or in several as one.

    Attributes:
        comparison: ``None`` where there are none.
        ranges: The date range; several where the report does not tell them apart.
    """

    comparison: Comparison | None
    ranges: tuple[TimeRange, ...]

    @property
    def labels(self) -> dict[str, str]:
        """What rows of it carry."""
        names = {DATE_RANGE: self.ranges[0].name}
        return names | ({COMPARISON: self.comparison.name} if self.comparison else {})

    def within(self, column: str) -> pl.Expr:
        """Whether an instant (UTC µs) lies in it."""
        at = pl.col(column)
        return pl.any_horizontal(
            [(at >= each.start_us) & (at < each.end_us) for each in self.ranges]
        )


@dataclass(frozen=True)
class Grouping:
    """Groups, numbered from 0, and what each of them says.

    Attributes:
        columns: What they were grouped by, by name.
        measures: Of each group.
        of_stored: For each part the group of each of its stored groups, or ``NO_GROUP``.
    """

    columns: dict[str, Column]
    measures: Measures
    of_stored: list[npt.NDArray[np.int64]]

    @property
    def height(self) -> int:
        """How many groups there are."""
        every = (*self.columns.values(), *self.measures.values())
        return len(next(iter(every), ()))

    def table(self, metrics: Sequence[AskedMetric]) -> pl.DataFrame:
        """Its columns and metrics by name."""
        return pl.DataFrame(
            [
                *(pl.Series(name, column) for name, column in self.columns.items()),
                *(pl.Series(metric.name, metric.value(self.measures)) for metric in metrics),
            ]
        )


class Breakdown:
    """The rows of a read that a request is about, each in the parts that it belongs to.

    Rows are grouped by what tells them apart in the store first; dimensions and filters are then
    worked out for these few groups.

    Args:
        plan: Of the request.
        decoded: The served cells, at least ``plan.columns``.
        parts: What is compared.

    Attributes:
        has_other_row: Whether what it is about was larger than a cell may be, so that some of it
            is in rows named ``(other)``.
    """

    def __init__(self, plan: Plan, decoded: DecodedCells, parts: Sequence[Part]) -> None:
        self._plan = plan
        self._members = Members(decoded.sets, plan.uniques, decoded.weights)
        self._height = decoded.numbers.height
        meant = _meant(plan, decoded.numbers)
        self.has_other_row = (
            _has_other(plan, meant) if plan.rollup.within else decoded.has_other_row
        )
        facts = _with_times(plan, meant)
        is_all = len(parts) == 1 and not plan.request.is_realtime
        self._rows = [
            _Rows(plan, facts if is_all else facts.filter(part.within(_AT)), part, number)
            for number, part in enumerate(parts)
        ]

    def by_part(self) -> Grouping:
        """Grouped by part alone, also those of which there is nothing."""
        groups = [np.where(rows.passes, rows.number, NO_GROUP) for rows in self._rows]
        return self._measured({PART: np.arange(len(groups))}, groups, len(groups))

    def by(self, names: Sequence[str]) -> Grouping:
        """Grouped by dimensions, labels of the parts, ``PART``; all is one group without names."""
        if not names:
            groups = [np.where(rows.passes, 0, NO_GROUP) for rows in self._rows]
            return self._measured({}, groups, 1)
        columns = {name: _joined([rows.column(name) for rows in self._rows]) for name in names}
        counts = [int(np.count_nonzero(rows.passes)) for rows in self._rows]
        found = grouped(list(columns.values()), sum(counts))
        of_stored = []
        ends = np.cumsum(counts)
        for rows, end, count in zip(self._rows, ends, counts, strict=True):
            of_group = np.full(len(rows.passes), NO_GROUP, dtype=np.int64)
            of_group[rows.passes] = found.of_row[end - count : end]
            of_stored.append(of_group)
        firsts = {name: column[found.first] for name, column in columns.items()}
        return self._measured(firsts, of_stored, len(found.first))

    def keep(self, grouping: Grouping, kept: npt.NDArray[np.bool_]) -> None:
        """Leave out, from now on, what is in groups that are not kept."""
        inside = np.append(kept, False)  # NO_GROUP is the last
        for rows, groups in zip(self._rows, grouping.of_stored, strict=True):
            rows.passes = rows.passes & inside[groups]

    def _measured(
        self, columns: dict[str, Column], of_stored: list[npt.NDArray[np.int64]], groups: int
    ) -> Grouping:
        plan = self._plan
        measures = {name: np.zeros(groups, dtype=np.int64) for name in plan.sums}
        of_rows = []
        for rows, of_group in zip(self._rows, of_stored, strict=True):
            group = of_group[rows.stored.of_row]
            inside = group != NO_GROUP
            group = group[inside]
            of_row = np.full(self._height, NO_GROUP, dtype=np.int64)
            of_row[rows.facts.get_column("row").to_numpy()[inside]] = group
            of_rows.append(of_row)
            for name, sums in measures.items():
                np.add.at(sums, group, rows.facts.get_column(name).to_numpy()[inside])
        for name in plan.uniques:
            measures[name] = self._members.unions(name, of_rows, groups, plan.rollup.unique_k)
        return Grouping(columns, measures, of_stored)


class _Rows:
    """The rows of one part, in stored groups: those by stored keys and local time.

    Attributes:
        facts: The rows.
        number: Of the part.
        stored: Their groups.
        passes: Which groups pass the filters.
    """

    def __init__(self, plan: Plan, facts: pl.DataFrame, part: Part, number: int) -> None:
        self.facts = facts
        self.number = number
        self._part = part
        keys = [facts.get_column(key) for key in plan.keys]
        times = [facts.get_column(LOCAL)] if LOCAL in facts.columns else []
        self.stored: Groups = grouped([*keys, *(time.to_numpy() for time in times)], facts.height)
        held = pl.DataFrame(
            [column[self.stored.first] for column in keys]
            + [time[self.stored.first].cast(pl.Datetime("us")) for time in times]
        )
        self._values = _values(plan, part, held) if held.width else held
        compared_by = part.comparison.filter if part.comparison else None
        self.passes = np.ones(len(self.stored.first), dtype=bool)
        for each in (plan.request.dimension_filter, compared_by):
            if each is not None:
                passing = each.expression(pl.col).fill_null(value=False)
                self.passes &= self._values.select(passing).to_series().to_numpy()

    def column(self, name: str) -> Column:
        """A dimension or label of the stored groups that pass."""
        if name == PART:
            return np.full(int(np.count_nonzero(self.passes)), self.number, dtype=np.int64)
        if name in self._values.columns:
            return self._values.get_column(name).filter(self.passes)
        label = self._part.labels[name]
        return pl.Series(name, [label] * int(np.count_nonzero(self.passes)), pl.String)


def _joined(columns: list[Column]) -> Column:
    if len(columns) == 1:
        return columns[0]
    series = [column for column in columns if isinstance(column, pl.Series)]
    arrays = [column for column in columns if not isinstance(column, pl.Series)]
    return pl.concat(series) if series else np.concatenate(arrays)


def all_dimensions(plan: Plan) -> tuple[Dimension, ...]:
    """Those that rows are told apart or filtered by, each name once."""
    every = (*plan.request.dimensions, *plan.request.filter_dimensions)
    return tuple({dimension.name: dimension for dimension in every}.values())


def _values(plan: Plan, part: Part, held: pl.DataFrame) -> pl.DataFrame:
    timed = held.with_columns(_times(plan, part)) if LOCAL in held.columns else held
    return timed.select(
        dimension.value().alias(dimension.name) for dimension in all_dimensions(plan)
    )


def _times(plan: Plan, part: Part) -> list[pl.Expr]:
    first = min(part.ranges, key=lambda each: each.start_us)
    instants = np.array([first.start_us, plan.request.now_us])
    began_us, now_us = local_us(instants, plan.request.time_zone).tolist()
    if isinstance(first, DateRange):  # some days begin after midnight
        began_us = began_us // DAY_US * DAY_US
    times_us = {RANGE_START: began_us, NOW: now_us // MINUTE_US * MINUTE_US}
    return [pl.lit(each).cast(pl.Datetime("us")).alias(name) for name, each in times_us.items()]


def _meant(plan: Plan, numbers: pl.DataFrame) -> pl.DataFrame:
    """Of a rollup that counts within names the rows of those that are meant, and measures."""
    within = plan.rollup.within
    if not within:
        return numbers
    if plan.meant:
        return numbers.filter(pl.col(within) == plan.meant)
    parts = {measure: part_of(measure) for measure in plan.sums}
    names = {name for _, name in parts.values()}
    return numbers.filter(pl.col(within).is_in(names)).with_columns(
        pl.when(pl.col(within) == name).then(column).otherwise(0).alias(measure)
        for measure, (column, name) in parts.items()
    )


def _has_other(plan: Plan, meant: pl.DataFrame) -> bool:
    keys = [key for key in plan.keys if key != plan.rollup.within]
    return bool(keys) and bool((meant.get_column(keys[0]) == OTHER).any())


def _with_times(plan: Plan, numbers: pl.DataFrame) -> pl.DataFrame:
    """The rows with their instant, and their local day, hour or minute where dimensions tell it."""
    starts = numbers.get_column("slot_start").to_numpy()
    instants = starts
    if "minute" in plan.keys:
        minute = numbers.get_column("minute").cast(pl.Int64).to_numpy()
        instants = starts // HOUR_US * HOUR_US + minute * MINUTE_US
    times = [pl.Series(_AT, instants)]
    units = {dimension.time for dimension in all_dimensions(plan) if dimension.time}
    if units:
        unit_us = min(_UNITS_US[unit] for unit in units)
        local = local_us(starts, plan.request.time_zone) + (instants - starts)
        times.append(pl.Series(LOCAL, local // unit_us * unit_us))
    return _with_amounts(plan, numbers, instants).hstack(times)


def _with_amounts(
    plan: Plan, numbers: pl.DataFrame, instants: npt.NDArray[np.int64]
) -> pl.DataFrame:
    """The rows with amounts in the currency that is asked for."""
    money = plan.request.money
    amounts = [name for name in plan.sums if name.endswith("_micros")]
    if not (money.rates and amounts and numbers.height):
        return numbers
    return numbers.with_columns(
        money.converted(numbers.get_column(name), instants) for name in amounts
    )
