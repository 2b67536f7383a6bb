"""Divergences: where hours that were sealed say something else than what had been streamed.

A live lineage counts the hits that were on time, sealing counts all; both by the same code. So a
number may differ only as far as hits came that the stream has not counted: it announces their
hours (``late``), imports announce theirs, and publications announce the hours whose sessions have
other touches (``stale``). Whatever else differs is an error of the one or the other.

What explains a number depends on what it is counted of (``dependence``):

* ``hits``: of the hits of its own hour alone. Late hits of that very hour explain it, and totals
  and minutes only grow by them;
* ``sessions``: of the sessions that hold those hits, or of sales that its own repeat. Late hits of
  every hour from which a session may reach it explain it (``reach``);
* ``touches``: of its clients' earlier sessions too. Late hits of all hours before it, as far as
  they are looked at, explain it, and so does an announcement that its touches have changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import polars as pl

from tallymark.checks import EXAMPLES, CheckResult
from tallymark.decoded_cells import DecodedCells
from tallymark.lineages import Span as Pair
from tallymark.lineages import kind_of
from tallymark.pointer_map import PointerMap
from tallymark.replays import MAX_SESSION_GAP_US, Span, hour_text
from tallymark.rollups import Rollup
from tallymark.slots import HOUR_US, SESSION_ALIGNMENT_US
from tallymark.uniques import estimates

Dependence = Literal["hits", "sessions", "touches"]

AGREES_WITH_LIVE: Final = "agrees_with_live"
HOLDS: Final = "sealed hours say what was streamed, but for late hits"
_OF_HITS: Final = ("totals", "events", "minutes", "custom", "custom_events", "custom_amounts")
"""Rollups whose rows are told apart by what their hits say themselves."""
_OF_TOUCHES: Final = ("acquisition", "first_user", "visitors")
"""Rollups whose rows are told apart by where clients came from over their time."""
_OF_SESSIONS: Final = (
    "sessions", "engaged_sessions", "session_duration_ms", "active_users", "value_micros",
    "key_events",
)  # fmt: skip
"""Measures that follow from whole sessions, whatever tells the rows apart. A sale is worth nothing
where it repeats an earlier one, which is found in what sessions reach (``transactions``); a key
event may count once a session (``key_events``)."""
_GROWING: Final = ("events", "views", "engagement_ms")
_NEVER_FOLDED: Final = ("totals", "minutes")
KEPT_OF_AN_HOUR: Final = 20
"""Divergences that are told of each property and hour; all are counted."""

HOURS_SCHEMA: Final = pl.Schema({"property_id": pl.Int64(), "hour": pl.Int64()})
"""Hours of properties, UTC µs."""
DIVERGENCE_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "hour": pl.Int64(),  # UTC µs
        "rollup": pl.String(),
        "row": pl.String(),  # its keys
        "metric": pl.String(),
        "live": pl.Int64(),  # of a set: how many members
        "sealed": pl.Int64(),  # the same number of other members differs too
        "is_explained": pl.Boolean(),
    }
)
COUNT_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "hour": pl.Int64(),
        "explained": pl.Int64(),  # numbers that late hits explain
        "unexplained": pl.Int64(),
    }
)
_ROW: Final = ("property_id", "slot_start", "slot_minutes")


def dependence(rollup: str, metric: str) -> Dependence:
    """What a number of a rollup is counted of."""
    if rollup in _OF_TOUCHES:
        return "touches"
    return "hits" if rollup in _OF_HITS and metric not in _OF_SESSIONS else "sessions"


def reach(hour_us: int, session_gap_us: int = MAX_SESSION_GAP_US) -> Span:
    """The hours whose sessions, or whose hits' sessions, a hit of an hour may change.

    The session that takes it in starts one multiple of L earlier at most. It may join the sessions
    that begin within a gap after it to those before: these are then cut at the multiple that
    follows their start, where they were cut at the next one.

    Args:
        hour_us: UTC µs of the hour of the hit.
        session_gap_us: Of its property, the longest it had.
    """
    length = SESSION_ALIGNMENT_US
    last = (hour_us + HOUR_US + session_gap_us - 1) // length * length
    return Span(hour_us // length * length - length, last + 2 * length)


@dataclass(frozen=True)
class Explanations:
    """Why sealed hours may differ from streamed ones.

    Attributes:
        hits: ``HOURS_SCHEMA``: hours that have hits which the stream did not count.
        sessions: ``HOURS_SCHEMA``: hours that sessions of such hits may reach.
        since: ``HOURS_SCHEMA``: for each property the first of these.
        touches: ``HOURS_SCHEMA``: starts of multiples of L whose sessions have other touches.
        misruled: ``HOURS_SCHEMA``: hours that hits may reach which the stream processed by rules
            that had changed: anything of these may differ.
    """

    hits: pl.DataFrame
    sessions: pl.DataFrame
    since: pl.DataFrame
    touches: pl.DataFrame
    misruled: pl.DataFrame

    @classmethod
    def of(
        cls,
        late: Iterable[tuple[int, int]],
        stale: Iterable[tuple[int, int]] = (),
        session_gaps_us: Mapping[int, int] | None = None,
        *,
        misruled: Iterable[tuple[int, int]] = (),
    ) -> "Explanations":
        """What follows of announcements, as (property id, hour UTC µs).

        Args:
            late: Hours that hits were announced for which the stream did not count.
            stale: Hours whose touches have changed; each stands for its multiple of L.
            session_gaps_us: The longest session gap of properties; of others L is taken.
            misruled: Hours of hits that the stream processed by rules that had changed.
        """
        gaps, announced = session_gaps_us or {}, set(late)

        def reached(hours: Iterable[tuple[int, int]]) -> pl.DataFrame:
            return _hours(
                {
                    (owner, near)
                    for owner, hour in hours
                    for near in reach(hour, gaps.get(owner, MAX_SESSION_GAP_US))
                }
            )

        sessions, wrong = reached(announced), reached(misruled)
        length = SESSION_ALIGNMENT_US
        return cls(
            hits=_hours(announced),
            sessions=sessions,
            since=pl.concat([sessions, wrong]).group_by("property_id").agg(pl.col("hour").min()),
            touches=_hours({(owner, hour // length * length) for owner, hour in stale}),
            misruled=wrong,
        )

    def marked(self, differing: pl.DataFrame) -> pl.DataFrame:
        """``differing`` (``property_id``, ``hour``, ``rollup``, ``metric``, ``live``, ``sealed``)
        with ``is_explained`` (``DIVERGENCE_SCHEMA``)."""
        here = ["property_id", "hour"]
        length = SESSION_ALIGNMENT_US
        looked_up = (
            differing.with_columns(block=pl.col("hour") // length * length)
            .join(self.hits.with_columns(has_hits=True), on=here, how="left")
            .join(self.sessions.with_columns(has_sessions=True), on=here, how="left")
            .join(self.misruled.with_columns(is_misruled=True), on=here, how="left")
            .join(self.since.rename({"hour": "since"}), on="property_id", how="left")
            .join(
                self.touches.rename({"hour": "block"}).with_columns(has_touches=True),
                on=["property_id", "block"],
                how="left",
            )
        )
        grows = (
            ~pl.col("rollup").is_in(_NEVER_FOLDED)
            | ~pl.col("metric").is_in(_GROWING)
            | (pl.col("sealed") >= pl.col("live"))
        )
        of_touches = pl.col("rollup").is_in(_OF_TOUCHES)
        of_hits = pl.col("rollup").is_in(_OF_HITS) & ~pl.col("metric").is_in(_OF_SESSIONS)
        explained = (
            pl.when(pl.col("is_misruled").fill_null(value=False))
            .then(pl.lit(value=True))
            .when(of_touches)
            .then((pl.col("hour") >= pl.col("since")) | pl.col("has_touches"))
            .when(of_hits)
            .then(pl.col("has_hits") & grows)
            .otherwise(pl.col("has_sessions"))
        )
        return looked_up.with_columns(is_explained=explained.fill_null(value=False)).select(
            list(DIVERGENCE_SCHEMA)
        )


@dataclass(frozen=True, kw_only=True)
class Divergences:
    """Where sealed hours differ from streamed ones.

    Attributes:
        spans: The hours that were held against each other, UTC µs.
        counts: ``COUNT_SCHEMA``: numbers that differ, in hours in which any does.
        examples: ``DIVERGENCE_SCHEMA``: unexplained ones, ``KEPT_OF_AN_HOUR`` a property's hour.
    """

    spans: tuple[Pair, ...]
    counts: pl.DataFrame
    examples: pl.DataFrame

    def unexplained_hours(self) -> list[int]:
        """The hours (UTC µs) in which something differs that late hits do not explain."""
        wrong = self.counts.filter(pl.col("unexplained") > 0)
        return sorted(wrong.get_column("hour").unique().to_list())

    def explained_hours(self) -> list[int]:
        """The hours (UTC µs) in which something differs, and late hits explain all of it."""
        hours = set(self.counts.get_column("hour").to_list())
        return sorted(hours - set(self.unexplained_hours()))

    def check(self) -> CheckResult:
        """Whether sealed hours say what was streamed, but for late hits."""
        wrong, looked = self.unexplained_hours(), sum(len(Span(*span)) for span in self.spans)
        explained = self.explained_hours()
        reason = f"{looked} hours say what was streamed; in {len(explained)} late hits are added"
        if wrong:
            first = self.examples.row(0, named=True)
            reason = (
                f"{hours_text(len(wrong))} of {looked} differ from live beyond late hits, e.g. "
                f"{divergence_text(first)}. They are served as computed again; look for what the "
                "stream lost or counted twice, or for what the replay did"
            )
        return CheckResult(
            name=AGREES_WITH_LIVE,
            passed=not wrong,
            reason=reason,
            numbers={
                "hours": looked,
                "hours with late hits": len(explained),
                "hours beyond late hits": len(wrong),
                "numbers beyond late hits": int(self.counts["unexplained"].sum()),
            },
            examples=tuple(_told(row) for row in self.examples.head(EXAMPLES).to_dicts()),
        )


class LiveAudit:
    """Holds the cells of sealed hours against those that had been streamed, a part at a time.

    Args:
        explanations: Why they may differ.
    """

    def __init__(self, explanations: Explanations) -> None:
        self._explanations = explanations
        self._spans: set[Pair] = set()
        self._counts: list[pl.DataFrame] = []
        self._examples: list[pl.DataFrame] = []

    def add(
        self, rollup: Rollup, live: DecodedCells, sealed: DecodedCells, streamed: Sequence[Pair]
    ) -> None:
        """Take cells of both sides in, decoded with all columns; those of a slot in one call.

        Args:
            rollup: Of the cells.
            live: What was streamed.
            sealed: What was counted again.
            streamed: The hours (UTC µs) that live lineages serve; others are left out.
        """
        self._spans |= set(streamed)
        sides = [_within(decoded, streamed) for decoded in (live, sealed)]
        row = [*_ROW, *rollup.keys]
        found = [*_sums_apart(rollup, sides, row), *_sets_apart(rollup, sides, row)]
        told = pl.concat([one.select(list(_APART_SCHEMA)) for one in found])
        marked = self._explanations.marked(told.with_columns(rollup=pl.lit(rollup.name)))
        if marked.is_empty():
            return
        self._counts.append(
            marked.group_by("property_id", "hour").agg(
                pl.col("is_explained").sum().cast(pl.Int64).alias("explained"),
                (~pl.col("is_explained")).sum().cast(pl.Int64).alias("unexplained"),
            )
        )
        wrong = marked.filter(~pl.col("is_explained"))
        self._examples.append(_some_of_each_hour(wrong))

    def result(self) -> Divergences:
        """What was found so far."""
        counts = pl.concat([COUNT_SCHEMA.to_frame(), *self._counts])
        examples = pl.concat([DIVERGENCE_SCHEMA.to_frame(), *self._examples])
        return Divergences(
            spans=tuple(sorted(self._spans)),
            counts=counts.group_by("property_id", "hour")
            .agg(pl.col("explained", "unexplained").sum())
            .sort("hour", "property_id"),
            examples=_some_of_each_hour(examples).sort("hour", "property_id", maintain_order=True),
        )


def streamed_spans(served: PointerMap, spans: Iterable[Pair]) -> list[Pair]:
    """The parts of ``spans`` (UTC µs) that live lineages serve, ascending."""
    live = [one for one in served.intervals if kind_of(one.lineage) == "live"]
    parts = (
        (max(start, one.start_us), min(end, one.end_us)) for start, end in spans for one in live
    )
    return sorted((start, end) for start, end in parts if start < end)


def divergence_text(divergence: Mapping[str, Any]) -> str:
    """A row of ``DIVERGENCE_SCHEMA`` as people read it."""
    row = f" of {divergence['row']}" if divergence["row"] else ""
    return (
        f"{hour_text(divergence['hour'])} property {divergence['property_id']}: "
        f"{divergence['rollup']} {divergence['metric']}{row} was {divergence['live']:,} live and "
        f"is {divergence['sealed']:,}"
    )


def hours_text(count: int) -> str:
    """``1 hour``, ``2 hours``."""
    return f"{count:,} hour{'' if count == 1 else 's'}"


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in row.items() if name != "is_explained"}
    return told | {"hour": hour_text(row["hour"])}


def _hours(pairs: Iterable[tuple[int, int]]) -> pl.DataFrame:
    return pl.DataFrame(sorted(pairs), schema=HOURS_SCHEMA, orient="row")


def _within(decoded: DecodedCells, spans: Sequence[Pair]) -> DecodedCells:
    start = pl.col("slot_start")
    inside = pl.any_horizontal(
        pl.lit(value=False), *(start.is_between(*span, closed="left") for span in spans)
    )
    return DecodedCells(decoded.numbers.filter(inside), decoded.sets)


_APART_SCHEMA: Final = ("property_id", "hour", "row", "metric", "live", "sealed")


def _sums_apart(
    rollup: Rollup, sides: Sequence[DecodedCells], row: Sequence[str]
) -> list[pl.DataFrame]:
    live, sealed = (decoded.numbers.select(*row, *rollup.sums) for decoded in sides)
    both = live.join(sealed, on=list(row), how="full", coalesce=True, suffix="_sealed")
    told = both.with_columns(
        pl.col(*rollup.sums, *(f"{name}_sealed" for name in rollup.sums)).fill_null(0),
        **_place(rollup),
    )
    return [
        told.filter(pl.col(name) != pl.col(f"{name}_sealed")).select(
            "property_id", "hour", pl.col("row_text").alias("row"),
            pl.lit(name).alias("metric"),
            pl.col(name).alias("live"), pl.col(f"{name}_sealed").alias("sealed"),
        )
        for name in rollup.sums
    ]  # fmt: skip


def _sets_apart(
    rollup: Rollup, sides: Sequence[DecodedCells], row: Sequence[str]
) -> list[pl.DataFrame]:
    """Sets are compared by their members: a digest tells them apart, whatever their counts are."""
    live, sealed = (_digests(rollup, decoded, row) for decoded in sides)
    key = [*row, "measure"]
    both = live.join(sealed, on=key, how="full", coalesce=True, suffix="_sealed").filter(
        pl.col("digest").ne_missing(pl.col("digest_sealed"))
        | pl.col("count").ne_missing(pl.col("count_sealed"))
    )
    told = both.with_columns(pl.col("count", "count_sealed").fill_null(0), **_place(rollup))
    return [
        told.select(
            "property_id", "hour", pl.col("row_text").alias("row"),
            pl.col("measure").alias("metric"),
            pl.col("count").alias("live"), pl.col("count_sealed").alias("sealed"),
        )
    ]  # fmt: skip


def _digests(rollup: Rollup, decoded: DecodedCells, row: Sequence[str]) -> pl.DataFrame:
    """For each set of a row that has members: ``measure``, ``count``, and their ``digest``."""
    sets = decoded.sets.with_columns(pl.col("measure").cast(pl.String))
    digests = sets.group_by("row", "measure").agg(pl.col("hash").bitwise_xor().alias("digest"))
    counts = estimates(sets, ["row", "measure"], rollup.unique_k)
    places = decoded.numbers.select(pl.col("row"), *row)
    return places.join(digests, on="row").join(counts, on=["row", "measure"]).drop("row")


def _place(rollup: Rollup) -> dict[str, pl.Expr]:
    text = pl.concat_str(rollup.keys, separator=" / ") if rollup.keys else pl.lit("")
    return {"hour": pl.col("slot_start") // HOUR_US * HOUR_US, "row_text": text}


def _some_of_each_hour(wrong: pl.DataFrame) -> pl.DataFrame:
    return wrong.group_by("property_id", "hour", maintain_order=True).head(KEPT_OF_AN_HOUR)
