"""Members: people, and the role that each has in an organisation."""

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from config_api import checks, names, organisations
from config_api.access import ROLES, Role
from config_api.errors import ConflictError, NotFoundError
from config_api.tables import MEMBERSHIPS, USERS
from config_api.transaction import Transaction
from tallymark.problems import Problem

_EMAIL: Final = re.compile(r"(?=.{3,254}$)[^@\s]{1,64}@[^@\s]+")

Row = Mapping[str, Any]


def create_user(transaction: Transaction, *, email: str, name: str) -> Row:
    """Add a user, who may nothing yet.

    Raises:
        ConflictError: when somebody has the address.
        InvalidConfigurationError: with all that is wrong.
    """
    problems = checks.name_problems(name)
    if not _EMAIL.fullmatch(email) or not email.isprintable():
        allowed = "a mail address, such as jane@shop.example"
        problems.append(Problem(where="email", got=email, allowed=allowed))
    checks.refuse_if(problems)
    address = email.lower()
    if user_of_address(transaction.connection, address) is not None:
        raise ConflictError("email: a user has this address")
    user_id = transaction.drawn_id(USERS)
    row: dict[str, Any] = {
        "id": user_id,
        "email": address,
        "name": name,
        "created_at": transaction.now_us,
    }
    transaction.connection.execute(insert(USERS).values(row))
    transaction.note("users.create", names.user(user_id), details={"name": name})
    return row


def users(connection: Connection, organisation_ids: frozenset[int] | None) -> list[Row]:
    """Users who are members of the organisations; ``None`` asks for every user."""
    query = select(USERS).order_by(USERS.c.id)
    if organisation_ids is not None:
        there = select(MEMBERSHIPS.c.user_id).where(
            MEMBERSHIPS.c.organisation_id.in_(organisation_ids)
        )
        query = query.where(USERS.c.id.in_(there))
    return [dict(row) for row in connection.execute(query).mappings()]


def user(connection: Connection, user_id: int) -> Row:
    """The user of an id.

    Raises:
        NotFoundError: when there is none.
    """
    found = connection.execute(select(USERS).where(USERS.c.id == user_id)).mappings().first()
    if found is None:
        raise NotFoundError(names.user(user_id))
    return dict(found)


def user_of_address(connection: Connection, email: str) -> Row | None:
    """The user who has a mail address."""
    query = select(USERS).where(USERS.c.email == email.lower())
    found = connection.execute(query).mappings().first()
    return None if found is None else dict(found)


def membership(connection: Connection, organisation_id: int, user_id: int) -> Row:
    """What a user is in an organisation.

    Raises:
        NotFoundError: when it is no member.
    """
    query = select(MEMBERSHIPS).where(*_is(organisation_id, user_id))
    found = connection.execute(query).mappings().first()
    if found is None:
        raise NotFoundError(f"{names.account(organisation_id)}/memberships/{user_id}")
    return dict(found)


def memberships(connection: Connection, organisation_id: int) -> list[Row]:
    """Who belongs to an organisation."""
    query = select(MEMBERSHIPS).where(MEMBERSHIPS.c.organisation_id == organisation_id)
    rows = connection.execute(query.order_by(MEMBERSHIPS.c.user_id)).mappings()
    return [dict(row) for row in rows]


def roles_of(connection: Connection, user_id: int) -> dict[int, Role]:
    """The roles of a user by organisation."""
    query = select(MEMBERSHIPS).where(MEMBERSHIPS.c.user_id == user_id)
    rows = connection.execute(query).mappings()
    return {row["organisation_id"]: ROLES[row["role"]] for row in rows}


def set_role(transaction: Transaction, organisation_id: int, user_id: int, role: str) -> Row:
    """Give a user a role, in place of the one that it has.

    Raises:
        InvalidConfigurationError: when there is no such role.
        NotFoundError: when there is no such organisation or user.
    """
    connection = transaction.connection
    organisations.get(connection, organisation_id)
    user(connection, user_id)
    if role not in ROLES:
        checks.refuse_if([Problem(where="role", got=role, allowed=", ".join(ROLES))])
    where = _is(organisation_id, user_id)
    if connection.execute(update(MEMBERSHIPS).where(*where).values(role=role)).rowcount == 0:
        row = {
            "organisation_id": organisation_id,
            "user_id": user_id,
            "role": role,
            "created_at": transaction.now_us,
        }
        connection.execute(insert(MEMBERSHIPS).values(row))
    _note(transaction, "put", organisation_id, user_id, role=role)
    return dict(connection.execute(select(MEMBERSHIPS).where(*where)).mappings().one())


def remove(transaction: Transaction, organisation_id: int, user_id: int) -> None:
    """End a membership.

    Raises:
        NotFoundError: when there is none.
    """
    where = _is(organisation_id, user_id)
    if transaction.connection.execute(delete(MEMBERSHIPS).where(*where)).rowcount == 0:
        raise NotFoundError(f"{names.account(organisation_id)}/memberships/{user_id}")
    _note(transaction, "delete", organisation_id, user_id)


def _is(organisation_id: int, user_id: int) -> tuple[Any, Any]:
    columns = MEMBERSHIPS.c
    return columns.organisation_id == organisation_id, columns.user_id == user_id


def _note(
    transaction: Transaction, verb: str, organisation_id: int, user_id: int, **details: object
) -> None:
    resource = f"{names.account(organisation_id)}/memberships/{user_id}"
    action = f"memberships.{verb}"
    transaction.note(action, resource, organisation_id=organisation_id, details=details)
