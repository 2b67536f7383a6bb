"""What is due: sealed hours that nobody has computed yet, and hours that were announced again.

Both come as spans of multiples of L, since windows are cut there and each is then read once.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from tallymark.lineages import outside
from tallymark.replays import Span, first_unsealed_hour
from tallymark.slots import HOUR_US, LATE_US, SESSION_ALIGNMENT_US


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
    """The spans that routine sealing has to compute, the oldest first.

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
    return _joined(due, most_blocks)


def due_replays(
    announced: Iterable[tuple[int, int]], through_us: int, *, most_blocks: int = 6
) -> list[Due]:
    """The replays that announcements ask for: neighbouring blocks of a property in one.

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
        for span in _joined([start for start in sorted(starts) if start < through_us], most_blocks)
    ]


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
