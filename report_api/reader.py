"""The reader: cells from the store, through the pointers, decoded and answered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from stores.pointers import PointerStore
from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.decoded_cells import ChunksChangedError, DecodedCells, decode
from tallymark.metrics import TOTALS
from tallymark.properties import Property, RulesVersion
from tallymark.reports import answer, parse_request, plan, response_document
from tallymark.reports.plan import key_ranges
from tallymark.reports.recent import MINUTE_COLUMNS, MINUTE_ROLLUP, Recent, recent, slots_span
from tallymark.reports.serving import Freshness, Pointers, served_cells
from tallymark.rollups import Rollup
from tallymark.row_keys import rollup_prefix

CHUNK_READS: Final = 4
"""A flush may replace a large cell between the reads of its parts; it is then read again."""


@dataclass(frozen=True)
class Answer:
    """A JSON document and what it was computed from."""

    document: dict[str, Any]
    freshness: Freshness


class ReportReader:
    """Answers reports from wide rows.

    Args:
        wide_rows: Where cells and pointers are.
        now_us: UTC µs.
    """

    def __init__(self, wide_rows: WideRows, now_us: Callable[[], int]) -> None:
        self._wide_rows = wide_rows
        self._pointers = PointerStore(wide_rows)
        self._now_us = now_us

    def pointers(self, property_id: int) -> Pointers:
        """What serves a property now.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        return self._pointers.pointers(property_id)

    def report(self, owner: Property, request: Any, pointers: Pointers | None = None) -> Answer:
        """Answer a request of ``runReport``.

        Args:
            owner: Whose report.
            request: Decoded JSON.
            pointers: Taken before, where several reports make one answer.

        Raises:
            InvalidRequestError: when the request cannot be answered.
            WideRowsUnavailableError: when the store cannot be read.
        """
        now_us = self._now_us()
        rules = rules_at(owner, now_us)
        parsed = parse_request(
            request, now_us=now_us, time_zone=rules.time_zone, currency=rules.currency
        )
        planned = plan(parsed, owner.property_id)
        pointers = pointers or self.pointers(owner.property_id)
        rollups = (planned.rollup, TOTALS) if planned.whole_measures else (planned.rollup,)
        (decoded, *totals), freshness = self._cells(
            owner.property_id,
            rollups,
            planned.spans,
            pointers,
            columns=planned.columns,
            with_sets=bool(planned.uniques),
        )
        return Answer(response_document(answer(planned, decoded, *totals)), freshness)

    def recent(self, owner: Property, pointers: Pointers) -> tuple[Recent, Freshness]:
        """The last 30 minutes.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        now_us = self._now_us()
        (decoded,), freshness = self._cells(
            owner.property_id,
            (MINUTE_ROLLUP,),
            (slots_span(now_us),),
            pointers,
            columns=MINUTE_COLUMNS,
            with_sets=True,
        )
        return recent(decoded, now_us), freshness

    def _cells(
        self,
        property_id: int,
        rollups: tuple[Rollup, ...],
        spans: tuple[tuple[int, int], ...],
        pointers: Pointers,
        *,
        columns: frozenset[str],
        with_sets: bool,
    ) -> tuple[list[DecodedCells], Freshness]:
        """The served cells of one or two rollups, and the receipt of the first.

        They are read in one call, so that a total is never older than its parts.
        """
        ranges = [part for rollup in rollups for part in key_ranges(property_id, rollup, spans)]
        for _ in range(CHUNK_READS):
            cells = self._wide_rows.read(ranges, ("n", "u") if with_sets else ("n",))
            parts = [
                served_cells(part, pointers, spans)
                for part in _of_rollups(cells, property_id, rollups)
            ]
            try:
                decoded = [
                    decode(rollup, part, with_sets=with_sets, only=columns)
                    for rollup, (part, _) in zip(rollups, parts, strict=True)
                ]
            except ChunksChangedError:
                continue
            return decoded, parts[0][1]
        names = " and ".join(rollup.name for rollup in rollups)
        raise WideRowsUnavailableError(
            f"cells of {names} changed in each of {CHUNK_READS} reads; ask again"
        )


def _of_rollups(
    cells: pl.DataFrame, property_id: int, rollups: tuple[Rollup, ...]
) -> list[pl.DataFrame]:
    if len(rollups) == 1:
        return [cells]
    prefixes = [rollup_prefix(property_id, rollup.name).encode() for rollup in rollups]
    return [cells.filter(pl.col("row_key").bin.starts_with(prefix)) for prefix in prefixes]


def rules_at(owner: Property, instant_us: int) -> RulesVersion:
    """The rules in force at an instant."""
    in_force = [rules for rules in owner.versions if rules.effective_at <= instant_us]
    return in_force[-1] if in_force else owner.versions[0]
