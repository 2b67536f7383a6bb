"""A transaction that writes: its instant, drawn ids, and what is noted of what it does."""

import string
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Select,
    Table,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from config_api.tables import AUDIT, CHANGES, DATA_STREAMS, FEED
from tallymark.rules_delay import RULES_DELAY_SECONDS

COMMIT_SECONDS: Final = 5
"""A transaction takes no longer, from its instant to its commit, unless it says so."""
MANY_COMMIT_SECONDS: Final = 20
"""One that changes the rules of all properties of an organisation."""
KEPT_CHANGES: Final = 500_000
SECRET_BYTES: Final = 16
_AT_A_TIME: Final = 500
_NO_IDS: Final = literal([], JSON)
_FIRST_ID: Final = 100_000_000
_IDS: Final = 900_000_000
_BASE_36: Final = string.digits + string.ascii_uppercase

RandomBytes = Callable[[int], bytes]
"""Gives so many random bytes, as ``secrets.token_bytes`` does."""


class Transaction:
    """What work in a transaction is given; it is over when ``Database.write`` returns.

    Attributes:
        connection: Where it reads and writes.
        now_us: Its instant, UTC µs, read when no other writer was left before it.
        actor: In whose name it works.
        commit_seconds: It takes no longer, from its instant to its commit; to be set before
            ``effective_at`` is asked for.
    """

    def __init__(
        self,
        connection: Connection,
        feed: Mapping[Any, Any],
        *,
        now_us: int,
        actor: str,
        random_bytes: RandomBytes,
    ) -> None:
        self.connection = connection
        self.now_us = now_us
        self.actor = actor
        self.commit_seconds = COMMIT_SECONDS
        self._feed = feed
        self._random_bytes = random_bytes
        self._changed: dict[int, set[str]] = {}
        self._position = int(feed["position"])

    @property
    def effective_at(self) -> int:
        """UTC µs at which rules saved now take effect: the delay after the latest commit."""
        return self.now_us + (self.commit_seconds + RULES_DELAY_SECONDS) * 1_000_000

    def changed(self, property_id: int, *measurement_ids: str) -> None:
        """Tell the feed of a property, and of measurement ids that it no longer has."""
        self._changed.setdefault(property_id, set()).update(measurement_ids)

    def all_changed(self, property_ids: Select[tuple[int]]) -> int:
        """Tell the feed of many properties, none of which is told of otherwise; how many."""
        owners = property_ids.subquery()
        owner_id = owners.c[0]
        is_postgresql = self.connection.dialect.name == "postgresql"
        as_list = func.json_agg if is_postgresql else func.json_group_array
        measurement_ids = select(func.coalesce(as_list(DATA_STREAMS.c.measurement_id), _NO_IDS))
        rows: Select[Any] = select(
            literal(self._position, BigInteger) + func.row_number().over(order_by=owner_id),
            literal(self.now_us, BigInteger),
            owner_id,
            measurement_ids.where(DATA_STREAMS.c.property_id == owner_id).scalar_subquery(),
        )
        columns = [column.name for column in CHANGES.c]
        self.connection.execute(insert(CHANGES).from_select(columns, rows))
        # Drivers do not tell how many rows a statement with a query in front of it has added.
        newest = self.connection.execute(select(func.max(CHANGES.c.sequence))).scalar()
        count = max(0, (newest or 0) - self._position)
        self._position += count
        return count

    def note(
        self,
        action: str,
        resource: str,
        *,
        organisation_id: int | None = None,
        property_id: int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Write a line of the audit trail. ``details`` hold no secrets."""
        newest = self.connection.execute(select(func.max(AUDIT.c.id))).scalar_one()
        row = {
            "id": (newest or 0) + 1,
            "at": self.now_us,
            "organisation_id": organisation_id,
            "property_id": property_id,
            "actor": self.actor,
            "action": action,
            "resource": resource,
            "details": dict(details or {}),
        }
        self.connection.execute(insert(AUDIT).values(row))

    def drawn_id(self, table: Table) -> int:
        """An id that no row of ``table`` has."""
        while True:
            drawn = _FIRST_ID + self._number() % _IDS
            taken = select(table.c.id).where(table.c.id == drawn)
            if self.connection.execute(taken).first() is None:
                return drawn

    def drawn_measurement_id(self) -> str:
        """``G-`` and ten characters that no data stream has."""
        while True:
            drawn = "G-" + _base_36(self._number(), 10)
            column = DATA_STREAMS.c.measurement_id
            if self.connection.execute(select(column).where(column == drawn)).first() is None:
                return drawn

    def drawn_secret(self) -> str:
        """128 random bits as hex."""
        return self._random_bytes(SECRET_BYTES).hex()

    def number_changes(self) -> None:
        """Append what has changed to the log of the feed."""
        first = self._position + 1
        named = self._measurement_ids()
        rows = [
            {
                "sequence": sequence,
                "at": self.now_us,
                "property_id": property_id,
                "measurement_ids": sorted(named[property_id]),
            }
            for sequence, property_id in enumerate(self._changed, first)
        ]
        if rows:
            self.connection.execute(insert(CHANGES), rows)
        position = self._position + len(rows)
        if position == self._feed["position"]:
            return
        # What one transaction changed is kept however much it is: those who follow have had no
        # chance yet to be told of it.
        kept_after = max(
            self._feed["kept_after"], min(position - KEPT_CHANGES, self._feed["position"])
        )
        self.connection.execute(delete(CHANGES).where(CHANGES.c.sequence <= kept_after))
        self.connection.execute(update(FEED).values(position=position, kept_after=kept_after))

    def _measurement_ids(self) -> dict[int, set[str]]:
        """Of the properties that have changed, those that they no longer have among them."""
        found = {property_id: set(gone) for property_id, gone in self._changed.items()}
        ids = list(found)
        columns = DATA_STREAMS.c.property_id, DATA_STREAMS.c.measurement_id
        for start in range(0, len(ids), _AT_A_TIME):
            some = DATA_STREAMS.c.property_id.in_(ids[start : start + _AT_A_TIME])
            for property_id, measurement_id in self.connection.execute(
                select(*columns).where(some)
            ):
                found[property_id].add(measurement_id)
        return found

    def _number(self) -> int:
        return int.from_bytes(self._random_bytes(8))


def _base_36(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 36)
        text = _BASE_36[digit] + text
    return text
