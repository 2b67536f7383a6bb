"""Retention: what is due of hits goes, from recorded requests to clients' touches.

Reports stay: cells are sums, and say nothing of single visitors.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from stores.archive.clean_retention import CleanRetention
from stores.archive.counted_touches import take_out_noted
from stores.archive.manifests import RAW
from stores.archive.port import Objects
from stores.archive.raw import RawArchive
from stores.archive.raw_retention import KnownOf, RawRetention
from stores.archive.removed_hours import HourNote
from stores.archive.superseded import delete_superseded, has_superseded, note_superseded
from stores.stale_touches import CLIENTS_A_READ
from stores.wide_rows.pages import pages
from stores.wide_rows.port import WideRows
from tallymark.cells import version_of
from tallymark.properties import SINCE_EVER
from tallymark.retention import Retention
from tallymark.slots import HOUR_US, LATE_US
from tallymark.touch_cells import FAMILY, clients_range, is_before

_TAKEN_VERSION: Final = version_of(2**21 - 1, 1)
"""Of touches that are taken out: above that of any computation."""


@dataclass(frozen=True)
class DueHour:
    """A received hour that requests are due of.

    Attributes:
        hour_us: UTC µs.
        requests: How many are due, by measurement id ("": nobody's).
        note: Whose requests it holds.
    """

    hour_us: int
    requests: dict[str, int]
    note: HourNote = field(default_factory=HourNote)


@dataclass(frozen=True)
class Taken:
    """What a sweep has taken out.

    Attributes:
        hours: Received hours that are gone whole.
        requests: Recorded requests of others.
        hits: Clean hits of all lineages.
        letters: Dead letters.
        touches: Cells of clients' touches.
        files: Files that were deleted.
    """

    hours: int = 0
    requests: int = 0
    hits: int = 0
    letters: int = 0
    touches: int = 0
    files: int = 0


class RetentionSweep:
    """Takes out what is due.

    Args:
        wide_rows: Where clients' touches are.
        objects: The archive.
        now_us: UTC µs.
        retention: What is due when, as of now.
        known_of: Tells measurement ids of properties.
        property_ids: Of all properties.
        late_us: D.
    """

    def __init__(
        self,
        wide_rows: WideRows,
        objects: Objects,
        now_us: Callable[[], int],
        *,
        retention: Retention,
        known_of: KnownOf,
        property_ids: Sequence[int],
        late_us: int = LATE_US,
    ) -> None:
        self._wide_rows = wide_rows
        self._objects = objects
        self._now_us = now_us
        self._retention = retention
        self._property_ids = property_ids
        self._raw = RawRetention(objects, known_of)
        self._clean = CleanRetention(objects, known_of, self._supersede, late_us)

    @property
    def is_limited(self) -> bool:
        """Whether anything is to be kept for some time alone, or was, and waits for deletion."""
        return self._retention.latest > SINCE_EVER or has_superseded(self._objects)

    def whole_hours(self) -> list[int]:
        """The received hours (UTC µs) that are held and of which all is due, ascending."""
        return [hour for hour in self._hours() if self._retention.is_due_for_all(hour)]

    def due_hours(self) -> Iterator[DueHour]:
        """The other received hours that something may be due of, ascending; nothing is changed."""
        for hour_us in self._hours():
            if self._retention.is_due_for_all(hour_us):
                continue
            note = self._raw.looked_through(hour_us)
            due = {
                name: count
                for name, count in note.requests().items()
                if self._retention.is_due(name, hour_us)
            }
            yield DueHour(hour_us, due, note)

    def run(self) -> Taken:
        """Take out what is due, hour by hour; a sweep that was cut off is taken up by the next.

        What is due is out of reach at once. Files that others stand for, and recorded hours of
        which all is due, are deleted a day after that, when nobody reads them any more.
        """
        whole = self.whole_hours()
        hidden_us = whole[-1] + HOUR_US if whole else 0
        unread_us = self._raw.hide(hidden_us, self._now_us())
        requests = hits = letters = 0
        owners: set[int] = set()
        for one in self.due_hours():
            if not one.requests:
                self._raw.keep_note(one.hour_us, one.note)
                continue
            # The recorded requests go last: until then they say what else is due.
            # What goes with the last of several properties is due for the others already.
            due = {name for name in one.note.gone if self._retention.is_due(name, one.hour_us)}
            due.update(one.requests)
            hits += self._clean.take_out([one.hour_us], self._retention)
            letters += self._clean.take_letters(one.hour_us, due)
            requests += self._raw.take_out(one.hour_us, one.note, due, self._supersede)
            owners.update(
                self._retention.streams[name]
                for name in one.requests
                if name in self._retention.streams
            )
        hits += self._clean.take_out((), self._retention)
        self._clean.clear_letters(whole)
        touches = sum(map(self._take_touches, self._property_ids if whole else sorted(owners)))
        if owners or whole:
            retention = self._retention
            take_out_noted(self._objects, retention.due_touches(), retention.latest)
        going = [hour for hour in whole if hour < unread_us]
        files = self._raw.remove(going)
        files += delete_superseded(self._objects, self._now_us(), self._is_named)
        return Taken(len(going), requests, hits, letters, touches, files)

    def _hours(self) -> list[int]:
        held = RawArchive(self._objects).hours()
        return [hour for hour in held if hour + HOUR_US <= self._retention.latest]

    def _supersede(self, names: list[str]) -> None:
        note_superseded(self._objects, names, self._now_us())

    def _is_named(self, name: str) -> bool:
        owner = self._raw if name.startswith(RAW) else self._clean
        return owner.is_named(name)

    def _take_touches(self, property_id: int) -> int:
        """Write the touches of due hours empty; how many cells."""
        is_due = is_before(self._retention.since_of(property_id))
        count = 0
        ranges = [clients_range(property_id)]
        for cells in pages(self._wide_rows, ranges, (FAMILY,), rows_a_page=CLIENTS_A_READ):
            due = cells.filter(is_due, pl.col("value").bin.size() > 0)
            count += due.height
            if due.height:
                self._wide_rows.write(
                    due.with_columns(
                        version=pl.lit(_TAKEN_VERSION, pl.Int64), value=pl.lit(b"", pl.Binary)
                    )
                )
        return count
