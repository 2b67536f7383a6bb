"""Receipts: what an answer leaves open, as the pointers and the streams say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import orjson

from stores.lineages import LineageRegister
from stores.wide_rows.port import WideRows
from tallymark.decoded_cells import DecodedCells
from tallymark.lineages import Lineage
from tallymark.properties import Property
from tallymark.reports.plan import Plan
from tallymark.reports.realtime import MINUTE_ROLLUP, newest_minute
from tallymark.reports.serving import Freshness, Pointers, open_hours
from tallymark.row_keys import cell_place, control_key, rollup_prefix, shard_of
from tallymark.rules_choice import AS_RECEIVED, LATEST

_CONTROL: Final = b"control"
WRITTEN_AFTER_US: Final = 30_000_000
"""A flush that no other has followed has written all its cells so long after it was first seen."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What was known before an answer was read, so that the answer holds it for certain.

    Attributes:
        open_hours: As ``Freshness`` has it.
        frontier_us: As ``Freshness`` has it.
        newest_hit_us: Of cells, to the minute.
    """

    open_hours: int
    frontier_us: int | None
    newest_hit_us: int | None


@dataclass(frozen=True)
class _Seen:
    """A shard's control document as it was seen: its flush may not be written yet.

    Attributes:
        flush: (epoch, number) of the newest.
        clock: UTC µs through which it counts.
        at_us: UTC µs when it was first seen.
        written: The same of the flush before it; ``None`` where that is not known.
    """

    flush: tuple[int, int]
    clock: int
    at_us: int
    written: int | None


class Receipts:
    """Opens and completes receipts.

    Args:
        wide_rows: Where cells, lineages and the streams' control documents are.
        now_us: UTC µs.
    """

    def __init__(self, wide_rows: WideRows, now_us: Callable[[], int]) -> None:
        self._wide_rows = wide_rows
        self._register = LineageRegister(wide_rows, now_us)
        self._lineages: dict[str, Lineage] = {}
        self._seen: dict[bytes, _Seen] = {}
        self._now_us = now_us

    def opened(
        self, owner: Property, spans: Sequence[tuple[int, int]], pointers: Pointers
    ) -> Opened:
        """What is to be known before an answer is read.

        Args:
            owner: Whose.
            spans: Half-open slot ranges (UTC µs) that are asked for.
            pointers: Which lineage serves which slots.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        now_us = self._now_us()
        hours, live = open_hours(pointers, spans, now_us)
        last_us = min(now_us, spans[-1][1] - 1)
        serving = pointers.served.lineage_at(last_us)
        place = "" if serving is None else cell_place(last_us, serving)
        minutes = (rollup_prefix(owner.property_id, MINUTE_ROLLUP.name) + place).encode()
        controls = [key for name in live if (key := self._control_row(name, owner.property_id))]
        found = self._wide_rows.read_rows([minutes, *controls], ("n", "c"))
        names = ("row_key", "family", "qualifier", "value")
        cells = list(zip(*(found.get_column(name).to_list() for name in names), strict=True))
        documents = {key: value for key, _, name, value in cells if name == _CONTROL}
        through = [self._through(key, documents[key]) for key in controls if key in documents]
        newest = newest_minute(
            (qualifier, value)
            for key, family, qualifier, value in cells
            if key == minutes and family == "n"
        )
        return Opened(
            open_hours=hours,
            frontier_us=None if None in through else min(through, default=None),  # type: ignore[type-var]
            newest_hit_us=newest,
        )

    def completed(
        self,
        freshness: Freshness,
        opened: Opened,
        owner: Property,
        spans: Sequence[tuple[int, int]],
    ) -> Freshness:
        """The receipt of an answer.

        Args:
            freshness: Of the cells or hits that took part.
            opened: What ``opened`` said before they were read.
            owner: Whose.
            spans: Half-open slot ranges (UTC µs) that were asked for.

        Raises:
            WideRowsUnavailableError: when the store cannot be read.
        """
        return replace(
            freshness,
            newest_hit_us=freshness.newest_hit_us or opened.newest_hit_us,
            frontier_us=opened.frontier_us,
            open_hours=opened.open_hours,
            rules_versions=freshness.rules_versions
            or self._rules_versions(owner, spans, freshness),
        )

    def _control_row(self, live: str, property_id: int) -> bytes | None:
        """Where the stream says through when it has counted the property."""
        lineage = self._lineage(live)
        if lineage is None or not lineage.shards:
            return None
        return control_key(live, shard_of(property_id, lineage.shards))

    def _through(self, key: bytes, document: bytes) -> int | None:
        """UTC µs through which a shard has written what it counted.

        A flush writes its control document before its cells, so the cells of the newest may lack;
        those of the flush before it do not.
        """
        told: dict[str, Any] = orjson.loads(document)
        flush, now_us = (told["epoch"], told["flush"]), self._now_us()
        before = self._seen.get(key)
        if before is None or before.flush != flush:
            written = None if before is None else before.clock
            before = _Seen(flush, int(told["vector"]["clock"]), now_us, written)
            self._seen[key] = before
        return before.clock if now_us - before.at_us > WRITTEN_AFTER_US else before.written

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
