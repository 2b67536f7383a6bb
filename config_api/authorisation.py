"""Authorisation: who holds a key, and whether it may make a call on what the call names.

What a caller may not know of is not found, whether it exists or not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from config_api import data_streams, keys, members, names, organisations, properties
from config_api.access import NEEDS, ROLES, Caller, Role
from config_api.errors import ConfigurationError, NotFoundError


class UnauthenticatedError(ConfigurationError):
    """No key came, or one that opens nothing."""


class ForbiddenError(ConfigurationError):
    """The key may see what the call is about, and not do this with it."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a call is about; without an organisation the deployment."""

    organisation_id: int | None = None
    property_id: int | None = None
    data_stream_id: int | None = None


DEPLOYMENT = Subject()


def caller_of(connection: Connection, secret: str, now_us: int) -> tuple[Caller, keys.Row]:
    """Who holds a key, and the key's row.

    Raises:
        UnauthenticatedError: when it is none, or has ended.
    """
    row = keys.by_secret(connection, secret) if secret else None
    if row is None or not keys.is_in_force(row, now_us):
        raise UnauthenticatedError("expected a key in force as Authorization: Bearer KEY")
    scopes = frozenset(row["scopes"])
    actor = names.key(row["id"])
    if row["user_id"] is not None:
        actor = f"{names.user(row['user_id'])} ({actor})"
        roles: Mapping[int, Role] = members.roles_of(connection, row["user_id"])
        if row["organisation_id"] is not None:
            roles = {one: role for one, role in roles.items() if one == row["organisation_id"]}
        caller = Caller(actor=actor, scopes=scopes, roles=roles, property_id=row["property_id"])
        return caller, row
    role = ROLES[row["role"]] if row["role"] else Role.VIEWER
    if row["organisation_id"] is None:
        return Caller(actor=actor, scopes=scopes, role=role), row
    roles = {row["organisation_id"]: role}
    return Caller(actor=actor, scopes=scopes, roles=roles, property_id=row["property_id"]), row


def check_scope(call: str, caller: Caller) -> None:
    """Raises ``ForbiddenError`` when the key is not for such calls at all."""
    needed = NEEDS[call].scope
    if needed not in caller.scopes:
        raise ForbiddenError(f"the key does not have the scope {needed}")


def check_role(role: Role, caller: Caller, subject: Subject, resource: str) -> None:
    """See that a caller may do what ``role`` may with ``subject``.

    Raises:
        ForbiddenError: when it may see it, and no more.
        NotFoundError: when it may not know of it.
    """
    if subject == DEPLOYMENT and caller.role is None:
        raise ForbiddenError("this is for keys of the whole deployment")
    held = caller.role_in(subject.organisation_id)
    is_seen = caller.property_id is None or caller.property_id == subject.property_id
    if held is None or not is_seen:
        raise NotFoundError(resource)
    if held < role:
        raise ForbiddenError(f"expected the role {role.name.lower()}, got {held.name.lower()}")


def subject_of_ids(connection: Connection, ids: Mapping[str, int]) -> tuple[Subject, str]:
    """What the numbers in a path name, and how it is called.

    Raises:
        NotFoundError: when there is no such thing.
    """
    if "property_id" in ids:
        resource = names.property_name(ids["property_id"])
        return subject_named(connection, resource), resource
    if "account_id" in ids:
        resource = names.account(ids["account_id"])
        return subject_named(connection, resource), resource
    if "key_id" in ids:
        row = keys.get(connection, ids["key_id"])
        return subject_of_key(row), names.key(row["id"])
    return DEPLOYMENT, "deployment"


def subject_of_key(row: keys.Row) -> Subject:
    """What a key is for."""
    return Subject(
        organisation_id=row["organisation_id"],
        property_id=row["property_id"],
        data_stream_id=row["data_stream_id"],
    )


def subject_named(connection: Connection, resource: str | None) -> Subject:
    """What ``accounts/ID``, ``properties/ID`` or ``properties/ID/dataStreams/ID`` names.

    Raises:
        NotFoundError: when there is no such thing.
    """
    if resource is None:
        return DEPLOYMENT
    kind, number, *more = resource.split("/")
    if kind == "accounts":
        organisation = organisations.get(connection, int(number))
        if more:
            raise NotFoundError(resource)
        return Subject(organisation_id=organisation["id"])
    owner = properties.get(connection, int(number))
    stream = data_streams.get(connection, owner["id"], int(more[1]))["id"] if more else None
    return Subject(
        organisation_id=owner["organisation_id"], property_id=owner["id"], data_stream_id=stream
    )
