"""Local time of slots: offsets from UTC, worked out once a day rather than once a slot."""

from datetime import timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from tallymark.slots import DAY_US, EPOCH

_DAYS_KEPT: Final = 10_000


def local_us(starts: npt.NDArray[np.int64], time_zone: str) -> npt.NDArray[np.int64]:
    """For UTC µs the local time in µs, as if local clocks counted from their own 1970.

    Args:
        starts: UTC µs of the starts of slots, ordered or not.
        time_zone: An IANA name.
    """
    if not len(starts):
        return starts
    days = starts // DAY_US
    first = int(days.min())
    count = int(days.max()) - first + 1
    ends = np.array([_offsets_us(time_zone, first + index) for index in range(count)])
    shifted: npt.NDArray[np.int64] = starts + ends[days - first, 0]
    changes = np.flatnonzero(ends[:, 0] != ends[:, 1]) + first
    for index in np.flatnonzero(np.isin(days, changes)) if len(changes) else ():
        shifted[index] = starts[index] + _offset_us(time_zone, int(starts[index]))
    return shifted


@lru_cache(_DAYS_KEPT)
def _offsets_us(time_zone: str, day: int) -> tuple[int, int]:
    """Offsets at both ends of a UTC day."""
    return _offset_us(time_zone, day * DAY_US), _offset_us(time_zone, (day + 1) * DAY_US)


@lru_cache(_DAYS_KEPT)
def _offset_us(time_zone: str, instant_us: int) -> int:
    moment = (EPOCH + timedelta(microseconds=instant_us)).astimezone(ZoneInfo(time_zone))
    return (moment.utcoffset() or timedelta()) // timedelta(microseconds=1)
