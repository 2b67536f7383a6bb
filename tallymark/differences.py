"""Differences: what reports would show, against what they show, before anything is published.

A ``Comparison`` takes the cells of both sides, a part of the properties and hours at a time, and
keeps what the whole range needs: numbers by property, and the rows whose keys or numbers differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from tallymark.decoded_cells import DecodedCells
from tallymark.lineages import Span
from tallymark.rollups import BY_NAME, Rollup
from tallymark.slots import HOUR_US
from tallymark.stale_touches import SOURCE_CHANGE_SCHEMA
from tallymark.uniques import estimates, least_hashes

SIDES: Final = ("served", "candidate")
APPEARS, VANISHES, CHANGES = "appears", "vanishes", "changes"

METRIC_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "rollup": pl.String(),
        "metric": pl.String(),  # a sum or a unique count of the rollup, all its rows together
        "hour": pl.Datetime("us", "UTC"),  # null: the whole range
        "served": pl.Int64(),
        "candidate": pl.Int64(),
        "change": pl.Int64(),
        "relative": pl.Float64(),  # change / served; null where nothing is served
    }
)
ROW_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "rollup": pl.String(),
        "keys": pl.List(pl.String()),
        "what": pl.String(),  # whether it appears, vanishes or changes, in the whole range
        "metrics": pl.List(pl.String()),  # those that differ in some hour
        "served": pl.Int64(),  # events
        "candidate": pl.Int64(),
        "change": pl.Int64(),
    }
)
ROW_COUNT_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "rollup": pl.String(),
        APPEARS: pl.Int64(),
        VANISHES: pl.Int64(),
        CHANGES: pl.Int64(),
    }
)
ROWS_KEPT: Final = 50
"""Rows that are told of each property and rollup: those with the greatest change of events."""


@dataclass(frozen=True, kw_only=True)
class Differences:
    """A candidate against what is served.

    Attributes:
        candidate: The lineage.
        against: Another lineage; "" means what the pointers serve.
        spans: The hours.
        metrics: ``METRIC_SCHEMA``: the whole range for every metric, an hour where it differs.
        rows: ``ROW_SCHEMA``: the rows that differ, at most ``ROWS_KEPT`` a property and rollup.
        row_counts: ``ROW_COUNT_SCHEMA``: how many do.
        sources: ``SOURCE_CHANGE_SCHEMA``: clients whose later sessions are attributed otherwise.
    """

    candidate: str
    against: str
    spans: tuple[Span, ...]
    metrics: pl.DataFrame
    rows: pl.DataFrame
    row_counts: pl.DataFrame
    sources: pl.DataFrame = field(default_factory=SOURCE_CHANGE_SCHEMA.to_frame)

    @property
    def is_empty(self) -> bool:
        """Whether reports would show the same in every hour, later ones too."""
        same = self.metrics.filter(pl.col("change") != 0).is_empty()
        return self.row_counts.is_empty() and same and self.changed_sources().is_empty()

    def changed_sources(self) -> pl.DataFrame:
        """``sources`` of the properties in which one changes."""
        return self.sources.filter((pl.col("first_source") > 0) | (pl.col("last_source") > 0))

    def whole_range(self) -> pl.DataFrame:
        """``metrics`` of the whole range."""
        return self.metrics.filter(pl.col("hour").is_null())

    def by_hour(self) -> pl.DataFrame:
        """``metrics`` of the hours in which they differ."""
        return self.metrics.filter(pl.col("hour").is_not_null())

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON holds it; hours are UTC."""
        hour = pl.col("hour").dt.strftime("%Y-%m-%dT%HZ")
        return {
            "candidate": self.candidate,
            "against": self.against or "served",
            "spans": [[_hour_text(start), _hour_text(end)] for start, end in self.spans],
            "metrics": self.whole_range().drop("hour").to_dicts(),
            "hours": self.by_hour().with_columns(hour).to_dicts(),
            "rows": self.rows.to_dicts(),
            "row_counts": self.row_counts.to_dicts(),
            "sources": self.sources.to_dicts(),
        }

    def text(self, names: Mapping[int, str] | None = None) -> str:
        """A table for people.

        Args:
            names: How properties are called.
        """
        spans = ", ".join(f"{_hour_text(start)}..{_hour_text(end)}" for start, end in self.spans)
        head = f"{self.candidate} against {self.against or 'what is served'}, {spans} (UTC)"
        changed = self.metrics.filter(pl.col("change") != 0)
        owners = sorted(
            {
                *changed["property_id"],
                *self.row_counts["property_id"],
                *self.changed_sources()["property_id"],
            }
        )
        if not owners:
            compared = self.metrics["property_id"].n_unique()
            return f"{head}\n\nNothing would change, in any hour of {compared} properties."
        blocks = [_property_text(self, owner, (names or {}).get(owner, "")) for owner in owners]
        return "\n".join([head, *blocks])


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
    return _of_frames(parts, candidate=candidate, against=against, spans=spans)


