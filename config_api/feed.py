"""The feed: which properties have changed, in the order of the commits, for keepers of copies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from config_api.database import Database
from config_api.errors import PositionError
from config_api.tables import CHANGES, FEED

MAX_CHANGES: Final = 1_000
MAX_WAIT_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.25
"""What another process has committed is seen this much later at most."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A property that is no longer as it was, with all its measurement ids, old and new."""

    sequence: int
    property_id: int
    measurement_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """An answer of the feed.

    Attributes:
        database_id: Positions are those of this database; of another they mean nothing.
        changes: In their order, from the position asked for, without gaps.
        position: That of the last of them: where to go on.
        answered_at: UTC µs. What a change that is not here yet makes of rules takes effect
            after ``RULES_DELAY_SECONDS`` from then.
    """

    database_id: str
    changes: tuple[Change, ...]
    position: int
    answered_at: int


def changes_after(database: Database, position: int, *, limit: int = MAX_CHANGES) -> Changes:
    """What has changed after a position.

    Raises:
        PositionError: when the log does not reach there, or begins after it.
    """
    # Before the database is asked: what is committed after this instant takes effect later still.
    answered_at = database.now_us()
    with database.reading() as connection:
        feed = connection.execute(select(FEED)).mappings().one()
        if not feed["kept_after"] <= position <= feed["position"]:
            raise PositionError(
                f"after: got {position}; allowed: {feed['kept_after']} to {feed['position']}: "
                "look all properties up again and go on from the position of that answer"
            )
        query = select(CHANGES).where(CHANGES.c.sequence > position)
        ordered = query.order_by(CHANGES.c.sequence).limit(limit)
        rows = connection.execute(ordered).mappings().all()
    if len(rows) == limit and rows[-1]["sequence"] < feed["position"]:
        # There are more: the answer is only as good as one given when the last of these was saved.
        answered_at = min(answered_at, rows[-1]["at"])
    return Changes(
        database_id=feed["database_id"],
        changes=tuple(
            Change(
                sequence=row["sequence"],
                property_id=row["property_id"],
                measurement_ids=tuple(row["measurement_ids"]),
            )
            for row in rows
        ),
        position=rows[-1]["sequence"] if rows else position,
        answered_at=answered_at,
    )


def awaited_changes(
    database: Database,
    position: int,
    *,
    wait_seconds: float,
    stopwatch: Callable[[], float],
    limit: int = MAX_CHANGES,
) -> Changes:
    """What has changed after a position; waits until something has, ``wait_seconds`` at most.

    Raises:
        PositionError: when the log does not reach there, or begins after it.
    """
    until = stopwatch() + wait_seconds
    while True:
        found = changes_after(database, position, limit=limit)
        left = until - stopwatch()
        if found.changes or left <= 0:
            return found
        database.wait_for_commit(min(left, LOOK_SECONDS))


def newest_position(database: Database) -> int:
    """The sequence of the newest change.

    Raises:
        DatabaseUnavailableError: when the database does not answer.
    """
    with database.reading() as connection:
        return int(connection.execute(select(FEED.c.position)).scalar_one())
