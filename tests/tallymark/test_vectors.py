"""Vectors: which blocks have been seen, and what time it is in the data."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.vectors import (
    AHEAD_US,
    BASE_AFTER_US,
    DETACH_AFTER_US,
    FORGET_AFTER_US,
    BlockMark,
    Vector,
    observe_all,
)
from tests.strategies import examples

SECOND_US = 1_000_000
T = 1_700_000_000_000_000


def mark(
    number: int, at_us: int = 0, *, spool: str = "a", kind: str = "requests", frontier_us: int = -1
) -> BlockMark:
    """A block published at µs after ``T``, its frontier the same if not said."""
    return BlockMark(
        spool_id=spool,
        number=number,
        kind=kind,  # type: ignore[arg-type]
        frontier=T + (at_us if frontier_us < 0 else frontier_us),
        published_at=T + at_us,
    )


def seen(*marks: BlockMark) -> Vector:
    vector = Vector()
    for each in marks:
        observe_all(vector, [each])
    return vector


marks = st.builds(
    mark,
    st.integers(1, 12),
    st.integers(0, 300).map(lambda seconds: seconds * SECOND_US),
    spool=st.sampled_from("abc"),
    kind=st.sampled_from(("requests", "requests", "heartbeat", "closing")),
    frontier_us=st.integers(0, 330).map(lambda seconds: seconds * SECOND_US),
)


@examples(200)
@given(st.lists(marks, max_size=40))
def test_a_block_is_new_once(arrivals: list[BlockMark]) -> None:
    vector, names = Vector(), set()
    for each in arrivals:
        name = (each.spool_id, each.number)
        assert vector.has(*name) == (name in names)
        assert observe_all(vector, [each]) == [name not in names]
        names.add(name)
        assert all(vector.has(*known) for known in names)


@examples(100)
@given(st.lists(marks, max_size=40), st.lists(st.integers(1, 5), min_size=40, max_size=40))
def test_the_clock_never_goes_back_and_frames_may_be_cut_anywhere(
    arrivals: list[BlockMark], sizes: list[int]
) -> None:
    vector, clocks, rest = Vector(), [0], list(arrivals)
    for size in sizes:
        observe_all(vector, rest[:size])
        rest = rest[size:]
        clocks.append(vector.clock)
    assert clocks == sorted(clocks)
    assert all(vector.has(each.spool_id, each.number) for each in arrivals)


@examples(100)
@given(st.lists(marks, max_size=30))
def test_a_vector_survives_json(arrivals: list[BlockMark]) -> None:
    vector = seen(*arrivals)
    document = orjson.loads(orjson.dumps(vector.to_json()))
    restored = Vector.from_json(document)
    assert restored == vector
    assert restored.to_json() == vector.to_json()


@examples(100)
@given(st.lists(marks, max_size=20), st.lists(marks, max_size=20))
def test_a_vector_reaches_what_it_grew_from(first: list[BlockMark], more: list[BlockMark]) -> None:
    vector = seen(*first)
    before = Vector.from_json(vector.to_json())
    observe_all(vector, more)
    assert Vector.from_json(vector.to_json()).reaches(before, 0) or any(
        not view.is_based for view in before.spools.values()
    )


@examples(100)
@given(st.lists(marks, max_size=20), st.lists(marks, min_size=1, max_size=5))
def test_a_vector_reaches_no_block_it_has_not_seen(
    first: list[BlockMark], more: list[BlockMark]
) -> None:
    mine, theirs = seen(*first), seen(*first, *more)
    missing = [
        each
        for each in more
        if not mine.has(each.spool_id, each.number) and each.number > _base(mine, each.spool_id)
    ]
    if missing:
        assert not mine.reaches(theirs, 0)


def _base(vector: Vector, spool_id: str) -> int:
    view = vector.spools.get(spool_id)
    return view.base if view is not None and view.is_based else 0


def test_the_clock_is_the_least_frontier() -> None:
    vector = seen(mark(1, 10), mark(1, 5, spool="b"), mark(2, 90))
    assert vector.clock == T + 10  # what had passed before b was seen stays passed
    observe_all(vector, [mark(2, 50, spool="b")])
    assert vector.clock == T + 50


def test_a_hole_holds_the_clock_until_it_is_filled() -> None:
    vector = seen(mark(1, 1), mark(2, 2), mark(4, 4), mark(6, 6))
    assert vector.clock == T + 2
    assert vector.holes() == [("a", 3), ("a", 5)]
    observe_all(vector, [mark(3, 3)])
    assert (vector.clock, vector.holes()) == (T + 4, [("a", 5)])
    observe_all(vector, [mark(5, 5)])
    assert (vector.clock, vector.holes()) == (T + 6, [])


@pytest.mark.parametrize(
    ("later_us", "is_based"), [(BASE_AFTER_US - 1, False), (BASE_AFTER_US, True)]
)
def test_a_spool_seen_in_the_middle_is_based_after_two_minutes(
    later_us: int, is_based: bool
) -> None:
    vector = seen(mark(57, 0), mark(55, 1), mark(1, later_us, spool="b"))
    view = vector.spools["a"]
    assert view.is_based == is_based
    assert vector.holes() == ([("a", 56)] if is_based else [])
    if is_based:
        assert (view.base, view.contiguous) == (54, 55)
        assert vector.clock == T + 1
    else:
        assert vector.clock == 0


def test_a_block_below_the_base_is_not_taken_for_one_that_was_seen() -> None:
    """The bus may deliver a backlog in any order; nobody has counted the block."""
    vector = seen(mark(57, 0), mark(1, BASE_AFTER_US, spool="b"))
    assert vector.spools["a"].base == 56
    for number in (50, 56, 55):
        assert observe_all(vector, [mark(number, 0)]) == [True]
        assert observe_all(vector, [mark(number, 0)]) == [False]
    assert (vector.spools["a"].base, vector.spools["a"].below) == (54, {50})
    assert vector.holes() == []


def test_a_spool_that_lags_is_detached_and_comes_back() -> None:
    vector = seen(mark(1, 0), mark(1, DETACH_AFTER_US, spool="b"))
    assert (vector.clock, vector.detached()) == (T, [])
    observe_all(vector, [mark(2, DETACH_AFTER_US + 1, spool="b")])
    assert (vector.clock, vector.detached()) == (T + DETACH_AFTER_US + 1, ["a"])
    observe_all(vector, [mark(2, DETACH_AFTER_US + 5)])
    assert vector.detached() == []


@pytest.mark.parametrize(("ahead_us", "detached"), [(AHEAD_US, []), (AHEAD_US + 1, ["a"])])
def test_a_spool_whose_clock_runs_ahead_is_detached(ahead_us: int, detached: list[str]) -> None:
    vector = seen(mark(1, 0, spool="b"), mark(1, 0, frontier_us=ahead_us))
    assert vector.detached() == detached
    assert vector.clock == T
    observe_all(vector, [mark(2, 20 * SECOND_US)])
    assert vector.detached() == []


def test_an_old_block_says_nothing_of_a_clock_that_was_set_right() -> None:
    vector = seen(mark(1, 0), mark(3, 2))
    observe_all(vector, [mark(2, 1, frontier_us=AHEAD_US + 2)])
    assert vector.detached() == []


def test_a_closed_spool_holds_no_clock_and_is_forgotten_when_the_bus_has_let_it_go() -> None:
    vector = seen(mark(1, 0), mark(2, 1, kind="closing"), mark(1, 2, spool="b"))
    observe_all(vector, [mark(2, FORGET_AFTER_US + 1, spool="b")])
    assert set(vector.spools) == {"a", "b"}
    assert vector.detached() == []
    observe_all(vector, [mark(3, FORGET_AFTER_US + 2, spool="b")])
    assert set(vector.spools) == {"b"}


def test_a_spool_is_not_closed_while_blocks_before_its_last_are_missing() -> None:
    vector = seen(mark(1, 0), mark(3, 2, kind="closing"))
    assert not vector.spools["a"].is_closed
    observe_all(vector, [mark(2, 1)])
    assert vector.spools["a"].is_closed


def test_what_was_published_before_the_job_reads_need_not_be_reached() -> None:
    stored = seen(mark(1, 0), mark(2, 5))
    assert not Vector().reaches(stored, T + 5)
    assert Vector().reaches(stored, T + 6)


def test_a_spool_is_reached_through_its_holes() -> None:
    stored = seen(mark(1, 1), mark(2, 2), mark(4, 4))
    assert not seen(mark(1, 1), mark(2, 2)).reaches(stored, 0)
    assert not seen(mark(1, 1), mark(4, 4)).reaches(stored, 0)
    assert seen(mark(1, 1), mark(4, 4), mark(2, 2)).reaches(stored, 0)
    assert seen(*(mark(number, number) for number in range(1, 7))).reaches(stored, 0)


def test_nothing_is_reached_before_the_base_of_a_spool_is_known() -> None:
    stored = seen(mark(1, 1), mark(2, 2))
    assert not seen(mark(2, 2)).reaches(stored, 0)
