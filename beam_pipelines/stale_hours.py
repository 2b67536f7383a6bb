"""Stale hours: served from what other code has decided."""

from collections.abc import Iterator
from dataclasses import dataclass

from beam_pipelines.code_version import code_version
from beam_pipelines.generations import Places
from stores.archive.clean import CleanHits
from stores.clock import utc_us
from stores.lineages import LineageRegister
from stores.pointers import PointerStore
from tallymark.due import spans_of
from tallymark.lineages import Lineage
from tallymark.pointer_map import Interval
from tallymark.replays import Span


@dataclass(frozen=True, kw_only=True)
class StaleSpan:
    """Hours that are served from another version of the code.

    Attributes:
        span: The hours.
        lineage: Who serves them.
        code_version: What they were computed by.
        property_id: Of this property alone; ``None`` means all.
    """

    span: Span
    lineage: str
    code_version: str
    property_id: int | None = None


def stale_spans(places: Places) -> list[StaleSpan]:
    """The hours that replays serve from another version of the code than this, by time.

    Hours of live lineages are left out: newer code takes over streaming by itself.
    """
    lineages = LineageRegister(places.wide_rows, utc_us).all()
    found = [
        stale
        for property_id, document in PointerStore(places.wide_rows).everyone().items()
        for interval in document.pointers.intervals
        if interval.lineage in lineages and lineages[interval.lineage].kind != "live"
        for stale in _of_interval(places, interval, lineages[interval.lineage], property_id)
    ]
    return sorted(found, key=lambda one: (one.span, one.property_id or 0))


def _of_interval(
    places: Places, interval: Interval, lineage: Lineage, property_id: int | None
) -> Iterator[StaleSpan]:
    hours = Span(interval.start_us, interval.end_us)
    if lineage.kind == "replay":
        if lineage.code_version != code_version():
            yield StaleSpan(
                span=hours,
                lineage=lineage.name,
                code_version=lineage.code_version,
                property_id=property_id,
            )
        return
    clean = CleanHits(places.objects)
    received = [hour for hour in clean.received_hours(lineage.name) if hour in hours]
    by_version: dict[str, list[int]] = {}
    for manifest in clean.manifests(lineage.name, received):
        by_version.setdefault(manifest.code_version, []).append(manifest.received_hour)
    by_version.pop(code_version(), None)
    for version, stale in by_version.items():
        for span in spans_of(stale):
            yield StaleSpan(
                span=span, lineage=lineage.name, code_version=version, property_id=property_id
            )
