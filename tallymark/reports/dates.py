"""Date ranges: days in the property's time zone, and the instants at which they begin and end."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from tallymark.reports.fields import Reader, snake
from tallymark.slots import EPOCH, local_midnight_us

MAX_RANGES: Final = 4
RESERVED_PREFIXES: Final = ("date_range_", "RESERVED_")
_DAYS_AGO: Final = re.compile(r"([0-9]{1,5})daysAgo")
_ABSOLUTE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EARLIEST: Final = date(2000, 1, 1)
_LATEST: Final = date(2199, 12, 31)


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """A span of time that a request asks about.

    Attributes:
        name: What rows of this range carry when a request has several.
        start_us: UTC µs at which it begins.
        end_us: UTC µs at which it has ended.
    """

    name: str
    start_us: int
    end_us: int


@dataclass(frozen=True, kw_only=True)
class DateRange(TimeRange):
    """Whole days, both ends included.

    Attributes:
        first: First day.
        last: Last day.
    """

    first: date
    last: date


def read_date_ranges(request: Reader, now_us: int, time_zone: str) -> tuple[DateRange, ...]:
    """The date ranges of a request; problems go to the reader's list."""
    readers = request.objects("dateRanges")
    if not readers:
        request.say("A dateRange is required.")
    if len(readers) > MAX_RANGES:
        request.say(
            f"Requests are limited to {MAX_RANGES} dateRanges.\n"
            f"  This request contains {len(readers)} dateRanges."
        )
    zone = ZoneInfo(time_zone)
    today = (EPOCH + timedelta(microseconds=now_us)).astimezone(zone).date()
    ranges = [
        _read_range(reader, index, today, zone) for index, reader in enumerate(readers[:MAX_RANGES])
    ]
    different_names(request, "dateRanges", [found.name for found in ranges])
    return tuple(ranges)


def range_name(reader: Reader, index: int) -> str:
    """The name of a date or minute range, which has its place where it has none of its own."""
    name = reader.text("name")
    if name.startswith(RESERVED_PREFIXES):
        reader.complain(f"name: expected one that starts with no reserved prefix, got {name:.100}")
    return name or f"date_range_{index}"


def different_names(request: Reader, field: str, names: list[str]) -> None:
    """Complain where two ranges have one name."""
    if len(set(names)) < len(names):
        request.complain(f"{field}: expected different names, got {', '.join(names):.200}")


def _read_range(reader: Reader, index: int, today: date, zone: ZoneInfo) -> DateRange:
    reader.only("startDate", "endDate", "name")
    first, last = (_read_day(reader, name, today) for name in ("startDate", "endDate"))
    if first > last:
        reader.say(
            "start_date must be less than or equal to end_date."
            f" start_date = {first} and end_date = {last}"
        )
    return DateRange(
        name=range_name(reader, index),
        first=first,
        last=last,
        start_us=local_midnight_us(first, zone),
        end_us=local_midnight_us(last + timedelta(days=1), zone),
    )


def _read_day(reader: Reader, name: str, today: date) -> date:
    text = reader.text(name)
    day = _day(text, today)
    if day is None:
        reader.say(
            f"Invalid {name} : {text:.100}. {name} must be YYYY-MM-DD, NdaysAgo, yesterday, or"
            " today."
        )
        return today
    if not _EARLIEST <= day <= _LATEST:
        least, most = _EARLIEST - timedelta(days=1), _LATEST + timedelta(days=1)
        reader.say(f"{snake(name)} = {day} must be greater than {least} and less than {most}.")
        return today
    return day


def _day(text: str, today: date) -> date | None:
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    ago = _DAYS_AGO.fullmatch(text)
    try:
        if ago:
            return today - timedelta(days=int(ago[1]))
        if _ABSOLUTE.fullmatch(text):
            return date.fromisoformat(text)
    except (ValueError, OverflowError):
        pass
    return None
