"""Which hours depend on touches that other lineages serve now."""

import polars as pl
import pytest

from tallymark.pointer_map import PointerMap, changed_spans
from tallymark.slots import DAY_US, HOUR_US, SESSION_ALIGNMENT_US
from tallymark.stale_touches import stale_hours
from tallymark.touch_cells import HELD_SCHEMA

L = SESSION_ALIGNMENT_US
DAY = 20_000 * DAY_US
BEFORE = PointerMap.serving("live-1")
AFTER = BEFORE.publish(DAY, DAY + DAY_US, "gen-1")
"""The first day is published; later ones stay."""


def touch(days: float, source: str, lineage: str, *, client: int = 5, owner: int = 1):
    start = DAY + round(days * DAY_US)
    hour = start // HOUR_US * HOUR_US
    medium = source and "x"
    return (owner, client, start, source, medium, "", "", hour, lineage)


def stale(*touches, lookback_days: int = 90) -> list[tuple[int, float]]:
    """(property, days) of the stale hours in which sessions start."""
    frame = pl.DataFrame(list(touches), schema=HELD_SCHEMA, orient="row")
    found = stale_hours(frame, BEFORE, AFTER, {1: lookback_days, 2: lookback_days})
    hours = set(found.rows())
    starts = {(owner, hour) for owner, hour in hours if (owner, hour - L) not in hours}
    return sorted((owner, (hour - DAY) / DAY_US) for owner, hour in starts)


LATER = (touch(2, "", "live-1"), touch(3, "ads", "live-1"), touch(4, "", "live-1"))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((0, "news"), (0, "news"), []),
        ((0, "news"), (0.5, "news"), []),
        ((0, "news"), (0, "search"), [2, 3, 4]),
        ((0, "news"), (0, ""), [2, 3, 4]),
        ((0, "news"), None, [2, 3, 4]),
        (None, (0, ""), [2]),
    ],
    ids=["same", "same-source", "other-source", "direct", "gone", "new"],
)
def test_sessions_that_follow_from_another_touch_are_stale(before, after, expected) -> None:
    first = [touch(*before, "live-1")] if before else []
    first += [touch(*after, "gen-1")] if after else []
    assert stale(*first, *LATER) == [(1, days) for days in expected]


def test_only_the_first_touch_and_the_last_source_matter() -> None:
    """An earlier touch is first and a later one last: what lies between is of no session."""
    early = touch(-2, "news", "live-1")
    lost, late = touch(0.2, "ads", "live-1"), touch(1.5, "search", "live-1")
    assert stale(early, lost, late, touch(3, "", "live-1")) == []
    assert stale(early, lost, touch(3, "", "live-1")) == [(1, 3)]


@pytest.mark.parametrize(("days", "expected"), [(7, [(1, 7)]), (7.5, [])])
def test_a_source_beyond_the_lookback_makes_nothing_stale(days: float, expected: list) -> None:
    early = touch(-2, "", "live-1")
    lost = touch(0, "news", "live-1")
    assert stale(early, lost, touch(days, "", "live-1"), lookback_days=7) == expected


def test_hours_that_were_published_themselves_are_not_stale() -> None:
    inside = [touch(0.5, "", lineage) for lineage in ("live-1", "gen-1")]
    assert stale(touch(0, "news", "live-1"), *inside) == []


def test_clients_and_properties_are_told_apart() -> None:
    changed = touch(0, "news", "live-1")
    others = [touch(2, "", "live-1", client=6), touch(2, "", "live-1", owner=2)]
    assert stale(changed, *others) == []
    assert stale(changed, *others, touch(2, "", "live-1")) == [(1, 2)]


def test_an_hour_of_each_part_of_a_day_that_a_session_may_reach_is_stale() -> None:
    touches = pl.DataFrame(
        [touch(0, "news", "live-1"), touch(2, "", "live-1")], schema=HELD_SCHEMA, orient="row"
    )
    found = stale_hours(touches, BEFORE, AFTER, {1: 90})
    start = DAY + 2 * DAY_US
    assert found.get_column("hour").to_list() == [start, start + L, start + 2 * L]


def test_two_maps_differ_where_another_lineage_serves() -> None:
    sealed = AFTER.publish(DAY + DAY_US, DAY + 2 * DAY_US, "gen-0")
    [one, two] = changed_spans(BEFORE, sealed)
    assert (one.start_us, one.end_us, one.before, one.after) == (
        DAY, DAY + DAY_US, "live-1", "gen-1",
    )  # fmt: skip
    assert (two.end_us, two.after) == (DAY + 2 * DAY_US, "gen-0")
    [all_time] = changed_spans(PointerMap(), BEFORE)
    assert (all_time.before, all_time.after) == (None, "live-1")
    assert changed_spans(sealed, sealed) == []
