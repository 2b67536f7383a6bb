"""Reviews: everything that is to be known of a candidate before it is published, in one reading."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from stores.cell_pairs import CellPairs, batches, days_of
from stores.pointers import PointerStore
from stores.wide_rows.port import WideRows
from tallymark.cell_audit import CellAudit
from tallymark.checks import (
    Bounds,
    CheckResult,
    adds_up,
    change_within_bounds,
    conservation,
    failed,
)
from tallymark.comparison import Comparison, together
from tallymark.conservation import Conservation
from tallymark.differences import Differences, merged
from tallymark.divergences import Divergences, LiveAudit, streamed_spans
from tallymark.lineages import Span, merged_spans
from tallymark.pointer_map import PointerMap
from tallymark.rollup_choice import TOTALS
from tallymark.rollups import ROLLUPS

Report = Callable[[int, int], None]
"""Told how many of how many properties are done."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """What reports would show, and whether it adds up.

    Attributes:
        differences: Candidate against served.
        checks: Results of the blocking checks.
        divergences: Where it is not what live lineages serve, if that was asked for.
    """

    differences: Differences
    checks: tuple[CheckResult, ...]
    divergences: Divergences | None = None

    @property
    def failed(self) -> list[CheckResult]:
        """The checks that keep the candidate from being published."""
        return failed(self.checks)

    @property
    def adds_up(self) -> bool:
        """Whether all checks have passed but for a change that may be acknowledged."""
        return adds_up(self.checks)

    def to_json(self) -> dict[str, Any]:
        """Differences and checks."""
        checks = [result.to_json() for result in self.checks]
        return {**self.differences.to_json(), "checks": checks}


def review(
    wide_rows: WideRows,
    candidate: str,
    spans: Sequence[Span],
    property_ids: Iterable[int],
    *,
    counts: Mapping[int, Conservation] | None = None,
    against: str = "",
    bounds: Bounds | None = None,
    is_acknowledged: bool = False,
    live_audit: LiveAudit | None = None,
    sources: pl.DataFrame | None = None,
    report: Report | None = None,
) -> Review:
    """Hold a candidate against what is served, and against itself.

    Memory holds some properties of a day at a time, whatever the range.

    Args:
        wide_rows: Where cells and pointers are.
        candidate: A lineage.
        spans: Hours (UTC µs) that it has computed.
        property_ids: Of which properties.
        counts: What became of the hits of each received hour (UTC µs) that it was computed from;
            ``None`` leaves conservation out.
        against: A lineage to compare with in place of what is served.
        bounds: How far it may be from what is served; ``None`` takes the default.
        is_acknowledged: Whether a change beyond the bounds is meant.
        live_audit: Holds the hours that live lineages serve against it; ``None`` leaves it out.
        sources: ``SOURCE_CHANGE_SCHEMA``, to be told with the differences.
        report: Told how far it is.

    Raises:
        WideRowsUnavailableError: when the store cannot be read.
    """
    spans = merged_spans(spans)
    wanted, tell = sorted(set(property_ids)), report or _silent
    pairs, audit = CellPairs(wide_rows, candidate, spans), CellAudit()
    everywhere, overrides = _pointers(wide_rows, against)
    parts, done = list[Differences](), 0
    for batch in batches(wanted, everywhere, overrides):
        tell(done, len(wanted))
        comparisons = {rollup.name: Comparison(rollup) for rollup in ROLLUPS}
        streamed = streamed_spans(batch.served, spans)
        for day_us in days_of(spans):
            for rollup in sorted(ROLLUPS, key=lambda each: each is not TOTALS):
                for pair in pairs.read(rollup, batch, day_us):
                    comparisons[rollup.name].add(pair.served, pair.candidate)
                    audit.add(rollup, pair.candidate)
                    if live_audit is not None:
                        live_audit.add(rollup, pair.served, pair.candidate, streamed)
            audit.close()
        parts.append(
            together(comparisons.values(), candidate=candidate, against=against, spans=spans)
        )
        done += len(batch.property_ids)
    tell(done, len(wanted))
    differences = merged(parts, candidate=candidate, against=against, spans=spans)
    if sources is not None:
        differences = replace(differences, sources=sources)
    change = change_within_bounds(differences, bounds or Bounds(), is_acknowledged=is_acknowledged)
    conserved = () if counts is None else (conservation(counts),)
    return Review(
        differences=differences,
        checks=(*conserved, *audit.results(), change),
        divergences=None if live_audit is None else live_audit.result(),
    )


def _silent(done: int, of: int) -> None:
    """Tell nobody."""


def _pointers(wide_rows: WideRows, against: str) -> tuple[PointerMap, dict[int, PointerMap]]:
    if against:
        return PointerMap.serving(against), {}
    documents = PointerStore(wide_rows).everyone()
    overrides = {
        owner: document.pointers for owner, document in documents.items() if owner is not None
    }
    return documents[None].pointers, overrides
