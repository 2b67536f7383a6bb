"""Slots: the spans that cells cover, aligned to UTC, short enough to sum to local days."""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SESSION_ALIGNMENT_US: Final = 4 * HOUR_US
"""L: session settings take effect, and long sessions are cut, at UTC multiples of it."""
LATE_US: Final = HOUR_US
"""D: a hit whose event is older than this when it is received is late."""


def sealed_at(hour_us: int, late_us: int = LATE_US) -> int:
    """UTC µs after which no on-time hit can change the sessions that start in an hour."""
    return hour_us + HOUR_US + 2 * SESSION_ALIGNMENT_US + late_us


def first_unsealed_hour(clock_us: int, late_us: int = LATE_US) -> int:
    """UTC µs of the first hour that on-time hits may still change when it is ``clock_us``."""
    return (clock_us - sealed_at(0, late_us)) // HOUR_US * HOUR_US + HOUR_US


def first_whole_hour(reads_whole_from: int) -> int:
    """UTC µs of the first hour whose window lies wholly after ``reads_whole_from`` (UTC µs)."""
    aligned = -(-reads_whole_from // SESSION_ALIGNMENT_US) * SESSION_ALIGNMENT_US
    return aligned + 2 * SESSION_ALIGNMENT_US


def window_start(hour_us: int, session_gap_us: int) -> int:
    """UTC µs of the first hit on which the sessions that start in an hour may depend."""
    aligned = hour_us // SESSION_ALIGNMENT_US * SESSION_ALIGNMENT_US
    return aligned - SESSION_ALIGNMENT_US - session_gap_us


def window_end(hour_us: int) -> int:
    """UTC µs before which all hits lie on which the sessions that start in an hour may depend."""
    return hour_us + HOUR_US + 2 * SESSION_ALIGNMENT_US


def instant_us(moment: datetime) -> int:
    """UTC µs of an aware datetime, exact."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def local_midnight_us(day: date, zone: ZoneInfo) -> int:
    """UTC µs of the first instant of a local day; where a clock skips midnight, the skip's end."""
    return instant_us(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))


def slot_minutes(time_zone: str, years: range = range(2015, 2046)) -> int:
    """Length of the slots of a property in ``time_zone``: 60, 30 or 15 minutes.

    The longest slot that starts every local day on a slot's edge, whatever the season: 60 where
    the offset from UTC is whole hours, 30 for India, 15 for Nepal.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: when there is no such zone.
    """
    zone = ZoneInfo(time_zone)
    moments = [datetime(year, month, 1, tzinfo=UTC) for year in years for month in range(1, 13)]
    offsets = [(moment.astimezone(zone).utcoffset() or timedelta()) for moment in moments]
    for minutes in (60, 30):
        if all(offset % timedelta(minutes=minutes) == timedelta() for offset in offsets):
            return minutes
    return 15
