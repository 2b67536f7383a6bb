"""Endpoints that workers ask: what has changed, and what properties are now."""

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from config_api.calls import Call, Kind, Reply, Request
from config_api.database import Database
from config_api.feed import awaited_changes
from config_api.feed_models import (
    ChangeAnswer,
    ChangesAnswer,
    ChangesAsked,
    LookupAnswer,
    LookupSent,
    PageAsked,
)
from config_api.property_rows import PropertyRows, looked_up, page_of


def _changes(database: Database, request: Request) -> Reply:
    asked: ChangesAsked = request.query
    found = awaited_changes(
        database,
        asked.after,
        wait_seconds=asked.wait,
        stopwatch=time.monotonic,
        limit=asked.limit,
    )
    answer = ChangesAnswer(
        database_id=found.database_id,
        changes=[
            ChangeAnswer(
                sequence=change.sequence,
                property_id=change.property_id,
                measurement_ids=list(change.measurement_ids),
            )
            for change in found.changes
        ],
        position=found.position,
        answered_at=found.answered_at,
    )
    return Reply(answer=answer)


def _lookup(database: Database, request: Request) -> Reply:
    sent: LookupSent = request.body
    return _found(
        database,
        lambda connection: looked_up(
            connection, measurement_ids=sent.measurement_ids, property_ids=sent.property_ids
        ),
    )


def _page(database: Database, request: Request) -> Reply:
    asked: PageAsked = request.query
    return _found(
        database, lambda connection: page_of(connection, after=asked.after, limit=asked.limit)
    )


def _found(database: Database, find: Callable[[Connection], PropertyRows]) -> Reply:
    answered_at = database.now_us()  # before the database is asked, as the feed has it
    with database.reading() as connection:
        found = find(connection)
    answer = LookupAnswer(
        database_id=found.database_id,
        properties=found.rows,
        position=found.position,
        answered_at=answered_at,
    )
    return Reply(answer=answer)


CALLS: Final = (
    Call(
        name="list_changes", method="GET", path="/v1/changes", kind=Kind.FOLLOW,
        function=_changes, summary="Changed properties; waits until there are some",
        query=ChangesAsked, answer=ChangesAnswer,
    ),
    Call(
        name="lookup_properties", method="POST", path="/v1/properties:lookup", kind=Kind.FOLLOW,
        function=_lookup, summary="Properties by id, hashes of their keys included",
        body=LookupSent, answer=LookupAnswer,
    ),
    Call(
        name="page_properties", method="GET", path="/v1/properties:page", kind=Kind.FOLLOW,
        function=_page, summary="All properties by and by, hashes of their keys included",
        query=PageAsked, answer=LookupAnswer,
    ),
)  # fmt: skip
