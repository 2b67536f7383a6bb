"""Comparison: the cells of both sides of one rollup, a part of the properties and hours at a time.

It keeps what the whole range needs: numbers by property, and the rows whose keys or numbers differ.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from tallymark.decoded_cells import DecodedCells
from tallymark.differences import (
    APPEARS,
    CHANGES,
    METRIC_SCHEMA,
    ROW_COUNT_SCHEMA,
    ROW_SCHEMA,
    VANISHES,
    Differences,
    differences_of,
)
from tallymark.lineages import Span
from tallymark.rollups import Rollup
from tallymark.slots import HOUR_US
from tallymark.uniques import estimates, least_hashes

SIDES: Final = ("served", "candidate")
ROWS_KEPT: Final = 50
"""Rows that are told of each property and rollup: those with the greatest change of events."""


class Comparison:
    """The cells of one rollup on both sides, added up.

    All cells of a property and hour, of both sides, are to be added in one call.
    """

    def __init__(self, rollup: Rollup) -> None:
        self._rollup = rollup
        self._hours: list[pl.DataFrame] = []
        self._rows: list[pl.DataFrame] = []
        self._sums: list[pl.DataFrame] = []
        self._members: dict[str, list[pl.DataFrame]] = {name: [] for name in rollup.uniques}

    def add(self, served: DecodedCells, candidate: DecodedCells) -> None:
        """Take some properties and hours in, decoded with all columns."""
        rollup = self._rollup
        sides = [_with_hours(decoded) for decoded in (served, candidate)]
        by_row = _joined(rollup, sides, ["property_id", "hour", *rollup.keys])
        by_hour = _joined(rollup, sides, ["property_id", "hour"])
        self._hours.append(_long(rollup, by_hour).filter(pl.col("served") != pl.col("candidate")))
        self._rows.append(_summed_rows(rollup, by_row))
        sums = [f"{name}_{side}" for name in rollup.sums for side in SIDES]
        self._sums.append(by_hour.group_by("property_id").agg(pl.col(sums).sum()))
        for name, members in self._members.items():
            for side, decoded in zip(SIDES, sides, strict=True):
                mine = decoded.sets.filter(pl.col("measure") == name)
                owned = mine.join(decoded.numbers.select("row", "property_id"), on="row")
                members.append(owned.select("property_id", pl.lit(side).alias("side"), "hash"))
            self._members[name] = [_least(members, rollup.unique_k)]

    def parts(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """``metrics``, ``rows`` and ``row_counts`` of what was added."""
        metrics = pl.concat([METRIC_SCHEMA.to_frame(), self._whole_range(), *self._hours_told()])
        rows = self._differing_rows()
        counts = _row_counts(rows)
        order = ["property_id", "rollup", pl.col("change").abs(), "keys"]
        kept = (
            rows.sort(order, descending=[False, False, True, False])
            .group_by("property_id", "rollup", maintain_order=True)
            .head(ROWS_KEPT)
        )
        return metrics, kept.select(list(ROW_SCHEMA)), counts

    def _hours_told(self) -> list[pl.DataFrame]:
        hour = pl.from_epoch("hour", time_unit="us").dt.replace_time_zone("UTC")
        return [
            _told(self._rollup, part.with_columns(hour)).sort("hour", "property_id", "metric")
            for part in self._hours
        ]

    def _whole_range(self) -> pl.DataFrame:
        if not self._sums:
            return METRIC_SCHEMA.to_frame()
        rollup = self._rollup
        whole = pl.concat(self._sums).group_by("property_id").agg(pl.all().sum())
        for name, members in self._members.items():
            counts = estimates(pl.concat(members), ["property_id", "side"], rollup.unique_k)
            for side in SIDES:
                mine = counts.filter(pl.col("side") == side).select(
                    "property_id", pl.col("count").alias(f"{name}_{side}")
                )
                whole = whole.join(mine, on="property_id", how="left")
        whole = whole.fill_null(0).with_columns(hour=pl.lit(None, METRIC_SCHEMA["hour"]))
        return _told(rollup, _long(rollup, whole)).sort("property_id", maintain_order=True)

    def _differing_rows(self) -> pl.DataFrame:
        rollup = self._rollup
        if not self._rows or not rollup.keys:
            return ROW_SCHEMA.to_frame()
        names = [*rollup.sums, *rollup.uniques]
        rows = (
            pl.concat(self._rows)
            .group_by("property_id", *rollup.keys)
            .agg(pl.col("served", "candidate").sum(), pl.col("is_served", "is_new", *names).any())
            .filter(pl.any_horizontal(*names, ~pl.col("is_served"), ~pl.col("is_new")))
        )
        what = (
            pl.when(~pl.col("is_served")).then(pl.lit(APPEARS))
            .when(~pl.col("is_new")).then(pl.lit(VANISHES))
            .otherwise(pl.lit(CHANGES))
        )  # fmt: skip
        differing = pl.concat_list(
            pl.when(name).then(pl.lit(name)).otherwise(None) for name in names
        ).list.drop_nulls()
        return rows.select(
            "property_id",
            pl.lit(rollup.name).alias("rollup"),
            pl.concat_list(rollup.keys).alias("keys"),
            what.alias("what"),
            differing.alias("metrics"),
            "served",
            "candidate",
            (pl.col("candidate") - pl.col("served")).alias("change"),
        )


def together(
    comparisons: Iterable[Comparison], *, candidate: str, against: str, spans: Sequence[Span]
) -> Differences:
    """The differences that comparisons found, of any rollups and properties."""
    parts = [comparison.parts() for comparison in comparisons]
    return differences_of(parts, candidate=candidate, against=against, spans=spans)


def _with_hours(decoded: DecodedCells) -> DecodedCells:
    hour = pl.col("slot_start") // HOUR_US * HOUR_US
    return DecodedCells(decoded.numbers.with_columns(hour=hour), decoded.sets)


def _grouped(rollup: Rollup, decoded: DecodedCells, by: Sequence[str]) -> pl.DataFrame:
    """Sums and unique counts of the rows of a read, together for equal values of some columns.

    Args:
        rollup: Of the cells.
        decoded: Decoded with all columns.
        by: Columns of ``decoded.numbers``.

    Returns:
        ``by``, the rollup's sums, and its unique counts (Int64).
    """
    groups = (
        decoded.numbers.group_by(by).agg(pl.col(*rollup.sums).sum(), "row").with_row_index("group")
    )
    of_row = groups.select("group", "row").explode("row")
    members = decoded.sets.join(of_row, on="row")
    for name in rollup.uniques:
        mine = members.filter(pl.col("measure") == name)
        counts = estimates(mine.select("group", "hash"), ["group"], rollup.unique_k)
        groups = groups.join(counts.rename({"count": name}), on="group", how="left")
    return groups.drop("group", "row").with_columns(pl.col(*rollup.uniques).fill_null(0))


def _joined(rollup: Rollup, sides: Sequence[DecodedCells], by: Sequence[str]) -> pl.DataFrame:
    """Both sides beside each other: ``by``, NAME_served and NAME_candidate, and who has a row."""
    names = [*rollup.sums, *rollup.uniques]
    served, candidate = (
        _grouped(rollup, decoded, by).rename({name: f"{name}_{side}" for name in names})
        for side, decoded in zip(SIDES, sides, strict=True)
    )
    both = served.with_columns(is_served=pl.lit(value=True)).join(
        candidate.with_columns(is_new=pl.lit(value=True)), on=list(by), how="full", coalesce=True
    )
    numbers = [f"{name}_{side}" for name in names for side in SIDES]
    return both.with_columns(
        pl.col(*numbers).fill_null(0), pl.col("is_served", "is_new").fill_null(value=False)
    )


def _summed_rows(rollup: Rollup, by_row: pl.DataFrame) -> pl.DataFrame:
    """Events of each row on both sides, and for each metric whether it differs in any hour."""
    names = [*rollup.sums, *rollup.uniques]
    return by_row.group_by("property_id", *rollup.keys).agg(
        pl.col("events_served").sum().alias("served"),
        pl.col("events_candidate").sum().alias("candidate"),
        pl.col("is_served", "is_new").any(),
        *((pl.col(f"{name}_served") != pl.col(f"{name}_candidate")).any().alias(name)
          for name in names),
    )  # fmt: skip


def _long(rollup: Rollup, wide: pl.DataFrame) -> pl.DataFrame:
    """A line a metric: ``property_id``, ``metric``, ``hour``, ``served``, ``candidate``."""
    return pl.concat(
        wide.select(
            "property_id",
            pl.lit(name).alias("metric"),
            "hour",
            *(pl.col(f"{name}_{side}").alias(side) for side in SIDES),
        )
        for name in (*rollup.sums, *rollup.uniques)
    )


def _told(rollup: Rollup, long: pl.DataFrame) -> pl.DataFrame:
    change = pl.col("candidate") - pl.col("served")
    return long.with_columns(
        rollup=pl.lit(rollup.name),
        change=change,
        relative=pl.when(pl.col("served") != 0).then(change / pl.col("served").abs()),
    ).select(list(METRIC_SCHEMA))


def _least(members: Sequence[pl.DataFrame], k: int) -> pl.DataFrame:
    return (
        pl.concat(members)
        .group_by("property_id", "side")
        .agg(least_hashes(pl.col("hash"), k))
        .explode("hash")
    )


def _row_counts(rows: pl.DataFrame) -> pl.DataFrame:
    counts = rows.group_by("property_id", "rollup").agg(
        (pl.col("what") == name).sum().cast(pl.Int64).alias(name)
        for name in (APPEARS, VANISHES, CHANGES)
    )
    return counts.select(list(ROW_COUNT_SCHEMA)).sort("property_id")
