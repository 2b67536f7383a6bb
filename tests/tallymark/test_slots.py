"""Slots: they sum to local days, and windows hold what decides an hour."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.slots import (
    HOUR_US,
    LATE_US,
    SESSION_ALIGNMENT_US,
    instant_us,
    sealed_at,
    slot_minutes,
    window_end,
    window_start,
)
from tests.strategies import examples


@pytest.mark.parametrize(
    ("zone", "minutes"),
    [
        ("UTC", 60),
        ("Europe/Berlin", 60),
        ("America/Los_Angeles", 60),
        ("Asia/Kolkata", 30),
        ("Australia/Adelaide", 30),
        ("America/St_Johns", 30),
        ("Asia/Kathmandu", 15),
        ("Pacific/Chatham", 15),
        ("Australia/Lord_Howe", 30),
    ],
)
def test_a_zone_has_the_longest_slot_that_fits(zone: str, minutes: int) -> None:
    assert slot_minutes(zone) == minutes


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Europe/Berlin", "Pacific/Chatham"])
def test_every_local_day_starts_on_the_edge_of_a_slot(zone: str) -> None:
    slot_us = slot_minutes(zone) * 60_000_000
    for days in range(0, 4000, 3):
        noon = datetime(2016, 1, 1, 12, tzinfo=ZoneInfo(zone)) + timedelta(days=days)
        midnight = noon.replace(hour=0)
        assert instant_us(midnight) % slot_us == 0


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        slot_minutes("Mars/Olympus")


@examples(100)
@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_are_exact(moment: datetime) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert epoch + timedelta(microseconds=instant_us(moment)) == moment


def test_an_hour_is_sealed_ten_hours_after_it_began() -> None:
    assert sealed_at(0) == 10 * HOUR_US
    assert sealed_at(0, late_us=3 * HOUR_US) == 12 * HOUR_US


@pytest.mark.parametrize("gap_minutes", [5, 30, 240])
@pytest.mark.parametrize("hour", [0, 1, 3, 4, 23])
def test_a_window_holds_the_hour_and_ends_before_its_seal(gap_minutes: int, hour: int) -> None:
    hour_us, gap_us = hour * HOUR_US, gap_minutes * 60_000_000
    first, end = window_start(hour_us, gap_us), window_end(hour_us)
    assert first + gap_us == (hour // 4 - 1) * SESSION_ALIGNMENT_US
    assert end == hour_us + 9 * HOUR_US
    assert end + LATE_US == sealed_at(hour_us)
