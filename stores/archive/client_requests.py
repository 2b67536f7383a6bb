"""Recorded requests of a few clients, picked out of received hours a slice at a time."""

import re
from collections.abc import Collection
from typing import Final

import polars as pl

from stores.archive.port import Objects
from stores.archive.raw_hours import RAW_SCHEMA, RawHour
from tallymark.replays import Span
from tallymark.requests import requests_naming
from tallymark.rules.privacy import ANONYMOUS

MOST_KEPT: Final = 50_000
"""Requests that may be those of the clients; more are not kept in memory."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~-]+")
"""Letters that neither an address nor JSON has to escape."""
_VISITOR: Final = "visitor."
"""What the id of a client begins with that is known by its visitor hash alone."""


class NotToldError(Exception):
    """It would take too much to tell it in passing, or it cannot be told; says why."""


def client_requests(
    objects: Objects,
    hours: Span,
    measurement_ids: Collection[str],
    client_ids: Collection[str],
    *,
    most: int,
) -> pl.DataFrame:
    """Requests (``RAW_SCHEMA``) that may hold hits of clients, each once; some hold none.

    Args:
        objects: The archive.
        hours: Received hours.
        measurement_ids: Of the properties whose hits are wanted.
        client_ids: As hits name them.
        most: How many requests may be read.

    Raises:
        NotToldError: when the hours hold more, or the clients sent very many.
        ArchiveDamageError: when a file is missing or cannot be read.
    """
    every = [RawHour(objects, hour_us) for hour_us in hours]
    held = sum(hour.requests for hour in every)
    if held > most:
        raise NotToldError(f"{held:,} requests would have to be read, {most:,} may be")
    is_one = _is_of(client_ids)
    found, kept = [RAW_SCHEMA.to_frame()], 0
    for hour in every:
        for part in hour.slices():
            named = requests_naming(hour.read(part).requests, measurement_ids)
            found.append(named.filter(is_one))
            kept += found[-1].height
            if kept > MOST_KEPT:
                raise NotToldError(f"the clients sent more than {MOST_KEPT:,} requests")
    return pl.concat(found)


def _is_of(client_ids: Collection[str]) -> pl.Expr:
    """Whether a request may hold a hit of a client. Ids that can be written in several ways, as
    those with a space, or that rules have made are not looked for as text: what each request holds
    is found out later."""
    if any(one.startswith(ANONYMOUS) or not _PLAIN.fullmatch(one) for one in client_ids):
        return pl.lit(value=True)
    visitors = [one.removeprefix(_VISITOR) for one in client_ids if one.startswith(_VISITOR)]
    texts = [pl.col(column).str.contains_any(list(client_ids)) for column in ("query", "body")]
    return pl.any_horizontal(*texts, pl.col("visitor_hash").is_in(visitors))
