"""Date ranges: days in the property's time zone, and the instants at which they begin and end."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from tallymark.reports.fields import Reader
from tallymark.slots import EPOCH, local_midnight_us

MAX_RANGES: Final = 4
RESERVED_PREFIXES: Final = ("date_range_", "RESERVED_")
_DAYS_AGO: Final = re.compile(r"([0-9]{1,5})daysAgo")
_EARLIEST: Final = date(2000, 1, 1)
_LATEST: Final = date(2199, 12, 31)


@dataclass(frozen=True, kw_only=True)
class DateRange:
    """Whole days, both ends included.

    Attributes:
        name: What rows of this range carry when a request has several.
        first: First day.
        last: Last day.
        start_us: UTC µs at which the first day begins.
        end_us: UTC µs at which the last day has ended.
    """

    name: str
    first: date
    last: date
    start_us: int
    end_us: int


def read_date_ranges(request: Reader, now_us: int, time_zone: str) -> tuple[DateRange, ...]:
    """The date ranges of a request; problems go to the reader's list."""
    readers = request.objects("dateRanges")
    if not 1 <= len(readers) <= MAX_RANGES:
        request.complain(f"dateRanges: expected 1 to {MAX_RANGES}, got {len(readers)}")
    zone = ZoneInfo(time_zone)
    today = (EPOCH + timedelta(microseconds=now_us)).astimezone(zone).date()
    ranges = [
        _read_range(reader, index, today, zone) for index, reader in enumerate(readers[:MAX_RANGES])
    ]
    names = [found.name for found in ranges]
    if len(set(names)) < len(names):
        request.complain(f"dateRanges: expected different names, got {', '.join(names)}")
    return tuple(ranges)


def _read_range(reader: Reader, index: int, today: date, zone: ZoneInfo) -> DateRange:
    reader.only("startDate", "endDate", "name")
    first, last = (_read_day(reader, name, today) for name in ("startDate", "endDate"))
    if first > last:
        reader.complain(f"expected a startDate that is not after the endDate {last}, got {first}")
    name = reader.text("name")
    if name.startswith(RESERVED_PREFIXES):
        reader.complain(f"name: expected one that starts with no reserved prefix, got {name:.100}")
    return DateRange(
        name=name or f"date_range_{index}",
        first=first,
        last=last,
        start_us=local_midnight_us(first, zone),
        end_us=local_midnight_us(last + timedelta(days=1), zone),
    )


def _read_day(reader: Reader, name: str, today: date) -> date:
    text = reader.text(name)
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    try:
        ago = _DAYS_AGO.fullmatch(text)
        if ago:
            return today - timedelta(days=int(ago[1]))
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except (ValueError, OverflowError):
        day = date.min
    if not _EARLIEST <= day <= _LATEST:
        allowed = f"YYYY-MM-DD from {_EARLIEST} to {_LATEST}, NdaysAgo, yesterday or today"
        reader.complain(f"{name}: expected {allowed}, got {text!r:.100}")
        return today
    return day
