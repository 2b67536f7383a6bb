"""Sessions: against a plain walk over hits, and against their own window."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tallymark.additions import with_additions
from tallymark.compaction import compact
from tallymark.pieces import Tables
from tallymark.sessions import join_pages, join_sessions
from tallymark.slots import HOUR_US, MINUTE_US, SESSION_ALIGNMENT_US, window_end, window_start
from tallymark.texts import with_texts
from tests.strategies import (
    GAPS_MINUTES,
    MIDNIGHT_US,
    Visit,
    examples,
    hits_of,
    tables,
    visits,
)
from tests.tallymark.plain_sessions import plain_sessions

DAY_US = 24 * HOUR_US
SESSION_FACTS = (
    "session_duration_ms", "is_engaged", "source", "channel", "landing_page", "exit_page",
    "browser",
)  # fmt: skip
SUMS = ("events", "views", "engagement_ms", "value_micros")


def joined_of(hits: pl.DataFrame) -> pl.DataFrame:
    """Pieces with their sessions, in words."""
    return in_words(compact(tables(hits)))


def in_words(whole: Tables) -> pl.DataFrame:
    """Pieces with their sessions and what counts once, ids replaced by texts."""
    joined, _ = with_additions(whole)
    for name, columns in (
        ("own_source_id", ("source", "medium", "campaign", "channel")),
        ("landing_id", ("landing_host", "landing_page")),
        ("exit_id", ("exit_host", "exit_page")),
        ("device_id", ("device_category", "browser", "operating_system")),
    ):
        joined = with_texts(joined, name, columns, whole.texts)
    return joined


def sessions_of(joined: pl.DataFrame) -> pl.DataFrame:
    """A row a session, its sums over all pieces in it."""
    keys = ["property_id", "client_hash", "session_start"]
    inside = joined.filter(pl.col("session_start").is_not_null())
    rows = inside.group_by(keys).agg(
        pl.col("session_slot", *SESSION_FACTS).first(),
        pl.col(*SUMS).sum(),
        pl.col("begins_session").sum().alias("begun"),
    )
    return rows.sort(keys)


@st.composite
def clicks(draw: st.DrawFn, *, span_us: int = 26 * HOUR_US) -> pl.DataFrame:
    """Hits under one gap from 5 to 240 minutes, at times under two settings."""
    gap_us = draw(st.sampled_from(GAPS_MINUTES)) * MINUTE_US
    hits = hits_of(draw(visits(gap_us=gap_us, span_us=span_us)), gap_us)
    if not draw(st.booleans()):
        return hits
    changed_at = MIDNIGHT_US + draw(st.integers(0, 3)) * SESSION_ALIGNMENT_US
    later_gap_ms = draw(st.sampled_from(GAPS_MINUTES)) * 60_000
    later = pl.col("event_at") >= changed_at
    return hits.with_columns(
        settings_from=pl.when(later).then(changed_at).otherwise("settings_from"),
        session_gap_ms=pl.when(later).then(later_gap_ms).otherwise("session_gap_ms"),
    )


@examples(80)
@given(hits=clicks())
def test_sessions_are_those_of_a_walk_over_all_hits(hits: pl.DataFrame) -> None:
    found = joined_of(hits)
    sessions, outside = plain_sessions(hits.to_dicts())
    columns = ["property_id", "client_hash", "session_start", *SESSION_FACTS, *SUMS]
    expected = [tuple(session.facts()[name] for name in columns) for session in sessions]
    assert sorted(sessions_of(found).select(columns).rows()) == sorted(expected)
    assert sessions_of(found).get_column("begun").to_list() == [1] * len(sessions)
    assert all(session.end - session.start < 2 * SESSION_ALIGNMENT_US for session in sessions)
    left = found.filter(pl.col("session_start").is_null())
    assert left.get_column("events").sum() == len(outside)
    assert set(left.get_column("start")) == {hit["event_at"] for hit in outside}


@examples(30)
@given(hits=clicks(), data=st.data())
def test_sessions_of_an_hour_depend_on_its_window_alone(
    hits: pl.DataFrame, data: st.DataObject
) -> None:
    every = joined_of(hits)
    hour = pl.col("session_start") // HOUR_US * HOUR_US
    hours = every.select(hour.drop_nulls().unique().sort()).to_series().to_list()
    chosen = set(data.draw(st.lists(st.sampled_from(hours or [MIDNIGHT_US]), max_size=4)))
    chosen |= {data.draw(st.integers(-3, 26)) * HOUR_US + MIDNIGHT_US}
    for start in sorted(chosen):
        gap_us = hits.get_column("session_gap_ms").max() or 0
        first, end = window_start(start, int(gap_us) * 1000), window_end(start)  # type: ignore[call-overload]
        window = hits.filter(pl.col("event_at").is_between(first, end, closed="left"))
        own = joined_of(window)
        expected = every.filter(hour == start)
        # Pieces at one instant that open sessions and that open none come in either order.
        assert_frame_equal(own.filter(hour == start), expected, check_row_order=False)


@examples(30)
@given(hits=clicks(), data=st.data())
def test_pieces_of_parts_merge_to_the_pieces_of_the_whole(
    hits: pl.DataFrame, data: st.DataObject
) -> None:
    count = hits.height
    parts = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    part = pl.Series(parts, dtype=pl.Int64)
    whole = compact(tables(hits))
    together = tables(hits.filter(part == 0))
    for number in data.draw(st.permutations([1, 2, 3])):
        together = together.plus(tables(hits.filter(part == number)))
        if data.draw(st.booleans()):
            together = compact(together)
    merged = compact(together)
    for name in ("pieces", "events", "minutes", "texts"):
        assert_frame_equal(getattr(merged, name), getattr(whole, name))
    joined = join_sessions(whole.pieces)
    pages = join_pages(merged.pages, joined)
    assert_frame_equal(pages, join_pages(whole.pages, joined), check_row_order=False)


HALF_HOUR_US = 30 * MINUTE_US


def chain(*times: int, opens: bool = True, client: int = 0) -> list[Visit]:
    """Hits of one client at these µs after midnight, of a property whose slots are hours."""
    return [
        Visit(
            client=client, property_id=3, event_at=MIDNIGHT_US + at, opens_session=opens, look=1
        )
        for at in times
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pause_us", "sessions"),
    [(HALF_HOUR_US - 1, 1), (HALF_HOUR_US, 2), (HALF_HOUR_US + 1, 2)],
    ids=["just below the gap", "exactly the gap", "just above the gap"],
)
@pytest.mark.parametrize("first_us", [0, 10 * MINUTE_US, 50 * MINUTE_US])
def test_a_pause_of_the_gap_parts_sessions(pause_us: int, sessions: int, first_us: int) -> None:
    """Whether the pause lies within a slot or across two."""
    hits = hits_of(chain(first_us, first_us + pause_us), HALF_HOUR_US)
    assert sessions_of(joined_of(hits)).height == sessions


@pytest.mark.parametrize(
    ("first_us", "starts_us"),
    [
        (0, [0, 4 * HOUR_US, 8 * HOUR_US]),
        (1, [1, 8 * HOUR_US]),
        (4 * HOUR_US - 1, [4 * HOUR_US - 1, 8 * HOUR_US]),
        (2 * HOUR_US, [2 * HOUR_US, 8 * HOUR_US]),
    ],
    ids=["begun at a multiple", "just after it", "just before the next", "between two"],
)
def test_a_chain_is_cut_at_multiples_of_l_it_is_a_whole_l_away_from(
    first_us: int, starts_us: list[int]
) -> None:
    times = sorted({first_us, *range(first_us, 9 * HOUR_US, 20 * MINUTE_US), *starts_us})
    found = sessions_of(joined_of(hits_of(chain(*times), HALF_HOUR_US)))
    assert [at - MIDNIGHT_US for at in found.get_column("session_start")] == starts_us


def test_midnight_cuts_nothing() -> None:
    times = range(-2 * HOUR_US, 90 * MINUTE_US, 20 * MINUTE_US)
    found = sessions_of(joined_of(hits_of(chain(*times), HALF_HOUR_US)))
    assert found.get_column("session_start").to_list() == [MIDNIGHT_US - 2 * HOUR_US]


@pytest.mark.parametrize(
    ("at_us", "joins"),
    [
        (-1, False),
        (0, True),
        (20 * MINUTE_US, True),
        (10 * MINUTE_US + HALF_HOUR_US - 1, True),
        (10 * MINUTE_US + HALF_HOUR_US, False),
    ],
    ids=["before", "at the start", "after the end", "last instant", "the gap has passed"],
)
def test_a_hit_that_opens_no_session_joins_the_one_that_holds_it(at_us: int, joins: bool) -> None:
    hits = hits_of(
        chain(0, 10 * MINUTE_US) + chain(at_us, opens=False) + chain(0, client=1), HALF_HOUR_US
    )
    found = joined_of(hits).filter(~pl.col("opens_session"))
    assert found.get_column("session_start").to_list() == [MIDNIGHT_US if joins else None]


def test_hits_that_open_no_session_make_none() -> None:
    hits = hits_of(chain(0, MINUTE_US, opens=False), HALF_HOUR_US)
    found = joined_of(hits)
    assert found.get_column("begins_session").sum() == 0
    assert found.get_column("channel").to_list() == ["", ""]


def test_the_cut_ends_a_session_for_hits_that_open_none() -> None:
    """A long gap would let a hit ten hours later change an hour that is sealed."""
    gap_us = 4 * HOUR_US
    opening = chain(1, *range(2 * HOUR_US, 8 * HOUR_US, 2 * HOUR_US))
    within, beyond = 8 * HOUR_US - 1, 8 * HOUR_US
    found = joined_of(hits_of(opening + chain(within, beyond, opens=False), gap_us))
    attached = found.filter(~pl.col("opens_session")).get_column("session_start").to_list()
    assert attached == [MIDNIGHT_US + 1, None]


def test_equal_instants_are_ordered_by_hit_id() -> None:
    """Which of two simultaneous sources or pages comes first must not depend on arrival."""
    hits = hits_of(chain(0, 0, 0), HALF_HOUR_US).with_columns(
        pl.Series("hit_id", [f"{number:032x}-0000" for number in (2, 3, 1)]),
        pl.Series("source", ["second", "third", "first"]),
        pl.Series("path", ["/b", "/c", "/a"]),
        is_page_view=True,
        host=pl.lit("shop.example"),
    )
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        parts = [tables(hits[[index]]) for index in order]
        at_once = joined_of(hits[order])
        merged = in_words(compact(parts[0].plus(parts[1]).plus(parts[2])))
        for found in (at_once, merged):
            row = found.row(0, named=True)
            assert (row["source"], row["landing_page"], row["exit_page"]) == ("first", "/a", "/c")
