"""Row keys: their order is that of time, and a range holds the days it was asked for."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.row_keys import (
    CONTROL_PREFIX,
    LINEAGES_KEY,
    POINTER_MAP_KEY,
    announcement_key,
    control_key,
    lineage_of,
    rollup_range,
    shard_of,
    with_row_keys,
)
from tallymark.slots import DAY_US, EPOCH, HOUR_US, instant_us
from tests.strategies import examples

properties = st.integers(1, 10**12)
instants = st.integers(0, instant_us(datetime(2099, 12, 31, tzinfo=UTC)))
rollups = st.sampled_from(("totals", "pages", "page", "events"))
lineages = st.sampled_from(("live-1", "gen-12", "gen-3"))


def key_of(property_id: int, rollup: str, at: int, lineage: str = "live-1") -> bytes:
    cells = pl.DataFrame({"property_id": [property_id], "slot_start": [at]})
    return bytes(with_row_keys(cells, rollup, lineage).get_column("row_key").item())


def day(at: int) -> str:
    return (EPOCH + timedelta(microseconds=at)).strftime("%Y%m%d")


@examples(40)
@given(owner=properties, rollup=rollups, first=instants, second=instants)
def test_keys_of_a_rollup_sort_by_day(owner: int, rollup: str, first: int, second: int) -> None:
    keys = key_of(owner, rollup, first), key_of(owner, rollup, second)
    assert (keys[0] < keys[1]) == (day(first) < day(second))
    assert (keys[0] == keys[1]) == (day(first) == day(second))


@st.composite
def ranges_and_instants(draw: st.DrawFn) -> tuple[int, int, int]:
    """The ends of a range, and an instant that may lie just outside one of them."""
    first = draw(instants)
    end = first + draw(st.integers(1, 40 * DAY_US) | st.sampled_from((1, HOUR_US, DAY_US)))
    offset = draw(st.integers(-3 * DAY_US, 3 * DAY_US) | st.sampled_from((-1, 0)))
    return first, end, max(0, draw(st.sampled_from((first, end))) + offset)


@examples(60)
@given(owner=properties, rollup=rollups, times=ranges_and_instants(), lineage=lineages)
def test_a_range_selects_exactly_the_days_that_it_meets(
    owner: int, rollup: str, times: tuple[int, int, int], lineage: str
) -> None:
    first, end, at = times
    low, high = rollup_range(owner, rollup, first, end)
    inside = low <= key_of(owner, rollup, at, lineage) < high
    assert inside == (day(first) <= day(at) <= day(end - 1))


@examples(40)
@given(owner=properties, other=properties, rollup=rollups, at=instants)
def test_a_range_selects_no_other_property_and_no_other_rollup(
    owner: int, other: int, rollup: str, at: int
) -> None:
    low, high = rollup_range(owner, rollup, at - 50 * DAY_US if at > 50 * DAY_US else 0, at + 1)
    for other_rollup in ("totals", "pages", "page", "events"):
        if (other, other_rollup) != (owner, rollup):
            assert not low <= key_of(other, other_rollup, at) < high


@pytest.mark.parametrize("hours", [0, 23, 24, 25])
def test_the_last_microsecond_of_a_day_belongs_to_it(hours: int) -> None:
    at = instant_us(datetime(2026, 2, 28, tzinfo=UTC)) + hours * HOUR_US
    low, high = rollup_range(7, "totals", at - HOUR_US, at)
    assert low <= key_of(7, "totals", at - 1) < high


def test_the_lineage_is_read_from_the_key() -> None:
    keys = pl.DataFrame({"key": [key_of(7, "totals", 0, name) for name in ("live-1", "gen-12")]})
    assert keys.select(lineage_of(pl.col("key"))).to_series().to_list() == ["live-1", "gen-12"]


def test_keys_of_many_cells_keep_their_order() -> None:
    cells = pl.DataFrame({"property_id": [3, 1, 3], "slot_start": [0, DAY_US, 2 * DAY_US]})
    keyed = with_row_keys(cells, "totals", "live-1")
    assert keyed.select("property_id", "slot_start").rows() == cells.rows()


def test_rows_that_hold_no_cells_sort_after_all_that_do() -> None:
    special = [
        control_key("live-1", 3), announcement_key(0, 5), POINTER_MAP_KEY, LINEAGES_KEY,
    ]  # fmt: skip
    highest = max(key_of(owner, "totals", 0) for owner in range(500))
    assert all(key > highest and key.startswith(CONTROL_PREFIX.encode()) for key in special)
    assert len(set(special)) == len(special)


def test_announcements_sort_by_hour() -> None:
    keys = [announcement_key(hour * HOUR_US, owner) for hour in range(50) for owner in (1,)]
    assert keys == sorted(keys)
    assert len(set(keys)) == 50


@examples(40)
@given(owner=properties, shards=st.integers(1, 64))
def test_a_property_has_one_shard(owner: int, shards: int) -> None:
    assert 0 <= shard_of(owner, shards) < shards


def test_properties_are_spread_over_shards() -> None:
    counts = [sum(shard_of(owner, 4) == shard for owner in range(4000)) for shard in range(4)]
    assert min(counts) > 900
