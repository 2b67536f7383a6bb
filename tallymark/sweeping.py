"""Sweeping: which generations and ended streams nobody needs any more."""

from collections.abc import Collection, Mapping
from typing import Final

from tallymark.lineages import Lineage, Span, merged_spans, outside
from tallymark.pointer_map import PointerMap
from tallymark.slots import DAY_US, HOUR_US

KEPT_GENERATIONS: Final = 3
"""The newest that were computed to their end, served or not: to go back, or to look at."""
GRACE_US: Final = HOUR_US
"""A reader that took the pointers before they changed is long done by then."""
ABANDONED_US: Final = 3 * DAY_US
"""A computation that has noted nothing for so long has ended."""


def sweepable(
    lineages: Mapping[str, Lineage],
    named: Collection[str],
    *,
    now_us: int,
    kept: int = KEPT_GENERATIONS,
    grace_us: int = GRACE_US,
) -> list[Lineage]:
    """The lineages whose cells and files may be deleted: generations, oldest first, then streams.

    Neither the standing lineage is among them, nor a live one whose job has not ended, nor those
    that serve or whose clean hits another one was computed from that is kept.

    Args:
        lineages: The register, by name.
        named: Those that pointers name, or have named within the grace period.
        now_us: UTC µs.
        kept: How many of the newest generations stay, whether they serve or not.
        grace_us: How long a lineage stays after its document has changed.
    """
    reasons = reasons_to_stay(lineages, named, now_us=now_us, kept=kept, grace_us=grace_us)
    going = [lineages[name] for name, reason in reasons.items() if not reason]
    return sorted(going, key=lambda each: (each.kind == "live", each.number))


def reasons_to_stay(
    lineages: Mapping[str, Lineage],
    named: Collection[str],
    *,
    now_us: int,
    kept: int = KEPT_GENERATIONS,
    grace_us: int = GRACE_US,
) -> dict[str, str]:
    """For each lineage that was not swept why it stays, in a few words; "" where nothing holds it.

    Args: as ``sweepable``.
    """
    held = {name: each for name, each in lineages.items() if each.state != "swept"}
    done = sorted(
        (each for each in held.values() if each.kind == "replay" and each.state != "computing"),
        key=lambda each: each.number,
    )
    newest = {each.name for each in done[len(done) - min(kept, len(done)) :]}
    reasons = {
        name: _own_reason(
            each, now_us, grace_us, is_named=name in named, is_new=name in newest, kept=kept
        )
        for name, each in held.items()
    }
    fresh = [name for name, reason in reasons.items() if reason]
    while fresh:
        reader = fresh.pop()
        for name in {part.lineage for part in held[reader].inputs}:
            if name in reasons and not reasons[name]:
                reasons[name] = f"{reader} was computed from it"
                fresh.append(name)
    return reasons


def _own_reason(
    lineage: Lineage, now_us: int, grace_us: int, *, is_named: bool, is_new: bool, kept: int
) -> str:
    if lineage.kind == "standing":
        return "sealed hours"
    if is_named or lineage.state == "published":
        return "serves, or did a moment ago"
    if lineage.kind == "live" and lineage.state != "withdrawn":
        return "streams"
    if is_new:
        return f"of the newest {kept}"
    is_computing = lineage.state == "computing"
    if now_us - lineage.changed_at < (max(grace_us, ABANDONED_US) if is_computing else grace_us):
        return "is being computed" if is_computing else "changed a moment ago"
    return ""


def idle_spans(
    served: PointerMap, lineages: Mapping[str, Lineage], due: Collection[Span], through_us: int
) -> list[Span]:
    """Hours that ended streams serve and hold nothing of, so that the standing lineage may.

    They are sealed, and nothing that was received belongs into them: else they are to be computed.

    Args:
        served: The pointer map.
        lineages: The register, by name.
        due: Spans of hours (UTC µs) that are received and not computed yet.
        through_us: UTC µs; hours from it on are not sealed.
    """
    ended = {each.name for each in lineages.values() if each.kind == "live"
             and each.state == "withdrawn"}  # fmt: skip
    computing = merged_spans(due)
    return [
        (first, end)
        for part in served.intervals
        if part.lineage in ended
        for first, end in outside(part.start_us, min(part.end_us, through_us), computing)
    ]
