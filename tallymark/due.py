"""What is due: sealed hours that nobody has computed yet, and hours that were announced again.

Both come as spans of multiples of L, since windows are cut there and each is then read once.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from tallymark.lineages import outside
from tallymark.replays import Span, first_unsealed_hour
from tallymark.slots import DAY_US, HOUR_US, LATE_US, SESSION_ALIGNMENT_US

FRESH_US: Final = DAY_US
"""Sealed hours so near to the last one are computed before all older ones."""


@dataclass(frozen=True, order=True)
class Due:
    """A replay that is due.

    Attributes:
        property_id: Whose hours.
        span: Multiples of L.
    """

    property_id: int
    span: Span


def sealed_through(clock_us: int, late_us: int = LATE_US) -> int:
    """UTC µs of the last multiple of L before which every hour is sealed.

    Args:
        clock_us: UTC µs through which every request is archived.
        late_us: D, the lateness that is on time.
    """
    unsealed = first_unsealed_hour(clock_us, late_us)
    return unsealed // SESSION_ALIGNMENT_US * SESSION_ALIGNMENT_US


def due_blocks(
    received: Collection[int],
    through_us: int,
    computed: Sequence[tuple[int, int]],
    *,
    most_blocks: int = 6,
    late_us: int = LATE_US,
) -> list[Span]:
    """The spans that routine sealing has to compute: those of the last day first, which people
    look at, then the oldest first, as later hours are attributed by earlier ones.

    Args:
        received: The received hours (UTC µs) that have anything; where nothing was received,
            nothing is to be computed.
        through_us: See ``sealed_through``.
        computed: What the standing lineage has computed: ascending disjoint spans.
        most_blocks: The longest span, in multiples of L: a run is to end within a while.
        late_us: D, the lateness that is on time.
    """
    blocks = {
        _block(at)
        for hour in received
        for at in range(hour - late_us, hour + 1, HOUR_US)
        if at >= 0
    }
    due = [
        start
        for start in sorted(blocks)
        if start < through_us and outside(start, start + SESSION_ALIGNMENT_US, computed)
    ]
    return _fresh_first(due, through_us, most_blocks)


def due_replays(
    announced: Iterable[tuple[int, int]], through_us: int, *, most_blocks: int = 6
) -> list[Due]:
    """The replays that announcements ask for: neighbouring blocks of a property in one, by
    property, and of each those of the last day first.

    Args:
        announced: (property id, hour UTC µs) in any order, as often as they come.
        through_us: See ``sealed_through``; later blocks wait until they are sealed.
        most_blocks: The longest span, in multiples of L.
    """
    blocks: dict[int, set[int]] = {}
    for owner, hour in announced:
        blocks.setdefault(owner, set()).add(_block(hour))
    return [
        Due(owner, span)
        for owner, starts in sorted(blocks.items())
        for span in _fresh_first(
            [start for start in sorted(starts) if start < through_us], through_us, most_blocks
        )
    ]


def _fresh_first(starts: Sequence[int], through_us: int, most_blocks: int) -> list[Span]:
    """Ascending blocks as spans: those of the last sealed day before all of longer ago.

    However long a history is imported or was left undone, fresh hours wait for one run at most.
    """
    since = through_us - FRESH_US
    fresh = [start for start in starts if start >= since]
    return [
        *_joined(fresh, most_blocks),
        *_joined(starts[: len(starts) - len(fresh)], most_blocks),
    ]


def next_in_turn(due: Sequence[Due], after: int) -> Due:
    """The replay whose turn it is: the first of the property that follows one in order.

    Args:
        due: At least one, by property.
        after: The property whose turn it was last.
    """
    return next((each for each in due if each.property_id > after), due[0])


def _block(instant_us: int) -> int:
    return instant_us // SESSION_ALIGNMENT_US * SESSION_ALIGNMENT_US


def _joined(starts: Sequence[int], most_blocks: int) -> list[Span]:
    """Ascending blocks as spans of neighbours, none longer than that many blocks."""
    spans: list[Span] = []
    for start in starts:
        end, last = start + SESSION_ALIGNMENT_US, spans[-1] if spans else None
        longest = most_blocks * SESSION_ALIGNMENT_US
        if last and last.end_us == start and end - last.start_us <= longest:
            spans[-1] = Span(last.start_us, end)
        else:
            spans.append(Span(start, end))
    return spans


def spans_of(hours: Iterable[int]) -> list[Span]:
    """Hours (UTC µs) as ascending spans without a gap in them."""
    numbered = enumerate(sorted(set(hours)))
    runs = groupby(numbered, key=lambda pair: pair[1] - pair[0] * HOUR_US)
    found = [[hour for _, hour in run] for _, run in runs]
    return [Span(run[0], run[-1] + HOUR_US) for run in found]
