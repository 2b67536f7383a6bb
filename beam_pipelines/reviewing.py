"""Reviewing: a lineage held against what is served, wherever the parts of it lie."""

from collections.abc import Iterable, Sequence

from beam_pipelines.places import Places
from stores.archive.clean import CleanHits, CleanManifest
from stores.reviews import Report as ReviewReport
from stores.reviews import Review, review
from stores.source_changes import changed_sources
from tallymark.checks import Bounds
from tallymark.divergences import LiveAudit
from tallymark.lineages import Lineage


def reviewed(
    places: Places,
    lineage: Lineage,
    spans: Sequence[tuple[int, int]],
    *,
    manifests: Iterable[CleanManifest] | None = None,
    property_ids: Iterable[int] | None = None,
    against: str = "",
    bounds: Bounds | None = None,
    is_acknowledged: bool = False,
    live_audit: LiveAudit | None = None,
    report: ReviewReport | None = None,
) -> Review:
    """A lineage held against what is served, against itself, and against what it was made of.

    Args:
        places: Where everything is.
        lineage: Which.
        spans: Hours (UTC µs) that it has computed.
        manifests: Of the clean hits it was computed from; ``None`` takes all of its own.
        property_ids: Of these alone; ``None`` takes all that it computed.
        against: A lineage to compare with in place of what is served.
        bounds: How far it may be from what is served; ``None`` takes the default.
        is_acknowledged: Whether a change beyond them is meant.
        live_audit: Holds it against what live lineages serve; ``None`` leaves it out.
        report: Told how far the review is.
    """
    if manifests is None:
        clean = CleanHits(places.objects)
        manifests = clean.manifests(lineage.name, clean.received_hours(lineage.name))
    if property_ids is None and lineage.property_id is not None:
        property_ids = [lineage.property_id]
    if property_ids is None:
        property_ids = [owner.property_id for owner in places.properties()]
    property_ids = list(property_ids)
    return review(
        places.wide_rows,
        lineage.name,
        spans,
        property_ids,
        sources=changed_sources(
            places.wide_rows, places.objects, lineage.name, spans, property_ids, against=against
        ),
        counts={one.received_hour: one.conservation for one in manifests},
        against=against,
        bounds=bounds,
        is_acknowledged=is_acknowledged,
        live_audit=live_audit,
        report=report,
    )
