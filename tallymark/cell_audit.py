"""The audit of a candidate's cells: whether breakdowns, totals and sets agree with each other."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from tallymark.checks import (
    AUDITED,
    EXAMPLES,
    NO_NEGATIVES,
    PARTS_WITHIN_TOTALS,
    SIGMAS,
    SUMS_OF_PARTS,
    UNIQUES_WITHIN_4_SIGMA,
    CheckResult,
)
from tallymark.decoded_cells import DecodedCells
from tallymark.rollup_choice import NOT_ADDITIVE, TOTALS
from tallymark.rollups import ROLLUPS, Rollup
from tallymark.uniques import estimates

SIGNED: Final = ("value_micros", "amount_micros")
"""Sums that may be negative: refunds are taken off."""

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
_SLOT: Final = ("property_id", "slot_start")


class CellAudit:
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
        if rollup.within:
            return  # its rows are the totals once a name, or less
        self._parts.setdefault(rollup.name, []).append(self._summary(rollup, cells))

    def close(self) -> None:
        """Hold what was added since the last call against its totals."""
        if self._totals or self._parts:
            for rollup in ROLLUPS:
                if rollup is not TOTALS and not rollup.within:
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
