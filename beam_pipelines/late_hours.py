"""Where late hits lie: received hours that hold hits of event hours long past."""

from collections.abc import Collection, Sequence
from typing import Final

from stores.announcements import LATE, RULES
from stores.archive.clean import CleanHits
from stores.archive.port import Objects
from stores.archive.raw import RawArchive
from tallymark.blocks import block_name
from tallymark.replays import Span, late_hours
from tallymark.row_keys import announced_property, announcement_range
from tallymark.slots import HOUR_US, LATE_US

STANDING: Final = "gen-0"
"""The lineage that routine sealing extends: it decodes every received hour."""


def received_hours_with_late_hits(
    objects: Objects,
    wide_rows_url: str,
    event_hours: Sequence[int],
    property_ids: Collection[int] | None = None,
    late_us: int = LATE_US,
) -> set[int]:
    """The received hours that hold late hits of event hours.

    Streaming announces them by the block they came in, or, where it had not known their rules, by
    a block of that hour; the standing lineage knows of what it has decoded itself.

    Args:
        objects: The archive.
        wide_rows_url: Where the announcements are.
        event_hours: UTC µs, ascending.
        property_ids: Only hits of these; None means all.
        late_us: D.
    """
    if not event_hours:
        return set()
    span = Span(event_hours[0], event_hours[-1] + HOUR_US)
    # From the beginning of the span on: between hours that are asked for there may be others.
    candidates = Span(span.start_us, late_hours(span, late_us).end_us)
    found = {
        manifest.received_hour
        for manifest in CleanHits(objects).manifests(STANDING, candidates)
        if manifest.event_hours().keys() & set(event_hours)
    }
    blocks = _announced_blocks(wide_rows_url, span, property_ids)
    if blocks:
        archive = RawArchive(objects)
        for hour_us in archive.hours():
            if hour_us in candidates and hour_us not in found:
                names = archive.blocks(hour_us).select("spool_id", "number").rows()
                if any(block_name(*name) in blocks for name in names):
                    found.add(hour_us)
    return found


def _announced_blocks(
    wide_rows_url: str, span: Span, property_ids: Collection[int] | None
) -> set[str]:
    # What only workers need (the bus, decoding) is not loaded for a command's help.
    from beam_pipelines import workers  # noqa: PLC0415

    ranges = [announcement_range(span.start_us, span.end_us, kind) for kind in (LATE, RULES)]
    announced = workers.wide_rows(wide_rows_url).read(ranges, ("c",))
    return {
        qualifier.decode()
        for key, qualifier in announced.select("row_key", "qualifier").iter_rows()
        if property_ids is None or announced_property(key) in property_ids
    }
