"""Keys: shown once, stored as hashes, handed on by a rotation in which both open for a while."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, or_, select, update

from config_api import checks, names, properties
from config_api.access import ROLES, Scope
from config_api.errors import ConflictError, NotFoundError
from config_api.tables import KEYS, PROPERTIES
from config_api.transaction import Transaction
from tallymark.problems import Problem
from tallymark.properties import secret_hash

MAX_OVERLAP_SECONDS: Final = 365 * 86_400
_SERVED: Final = frozenset({Scope.COLLECT, Scope.READ})
"""What other services judge by the published properties."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key and its secret, which is stored nowhere."""

    row: Row
    secret: str


@dataclass(frozen=True, kw_only=True)
class Holder:
    """What a key is for: a data stream, a property, an organisation, or the whole deployment.

    Attributes:
        organisation_id: ``None`` for a key of the whole deployment.
        property_id: The one property, which is the organisation's.
        data_stream_id: The one stream, which is the property's; for scope collect.
        user_id: Whose; its memberships say what the key may do.
        role: What a key of nobody's may do, one of ``ROLES``.
    """

    organisation_id: int | None = None
    property_id: int | None = None
    data_stream_id: int | None = None
    user_id: int | None = None
    role: str | None = None


def create(
    transaction: Transaction,
    holder: Holder,
    *,
    name: str,
    scopes: Collection[str],
    expires_at: int | None = None,
    secret: str | None = None,
) -> NewKey:
    """Hand out a key.

    Args:
        transaction: Writes it.
        holder: What it is for; its parts are there and belong together.
        name: For people.
        scopes: See ``Scope``.
        expires_at: UTC µs from which it opens nothing; ``None`` means never.
        secret: One that was drawn already; for keys that are written to a file first.

    Raises:
        InvalidConfigurationError: with all that is wrong.
    """
    problems = checks.name_problems(name) + _scope_problems(set(scopes), holder)
    if expires_at is not None and expires_at <= transaction.now_us:
        allowed = "a time to come, UTC microseconds"
        problems.append(Problem(where="expires_at", got=expires_at, allowed=allowed))
    checks.refuse_if(problems)
    fields = {"name": name, "scopes": sorted(map(str, set(scopes))), "expires_at": expires_at}
    new = _insert(transaction, fields | vars(holder), secret or transaction.drawn_secret())
    _note(transaction, "create", new.row, name=name, scopes=fields["scopes"])
    return new


def rotate(transaction: Transaction, key_id: int, overlap_seconds: int) -> NewKey:
    """A new key beside an old one, which ends when ``overlap_seconds`` have passed.

    Raises:
        ConflictError: when the old one has ended.
        InvalidConfigurationError: when the overlap cannot be.
        NotFoundError: when there is no such key.
    """
    if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
        allowed = f"whole seconds from 0 to {MAX_OVERLAP_SECONDS}"
        problem = Problem(where="overlap_seconds", got=overlap_seconds, allowed=allowed)
        checks.refuse_if([problem])
    old = get(transaction.connection, key_id)
    if not is_in_force(old, transaction.now_us):
        raise ConflictError(f"{names.key(key_id)} has ended: create a key instead")
    until = transaction.now_us + overlap_seconds * 1_000_000
    until = min(until, old["expires_at"] or until)
    _change(transaction, old, {"expires_at": until})
    copied = ("name", "scopes", "role", "user_id", "organisation_id", "property_id",
              "data_stream_id")  # fmt: skip
    fields = {column: old[column] for column in copied} | {"rotated_from": key_id}
    new = _insert(transaction, fields, transaction.drawn_secret())
    _note(transaction, "rotate", old, new=names.key(new.row["id"]), overlap_seconds=overlap_seconds)
    return new


def revoke(transaction: Transaction, key_id: int) -> None:
    """End a key now; one that was ended before stays so.

    Raises:
        NotFoundError: when there is no such key.
    """
    row = get(transaction.connection, key_id)
    if row["revoked_at"] is None:
        _change(transaction, row, {"revoked_at": transaction.now_us})
        _note(transaction, "revoke", row)


def get(connection: Connection, key_id: int) -> Row:
    """The key of an id, whether it is in force or not.

    Raises:
        NotFoundError: when there is none.
    """
    found = connection.execute(select(KEYS).where(KEYS.c.id == key_id)).mappings().first()
    if found is None:
        raise NotFoundError(names.key(key_id))
    return dict(found)


def by_secret(connection: Connection, secret: str) -> Row | None:
    """The key of a secret, whether it is in force or not."""
    query = select(KEYS).where(KEYS.c.key_hash == secret_hash(secret))
    found = connection.execute(query).mappings().first()
    return None if found is None else dict(found)


