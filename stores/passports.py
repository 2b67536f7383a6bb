"""Passports of hits: found in the archive, understood anew, held against what is stored."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl

from stores.archive.client_requests import NotToldError
from stores.archive.found_requests import Search, archived_through, find_request
from stores.archive.port import Objects
from stores.hit_sessions import HitSessions
from stores.lineages import LineageRegister
from stores.pointers import PointerStore
from stores.rules_cache.port import RulesCache
from stores.stored_rows import with_stored_rows
from stores.wide_rows.port import WideRows
from tallymark.hit_cells import cells_of, with_cell_keys
from tallymark.hit_names import HitName
from tallymark.lineages import Lineage
from tallymark.passports import (
    Understood,
    counting,
    hit_document,
    letter_documents,
    repeated,
    request_document,
    session_documents,
    understood,
    with_lateness,
)
from tallymark.pointer_map import PointerMap
from tallymark.properties import Property
from tallymark.replays import hour_text
from tallymark.requests import REQUEST_SCHEMA, named_measurement_ids
from tallymark.slots import LATE_US

ARCHIVED_SOON_US = 120_000_000
"""A request is in the archive so long after its receipt, in a stack that keeps up."""


class HitNotFoundError(LookupError):
    """There is no such hit in the archive, or not yet; the message says where was looked."""


class Passports:
    """Passports of the hits of one archive.

    Args:
        objects: The archive.
        wide_rows: Cells, pointers and the register of lineages.
        rules: Properties and their rules.
        now_us: UTC µs.
        late_us: D.
        most_requests: How many recorded requests may be read to tell a hit's session.
    """

    def __init__(
        self,
        objects: Objects,
        wide_rows: WideRows,
        rules: RulesCache,
        now_us: Callable[[], int],
        late_us: int = LATE_US,
        *,
        most_requests: int = 200_000,
    ) -> None:
        self._objects = objects
        self._wide_rows = wide_rows
        self._pointers = PointerStore(wide_rows)
        self._register = LineageRegister(wide_rows, now_us)
        self._sessions = HitSessions(
            objects, wide_rows, rules.frame, late_us=late_us, most_requests=most_requests
        )
        self._rules = rules
        self._now_us = now_us
        self._late_us = late_us

    def passport(self, name: HitName, owner: Property | None = None) -> dict[str, Any]:
        """All that can be told of a hit, or of all hits of a request, as one JSON document.

        Args:
            name: Which.
            owner: Whose eyes it is for: what is of others is not told, nor what the collector
                found out of the visitor (network and hash). ``None`` for who has the archive.

        Raises:
            HitNotFoundError: when it is not there, or is no hit of the owner's.
            ArchiveDamageError: when a file cannot be read.
            WideRowsUnavailableError: when the store cannot be read.
        """
        now_us = self._now_us()
        search = find_request(self._objects, name.request_id, name.named_at, now_us)
        if search.requests.is_empty():
            raise HitNotFoundError(self._not_found(name, search, now_us))
        request = search.requests.head(1)
        told = understood(request, self._rules.frame)
        is_whole = owner is None or _names_alone(request, owner)
        hits = told.hits if owner is None else _of(told.hits, owner)
        if owner is not None and hits.is_empty() and not is_whole:
            raise HitNotFoundError(self._not_found(name, search, now_us))
        chosen = hits
        if name.index is not None:
            chosen = hits.filter(pl.col("hit_id") == str(name))
            if chosen.is_empty() and hits.height:
                raise HitNotFoundError(self._not_found(name, search, now_us))
        return {
            "name": str(name),
            "request": _request(search, is_whole=is_whole, is_owner=owner is not None),
            "hits": self._hits(chosen, request.select(list(REQUEST_SCHEMA))),
            "hits_of_request": hits.height,
            "dead_letters": _letters(told, is_whole=is_whole),
        }

    def _hits(self, hits: pl.DataFrame, request: pl.DataFrame) -> list[dict[str, Any]]:
        """A document a hit, in the order of the request."""
        register = self._register.all() if hits.height else {}
        documents = []
        for (owner,), mine in hits.partition_by("property_id", as_dict=True).items():
            served = self._pointers.pointers(int(str(owner))).served
            sessions, why_not = self._sessions_of(counting(mine), request, served)
            told, repeats = session_documents(sessions), repeated(sessions)
            cells = self._cells(counting(mine), sessions, served)
            for hit in with_lateness(mine, self._late_us).iter_rows(named=True):
                lineage = served.lineage_at(hit["event_at"])
                documents.append(
                    hit_document(hit, lineage=lineage)
                    | {
                        "session": told.get(hit["hit_id"]),
                        **{name: hit["hit_id"] in ids for name, ids in repeats.items()},
                        "session_not_told": "" if hit["excluded_by"] else why_not,
                        "computed_by": _computed_by(register.get(lineage or "")),
                        "cells": cells.get(hit["hit_id"], []),
                    }
                )
        return sorted(documents, key=lambda document: str(document["hit_id"]))

    def _sessions_of(
        self, hits: pl.DataFrame, request: pl.DataFrame, served: PointerMap
    ) -> tuple[pl.DataFrame | None, str]:
        """What the sessions of hits say, or why that is not told."""
        if hits.is_empty():
            return None, ""
        try:
            return self._sessions.of(hits, request, served, self._now_us()), ""
        except NotToldError as error:
            return None, str(error)

    def _cells(
        self, hits: pl.DataFrame, sessions: pl.DataFrame | None, served: PointerMap
    ) -> dict[str, list[dict[str, Any]]]:
        """The cells of each hit of a property that counts, with what is stored of them."""
        cells = cells_of(hits, sessions)
        serving = [served.lineage_at(slot) for slot in cells.get_column("slot_start")]
        placed = cells.with_columns(pl.Series("lineage", serving, dtype=pl.String))
        placed = placed.filter(pl.col("lineage").is_not_null())
        told = with_stored_rows(with_cell_keys(placed), self._wide_rows)
        found: dict[str, list[dict[str, Any]]] = {}
        for cell in told.drop("client_hash", "property_id").iter_rows(named=True):
            numbers = orjson.loads(cell["numbers"]) if cell["numbers"] else None
            found.setdefault(cell.pop("hit_id"), []).append(cell | {"numbers": numbers})
        return found

    def _not_found(self, name: HitName, search: Search, now_us: int) -> str:
        """What is said of a hit that is not there: the same of one that is another's."""
        if search.first_hour >= search.end_hour:
            return f"hit {name}: its id is of a time that has not come yet"
        soon = now_us - ARCHIVED_SOON_US
        if min(archived_through(self._objects, search.end_hour) or soon, soon) <= name.named_at:
            at = datetime.fromtimestamp(name.named_at / 1e6, UTC)
            return (
                f"hit {name} is not archived yet, if there is one: its id is of "
                f"{at:%Y-%m-%dT%H:%M:%S}Z, and requests are archived about a minute after they "
                "were received. Try again in a minute"
            )
        looked = f"{hour_text(search.first_hour)} to {hour_text(search.end_hour - 1)}"
        return (
            f"there is no hit {name} in the archive: the received hours {looked} were looked "
            "through. If it was sent within the last minute, try again in a minute"
        )


