"""Checks that a candidate passes before it may be published, each with a reason and numbers.

Whether the candidate adds up with itself is held by a ``CellAudit``, day by day; whether nothing
was lost on the way from the archive by ``conservation``; whether it is far from what is served by
``change_within_bounds``, the only one that a person may overrule.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import polars as pl

from tallymark.conservation import Conservation
from tallymark.differences import Differences
from tallymark.replays import hour_text
from tallymark.rollup_choice import TOTALS

SIGMAS: Final = 4
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
