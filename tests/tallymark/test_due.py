from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.due import (
    FRESH_US,
    Due,
    due_blocks,
    due_replays,
    next_in_turn,
    sealed_through,
    spans_of,
)
from tallymark.lineages import merged_spans
from tallymark.replays import Span
from tallymark.slots import HOUR_US, LATE_US, SESSION_ALIGNMENT_US, sealed_at

L = SESSION_ALIGNMENT_US
BLOCKS = st.integers(0, 40)


def hours(first: int, end: int) -> Span:
    return Span(first * HOUR_US, end * HOUR_US)


@pytest.mark.parametrize(
    ("what", "received", "through", "computed", "due"),
    [
        ("nothing is sealed", range(8), 0, [], []),
        ("everything is computed", range(8), 8, [(0, 8)], []),
        ("a new block is sealed", range(12), 12, [(0, 8)], [(8, 12)]),
        ("the first hour lies within a block", range(5, 12), 12, [], [(4, 12)]),
        ("a hole was left", range(16), 16, [(0, 4), (8, 12)], [(4, 8), (12, 16)]),
        ("part of a block is missing", range(8), 8, [(0, 6)], [(4, 8)]),
        ("no run is longer than two blocks", range(20), 20, [], [(0, 8), (8, 16), (16, 20)]),
        ("nothing was received for years", [1, 9_001], 9_004, [], [(9_000, 9_004), (0, 4)]),
        ("an hour may hold hits of the hour before", [8], 12, [], [(4, 12)]),
    ],
)
def test_sealed_blocks_that_nobody_computed_are_due(what, received, through, computed, due):
    spans = [(start * HOUR_US, end * HOUR_US) for start, end in computed]
    hits = [hour * HOUR_US for hour in received]
    found = due_blocks(hits, through * HOUR_US, spans, most_blocks=2)
    assert found == [hours(*each) for each in due], what


@pytest.mark.parametrize(
    ("what", "received", "through", "due"),
    [
        ("a day of history", range(24), 24, [(0, 8), (8, 16), (16, 24)]),
        ("three days of it", range(72), 72,
         [(48, 56), (56, 64), (64, 72), *((at, at + 8) for at in range(0, 48, 8))]),
        ("a month of old history and an hour that is fresh", [*range(720), 9_998], 10_000,
         [(9_996, 10_000), *((at, at + 8) for at in range(0, 720, 8))]),
        ("history up to the fresh hours is not joined to them", range(4, 32), 32,
         [(8, 16), (16, 24), (24, 32), (4, 8)]),
    ],
)  # fmt: skip
def test_fresh_hours_do_not_wait_for_history(what, received, through, due):
    hits = [hour * HOUR_US for hour in received]
    late_us = 0
    found = due_blocks(hits, through * HOUR_US, (), most_blocks=2, late_us=late_us)
    assert found == [hours(*each) for each in due], what


@pytest.mark.parametrize(("after", "turn"), [(0, 3), (3, 5), (4, 5), (5, 9), (9, 3), (99, 3)])
def test_properties_take_turns(after, turn):
    due = [Due(owner, hours(first, first + 4)) for owner in (3, 5, 9) for first in (0, 4)]
    assert next_in_turn(due, after) == Due(turn, hours(0, 4))


@given(st.sets(BLOCKS), st.sets(BLOCKS), BLOCKS, st.integers(1, 5))
def test_what_was_received_is_due_once_unless_it_is_computed(received, done, through, most):
    computed = merged_spans([(block * L, block * L + L) for block in done])
    hits = [block * L + 2 * HOUR_US for block in received]
    due = due_blocks(hits, through * L, computed, most_blocks=most)
    found = [block for span in due for block in range(span.start_us // L, span.end_us // L)]
    wanted = sorted(block for block in received - done if block < through)
    fresh = [block for block in wanted if block >= through - FRESH_US // L]
    assert found == fresh + wanted[: len(wanted) - len(fresh)]
    assert all(span.end_us - span.start_us <= most * L for span in due)


@pytest.mark.parametrize(
    ("what", "announced", "due"),
    [
        ("nothing", [], []),
        ("an hour, told of twice", [(7, 5), (7, 5)], [(7, 4, 8)]),
        ("hours of one block", [(7, 4), (7, 7)], [(7, 4, 8)]),
        ("neighbouring blocks", [(7, 9), (7, 5)], [(7, 4, 12)]),
        ("blocks apart", [(7, 1), (7, 9)], [(7, 0, 4), (7, 8, 12)]),
        ("two properties", [(8, 1), (7, 1)], [(7, 0, 4), (8, 0, 4)]),
        ("a block that is not sealed yet waits", [(7, 13), (7, 16)], [(7, 12, 16)]),
        ("more than a run does", [(7, 0), (7, 4), (7, 8)], [(7, 0, 8), (7, 8, 12)]),
    ],
)
def test_announced_hours_become_replays_of_their_blocks(what, announced, due):
    pairs = [(owner, hour * HOUR_US) for owner, hour in announced]
    found = due_replays(pairs, 16 * HOUR_US, most_blocks=2)
    assert found == [Due(owner, hours(first, end)) for owner, first, end in due], what


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 160))),
    st.integers(0, 40),
    st.integers(1, 4),
)
def test_replays_hold_every_announced_hour_that_is_sealed_and_no_other_block(
    announced, through, most
):
    pairs = [(owner, hour * HOUR_US) for owner, hour in announced]
    due = due_replays(pairs, through * L, most_blocks=most)
    found = [
        (each.property_id, block)
        for each in due
        for block in range(each.span.start_us // L, each.span.end_us // L)
    ]
    wanted = {(owner, hour // 4) for owner, hour in announced if hour // 4 < through}
    assert sorted(found) == sorted(wanted)
    assert due == due_replays(reversed(pairs * 2), through * L, most_blocks=most)


def test_a_block_is_sealed_with_its_last_hour():
    last = 7 * HOUR_US
    assert sealed_through(sealed_at(last) - 1) == L
    assert sealed_through(sealed_at(last)) == 2 * L
    assert sealed_through(sealed_at(last, 2 * LATE_US) - 1, 2 * LATE_US) == L


@given(st.sets(st.integers(0, 30)))
def test_spans_hold_the_hours_they_were_made_of(of):
    spans = spans_of(hour * HOUR_US for hour in of)
    assert [hour for span in spans for hour in span] == [hour * HOUR_US for hour in sorted(of)]
    assert all(left.end_us < right.start_us for left, right in pairwise(spans))
