"""Checks that a candidate passes before it may be published, each with a reason and numbers.

Whether the candidate adds up with itself is held by an ``Audit``, day by day; whether nothing was
lost on the way from the archive by ``conservation``; whether it is far from what is served by
``change_within_bounds``, the only one that a person may overrule.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import polars as pl

from tallymark.conservation import Conservation
from tallymark.decoded_cells import DecodedCells
from tallymark.differences import Differences
from tallymark.metrics import NOT_ADDITIVE, TOTALS
from tallymark.replays import hour_text
from tallymark.rollups import ROLLUPS, Rollup
from tallymark.uniques import estimates

SIGMAS: Final = 4
SIGNED: Final = ("value_micros",)
"""Sums that may be negative: refunds are taken off."""
EXAMPLES: Final = 20
"""Findings that are told of each check; their number is told whole."""

CONSERVATION: Final = "conservation"
SUMS_OF_PARTS: Final = "sums_of_parts"
NO_NEGATIVES: Final = "no_negatives"
PARTS_WITHIN_TOTALS: Final = "parts_within_totals"
UNIQUES_WITHIN_4_SIGMA: Final = "uniques_within_4_sigma"
CHANGE_WITHIN_BOUNDS: Final = "change_within_bounds"
AUDITED: Final = {
    SUMS_OF_PARTS: "the rows of every breakdown add up to the totals",
    NO_NEGATIVES: "no count, time or number of sessions is below zero",
    PARTS_WITHIN_TOTALS: "every client counted in a row is counted in the total",
    UNIQUES_WITHIN_4_SIGMA: f"all rows together have as many clients as the total, to {SIGMAS} σ",
}
"""What each check of an audit holds."""
BLOCKING: Final = {
    CONSERVATION: "every hit that went in is found where hits end, to the last one",
    **AUDITED,
    CHANGE_WITHIN_BOUNDS: "no total is far from what is served, unless that is acknowledged",
}
"""What each check holds that keeps a candidate from being published."""

FINDING_SCHEMA: Final = pl.Schema(
    {
        "check": pl.String(),
        "property_id": pl.Int64(),
        "hour": pl.Datetime("us", "UTC"),  # start of the slot
        "rollup": pl.String(),
        "metric": pl.String(),
        "expected": pl.Int64(),
        "got": pl.Int64(),
    }
)
_SLOT: Final = ("property_id", "slot_start")
_ACKNOWLEDGED: Final = "It is acknowledged"
_TO_ACKNOWLEDGE: Final = "Look at the differences, and acknowledge them if they are meant"


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a check found.

    Attributes:
        name: Of the check.
        passed: Whether the candidate may be published as far as it goes.
        reason: In one sentence, with numbers.
        numbers: The figures behind it.
        examples: What is wrong, up to ``EXAMPLES`` of it.
    """

    name: str
    passed: bool
    reason: str
    numbers: Mapping[str, int | float] = field(default_factory=dict)
    examples: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How far a candidate may be from what is served without somebody saying that it is meant.

    Attributes:
        relative: Of each total of a property over the whole range, 0.2 is a fifth.
        least: Totals below this on both sides are not looked at, they change easily.
    """

    relative: float = 0.2
    least: int = 100

    def __post_init__(self) -> None:
        """Hold the bounds to what they may be.

        Raises:
            ValueError: when one is below 0.
        """
        if self.relative < 0 or self.least < 0:
            raise ValueError(f"bounds: expected numbers of 0 or more, got {self}")


class Audit:
    """The cells of a candidate, held against themselves.

    The totals of some properties and hours are to be added before their breakdowns; what was
    added is forgotten with ``close``, its findings are kept.
    """

    def __init__(self) -> None:
        self._totals: list[pl.DataFrame] = []
        self._members: list[pl.DataFrame] = []
        self._parts: dict[str, list[pl.DataFrame]] = {}
        self._findings: dict[str, int] = {}
        self._examples: list[pl.DataFrame] = []
        self._slots = 0

    def add(self, rollup: Rollup, cells: DecodedCells) -> None:
        """Take cells in, decoded with all columns; those of a slot in one call.

        What has no cells need not be added.
        """
        self._note(_negatives(rollup, cells))
        if rollup.name == TOTALS.name:
            self._totals.append(cells.numbers.select(*_SLOT, *rollup.sums))
            self._members.append(_members(cells))
            self._slots += cells.numbers.height
            return
        self._parts.setdefault(rollup.name, []).append(self._summary(rollup, cells))

    def close(self) -> None:
        """Hold what was added since the last call against its totals."""
        if self._totals or self._parts:
            for rollup in ROLLUPS:
                if rollup is not TOTALS:
                    self._compare(rollup)
        self._totals, self._members, self._parts = [], [], {}

    def results(self) -> list[CheckResult]:
        """A result of each check of ``AUDITED``."""
        examples = pl.concat([FINDING_SCHEMA.to_frame(), *self._examples])
        return [self._result(name, examples) for name in AUDITED]

    def _result(self, name: str, examples: pl.DataFrame) -> CheckResult:
        found = self._findings.get(name, 0)
        mine = examples.filter(pl.col("check") == name).drop("check").head(EXAMPLES)
        reason = f"{AUDITED[name]}: {self._slots:,} slots of properties looked through"
        if found:
            reason = f"expected that {AUDITED[name]}; {found:,} times it is not so"
            reason += f": {_finding_text(mine.row(0, named=True))}"
        return CheckResult(
            name=name,
            passed=not found,
            reason=reason,
            numbers={"slots": self._slots, "findings": found},
            examples=tuple(mine.iter_rows(named=True)),
        )

    def _summary(self, rollup: Rollup, cells: DecodedCells) -> pl.DataFrame:
        """A line a slot: sums, and of each set how many, as many the total has, and strays."""
        slots = cells.numbers.group_by(_SLOT).agg(pl.col(*_additive(rollup)).sum())
        members = _members(cells)
        for name in _shared_sets(rollup):
            mine = _of(members, name)
            strays = _strays(mine, self._members_of_totals(name))
            for column, counts in (
                (name, estimates(mine, _SLOT, rollup.unique_k)),
                (f"{name}_strays", strays),
            ):
                slots = slots.join(counts.rename({"count": column}), on=_SLOT, how="left")
        return slots.fill_null(0)

    def _compare(self, rollup: Rollup) -> None:
        sums, sets = _additive(rollup), _shared_sets(rollup)
        counts = [column for name in sets for column in (name, f"{name}_strays")]
        nothing = pl.DataFrame(schema=dict.fromkeys((*_SLOT, *sums, *counts), pl.Int64()))
        parts = pl.concat([nothing, *self._parts.get(rollup.name, [])])
        totals = self._total_numbers(rollup, sums, sets)
        both = totals.join(parts, on=_SLOT, how="full", coalesce=True, suffix="_got").fill_null(0)
        for name in sums:
            wrong = pl.col(name) != pl.col(f"{name}_got")
            self._note(_findings(SUMS_OF_PARTS, rollup, name, both.filter(wrong)))
        for name in sets:
            got = pl.col(f"{name}_got")
            allowed = _allowed(pl.max_horizontal(name, got), rollup.unique_k)
            wrong = (got - pl.col(name)).abs() > allowed
            self._note(_findings(UNIQUES_WITHIN_4_SIGMA, rollup, name, both.filter(wrong)))
            stray = both.filter(pl.col(f"{name}_strays") > 0).with_columns(
                pl.lit(0, pl.Int64).alias(name), pl.col(f"{name}_strays").alias(f"{name}_got")
            )
            self._note(_findings(PARTS_WITHIN_TOTALS, rollup, name, stray))

    def _total_numbers(
        self, rollup: Rollup, sums: Sequence[str], sets: Sequence[str]
    ) -> pl.DataFrame:
        """The totals; sets as they would be counted if they kept as many hashes as the parts."""
        empty = pl.DataFrame(schema=dict.fromkeys((*_SLOT, *sums), pl.Int64()))
        numbers = pl.concat([empty, *(part.select(empty.columns) for part in self._totals)])
        for name in sets:
            counts = estimates(self._members_of_totals(name), _SLOT, rollup.unique_k)
            numbers = numbers.join(counts.rename({"count": name}), on=_SLOT, how="left")
        return numbers.fill_null(0)

    def _members_of_totals(self, name: str) -> pl.DataFrame:
        return pl.concat([_EMPTY, *(_of(part, name) for part in self._members)])

    def _note(self, findings: pl.DataFrame) -> None:
        if findings.is_empty():
            return
        for name, count in findings.group_by("check").len().iter_rows():
            before = self._findings.get(name, 0)
            self._findings[name] = before + count
            if before < EXAMPLES:
                self._examples.append(findings.filter(pl.col("check") == name).head(EXAMPLES))


def conservation(counts: Mapping[int, Conservation]) -> CheckResult:
    """Whether every hit that went in is found where hits end, to the last one.

    Args:
        counts: By received hour (UTC µs).
    """
    whole = sum(counts.values(), Conservation())
    wrong = {hour: one for hour, one in sorted(counts.items()) if one.unexplained}
    reason = f"{whole.hits_in:,} hits of {len(counts)} received hours add up"
    if wrong:
        hour, first = next(iter(wrong.items()))
        reason = (
            f"{len(wrong)} of {len(counts)} received hours do not add up: hits were lost or "
            f"counted twice; {hour_text(hour)} misses {first.unexplained:,} of {first.hits_in:,}. "
            "Publish nothing of this lineage"
        )
    return CheckResult(
        name=CONSERVATION,
        passed=not wrong,
        reason=reason,
        numbers={"received hours": len(counts), "wrong": len(wrong), **asdict(whole)},
        examples=tuple(
            {"received hour": hour_text(hour), **asdict(one), "unexplained": one.unexplained}
            for hour, one in list(wrong.items())[:EXAMPLES]
        ),
    )


def change_within_bounds(
    differences: Differences, bounds: Bounds, *, is_acknowledged: bool = False
) -> CheckResult:
    """Whether no total of a property is further from what is served than the bounds allow.

    Hours for which nothing is served have nothing to be far from.

    Args:
        differences: Candidate against served.
        bounds: How far it may be.
        is_acknowledged: Whether who publishes it has said that the change is meant.
    """
    totals = differences.whole_range().filter(
        (pl.col("rollup") == TOTALS.name)
        & (pl.max_horizontal(pl.col("served", "candidate").abs()) >= bounds.least)
        & pl.col("relative").is_not_null()
    )
    beyond = totals.filter(pl.col("relative").abs() > bounds.relative).sort(
        pl.col("relative").abs(), descending=True
    )
    largest = totals["relative"].abs().max() if totals.height else None
    numbers: dict[str, int | float] = {
        "totals": totals.height,
        "beyond": beyond.height,
        "largest": float(largest) if isinstance(largest, float) else 0.0,
        "allowed": bounds.relative,
        "clients with another first source": int(differences.sources["first_source"].sum()),
        "clients with another last source": int(differences.sources["last_source"].sum()),
    }
    reason = (
        f"{totals.height} totals looked at; the largest change is {numbers['largest']:.1%}, "
        f"{bounds.relative:.0%} are allowed"
    )
    if not beyond.is_empty():
        worst = beyond.row(0, named=True)
        reason = (
            f"{beyond.height} of {totals.height} totals change by more than {bounds.relative:.0%}: "
            f"{worst['metric']} of property {worst['property_id']} from {worst['served']:,} to "
            f"{worst['candidate']:,} ({worst['relative']:+.1%}). "
        )
        reason += _ACKNOWLEDGED if is_acknowledged else _TO_ACKNOWLEDGE
    shown = beyond.head(EXAMPLES).drop("hour", "rollup")
    return CheckResult(
        name=CHANGE_WITHIN_BOUNDS,
        passed=beyond.is_empty() or is_acknowledged,
        reason=reason,
        numbers=numbers,
        examples=tuple(shown.iter_rows(named=True)),
    )


def failed(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Those that keep a candidate from being published."""
    return [result for result in results if not result.passed]


