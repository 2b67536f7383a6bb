"""Differences: what reports would show, against what they show, before anything is published."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from tallymark.lineages import Span
from tallymark.rollups import BY_NAME
from tallymark.stale_touches import SOURCE_CHANGE_SCHEMA

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


def merged(
    parts: Iterable[Differences], *, candidate: str, against: str, spans: Sequence[Span]
) -> Differences:
    """The differences of all properties, from those of some properties each."""
    frames = [(part.metrics, part.rows, part.row_counts) for part in parts]
    return differences_of(frames, candidate=candidate, against=against, spans=spans)


def differences_of(
    parts: Sequence[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]],
    *,
    candidate: str,
    against: str,
    spans: Sequence[Span],
) -> Differences:
    """The differences in frames of ``METRIC_SCHEMA``, ``ROW_SCHEMA`` and ``ROW_COUNT_SCHEMA``."""
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
