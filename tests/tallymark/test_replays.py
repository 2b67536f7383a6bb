"""Plans of replays: against every hour's window, looked at one by one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.replays import (
    MAX_SESSION_GAP_US,
    Span,
    UnsealedError,
    aligned,
    first_unsealed_hour,
    late_hours,
    plan,
)
from tallymark.slots import (
    HOUR_US,
    LATE_US,
    MINUTE_US,
    SESSION_ALIGNMENT_US,
    sealed_at,
    window_end,
    window_start,
)
from tests.strategies import GAPS_MINUTES, MIDNIGHT_US, examples

FAR = MIDNIGHT_US + 1_000 * HOUR_US
AROUND = Span(MIDNIGHT_US - 48 * HOUR_US, MIDNIGHT_US + 96 * HOUR_US)
ranges = st.tuples(st.integers(-600, 600), st.integers(1, 2_000)).map(
    lambda pair: (
        MIDNIGHT_US + pair[0] * MINUTE_US,
        MIDNIGHT_US + (pair[0] + pair[1]) * MINUTE_US,
    )
)
gaps = st.sampled_from(GAPS_MINUTES).map(lambda minutes: minutes * MINUTE_US)


def at(hour: float) -> int:
    return MIDNIGHT_US + int(hour * HOUR_US)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((0, 4), (0, 4)),
        ((0.5, 0.6), (0, 4)),
        ((3.9, 4.1), (0, 8)),
        ((-0.1, 0), (-4, 0)),
        ((4, 12), (4, 12)),
    ],
)
def test_ranges_are_aligned_outward(asked: tuple[float, float], expected: tuple[int, int]) -> None:
    assert aligned(*map(at, asked)) == Span(*map(at, expected))


@pytest.mark.parametrize("asked", [(1, 1), (2, 1)])
def test_an_empty_range_is_refused(asked: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="starts before it ends"):
        aligned(*map(at, asked))


def test_the_plan_of_one_block_in_figures() -> None:
    found = plan(at(8), at(12), clock_us=FAR, session_gap_us=30 * MINUTE_US)
    assert found.span == Span(at(8), at(12))
    assert found.targets == Span(at(0), at(20))
    assert found.window == Span(at(-5), at(28))
    assert found.on_time == Span(at(-5), at(29))
    sealing = plan(at(8), at(12), clock_us=FAR, session_gap_us=30 * MINUTE_US, is_sealing=True)
    assert sealing.targets == sealing.span == found.span
    assert sealing.window == Span(at(3), at(20))


@examples(80)
@given(asked=ranges, gap_us=gaps)
def test_targets_are_the_hours_whose_window_meets_the_range(
    asked: tuple[int, int], gap_us: int
) -> None:
    found = plan(*asked, clock_us=FAR, session_gap_us=gap_us)
    start_us, end_us = found.span.start_us, found.span.end_us
    assert start_us <= asked[0] < asked[1] <= end_us
    expected = [
        hour
        for hour in AROUND
        if window_start(hour, gap_us) < end_us and window_end(hour) > start_us
    ]
    assert list(found.targets) == expected


@examples(80)
@given(asked=ranges, gap_us=gaps, is_sealing=st.booleans(), clock=st.integers(-2_000, 6_000))
def test_the_window_holds_the_windows_of_all_targets_and_no_hour_more(
    asked: tuple[int, int], gap_us: int, is_sealing: bool, clock: int
) -> None:
    clock_us = MIDNIGHT_US + clock * MINUTE_US
    span = aligned(*asked)
    unsealed = [hour for hour in span if sealed_at(hour) > clock_us]
    if unsealed:
        with pytest.raises(UnsealedError) as caught:
            plan(*asked, clock_us=clock_us, session_gap_us=gap_us, is_sealing=is_sealing)
        assert caught.value.hour_us == unsealed[0]
        assert caught.value.seals_at_us == sealed_at(span.end_us - HOUR_US)
        return
    found = plan(*asked, clock_us=clock_us, session_gap_us=gap_us, is_sealing=is_sealing)
    assert all(sealed_at(hour) <= clock_us for hour in found.targets)
    assert set(found.span) <= set(found.targets)
    windows = [Span(window_start(hour, gap_us), window_end(hour)) for hour in found.targets]
    expected = [
        hour
        for hour in AROUND
        if any(one.start_us < hour + HOUR_US and hour < one.end_us for one in windows)
    ]
    assert list(found.window) == expected


@examples(80)
@given(
    window=ranges.map(lambda asked: aligned(*asked)),
    late_us=st.sampled_from([0, LATE_US // 2, LATE_US, 2 * LATE_US]),
    event=st.integers(0, 2_000),
    delay=st.integers(0, 72 * 60),
)
def test_every_hit_of_the_window_lies_in_a_received_hour_that_is_named(
    window: Span, late_us: int, event: int, delay: int
) -> None:
    event_at = window.start_us + event * MINUTE_US % (window.end_us - window.start_us)
    received_at = event_at + delay * MINUTE_US
    on_time = plan(
        *(window.start_us, window.end_us), clock_us=FAR, late_us=late_us, is_sealing=True
    ).on_time
    if delay * MINUTE_US <= late_us:
        assert received_at in on_time
    assert received_at in on_time or received_at in late_hours(window, late_us)


@given(clock=st.integers(0, 100_000))
def test_the_first_unsealed_hour_is_the_first_that_seals_after_the_clock(clock: int) -> None:
    clock_us = MIDNIGHT_US + clock * MINUTE_US // 7
    hour = first_unsealed_hour(clock_us)
    assert sealed_at(hour) > clock_us
    assert sealed_at(hour - HOUR_US) <= clock_us


def test_an_unsealed_range_is_refused_with_the_hour_and_when_it_seals() -> None:
    with pytest.raises(UnsealedError) as caught:
        plan(at(0), at(8), clock_us=at(14))
    assert caught.value.hour_us == at(5)
    assert caught.value.seals_at_us == at(17)
    assert "2023-11-15T05Z is not sealed" in str(caught.value)
    assert "reaches 2023-11-15T17Z" in str(caught.value)


def test_targets_that_are_not_sealed_are_left_to_live() -> None:
    found = plan(at(0), at(4), clock_us=at(15.5))
    assert found.targets == Span(at(-8), at(6))
    assert found.window.end_us == at(14)


def test_a_gap_longer_than_the_alignment_is_refused() -> None:
    with pytest.raises(ValueError, match="session gap"):
        plan(at(0), at(4), clock_us=FAR, session_gap_us=MAX_SESSION_GAP_US + 1)


def test_hours_of_a_span_follow_each_other() -> None:
    hours = list(Span(at(0), at(8)))
    assert len(hours) == len(Span(at(0), at(8))) == 8
    assert all(later - hour == HOUR_US for hour, later in pairwise(hours))
    assert SESSION_ALIGNMENT_US == 4 * HOUR_US