def merged(
    parts: Iterable[Differences], *, candidate: str, against: str, spans: Sequence[Span]
) -> Differences:
    """The differences of all properties, from those of some properties each."""
    frames = [(part.metrics, part.rows, part.row_counts) for part in parts]
    return _of_frames(frames, candidate=candidate, against=against, spans=spans)


def _of_frames(
    parts: Sequence[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]],
    *,
    candidate: str,
    against: str,
    spans: Sequence[Span],
) -> Differences:
    metrics, rows, row_counts = (
        pl.concat([schema.to_frame(), *(part[place] for part in parts)])
        for place, schema in enumerate((METRIC_SCHEMA, ROW_SCHEMA, ROW_COUNT_SCHEMA))
    )
    return Differences(
        candidate=candidate,
        against=against,
        spans=tuple(spans),
        metrics=metrics,
        rows=rows,
        row_counts=row_counts,
    )


def _with_hours(decoded: DecodedCells) -> DecodedCells:
    hour = pl.col("slot_start") // HOUR_US * HOUR_US
    return DecodedCells(decoded.numbers.with_columns(hour=hour), decoded.sets)


def grouped(rollup: Rollup, decoded: DecodedCells, by: Sequence[str]) -> pl.DataFrame:
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
        grouped(rollup, decoded, by).rename({name: f"{name}_{side}" for name in names})
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


def _property_text(differences: Differences, owner: int, name: str) -> str:
    mine = pl.col("property_id") == owner
    metrics = differences.whole_range().filter(mine, pl.col("change") != 0)
    hours = differences.by_hour().filter(mine)
    lines = ["", f"property {owner}{f' ({name})' if name else ''}"]
    # What a breakdown says once more is left out: its rows are told below.
    lines += _table(
        ("rollup", "metric", "served", "candidate", "change", ""),
        [
            (row["rollup"], row["metric"], f"{row['served']:,}", f"{row['candidate']:,}",
             f"{row['change']:+,}", _percent(row["relative"]))
            for row in metrics.unique(
                ["metric", "served", "candidate"], keep="first", maintain_order=True
            ).iter_rows(named=True)
        ],
    )  # fmt: skip
    if not hours.is_empty():
        count = hours["hour"].n_unique()
        first, last = (hours["hour"].sort()[place] for place in (0, -1))
        lines.append(f"  {count} hours differ, from {first:%Y-%m-%dT%H} to {last:%Y-%m-%dT%H}")
    for counts in differences.row_counts.filter(mine).iter_rows(named=True):
        said = [f"{counts[what]} {word}" for what, word in _VERBS.items() if counts[what]]
        lines.append(f"  rows of {counts['rollup']}: {', '.join(said)}")
        rows = differences.rows.filter(mine, pl.col("rollup") == counts["rollup"])
        if BY_NAME[counts["rollup"]].grain == "minute":
            continue  # minutes of hours say nothing when they are added up
        lines += _table(
            ("", "row", "served", "candidate", "events", "differs in"),
            [
                (row["what"], " / ".join(row["keys"]), f"{row['served']:,}",
                 f"{row['candidate']:,}", f"{row['change']:+,}",
                 ", ".join(row["metrics"]) if row["what"] == CHANGES else "")
                for row in rows.head(_ROWS_SHOWN).iter_rows(named=True)
            ],
        )  # fmt: skip
        more = sum(counts[what] for what in _VERBS) - _ROWS_SHOWN
        if more > 0:
            lines.append(f"  and {more} more with smaller changes")
    for sources in differences.changed_sources().filter(mine).iter_rows(named=True):
        lines.append(
            f"  clients: of {sources['clients']:,} the first source changes for "
            f"{sources['first_source']:,}, the last that is not direct for "
            f"{sources['last_source']:,}; what depends on them later is announced when it is "
            "published"
        )
    return "\n".join(lines)


_VERBS: Final = {APPEARS: "appear", VANISHES: "vanish", CHANGES: "change"}
_ROWS_SHOWN: Final = 10


def _percent(relative: float | None) -> str:
    return "new" if relative is None else f"{relative:+.1%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns, the ones that hold numbers to the right."""
    if not rows:
        return []
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return [
        "  " + "  ".join(
            cell.rjust(width) if column in (2, 3, 4) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]  # fmt: skip


def _hour_text(instant_us: int) -> str:
    return datetime.fromtimestamp(instant_us / 1e6, UTC).strftime("%Y-%m-%dT%H")
