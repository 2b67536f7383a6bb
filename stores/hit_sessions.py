"""Sessions of single hits: computed anew from what their clients sent around them."""

from collections.abc import Callable
from typing import Final

import polars as pl

from stores.archive.client_requests import NotToldError, client_requests
from stores.archive.port import Objects
from stores.wide_rows.client_touches import pinned_touches
from stores.wide_rows.port import WideRows
from tallymark.hit_cells import sessions_of
from tallymark.hits import request_id_of
from tallymark.passports import counting, understood, with_lateness
from tallymark.pieces import CLIENT
from tallymark.pointer_map import PointerMap
from tallymark.replays import Span, on_time_hours
from tallymark.requests import REQUEST_SCHEMA
from tallymark.slots import HOUR_US, SESSION_ALIGNMENT_US, window_end, window_start

MOST_CLIENTS: Final = 20
"""More clients in one request are not looked for."""


class HitSessions:
    """Tells the sessions of hits.

    Args:
        objects: The archive.
        wide_rows: Where the clients' older touches are.
        properties_of: Rules of the measurement ids it is given (``PROPERTY_SCHEMA``).
        late_us: D.
        most_requests: How many recorded requests may be read for one answer.
    """

    def __init__(
        self,
        objects: Objects,
        wide_rows: WideRows,
        properties_of: Callable[[list[str]], pl.DataFrame],
        *,
        late_us: int,
        most_requests: int,
    ) -> None:
        self._objects = objects
        self._wide_rows = wide_rows
        self._properties_of = properties_of
        self._late_us = late_us
        self._most_requests = most_requests

    def of(
        self, hits: pl.DataFrame, request: pl.DataFrame, served: PointerMap, now_us: int
    ) -> pl.DataFrame:
        """What ``hit_cells.sessions_of`` tells of the hits of one request and property.

        What others sent late is left out, as live lineages leave it out.

        Args:
            hits: ``HIT_SCHEMA``, those that no filter tagged; at least one.
            request: ``REQUEST_SCHEMA``, the request that they are of.
            served: What serves the property.
            now_us: UTC µs.

        Raises:
            NotToldError: when it would take too much reading, or a request around it cannot be
                processed.
            ArchiveDamageError: when a file is missing or cannot be read.
            WideRowsUnavailableError: when the store cannot be read.
        """
        clients = hits.select(CLIENT).unique()
        if clients.height > MOST_CLIENTS:
            raise NotToldError(f"the request holds hits of {clients.height} clients")
        known_from, hours = _around(hits, self._late_us, now_us)
        found = client_requests(
            self._objects,
            hours,
            hits.get_column("measurement_id").unique().to_list(),
            hits.get_column("client_id").unique().to_list(),
            most=self._most_requests,
        )
        around = self._hits(pl.concat([request, found.select(list(REQUEST_SCHEMA))]), hits)
        touches = pinned_touches(self._wide_rows, clients, {None: served}, before_us=known_from)
        return sessions_of(hits, around, touches, known_from)

    def _hits(self, requests: pl.DataFrame, mine: pl.DataFrame) -> pl.DataFrame:
        """The hits of the clients of ``mine`` that count, those of ``mine`` whenever they came."""
        once = requests.unique("request_id", keep="first", maintain_order=True)
        hits = counting(understood(once, self._properties_of).hits)
        if mine.join(hits, on="hit_id", how="anti").height:
            raise NotToldError("a request of the same client cannot be processed")
        own = request_id_of(pl.col("hit_id")).is_in(
            mine.select(request_id_of(pl.col("hit_id"))).to_series().implode()
        )
        of_clients = hits.join(mine.select(CLIENT).unique(), on=list(CLIENT), how="semi")
        return with_lateness(of_clients, self._late_us).filter(~pl.col("is_late") | own).drop(
            "is_late"
        )  # fmt: skip


def _around(hits: pl.DataFrame, late_us: int, now_us: int) -> tuple[int, Span]:
    """The first hour whose sessions are made up whole, and the received hours that takes."""
    first_us, last_us, gap_ms = hits.select(
        first=pl.col("event_at").min(),
        last=pl.col("event_at").max(),
        gap=pl.col("session_gap_ms").max(),
    ).row(0)
    # A session is cut at the second multiple of L after its beginning at the latest.
    known_from = (first_us // SESSION_ALIGNMENT_US - 1) * SESSION_ALIGNMENT_US
    start = window_start(known_from, gap_ms * 1000) // HOUR_US * HOUR_US
    received = on_time_hours(Span(start, window_end(last_us // HOUR_US * HOUR_US)), late_us)
    return known_from, Span(max(0, received.start_us), min(received.end_us, now_us + HOUR_US))
