"""Endpoints of keys."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection

from config_api import keys, members, names
from config_api.access import ROLE_TO_GIVE, ROLES, Caller, Role
from config_api.access_models import (
    KeyAnswer,
    KeysAnswer,
    KeysAsked,
    KeySent,
    NewKeyAnswer,
    RotationSent,
)
from config_api.authorisation import DEPLOYMENT, ForbiddenError, Subject, subject_named
from config_api.calls import About, Call, Kind, Reply, Request
from config_api.models import Nothing
from config_api.transaction import Transaction


def _list(connection: Connection, request: Request) -> Reply:
    asked: KeysAsked = request.query
    about = subject_named(connection, asked.parent)
    organisation_ids = None if about == DEPLOYMENT else [about.organisation_id or 0]
    rows = keys.all_of(connection, organisation_ids=organisation_ids, property_id=about.property_id)
    if about.data_stream_id is not None:
        rows = [row for row in rows if row["data_stream_id"] == about.data_stream_id]
    return Reply(answer=KeysAnswer(keys=[KeyAnswer(**_facts(row)) for row in rows]))


def _create(transaction: Transaction, request: Request) -> Reply:
    sent: KeySent = request.body
    about = subject_named(transaction.connection, sent.parent)
    _check_gift(request.caller, about, sent.scopes, sent.role)
    user_id = None
    if sent.user is not None:
        _check_role(request.caller, about, Role.OWNER)
        user_id = members.user(transaction.connection, int(sent.user.split("/")[1]))["id"]
    holder = keys.Holder(**vars(about), role=sent.role, user_id=user_id)
    new = keys.create(
        transaction, holder, name=sent.display_name, scopes=sent.scopes, expires_at=sent.expires_at
    )
    return _new(new)


def _rotate(transaction: Transaction, request: Request) -> Reply:
    sent: RotationSent = request.body
    _check_old(transaction.connection, request)
    return _new(keys.rotate(transaction, request.ids["key_id"], sent.overlap_seconds))


def _delete(transaction: Transaction, request: Request) -> Reply:
    _check_old(transaction.connection, request)
    keys.revoke(transaction, request.ids["key_id"])
    return Reply(answer=Nothing())


def _check_old(connection: Connection, request: Request) -> None:
    row = keys.get(connection, request.ids["key_id"])
    about = Subject(organisation_id=row["organisation_id"], property_id=row["property_id"])
    _check_gift(request.caller, about, row["scopes"], row["role"])


def _check_gift(caller: Caller, about: Subject, scopes: Iterable[str], role: str | None) -> None:
    """Nobody hands out, renews or ends a key that can do more than its maker could give."""
    needed = [ROLE_TO_GIVE[scope] for scope in scopes]
    _check_role(caller, about, max(needed, default=Role.VIEWER))
    if role is not None:
        _check_role(caller, about, ROLES.get(role, Role.OWNER))


def _check_role(caller: Caller, about: Subject, role: Role) -> None:
    held = caller.role_in(about.organisation_id)
    if held is None or held < role:
        raise ForbiddenError(f"expected the role {role.name.lower()} for such a key")


def _new(new: keys.NewKey) -> Reply:
    return Reply(answer=NewKeyAnswer(**_facts(new.row), secret=new.secret))


def _facts(row: keys.Row) -> dict[str, Any]:
    user = None if row["user_id"] is None else names.user(row["user_id"])
    copied = ("scopes", "role", "created_at", "expires_at", "last_used_at", "revoked_at")
    return {
        "name": names.key(row["id"]),
        "display_name": row["name"],
        "parent": _parent(row),
        "user": user,
    } | {name: row[name] for name in copied}


def _parent(row: keys.Row) -> str | None:
    if row["data_stream_id"] is not None:
        return names.data_stream(row["property_id"], row["data_stream_id"])
    if row["property_id"] is not None:
        return names.property_name(row["property_id"])
    return None if row["organisation_id"] is None else names.account(row["organisation_id"])


CALLS: Final = (
    Call(
        name="list_keys", method="GET", path="/v1/keys", kind=Kind.READ, function=_list,
        summary="Keys of an account, a property or a data stream, without their secrets",
        query=KeysAsked, answer=KeysAnswer, about=About.PARENT,
    ),
    Call(
        name="create_key", method="POST", path="/v1/keys", kind=Kind.WRITE, function=_create,
        summary="Hand out a key; its secret is shown this once", body=KeySent,
        answer=NewKeyAnswer, about=About.PARENT,
    ),
    Call(
        name="rotate_key", method="POST", path="/v1/keys/{key_id}:rotate", kind=Kind.WRITE,
        function=_rotate, summary="A new key beside the old one, which ends after the overlap",
        body=RotationSent, answer=NewKeyAnswer,
    ),
    Call(
        name="delete_key", method="DELETE", path="/v1/keys/{key_id}", kind=Kind.WRITE,
        function=_delete, summary="End a key now",
    ),
)  # fmt: skip