def all_of(
    connection: Connection,
    *,
    organisation_ids: Collection[int] | None = None,
    property_id: int | None = None,
) -> list[Row]:
    """Keys in the order in which they were made, ended ones among them.

    Args:
        connection: Where they are.
        organisation_ids: Of these alone; ``None`` means all, and the deployment's.
        property_id: Of this property alone.
    """
    query = select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id)
    if organisation_ids is not None:
        query = query.where(KEYS.c.organisation_id.in_(organisation_ids))
    if property_id is not None:
        query = query.where(KEYS.c.property_id == property_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def has_owner(connection: Connection) -> bool:
    """Whether there is, or was, a key with which everything can be done."""
    is_owner = KEYS.c.role == "owner", KEYS.c.organisation_id.is_(None)
    return connection.execute(select(KEYS.c.id).where(*is_owner).limit(1)).first() is not None


def is_in_force(row: Row, now_us: int) -> bool:
    """Whether a key opens what it is for."""
    has_time = row["expires_at"] is None or now_us < row["expires_at"]
    return row["revoked_at"] is None and has_time


def ends_at(row: Row) -> int | None:
    """UTC µs from which a key opens nothing; ``None`` means never."""
    ends = [row[column] for column in ("expires_at", "revoked_at") if row[column] is not None]
    return min(ends, default=None)


def note_use(transaction: Transaction, key_id: int) -> None:
    """Remember when a key was last used."""
    where = KEYS.c.id == key_id
    transaction.connection.execute(
        update(KEYS).where(where).values(last_used_at=transaction.now_us)
    )


def served_keys(connection: Connection, property_ids: Collection[int]) -> dict[int, list[Row]]:
    """Keys that other services judge by, of each property: its own and its organisation's.

    Revoked ones of scope collect are among them: a hit is judged, and in a replay judged again,
    by the keys that were in force when it was received.
    """
    owners = select(PROPERTIES.c.id, PROPERTIES.c.organisation_id)
    rows = connection.execute(owners.where(PROPERTIES.c.id.in_(property_ids))).all()
    organisations = {property_id: organisation_id for property_id, organisation_id in rows}  # noqa: C416
    query = select(KEYS).where(
        or_(
            KEYS.c.property_id.in_(property_ids),
            KEYS.c.property_id.is_(None) & KEYS.c.organisation_id.in_(set(organisations.values())),
        )
    )
    found: dict[int, list[Row]] = {property_id: [] for property_id in organisations}
    wide: dict[int, list[Row]] = {}
    for row in connection.execute(query.order_by(KEYS.c.created_at, KEYS.c.id)).mappings():
        served = {Scope.COLLECT} if row["revoked_at"] is not None else _SERVED
        if not served.isdisjoint(row["scopes"]):
            group = found if row["property_id"] is not None else wide
            group.setdefault(row["property_id"] or row["organisation_id"], []).append(dict(row))
    return {
        property_id: own + wide.get(organisations[property_id], [])
        for property_id, own in found.items()
    }


def _scope_problems(scopes: set[str], holder: Holder) -> list[Problem]:
    got = sorted(map(str, scopes))
    if not scopes or not scopes <= set(Scope):
        allowed = "one or more of " + ", ".join(Scope)
        return [Problem(where="scopes", got=got, allowed=allowed)]
    problems = []
    if holder.organisation_id is None and not _SERVED.isdisjoint(scopes):
        allowed = "collect and read are for an organisation, a property or a data stream"
        problems.append(Problem(where="scopes", got=got, allowed=allowed))
    if holder.organisation_id is not None and Scope.FEED in scopes:
        allowed = "feed tells of every property: it is for a key of the whole deployment"
        problems.append(Problem(where="scopes", got=got, allowed=allowed))
    if holder.data_stream_id is not None and scopes != {Scope.COLLECT}:
        allowed = "a key of a data stream has collect alone"
        problems.append(Problem(where="scopes", got=got, allowed=allowed))
    has_role = (holder.role is None) != (holder.user_id is None)
    if Scope.CONFIGURE in scopes and not has_role:
        allowed = "a role or a user, one of them, for scope configure"
        problems.append(Problem(where="role", got=holder.role, allowed=allowed))
    if holder.role is not None and holder.role not in ROLES:
        problems.append(Problem(where="role", got=holder.role, allowed=", ".join(ROLES)))
    return problems


def _insert(transaction: Transaction, fields: Mapping[str, Any], secret: str) -> NewKey:
    row: dict[str, Any] = {column.name: None for column in KEYS.c} | dict(fields)
    row["id"] = transaction.drawn_id(KEYS)
    row["key_hash"] = secret_hash(secret)
    row["created_at"] = transaction.now_us
    transaction.connection.execute(insert(KEYS).values(row))
    _tell(transaction, row)
    return NewKey(row=row, secret=secret)


def _change(transaction: Transaction, row: Row, changes: Mapping[str, Any]) -> None:
    where = KEYS.c.id == row["id"]
    transaction.connection.execute(update(KEYS).where(where).values(changes))
    _tell(transaction, row)


def _tell(transaction: Transaction, row: Row) -> None:
    """Tell the feed of every property whose row a key stands in."""
    if _SERVED.isdisjoint(row["scopes"]):
        return
    if row["property_id"] is not None:
        transaction.changed(row["property_id"])
    elif row["organisation_id"] is not None:
        owned = properties.all_of(transaction.connection, organisation_ids=[row["organisation_id"]])
        for owner in owned:
            transaction.changed(owner["id"])


def _note(transaction: Transaction, verb: str, row: Row, **details: object) -> None:
    transaction.note(
        f"keys.{verb}",
        names.key(row["id"]),
        organisation_id=row["organisation_id"],
        property_id=row["property_id"],
        details=details,
    )
