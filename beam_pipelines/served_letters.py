"""Dead letters of received hours, from the lineages that serve these hours."""

from collections.abc import Iterator

import polars as pl

from beam_pipelines.places import Places
from stores.archive.dead_letters import DeadLetters
from stores.pointers import PointerStore
from tallymark.lineages import Span as Pair
from tallymark.replays import Span
from tallymark.slots import HOUR_US


def served_letters(
    places: Places, hours: Span, *, property_id: int | None = None, lineage: str = ""
) -> Iterator[pl.DataFrame]:
    """The letters (``DEAD_LETTER_SCHEMA``) of each received hour that has any, by time.

    Args:
        places: Where archive and pointers are.
        hours: Received hours.
        property_id: As these hours are served of this property.
        lineage: In place of those that serve.
    """
    letters = DeadLetters(places.objects)
    for name, (start_us, end_us) in _parts(places, hours, property_id, lineage):
        yield from letters.by_hour(name, start_us, end_us)


def _parts(
    places: Places, hours: Span, property_id: int | None, lineage: str
) -> Iterator[tuple[str, Pair]]:
    if lineage:
        yield lineage, (hours.start_us, hours.end_us)
        return
    pointers = PointerStore(places.wide_rows)
    served = (
        pointers.held().document.pointers
        if property_id is None
        else pointers.pointers(property_id).served
    )
    for part in served.intervals:
        start_us, end_us = max(part.start_us, hours.start_us), min(part.end_us, hours.end_us)
        if start_us + HOUR_US <= end_us:
            yield part.lineage, (start_us, end_us)
