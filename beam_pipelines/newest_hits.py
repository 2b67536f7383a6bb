"""The newest hits of a property in the archive, a slice of recorded requests at a time."""

from collections.abc import Iterator

import polars as pl

from beam_pipelines.failing_requests import PropertiesOf, process_what_can_be
from stores.archive.port import Objects
from stores.archive.raw_hours import RawHour, RawSlice
from tallymark.hits import empty_hits
from tallymark.properties import Property
from tallymark.replays import Span
from tallymark.requests import requests_naming


def newest_hits(
    objects: Objects,
    hours: Span,
    owner: Property,
    properties_of: PropertiesOf,
    *,
    client_id: str | None = None,
    last: int,
) -> pl.DataFrame:
    """The last hits (``HIT_SCHEMA``) received of a property, the newest first.

    Memory is that of a slice, whatever the hours hold; what was received before all that are kept
    is not read.

    Args:
        objects: The archive.
        hours: Received hours.
        owner: Whose.
        properties_of: Rules of the measurement ids it is given (``PROPERTY_SCHEMA``).
        client_id: Those of this client alone.
        last: How many at most.

    Raises:
        ArchiveDamageError: when a file is missing or cannot be read.
    """
    kept = empty_hits()
    for hour, part, newest_us in _slices(objects, hours):
        if kept.height == last and newest_us < kept.get_column("received_at").item(-1):
            continue
        requests = requests_naming(hour.read(part).requests, owner.measurement_ids)
        hits = process_what_can_be(requests, properties_of)[0].hits
        mine = hits.filter(pl.col("property_id") == owner.property_id)
        if client_id is not None:
            mine = mine.filter(pl.col("client_id") == client_id)
        kept = pl.concat([kept, mine]).sort("received_at", "hit_id", descending=True).head(last)
    return kept


def _slices(objects: Objects, hours: Span) -> Iterator[tuple[RawHour, RawSlice, int]]:
    """The slices of hours, the newest files first, and when the last request of each file came."""
    for hour_us in reversed(list(hours)):
        hour = RawHour(objects, hour_us)
        ends = [file.manifest.last_received_at for file in hour.files]
        for part in sorted(hour.slices(), key=lambda one: (-ends[one.file], one)):
            yield hour, part, ends[part.file]
