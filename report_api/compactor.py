"""The compactor: makes day cells of the hours that replays have published.

It only adds what can be computed again at any time: without it, or behind it, reports are answered
from hours, and say the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from report_api.reader import rules_at
from stores.wide_rows.port import WideRows
from tallymark.cells import encode
from tallymark.day_cells import DAY_ROLLUPS, Day, day_key, day_rows, local_days, publications
from tallymark.decoded_cells import base_key, decode
from tallymark.pointer_map import FOR_EVER
from tallymark.properties import Property
from tallymark.reports.local_time import local_us
from tallymark.reports.plan import key_ranges
from tallymark.reports.serving import Pointers, served_cells, slot_starts
from tallymark.rollup_choice import TOTALS
from tallymark.rollups import BY_NAME, Rollup
from tallymark.row_keys import SEPARATOR, rollup_prefix
from tallymark.slots import DAY_US, EPOCH

_MARK: Final = DAY_ROLLUPS[TOTALS.name]
"""Written last: a day is made when its cell of this rollup is there."""
_NAMES: Final = (*(name for name in DAY_ROLLUPS if name != TOTALS.name), TOTALS.name)
_SLOT_SCHEMA: Final = {
    "property_id": pl.Int64,
    "slot_start": pl.Int64,
    "slot_minutes": pl.Int32,
}


@dataclass(frozen=True)
class Compacted:
    """What one pass over a property did.

    Attributes:
        made: Days whose cells were written.
        removed: Days whose cells were removed, since their publication serves them no more.
    """

    made: int
    removed: int


class DayCompactor:
    """Keeps the day cells of properties.

    Args:
        wide_rows: Where cells are.
        pointers: What serves a property.
        now_us: UTC µs, for the rules in force.
    """

    def __init__(
        self,
        wide_rows: WideRows,
        pointers: Callable[[int], Pointers],
        now_us: Callable[[], int],
    ) -> None:
        self._wide_rows = wide_rows
        self._pointers = pointers
        self._now_us = now_us

    def compact(self, owner: Property) -> Compacted:
        """Make the day cells of a property that are missing, and remove those of no use.

        Raises:
            WideRowsUnavailableError: when the store does not answer; the next pass goes on.
        """
        property_id = owner.property_id
        pointers = self._pointers(property_id)
        newest = self._newest_versions(owner, pointers)
        names = publications(newest, pointers.served)
        keys = {day: day_key(property_id, _MARK, day, name) for day, name in names.items()}
        held = self._held(property_id)
        missing = [day for day in keys if held.get((keys[day], day.qualifier)) != newest[day]]
        for day in sorted(missing):
            self._make(property_id, day, names[day], pointers, newest[day])
        gone = {key for key, _ in held} - set(keys.values())
        self._wide_rows.delete([part for key in gone for part in _ranges_of(key)])
        return Compacted(len(missing), len(gone))

    def _newest_versions(self, owner: Property, pointers: Pointers) -> dict[Day, int]:
        """The local days of which hours are served, and the newest version among those."""
        everything = self._numbers(owner.property_id, TOTALS)
        cells, _ = served_cells(everything, pointers, ((0, FOR_EVER),))
        time_zone = rules_at(owner, self._now_us()).time_zone
        number = pl.Series("day", local_us(slot_starts(cells), time_zone) // DAY_US, pl.Int64)
        newest = cells.select(number, "version").group_by("day").agg(pl.col("version").max())
        dates = {number: EPOCH.date() + timedelta(days=number) for number in newest["day"]}
        return {
            local_days(dates[number], dates[number], time_zone)[0]: version
            for number, version in newest.iter_rows()
        }

    def _held(self, property_id: int) -> dict[tuple[bytes, bytes], int]:
        """The days that are made: row and qualifier of the mark, and its version."""
        cells = self._numbers(property_id, _MARK).select("row_key", "qualifier", "version")
        return {
            (base_key(key), qualifier): version for key, qualifier, version in cells.iter_rows()
        }

    def _numbers(self, property_id: int, rollup: Rollup) -> pl.DataFrame:
        """The cells of numbers of all time."""
        prefix = rollup_prefix(property_id, rollup.name).encode()
        return self._wide_rows.read([(prefix, prefix + b"\x7f")], ("n",))

    def _make(
        self, property_id: int, day: Day, publication: str, pointers: Pointers, version: int
    ) -> None:
        slot = (property_id, day.start_us, day.minutes)
        touched = pl.DataFrame([slot], schema=_SLOT_SCHEMA, orient="row")
        span = ((day.start_us, day.end_us),)
        for rollup in map(BY_NAME.__getitem__, _NAMES):
            read = self._wide_rows.read(key_ranges(property_id, rollup, span), ("n", "u"))
            hours, _ = served_cells(read, pointers, span)
            rows = day_rows(rollup, decode(rollup, hours), property_id, [day])
            if rollup.within and rows.is_empty():
                continue  # whoever asks reads the hours, which hold nothing
            of_days = DAY_ROLLUPS[rollup.name]
            cells = encode(of_days, rows, touched, lineage=publication, version=version)
            self._wide_rows.write(cells)


def _ranges_of(mark: bytes) -> list[tuple[bytes, bytes]]:
    """The rows of a day in all rollups, with those of chunks, from the row of its mark."""
    part = f"{SEPARATOR}{_MARK.name}{SEPARATOR}".encode()
    keys = [
        mark.replace(part, f"{SEPARATOR}{of_days.name}{SEPARATOR}".encode())
        for of_days in DAY_ROLLUPS.values()
    ]
    return [(key, key + bytes([SEPARATOR.encode()[0] + 1])) for key in keys]
