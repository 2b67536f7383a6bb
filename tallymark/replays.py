"""Replays: which hours are computed, read and written when a range of history is computed again.

A replay of the event hours [A, B), aligned outward to L, applies its code and rules to the hits in
it. It recomputes every hour whose window (``slots.window_start``, ``slots.window_end``) meets
[A, B), its *targets*, and reads the hits of all their windows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tallymark.slots import (
    HOUR_US,
    LATE_US,
    SESSION_ALIGNMENT_US,
    sealed_at,
    window_end,
    window_start,
)

LONGEST_LATE_US: Final = 72 * HOUR_US
"""A hit that is received later than this after its event is kept and not counted."""
MAX_SESSION_GAP_US: Final = SESSION_ALIGNMENT_US


class UnsealedError(Exception):
    """A range that on-time hits may still change.

    Attributes:
        hour_us: UTC µs of its first hour that is not sealed.
        seals_at_us: What the archive's clock has to reach before the whole range is sealed.
    """

    def __init__(self, hour_us: int, seals_at_us: int, clock_us: int) -> None:
        super().__init__(
            f"expected a sealed range; hour {hour_text(hour_us)} is not sealed: the archive "
            f"reaches to {hour_text(clock_us, to_minute=True)}, and the range is sealed when it "
            f"reaches {hour_text(seals_at_us)}. Choose an earlier end, or wait: live counting "
            "serves these hours until then"
        )
        self.hour_us = hour_us
        self.seals_at_us = seals_at_us


@dataclass(frozen=True, order=True)
class Span:
    """The hours in [start_us, end_us), UTC µs; empty where the end is not above the start."""

    start_us: int
    end_us: int

    def __iter__(self) -> Iterator[int]:
        """The start of each hour."""
        return iter(range(self.start_us, self.end_us, HOUR_US))

    def __len__(self) -> int:
        return len(range(self.start_us, self.end_us, HOUR_US))

    def __contains__(self, instant_us: int) -> bool:
        return self.start_us <= instant_us < self.end_us

    def meets(self, other: "Span") -> bool:
        """Whether both have an hour in common."""
        return self.start_us < other.end_us and other.start_us < self.end_us


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a replay does.

    Attributes:
        span: The event hours whose hits its code and rules are applied to, aligned to L.
        targets: The hours that are recomputed, sealed ones alone.
        window: The event hours whose hits are read.
        on_time: The received hours in which all hits of the window lie that are not late.
    """

    span: Span
    targets: Span
    window: Span
    on_time: Span


def hour_text(instant_us: int, *, to_minute: bool = False) -> str:
    """``YYYY-MM-DDTHHZ`` as people read it."""
    moment = datetime.fromtimestamp(instant_us / 1e6, UTC)
    return moment.strftime("%Y-%m-%dT%H:%MZ" if to_minute else "%Y-%m-%dT%HZ")


def aligned(start_us: int, end_us: int) -> Span:
    """The least span of multiples of L that holds [start_us, end_us).

    Raises:
        ValueError: when the end is not above the start.
    """
    if end_us <= start_us:
        raise ValueError(
            f"expected a range that starts before it ends, got {hour_text(start_us)} to "
            f"{hour_text(end_us)}"
        )
    down = start_us // SESSION_ALIGNMENT_US * SESSION_ALIGNMENT_US
    up = -(-end_us // SESSION_ALIGNMENT_US) * SESSION_ALIGNMENT_US
    return Span(down, up)


def first_unsealed_hour(clock_us: int, late_us: int = LATE_US) -> int:
    """UTC µs of the first hour that on-time hits may still change.

    Args:
        clock_us: UTC µs through which every request is archived.
        late_us: D, the lateness that is on time.
    """
    age = sealed_at(0, late_us)
    return (clock_us - age) // HOUR_US * HOUR_US + HOUR_US


def touched_hours(span: Span) -> Span:
    """Every hour whose window meets an aligned span, whatever the session gap up to L."""
    reach = 2 * SESSION_ALIGNMENT_US
    return Span(span.start_us - reach, span.end_us + reach)


def window_of(hours: Span, session_gap_us: int) -> Span:
    """The event hours in which all hits lie that ``hours`` depend on, in whole hours."""
    first = window_start(hours.start_us, session_gap_us) // HOUR_US * HOUR_US
    return Span(first, window_end(hours.end_us - HOUR_US))


def plan(
    start_us: int,
    end_us: int,
    *,
    clock_us: int,
    session_gap_us: int = MAX_SESSION_GAP_US,
    late_us: int = LATE_US,
    is_sealing: bool = False,
) -> Plan:
    """What a replay of [start_us, end_us) does.

    Args:
        start_us: UTC µs.
        end_us: UTC µs.
        clock_us: UTC µs through which every request is archived.
        session_gap_us: The longest session gap of the properties replayed, at most L.
        late_us: D, the lateness that is on time.
        is_sealing: Routine sealing: the targets are the span itself, as its code is that of
            the hours before, and the hours after will be sealed in their turn.

    Raises:
        UnsealedError: when an hour of the aligned range is not sealed.
        ValueError: when the range is empty, or the gap longer than L.
    """
    if not 0 < session_gap_us <= MAX_SESSION_GAP_US:
        raise ValueError(
            f"session gap: expected 0 < gap ≤ {MAX_SESSION_GAP_US} µs, got {session_gap_us}"
        )
    span = aligned(start_us, end_us)
    unsealed = first_unsealed_hour(clock_us, late_us)
    if unsealed < span.end_us:
        last = sealed_at(span.end_us - HOUR_US, late_us)
        raise UnsealedError(max(unsealed, span.start_us), last, clock_us)
    touched = span if is_sealing else touched_hours(span)
    targets = Span(touched.start_us, min(touched.end_us, unsealed))
    window = window_of(targets, session_gap_us)
    return Plan(span=span, targets=targets, window=window, on_time=on_time_hours(window, late_us))


def on_time_hours(window: Span, late_us: int = LATE_US) -> Span:
    """The received hours in which all hits of the event hours ``window`` lie but the late ones.

    No event lies after its receipt.
    """
    return Span(window.start_us, -(-(window.end_us + late_us) // HOUR_US) * HOUR_US)


def late_hours(window: Span, late_us: int = LATE_US) -> Span:
    """The received hours, after the on-time ones, in which late hits of ``window`` may lie."""
    return Span(on_time_hours(window, late_us).end_us, window.end_us + LONGEST_LATE_US)
