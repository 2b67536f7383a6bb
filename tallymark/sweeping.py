"""Sweeping: which generations nobody needs any more."""

from collections.abc import Collection, Mapping
from typing import Final

from tallymark.lineages import Lineage
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
    """The generations whose cells and files may be deleted, oldest first.

    Neither the standing lineage nor live ones are, nor those that serve or whose clean hits
    another one was computed from that is kept.

    Args:
        lineages: The register, by name.
        named: Those that pointers name, or have named within the grace period.
        now_us: UTC µs.
        kept: How many of the newest generations stay, whether they serve or not.
        grace_us: How long a generation stays after its document has changed.
    """
    generations = sorted(
        (each for each in lineages.values() if each.kind == "replay" and each.state != "swept"),
        key=lambda each: each.number,
    )
    done = [each.name for each in generations if each.state != "computing"]
    newest = set(done[len(done) - min(kept, len(done)) :])
    needed = {
        each.name
        for each in lineages.values()
        if each.kind != "replay"
        or each.name in named
        or each.name in newest
        or _is_in_use(each, now_us, grace_us)
    }
    needed = _with_inputs(needed, lineages)
    return [each for each in generations if each.name not in needed]


def _is_in_use(lineage: Lineage, now_us: int, grace_us: int) -> bool:
    if lineage.state == "swept":
        return False
    patience_us = max(grace_us, ABANDONED_US) if lineage.state == "computing" else grace_us
    return lineage.state == "published" or now_us - lineage.changed_at < patience_us


def _with_inputs(names: set[str], lineages: Mapping[str, Lineage]) -> set[str]:
    """Those too whose clean hits these were computed from, and so on."""
    found, fresh = set(names), set(names)
    while fresh:
        read = {
            part.lineage for name in fresh if name in lineages for part in lineages[name].inputs
        }
        fresh = read - found
        found |= fresh
    return found