def _computed_by(lineage: Lineage | None) -> dict[str, Any] | None:
    """Of what code and rules the serving lineage is: others may have decided otherwise."""
    if lineage is None:
        return None
    return {"code_version": lineage.code_version, "rules": lineage.rules}


def _of(hits: pl.DataFrame, owner: Property) -> pl.DataFrame:
    return hits.filter(pl.col("property_id") == owner.property_id)


def _names_alone(request: pl.DataFrame, owner: Property) -> bool:
    """Whether a request names this property and none beside it, so that all of it is its own."""
    named = named_measurement_ids(request)
    return bool(named) and named <= set(owner.measurement_ids)


def _request(search: Search, *, is_whole: bool, is_owner: bool) -> dict[str, Any]:
    row = search.requests.row(0, named=True)
    document = request_document(search.requests.head(1))
    if is_owner:
        del document["ip_network"], document["visitor_hash"]
    if not is_whole:
        document = {name: document[name] for name in ("request_id", "received_at")}
    return document | {
        "archived_in": hour_text(row["received_at"] // 3_600_000_000 * 3_600_000_000),
        "spool_id": row["spool_id"],
        "block_number": row["number"],
        "copies": search.requests.height,
    }


def _letters(told: Understood, *, is_whole: bool) -> list[dict[str, Any]]:
    return letter_documents(told.letters) if is_whole else []
