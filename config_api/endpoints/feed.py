"""Endpoints that workers ask: what has changed, and what properties are now."""

import time
from typing import Final

from config_api.calls import Call, Kind, Reply, Request
from config_api.database import Database
from config_api.feed import awaited_changes
from config_api.feed_models import (
    ChangeAnswer,
    ChangesAnswer,
    ChangesAsked,
    LookupAnswer,
    LookupSent,
)
from config_api.property_rows import looked_up


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
    answered_at = database.now_us()  # before the database is asked, as the feed has it
    with database.reading() as connection:
        found = looked_up(
            connection, measurement_ids=sent.measurement_ids, property_ids=sent.property_ids
        )
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
)  # fmt: skip
