"""Realtime: the minutes that a request of ``runRealtimeReport`` asks about."""

from collections.abc import Iterable
from typing import Final

from tallymark.reports.dates import TimeRange, different_names, range_name
from tallymark.reports.fields import Reader
from tallymark.rollups import BY_NAME
from tallymark.slots import HOUR_US, MINUTE_US

MAX_RANGES: Final = 2
MINUTE_ROLLUP: Final = BY_NAME["minutes"]
OLDEST_MINUTE: Final = 29
"""How many minutes before the present one the oldest is that can be asked for."""


def read_minute_ranges(request: Reader, now_us: int) -> tuple[TimeRange, ...]:
    """The minute ranges of a request, which are all minutes where it names none."""
    readers = request.objects("minuteRanges") or [Reader({}, "minuteRanges", request.problems)]
    if len(readers) > MAX_RANGES:
        request.say(
            f"Requests are limited to {MAX_RANGES} minuteRanges.\n"
            f"  This request contains {len(readers)} minuteRanges."
        )
    end_us = now_us // MINUTE_US * MINUTE_US + MINUTE_US
    ranges = [_read(reader, index, end_us) for index, reader in enumerate(readers[:MAX_RANGES])]
    different_names(request, "minuteRanges", [found.name for found in ranges])
    return tuple(ranges)


def newest_minute(cells: Iterable[tuple[bytes, bytes]]) -> int | None:
    """UTC µs of the newest minute in which there was a hit; ``None`` where there was none.

    Args:
        cells: Qualifiers and values of cells of ``MINUTE_ROLLUP``, the numbers.
    """
    held = [
        (int.from_bytes(qualifier[:8], "big"), value)
        for qualifier, value in cells
        if b"\n" in value
    ]
    if not held:
        return None
    slot_us, value = max(held)
    minute = max(int(line.partition(b"\t")[0]) for line in value.split(b"\n")[1:])
    return slot_us // HOUR_US * HOUR_US + minute * MINUTE_US


def _read(reader: Reader, index: int, end_us: int) -> TimeRange:
    reader.only("startMinutesAgo", "endMinutesAgo", "name")
    first, last = reader.whole("startMinutesAgo", OLDEST_MINUTE), reader.whole("endMinutesAgo")
    if not 0 <= last <= first <= OLDEST_MINUTE:
        reader.complain(
            f"expected minutes from {OLDEST_MINUTE} to 0 ago, startMinutesAgo not after"
            f" endMinutesAgo, got {first} to {last}"
        )
        first, last = OLDEST_MINUTE, 0
    return TimeRange(
        name=range_name(reader, index),
        start_us=end_us - (first + 1) * MINUTE_US,
        end_us=end_us - last * MINUTE_US,
    )
