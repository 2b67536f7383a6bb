"""Announced hours: served without hits that came late, by sources of clients that serve no more, or
by rules that had changed when the stream did not know it.

Where Dagster runs, the sensor ``late_hits`` counts them again by itself.
"""

from dataclasses import dataclass

from beam_pipelines.places import Places
from stores.announcements import outstanding_hours
from stores.archive.raw import RawArchive
from tallymark.due import due_replays, sealed_through
from tallymark.pointer_map import FOR_EVER
from tallymark.replays import LONGEST_LATE_US, Span
from tallymark.slots import HOUR_US


@dataclass(frozen=True, kw_only=True, order=True)
class AnnouncedSpan:
    """Hours of a property that a replay has to count again.

    Attributes:
        span: The hours, multiples of L.
        property_id: Whose.
        is_open: Whether the replay has to wait until they are sealed.
    """

    span: Span
    property_id: int
    is_open: bool


def announced_spans(places: Places) -> list[AnnouncedSpan]:
    """What was announced of recorded hours and nobody has answered, by time."""
    archive = RawArchive(places.objects)
    received = archive.hours()
    if not received:
        return []
    first_us, end_us = received[0] - LONGEST_LATE_US, received[-1] + HOUR_US
    outstanding = outstanding_hours(places.wide_rows, first_us, end_us)
    through_us = sealed_through(archive.clock(), places.late_us)
    still_open = [where for where in outstanding if where[1] >= through_us]
    return sorted(
        AnnouncedSpan(span=due.span, property_id=due.property_id, is_open=is_open)
        for some, until_us, is_open in (
            (outstanding, through_us, False),
            (still_open, FOR_EVER, True),
        )
        for due in due_replays(some, until_us)
    )
