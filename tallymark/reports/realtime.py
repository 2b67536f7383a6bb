"""Realtime: the minutes that a request of ``runRealtimeReport`` asks about."""

from typing import Final

from tallymark.reports.dates import TimeRange, different_names, range_name
from tallymark.reports.fields import Reader
from tallymark.slots import MINUTE_US

MAX_RANGES: Final = 2
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
