"""Organisations: whose properties and people they are, and what their properties inherit."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from config_api import checks, inheritance, names
from config_api.errors import NotFoundError
from config_api.rules_documents import checked_rules
from config_api.tables import ORGANISATIONS
from config_api.transaction import Transaction

DEFAULT_NAME: Final = "Default"
"""Of the one that a new database begins with."""

Row = Mapping[str, Any]


def create(transaction: Transaction, *, name: str, default_rules: dict[str, Any]) -> Row:
    """Add an organisation.

    Args:
        transaction: Writes it.
        name: For people.
        default_rules: A rules document; what those of its properties do not say, it says.

    Raises:
        InvalidConfigurationError: with all that is wrong.
    """
    checks.refuse_if(checks.name_problems(name) + checked_rules(default_rules, "default_rules")[1])
    row = {
        "id": transaction.drawn_id(ORGANISATIONS),
        "name": name,
        "default_rules": default_rules,
        "created_at": transaction.now_us,
    }
    transaction.connection.execute(insert(ORGANISATIONS).values(row))
    _note(transaction, "create", row, name=name)
    return row


def ensure_default(transaction: Transaction) -> int:
    """The oldest organisation; one is made where there is none."""
    found = transaction.connection.execute(
        select(ORGANISATIONS.c.id).order_by(ORGANISATIONS.c.created_at, ORGANISATIONS.c.id)
    ).scalar()
    if found is not None:
        return int(found)
    return int(create(transaction, name=DEFAULT_NAME, default_rules={})["id"])


def get(connection: Connection, organisation_id: int) -> Row:
    """The organisation of an id.

    Raises:
        NotFoundError: when there is none.
    """
    query = select(ORGANISATIONS).where(ORGANISATIONS.c.id == organisation_id)
    found = connection.execute(query).mappings().first()
    if found is None:
        raise NotFoundError(names.account(organisation_id))
    return dict(found)


def all_of(connection: Connection, organisation_ids: frozenset[int] | None) -> list[Row]:
    """The organisations by id; ``None`` asks for every one."""
    query = select(ORGANISATIONS).order_by(ORGANISATIONS.c.id)
    if organisation_ids is not None:
        query = query.where(ORGANISATIONS.c.id.in_(organisation_ids))
    return [dict(row) for row in connection.execute(query).mappings()]


def change(
    transaction: Transaction,
    organisation_id: int,
    *,
    name: str | None,
    default_rules: dict[str, Any] | None,
    preparation: int | None = None,
) -> Row:
    """Change what is given; properties follow the defaults in what they do not say themselves.

    Raises:
        InvalidConfigurationError: with all that is wrong.
        NotFoundError: when there is no such organisation.
    """
    row = {**get(transaction.connection, organisation_id)}
    problems = [] if name is None else checks.name_problems(name)
    if default_rules is not None:
        problems += checked_rules(default_rules, "default_rules")[1]
    checks.refuse_if(problems)
    given = {"name": name, "default_rules": default_rules}
    changes = {key: value for key, value in given.items() if value is not None}
    if changes:
        where = ORGANISATIONS.c.id == organisation_id
        transaction.connection.execute(update(ORGANISATIONS).where(where).values(changes))
        _note(transaction, "change", row, **changes)
    if default_rules is not None:
        inheritance.follow(
            transaction, organisation_id, row["default_rules"], default_rules,
            preparation=preparation,
        )  # fmt: skip
    return row | changes


def _note(transaction: Transaction, verb: str, row: Row, **details: object) -> None:
    resource = names.account(row["id"])
    action = f"accounts.{verb}"
    transaction.note(action, resource, organisation_id=row["id"], details=details)
