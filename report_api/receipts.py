"""Receipts: what an answer leaves open, as the pointers and the streams say."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import orjson
import polars as pl

from stores.lineages import LineageRegister
from stores.wide_rows.port import WideRows
from tallymark.decoded_cells import ChunksChangedError, DecodedCells, decode
from tallymark.lineages import Lineage
from tallymark.properties import Property
from tallymark.reports.plan import Plan
from tallymark.reports.recent import MINUTE_ROLLUP
from tallymark.reports.serving import Freshness, Pointers, open_hours, slot_starts
from tallymark.row_keys import cell_place, control_key, rollup_prefix, shard_of
from tallymark.rules_choice import AS_RECEIVED, LATEST
from tallymark.slots import MINUTE_US

_CONTROL: Final = b"control"


class Receipts:
    """Completes receipts.

    Args:
        wide_rows: Where cells, lineages and the streams' control documents are.
        now_us: UTC µs.
    """

    def __init__(self, wide_rows: WideRows, now_us: Callable[[], int]) -> None:
        self._wide_rows = wide_rows
        self._register = LineageRegister(wide_rows, now_us)
        self._lineages: dict[str, Lineage] = {}
        self._now_us = now_us

    def completed(
        self,
        freshness: Freshness,
        owner: Property,
        spans: Sequence[tuple[int, int]],
        pointers: Pointers,
    ) -> Freshness:
        """A receipt with its newest hit, frontier, open hours and versions of rules.

        Args:
            freshness: Of the cells or hits that took part.
            owner: Whose.
            spans: Half-open slot ranges (UTC µs) that were asked for.
            pointers: Which lineage serves which slots.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        hours, live = open_hours(pointers, spans, self._now_us())
        minutes = self._minute_row(freshness, owner.property_id, pointers)
        controls = [self._control_row(name, owner.property_id) for name in live]
        keys = [key for key in (minutes, *controls) if key is not None]
        rows = self._wide_rows.read_rows(keys, ("n", "c")) if keys else None
        versions = freshness.rules_versions or self._rules_versions(owner, spans, freshness)
        newest = freshness.newest_hit_us
        if newest is None and rows is not None and freshness.newest_slot_us is not None:
            newest = _newest_minute(rows, minutes, freshness.newest_slot_us)
        return replace(
            freshness,
            newest_hit_us=newest,
            frontier_us=None if rows is None else _frontier(rows),
            open_hours=hours,
            rules_versions=versions,
        )

    def _minute_row(
        self, freshness: Freshness, property_id: int, pointers: Pointers
    ) -> bytes | None:
        """The row of the minutes of the newest slot, where the hit itself is not known."""
        slot = freshness.newest_slot_us
        if slot is None or freshness.newest_hit_us is not None:
            return None
        lineage = pointers.served.lineage_at(slot)
        if lineage is None:
            return None
        return (rollup_prefix(property_id, MINUTE_ROLLUP.name) + cell_place(slot, lineage)).encode()

    def _control_row(self, live: str, property_id: int) -> bytes | None:
        """Where the stream says through when it has counted the property."""
        lineage = self._lineage(live)
        if lineage is None or not lineage.shards:
            return None
        return control_key(live, shard_of(property_id, lineage.shards))

    def _lineage(self, name: str) -> Lineage | None:
        """A lineage; neither its shards nor its rules change once it is there."""
        if name not in self._lineages:
            self._lineages = self._register.all()
        return self._lineages.get(name)

    def _rules_versions(
        self, owner: Property, spans: Sequence[tuple[int, int]], freshness: Freshness
    ) -> tuple[int, ...]:
        """The versions that are in force in the spans, or that a replay was told to use."""
        found: set[int] = set()
        for name in freshness.lineages:
            lineage = self._lineage(name)
            rules = AS_RECEIVED if lineage is None else lineage.rules
            if rules == LATEST and lineage is not None:
                rules = str(_in_force(owner, [(lineage.changed_at, lineage.changed_at + 1)])[-1])
            found |= {int(rules)} if rules.isdecimal() else {*_in_force(owner, spans)}
        return tuple(sorted(found))


def standard_error(decoded: DecodedCells, plan: Plan) -> float:
    """The relative standard error that counts of users have at most; 0 where all are exact."""
    k, sets = plan.rollup.unique_k, decoded.sets
    if not plan.uniques or plan.is_of_hits or sets.height < k:
        return 0.0
    is_cut = np.bincount(sets.get_column("row").to_numpy()).max() >= k
    if not is_cut and sets.get_column("hash").n_unique() < k:
        return 0.0
    return float((k - 2) ** -0.5)


def _in_force(owner: Property, spans: Sequence[tuple[int, int]]) -> list[int]:
    """The versions that are in force at some time of spans (UTC µs)."""
    starts = [version.effective_at for version in owner.versions]
    ends = [*starts[1:], 2**63]
    return [
        version.version
        for version, start, end in zip(owner.versions, starts, ends, strict=True)
        if any(start < last and end > first for first, last in spans)
    ] or [owner.versions[0].version]


def _frontier(rows: pl.DataFrame) -> int | None:
    """UTC µs through which the streams have counted all that they were sent."""
    held = rows.filter(pl.col("qualifier") == pl.lit(_CONTROL)).get_column("value")
    clocks = [int(orjson.loads(value)["vector"]["clock"]) for value in held]
    return min((clock for clock in clocks if clock), default=None)


def _newest_minute(rows: pl.DataFrame, minutes: bytes | None, slot_us: int) -> int | None:
    """UTC µs of the newest minute of a slot in which there was a hit."""
    cells = rows.filter((pl.col("row_key") == pl.lit(minutes)) & (pl.col("family") == "n"))
    cells = cells.filter(pl.Series(slot_starts(cells) == slot_us))
    try:
        decoded = decode(MINUTE_ROLLUP, cells, with_sets=False, only=("minute",))
    except ChunksChangedError:
        return None
    newest = decoded.numbers.get_column("minute").cast(pl.Int64).max()
    hour_us = slot_us // (60 * MINUTE_US) * 60 * MINUTE_US
    return None if newest is None else hour_us + int(newest) * MINUTE_US  # type: ignore[arg-type]
