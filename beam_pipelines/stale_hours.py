"""Stale hours: served from what other code has decided."""

from collections.abc import Iterator
from dataclasses import dataclass

from beam_pipelines.code_version import code_version
from beam_pipelines.places import Places
from stores.archive.clean import CleanHits
from stores.archive.raw import RawArchive
from stores.clock import utc_us
from stores.lineages import LineageRegister
from stores.pointers import PointerStore
from tallymark.due import spans_of
from tallymark.lineages import Lineage
from tallymark.pointer_map import Interval
from tallymark.replays import Span, first_unsealed_hour
from tallymark.slots import HOUR_US


@dataclass(frozen=True, kw_only=True)
class StaleSpan:
    """Hours that are served from another version of the code.

    Attributes:
        span: The hours.
        lineage: Who serves them.
        code_version: What they were computed by; "" where nobody noted it.
        property_id: Of this property alone; ``None`` means all.
        is_open: Whether hits on time may still change them, so that newer code takes them over
            by streaming; all others are mended by replay.
    """

    span: Span
    lineage: str
    code_version: str
    property_id: int | None = None
    is_open: bool = False


def stale_spans(places: Places) -> list[StaleSpan]:
    """The recorded hours that are served from another version of the code than this, by time."""
    lineages = LineageRegister(places.wide_rows, utc_us).all()
    found = [
        stale
        for property_id, document in PointerStore(places.wide_rows).everyone().items()
        for interval in document.pointers.intervals
        if interval.lineage in lineages
        for stale in _of_interval(places, interval, lineages[interval.lineage], property_id)
    ]
    return sorted(found, key=lambda one: (one.span, one.property_id or 0))


def _of_interval(
    places: Places, interval: Interval, lineage: Lineage, property_id: int | None
) -> Iterator[StaleSpan]:
    hours = Span(interval.start_us, interval.end_us)
    of_kind = {"replay": _of_replay, "standing": _of_standing, "live": _of_live}[lineage.kind]
    for span, version, is_open in of_kind(places, hours, lineage):
        yield StaleSpan(
            span=span,
            lineage=lineage.name,
            code_version=version,
            property_id=property_id,
            is_open=is_open,
        )


_Found = Iterator[tuple[Span, str, bool]]
"""Hours, the version that decided them, and whether they are open."""


def _of_replay(_places: Places, hours: Span, lineage: Lineage) -> _Found:
    if lineage.code_version != code_version():
        yield hours, lineage.code_version, False


def _of_standing(places: Places, hours: Span, lineage: Lineage) -> _Found:
    clean = CleanHits(places.objects)
    received = [hour for hour in clean.received_hours(lineage.name) if hour in hours]
    by_version: dict[str, list[int]] = {}
    for manifest in clean.manifests(lineage.name, received):
        by_version.setdefault(manifest.code_version, []).append(manifest.received_hour)
    by_version.pop(code_version(), None)
    for version, stale in by_version.items():
        yield from ((span, version, False) for span in spans_of(stale))


def _of_live(places: Places, hours: Span, lineage: Lineage) -> _Found:
    archive = RawArchive(places.objects)
    open_from = first_unsealed_hour(archive.clock(), places.late_us)
    recorded = {
        event_hour
        for received in archive.hours()
        for event_hour in range(received - places.late_us, received + 1, HOUR_US)
    }
    for (start_us, end_us), version in lineage.code_of(hours.start_us, hours.end_us):
        if version == code_version():
            continue
        mine = {hour for hour in recorded if start_us <= hour < end_us}
        for is_open in (False, True):
            some = [hour for hour in mine if (hour >= open_from) == is_open]
            yield from ((span, version, is_open) for span in spans_of(some))
