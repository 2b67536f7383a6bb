"""Properties: made with rules that their organisation begins with, found, renamed."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from config_api import checks, names, organisations, rules_versions
from config_api.errors import NotFoundError
from config_api.rules_documents import checked_rules
from config_api.tables import PROPERTIES
from config_api.transaction import Transaction

Row = Mapping[str, Any]


def create(
    transaction: Transaction, organisation_id: int, *, name: str, rules: dict[str, Any]
) -> Row:
    """Add a property.

    Args:
        transaction: Writes it.
        organisation_id: Whose; its default rules say what ``rules`` does not.
        name: For people.
        rules: The parts of a rules document that are its own.

    Raises:
        InvalidConfigurationError: with all that is wrong.
        NotFoundError: when there is no such organisation.
    """
    owner = organisations.get(transaction.connection, organisation_id)
    found, problems = checked_rules(rules, defaults=owner["default_rules"])
    checks.refuse_if(checks.name_problems(name) + problems)
    assert found is not None
    row: dict[str, Any] = {
        "id": transaction.drawn_id(PROPERTIES),
        "organisation_id": organisation_id,
        "name": name,
        "created_at": transaction.now_us,
        "updated_at": transaction.now_us,
    }
    transaction.connection.execute(insert(PROPERTIES).values(row))
    rules_versions.begin(transaction, row["id"], found)
    _note(transaction, "create", row, name=name)
    transaction.changed(row["id"])
    return row


def get(connection: Connection, property_id: int) -> Row:
    """The property of an id.

    Raises:
        NotFoundError: when there is none.
    """
    query = select(PROPERTIES).where(PROPERTIES.c.id == property_id)
    found = connection.execute(query).mappings().first()
    if found is None:
        raise NotFoundError(names.property_name(property_id))
    return dict(found)


def all_of(
    connection: Connection,
    *,
    organisation_ids: Collection[int] | None = None,
    property_id: int | None = None,
    after: int = 0,
    limit: int | None = None,
) -> list[Row]:
    """Properties by id.

    Args:
        connection: Where they are.
        organisation_ids: Of these organisations alone.
        property_id: This one alone.
        after: Those with a greater id.
        limit: How many at most.
    """
    query = select(PROPERTIES).where(PROPERTIES.c.id > after).order_by(PROPERTIES.c.id)
    if organisation_ids is not None:
        query = query.where(PROPERTIES.c.organisation_id.in_(organisation_ids))
    if property_id is not None:
        query = query.where(PROPERTIES.c.id == property_id)
    return [dict(row) for row in connection.execute(query.limit(limit)).mappings()]


def change(transaction: Transaction, property_id: int, *, name: str | None) -> Row:
    """Rename a property, if a name is given.

    Raises:
        InvalidConfigurationError: when the name cannot be.
        NotFoundError: when there is no such property.
    """
    row = get(transaction.connection, property_id)
    if name is None:
        return row
    checks.refuse_if(checks.name_problems(name))
    changes = {"name": name, "updated_at": transaction.now_us}
    where = PROPERTIES.c.id == property_id
    transaction.connection.execute(update(PROPERTIES).where(where).values(changes))
    _note(transaction, "change", row, name=name)
    transaction.changed(property_id)
    return {**row, **changes}


def _note(transaction: Transaction, verb: str, row: Row, **details: object) -> None:
    transaction.note(
        f"properties.{verb}",
        names.property_name(row["id"]),
        organisation_id=row["organisation_id"],
        property_id=row["id"],
        details=details,
    )
