"""Limits of reports that are computed from single hits, and how they are told."""

from dataclasses import dataclass

from stores.served_hits import HeldHits
from tallymark.replays import Span


@dataclass(frozen=True, kw_only=True)
class HitLimits:
    """How much one report may take.

    Attributes:
        hours: Hours of events, those around the range included on which its sessions depend.
        hits: Hits of all properties in the files that have to be looked through.
        requests: Recorded requests of all properties that have to be processed, of open hours.
        seconds: From the first read to the last.
        hits_together: About how many hits are held in memory at a time.
        at_once: Reports of hits that are computed at a time in one process.
        waiting: How many more may wait for their turn, as long as ``seconds``.
    """

    hours: int = 95 * 24
    hits: int = 8_000_000
    requests: int = 1_000_000
    seconds: float = 30.0
    hits_together: int = 200_000
    at_once: int = 1
    waiting: int = 1


class BeyondLimitsError(Exception):
    """A report of hits that takes more than one may; says how to ask for less."""


def check_hours(limits: HitLimits, hours: int) -> None:
    """Refuse a report of more hours than one may read.

    Raises:
        BeyondLimitsError: when it is.
    """
    if hours > limits.hours:
        raise BeyondLimitsError(
            f"It is answered from single hits, and those of {hours // 24:,} days would have "
            f"to be read, {limits.hours // 24:,} may be. Ask for fewer days."
        )


def check_size(limits: HitLimits, held: HeldHits, window: Span, less: str) -> None:
    """Refuse a report of more hits than one may look through; ``less`` says how to ask for less.

    Raises:
        BeyondLimitsError: when it is.
    """
    for count, most, what in (
        (held.hits(window), limits.hits, "hits"),
        (held.requests(window), limits.requests, "requests of hours not sealed yet"),
    ):
        if count > most:
            raise BeyondLimitsError(
                f"It is answered from single hits: {count:,} {what} would have to be looked "
                f"through, {most:,} may be. {less}"
            )
