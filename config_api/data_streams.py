"""Data streams: what sends the hits of a property, each under a measurement id of its own."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from config_api import checks, names, properties
from config_api.errors import NotFoundError
from config_api.tables import DATA_STREAMS
from config_api.transaction import Transaction
from stores.rules_cache.problems import list_problems
from stores.rules_cache.stream_documents import HOST, HOSTS_ALLOWED
from tallymark.enhanced_measurement import SWITCHES
from tallymark.problems import Problem

MAX_HOSTS: Final = 200
ALL_ON: Final = dict.fromkeys(SWITCHES, True)

Row = Mapping[str, Any]


def create(
    transaction: Transaction,
    property_id: int,
    *,
    name: str,
    allowed_hosts: list[str] | None = None,
    enhanced_measurement: Mapping[str, bool] = ALL_ON,
) -> Row:
    """Add a data stream; its measurement id is drawn.

    Raises:
        InvalidConfigurationError: with all that is wrong.
        NotFoundError: when there is no such property.
    """
    owner = properties.get(transaction.connection, property_id)
    hosts = allowed_hosts or []
    checks.refuse_if(checks.name_problems(name) + _hosts_problems(hosts))
    row = {
        "id": transaction.drawn_id(DATA_STREAMS),
        "property_id": property_id,
        "measurement_id": transaction.drawn_measurement_id(),
        "name": name,
        "allowed_hosts": hosts,
        "enhanced_measurement": ALL_ON | dict(enhanced_measurement),
        "created_at": transaction.now_us,
        "updated_at": transaction.now_us,
    }
    transaction.connection.execute(insert(DATA_STREAMS).values(row))
    _note(transaction, "create", owner, row, name=name, measurement_id=row["measurement_id"])
    transaction.changed(property_id)
    return row


def get(connection: Connection, property_id: int, stream_id: int) -> Row:
    """The stream of an id in a property.

    Raises:
        NotFoundError: when there is none.
    """
    query = select(DATA_STREAMS).where(
        DATA_STREAMS.c.id == stream_id, DATA_STREAMS.c.property_id == property_id
    )
    found = connection.execute(query).mappings().first()
    if found is None:
        raise NotFoundError(names.data_stream(property_id, stream_id))
    return dict(found)


def all_of(connection: Connection, property_id: int) -> list[Row]:
    """The streams of a property, in the order in which they were made."""
    query = select(DATA_STREAMS).where(DATA_STREAMS.c.property_id == property_id)
    ordered = query.order_by(DATA_STREAMS.c.created_at, DATA_STREAMS.c.id)
    return [dict(row) for row in connection.execute(ordered).mappings()]


def change(
    transaction: Transaction,
    property_id: int,
    stream_id: int,
    *,
    name: str | None = None,
    allowed_hosts: list[str] | None = None,
    enhanced_measurement: Mapping[str, bool] | None = None,
) -> Row:
    """Change what is given.

    Raises:
        InvalidConfigurationError: with all that is wrong.
        NotFoundError: when there is no such stream.
    """
    row = get(transaction.connection, property_id, stream_id)
    owner = properties.get(transaction.connection, property_id)
    problems = [] if name is None else checks.name_problems(name)
    checks.refuse_if(problems + _hosts_problems(allowed_hosts or []))
    changes: dict[str, Any] = {} if name is None else {"name": name}
    if allowed_hosts is not None:
        changes["allowed_hosts"] = allowed_hosts
    if enhanced_measurement:
        changes["enhanced_measurement"] = row["enhanced_measurement"] | dict(enhanced_measurement)
    if not changes:
        return row
    changes["updated_at"] = transaction.now_us
    where = DATA_STREAMS.c.id == stream_id
    transaction.connection.execute(update(DATA_STREAMS).where(where).values(changes))
    _note(transaction, "change", owner, row, **changes)
    transaction.changed(property_id)
    return {**row, **changes}


def _hosts_problems(hosts: list[str]) -> list[Problem]:
    if len(hosts) > MAX_HOSTS:
        allowed = f"up to {MAX_HOSTS} hosts"
        return [Problem(where="allowed_hosts", got=f"{len(hosts)} hosts", allowed=allowed)]
    return list_problems(hosts, HOST, "allowed_hosts", HOSTS_ALLOWED)


def _note(transaction: Transaction, verb: str, owner: Row, row: Row, **details: object) -> None:
    transaction.note(
        f"dataStreams.{verb}",
        names.data_stream(owner["id"], row["id"]),
        organisation_id=owner["organisation_id"],
        property_id=owner["id"],
        details=details,
    )
