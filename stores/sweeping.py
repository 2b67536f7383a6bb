"""Sweeping: deletes what old generations and ended streams hold, cells and files."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import polars as pl

from stores.archive.clean import CLEAN
from stores.archive.counted_touches import PINNED, TOUCHED, noted_touches
from stores.archive.counts import SESSIONS, SLOTS, lineage_slots
from stores.archive.port import Objects
from stores.archive.raw import RawArchive
from stores.lineages import LineageRegister
from stores.publication import Publisher
from stores.stale_touches import CLIENTS_A_READ
from stores.wide_rows.pages import pages
from stores.wide_rows.port import WideRows
from tallymark.cells import version_of
from tallymark.day_cells import DAY_ROLLUPS
from tallymark.due import due_blocks, sealed_through
from tallymark.lineages import STANDING, Lineage, LineageStateError, Span
from tallymark.pointer_map import PointerMap
from tallymark.rollups import ROLLUPS
from tallymark.row_keys import SEPARATOR, control_range, lineage_range
from tallymark.slots import DAY_US
from tallymark.sweeping import GRACE_US, KEPT_GENERATIONS, idle_spans, sweepable
from tallymark.touch_cells import FAMILY, clients_range, encode_touches
from tallymark.touches import TOUCH_SCHEMA

RANGES_A_DELETE: Final = 500
_FOLDERS: Final = (
    CLEAN, SESSIONS, "counts/", "dead_letters/", "snapshots/", PINNED, TOUCHED, SLOTS,
)  # fmt: skip
"""Slots last: they say where cells are, so that a sweep that ended early can be taken up again."""
_SWEPT_VERSION: Final = version_of(2**21 - 1, 0)
"""Of touches that are swept: above that of any replay of the lineage."""
TOUCHES_A_WRITE: Final = 20_000
_LOOKS_BACK_US: Final = 4 * DAY_US
"""A stream begins with what the bus holds, two days, whose hits happened a while before."""


class Sweeper:
    """Deletes lineages that nobody needs.

    Args:
        wide_rows: Where cells, lineages and pointers are.
        objects: Where clean hits and sessions are.
        now_us: UTC µs.
        property_ids: All of them: a stream does not note whose cells it has written.
    """

    def __init__(
        self,
        wide_rows: WideRows,
        objects: Objects,
        now_us: Callable[[], int],
        property_ids: Iterable[int] = (),
    ) -> None:
        self._property_ids = sorted(property_ids)
        self._wide_rows = wide_rows
        self._objects = objects
        self._now_us = now_us
        self._register = LineageRegister(wide_rows, now_us)
        self._publisher = Publisher(wide_rows, now_us, who="sweep")

    def due(self, *, kept: int = KEPT_GENERATIONS, grace_us: int = GRACE_US) -> list[Lineage]:
        """The lineages that ``sweep`` would delete, oldest first; nothing is changed.

        Args:
            kept: How many of the newest stay, whether they serve or not.
            grace_us: How long one stays after the pointers have ceased to name it.
        """
        now_us = self._now_us()
        named = self._publisher.pointers.named_since(now_us - grace_us)
        lineages = self._register.all()
        due = sweepable(lineages, named, now_us=now_us, kept=kept, grace_us=grace_us)
        return [*self._half_swept(lineages.values()), *due]

    def sweep(
        self, *, kept: int = KEPT_GENERATIONS, grace_us: int = GRACE_US
    ) -> dict[str, tuple[int, int]]:
        """Delete them; one that is published at the same moment stays.

        What a sweep that was cut off left behind is deleted too.

        Returns:
            For each lineage that was deleted, how many slots of cells (of a stream: days of
            properties that were looked through) and how many files.
        """
        self.release()
        self._publisher.settle()  # who serves no more is withdrawn from now on, and has its grace
        swept = {}
        for lineage in self.due(kept=kept, grace_us=grace_us):
            try:
                self._register.turn(
                    lineage.name, "swept", expected=("candidate", "withdrawn", "computing")
                )
            except LineageStateError:
                continue
            swept[lineage.name] = (self._delete_cells(lineage), self._delete_files(lineage.name))
        return swept

    def release(self) -> None:
        """Take sealed hours of which there is nothing from ended streams, which then serve none."""
        idle = self.idle()
        if idle:
            self._register.standing(who="sealing", why="routine")
            self._publisher.release(idle)

    def idle(self) -> list[Span]:
        """The hours that ``release`` would take; nothing is changed."""
        lineages = self._register.all()
        served = self._publisher.pointers.held().document.pointers
        if not any(lineages[name].state == "withdrawn" for name in _live(served, lineages)):
            return []  # which spares looking through the archive
        archive = RawArchive(self._objects)
        through = sealed_through(archive.clock())
        standing = lineages.get(STANDING)
        due = due_blocks(archive.hours(), through, standing.targets if standing else ())
        spans = [(one.start_us, one.end_us) for one in due]
        return idle_spans(served, lineages, spans, through)

    def _half_swept(self, lineages: Iterable[Lineage]) -> list[Lineage]:
        return [
            each
            for each in lineages
            if each.state == "swept"
            and any(self._objects.names(f"{folder}{each.name}/") for folder in _FOLDERS)
        ]

    def _delete_cells(self, swept: Lineage) -> int:
        lineage = swept.name
        if swept.kind == "live":
            days = [(owner, day) for owner in self._property_ids for day in _days_of_life(swept)]
            count = len(days)
        else:
            slots = lineage_slots(self._objects, lineage)
            days = sorted(
                {(owner, start // DAY_US * DAY_US) for owner, start, _ in slots.iter_rows()}
            )
            count = slots.height
        ranges = [
            lineage_range(owner, rollup.name, day_us, lineage)
            for owner, day_us in days
            for rollup in ROLLUPS
        ]
        ranges += [
            lineage_range(owner, rollup.name, start_us, lineage, separator="@")
            for owner, day_us in days
            for start_us in (day_us - DAY_US, day_us)  # a local day may begin on the day before
            for rollup in DAY_ROLLUPS.values()
        ]
        ranges.append(control_range(lineage))
        for first in range(0, len(ranges), RANGES_A_DELETE):
            self._wide_rows.delete(ranges[first : first + RANGES_A_DELETE])
        if swept.kind == "live":
            self._empty_streamed_touches(lineage)
        else:
            self._empty_touches(lineage)
        return count

    def _empty_touches(self, lineage: str) -> None:
        """Clients' rows hold the touches of all lineages, so those of one are written empty."""
        for noted in noted_touches(self._objects, lineage):
            for owed in noted.iter_slices(TOUCHES_A_WRITE):
                cells = encode_touches(
                    TOUCH_SCHEMA.to_frame(), owed, lineage=lineage, version=_SWEPT_VERSION
                )
                self._wide_rows.write(cells)

    def _empty_streamed_touches(self, lineage: str) -> None:
        """A stream notes nothing of its touches: all clients are looked through, in parts."""
        suffix = f"{SEPARATOR}{lineage}".encode()
        ranges = [clients_range(owner) for owner in self._property_ids]
        for cells in pages(self._wide_rows, ranges, (FAMILY,), rows_a_page=CLIENTS_A_READ):
            mine = cells.filter(
                pl.col("qualifier").bin.ends_with(suffix), pl.col("value").bin.size() > 0
            )
            for owed in mine.iter_slices(TOUCHES_A_WRITE):
                self._wide_rows.write(
                    owed.with_columns(
                        version=pl.lit(_SWEPT_VERSION, pl.Int64), value=pl.lit(b"", pl.Binary)
                    )
                )

    def _delete_files(self, lineage: str) -> int:
        count = 0
        for folder in _FOLDERS:
            # A manifest goes before the files that it names.
            names = self._objects.names(f"{folder}{lineage}/")
            for name in sorted(names, key=lambda name: not name.endswith(".json")):
                self._objects.delete(name)
                count += 1
        return count


def _live(served: PointerMap, lineages: Mapping[str, Lineage]) -> set[str]:
    """The live lineages that a map names."""
    names = {part.lineage for part in served.intervals}
    return {name for name in names if name in lineages and lineages[name].kind == "live"}


def _days_of_life(live: Lineage) -> range:
    """The UTC days (µs) that a stream which has ended can have counted hits of."""
    first = (live.created_at - _LOOKS_BACK_US) // DAY_US * DAY_US
    return range(first, live.changed_at + DAY_US, DAY_US)