def adds_up(results: Iterable[CheckResult]) -> bool:
    """Whether all have passed that nobody may overrule."""
    return all(result.name == CHANGE_WITHIN_BOUNDS for result in failed(results))


_MEMBER_SCHEMA: Final = pl.Schema(
    {
        "property_id": pl.Int64(),
        "slot_start": pl.Int64(),
        "measure": pl.String(),
        "hash": pl.UInt64(),
    }
)
_EMPTY: Final = pl.DataFrame(
    schema={name: kind for name, kind in _MEMBER_SCHEMA.items() if name != "measure"}
)


def _additive(rollup: Rollup) -> list[str]:
    """Sums that are those of the totals, cut up."""
    return [
        name
        for name in rollup.sums
        if name in TOTALS.sums and (rollup.name, name) not in NOT_ADDITIVE
    ]


def _shared_sets(rollup: Rollup) -> list[str]:
    return [name for name in rollup.uniques if name in TOTALS.uniques]


def _members(cells: DecodedCells) -> pl.DataFrame:
    owned = cells.sets.join(cells.numbers.select("row", *_SLOT), on="row")
    return owned.with_columns(pl.col("measure").cast(pl.String)).select(list(_MEMBER_SCHEMA))


def _of(members: pl.DataFrame, name: str) -> pl.DataFrame:
    return members.filter(pl.col("measure") == name).drop("measure")


