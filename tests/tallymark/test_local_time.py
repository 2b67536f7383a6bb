"""Local time of slots: as the time zone database says, at every change of clocks."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.reports.local_time import local_us
from tallymark.slots import EPOCH, MINUTE_US

QUARTER_US = 15 * MINUTE_US
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu",
    "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca",
)  # fmt: skip


def plain(start_us: int, zone: str) -> int:
    local = (EPOCH + timedelta(microseconds=start_us)).astimezone(ZoneInfo(zone))
    return (local.replace(tzinfo=None) - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001


@pytest.mark.parametrize("zone", ZONES)
@given(
    st.integers(1_260_000_000_000_000 // QUARTER_US, 1_900_000_000_000_000 // QUARTER_US),
    st.lists(st.integers(0, 96 * 400), max_size=30),
)
def test_every_slot_gets_the_local_time_of_its_start(
    zone: str, first: int, quarters: list[int]
) -> None:
    starts = np.array([(first + quarter) * QUARTER_US for quarter in quarters], dtype=np.int64)
    assert local_us(starts, zone).tolist() == [plain(int(start), zone) for start in starts]


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_slots_is_right(zone: str) -> None:
    starts = np.arange(1_672_531_200_000_000, 1_704_067_200_000_000, 4 * QUARTER_US)
    assert local_us(starts, zone).tolist() == [plain(int(start), zone) for start in starts]
