"""Recorded requests of a few clients, picked out of received hours a slice at a time."""

from collections.abc import Collection
from typing import Final
from urllib.parse import quote

import polars as pl

from stores.archive.port import Objects
from stores.archive.raw_hours import RAW_SCHEMA, RawHour
from tallymark.replays import Span

MOST_KEPT: Final = 50_000
"""Requests that may be those of the clients; more are not kept in memory."""


class NotToldError(Exception):
    """It would take too much to tell it in passing, or it cannot be told; says why."""


def client_requests(
    objects: Objects, hours: Span, client_ids: Collection[str], visitor_hash: str, *, most: int
) -> pl.DataFrame:
    """Requests (``RAW_SCHEMA``) that may hold hits of clients, each once; some hold none.

    Args:
        objects: The archive.
        hours: Received hours.
        client_ids: As clients name themselves.
        visitor_hash: Of who names itself not at all; "" for nobody.
        most: How many requests may be read.

    Raises:
        NotToldError: when the hours hold more, or the clients sent very many.
        ArchiveDamageError: when a file is missing or cannot be read.
    """
    every = [RawHour(objects, hour_us) for hour_us in hours]
    held = sum(hour.requests for hour in every)
    if held > most:
        raise NotToldError(f"{held:,} requests would have to be read, {most:,} may be")
    texts = {form for client_id in client_ids for form in (client_id, quote(client_id, safe=""))}
    names_one = pl.any_horizontal(
        pl.col(column).str.contains_any(sorted(texts)) for column in ("query", "body")
    )
    is_visitor = pl.col("visitor_hash") == visitor_hash if visitor_hash else pl.lit(value=False)
    found, kept = [RAW_SCHEMA.to_frame()], 0
    for hour in every:
        for part in hour.slices():
            found.append(hour.read(part).requests.filter(names_one | is_visitor))
            kept += found[-1].height
            if kept > MOST_KEPT:
                raise NotToldError(f"the clients sent more than {MOST_KEPT:,} requests")
    return pl.concat(found)
