"""Slots: the spans that cells cover, aligned to UTC, short enough to sum to local days."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant_us(moment: datetime) -> int:
    """UTC µs of an aware datetime, exact."""
    return (moment - EPOCH) // timedelta(microseconds=1)


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