def _strays(parts: pl.DataFrame, totals: pl.DataFrame) -> pl.DataFrame:
    """For each slot how many members of its rows the total should hold and does not.

    A total that is full holds the least hashes alone, up to its largest.
    """
    full = (
        totals.group_by(_SLOT)
        .agg(pl.len().alias("size"), pl.col("hash").max().alias("largest"))
        .filter(pl.col("size") >= TOTALS.unique_k)
    )
    missing = parts.unique().join(totals, on=[*_SLOT, "hash"], how="anti")
    below = missing.join(full, on=_SLOT, how="left").filter(
        pl.col("largest").is_null() | (pl.col("hash") < pl.col("largest"))
    )
    return below.group_by(_SLOT).agg(pl.len().cast(pl.Int64).alias("count"))


def _allowed(count: pl.Expr, k: int) -> pl.Expr:
    """How far two counts of the same clients may be apart; not at all where both are exact."""
    sigma = 1 / (k - 2) ** 0.5
    return pl.when(count < k).then(0.0).otherwise(SIGMAS * sigma * count)


def _negatives(rollup: Rollup, cells: DecodedCells) -> pl.DataFrame:
    names = [name for name in rollup.sums if name not in SIGNED]
    wrong = cells.numbers.filter(pl.any_horizontal(pl.col(*names) < 0))
    if wrong.is_empty():
        return FINDING_SCHEMA.to_frame()
    return pl.concat(
        _findings(
            NO_NEGATIVES,
            rollup,
            name,
            wrong.filter(pl.col(name) < 0).select(
                *_SLOT, pl.lit(0, pl.Int64).alias(name), pl.col(name).alias(f"{name}_got")
            ),
        )
        for name in names
    )


def _findings(check: str, rollup: Rollup, name: str, wrong: pl.DataFrame) -> pl.DataFrame:
    return wrong.select(
        pl.lit(check).alias("check"),
        "property_id",
        pl.from_epoch("slot_start", time_unit="us").dt.replace_time_zone("UTC").alias("hour"),
        pl.lit(rollup.name).alias("rollup"),
        pl.lit(name).alias("metric"),
        pl.col(name).alias("expected"),
        pl.col(f"{name}_got").alias("got"),
    ).sort("hour", "property_id")


def _finding_text(finding: Mapping[str, Any]) -> str:
    return (
        f"{finding['rollup']} of property {finding['property_id']} at "
        f"{finding['hour']:%Y-%m-%dT%H:%M} has {finding['metric']} {finding['got']:,}, expected "
        f"{finding['expected']:,}"
    )
