"""Answering: what was announced of hours that a lineage has counted anew."""

from collections.abc import Sequence

from beam_pipelines.places import Places
from stores.announcements import LATE, RULES, STALE, Announcements
from stores.archive.clean import CleanHits
from stores.archive.counted_touches import pinned_versions
from stores.archive.raw import RawArchive
from stores.clock import utc_us
from stores.stale_touches import is_covered
from tallymark.blocks import block_name
from tallymark.lineages import Lineage
from tallymark.replays import LONGEST_LATE_US, Span


def answer_announcements(
    places: Places, lineage: Lineage, spans: Sequence[tuple[int, int]]
) -> None:
    """Note that the late hits of all received hours that a lineage has decoded are counted in,
    by the rules of their time, and by which touches.

    Args:
        places: Where everything is.
        lineage: Which serves these hours now.
        spans: Hours, UTC µs.
    """
    archive = RawArchive(places.objects)
    by_block = [Announcements(places.wide_rows, kind) for kind in (LATE, RULES)]
    decoded = CleanHits(places.objects).received_hours(lineage.name)
    for first_us, end_us in spans:
        told = [one for one in by_block if one.outstanding(first_us, end_us)]
        if not told:
            continue
        blocks = {
            block_name(spool, number).encode()
            for hour in decoded
            if first_us <= hour < end_us + 2 * LONGEST_LATE_US
            for spool, number in archive.blocks(hour).select("spool_id", "number").iter_rows()
        }
        for announcements in told:
            announcements.answer(
                first_us, end_us, blocks, version=utc_us(), property_id=lineage.property_id
            )
    for span in spans:
        _answer_stale(places, lineage, Span(*span))


def _answer_stale(places: Places, lineage: Lineage, hours: Span) -> None:
    """Answer what was announced by pointers that the lineage has counted by, or older ones."""
    announcements = Announcements(places.wide_rows, STALE)
    pinned = pinned_versions(places.objects, lineage.name, hours)
    told: dict[int, set[bytes]] = {}
    for (owner, _), names in announcements.outstanding(hours.start_us, hours.end_us).items():
        told.setdefault(owner, set()).update(names)
    for owner, names in told.items():
        if not pinned or lineage.property_id not in (None, owner):
            continue
        answered = {
            name for name in names if all(is_covered(name, owner, versions) for versions in pinned)
        }
        announcements.answer(
            hours.start_us, hours.end_us, answered, version=utc_us(), property_id=owner
        )
