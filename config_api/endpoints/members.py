"""Endpoints of users and of their memberships in accounts."""

from typing import Final

from sqlalchemy import Connection

from config_api import members, names
from config_api.access_models import (
    MemberSent,
    MembershipAnswer,
    MembershipsAnswer,
    RoleSent,
    UserAnswer,
    UsersAnswer,
    UserSent,
)
from config_api.calls import Call, Kind, Reply, Request
from config_api.models import Nothing
from config_api.transaction import Transaction


def _list_users(connection: Connection, request: Request) -> Reply:
    rows = members.users(connection, request.caller.organisation_ids)
    return Reply(answer=UsersAnswer(users=[_user(row) for row in rows]))


def _create_user(transaction: Transaction, request: Request) -> Reply:
    sent: UserSent = request.body
    row = members.create_user(transaction, email=sent.email, name=sent.display_name)
    return Reply(answer=_user(row))


def _list(connection: Connection, request: Request) -> Reply:
    rows = members.memberships(connection, request.ids["account_id"])
    found = [_membership(connection, row) for row in rows]
    return Reply(answer=MembershipsAnswer(memberships=found))


def _add(transaction: Transaction, request: Request) -> Reply:
    sent: MemberSent = request.body
    connection = transaction.connection
    user = members.user_of_address(connection, sent.email) or members.create_user(
        transaction, email=sent.email, name=sent.display_name
    )
    row = members.set_role(transaction, request.ids["account_id"], user["id"], sent.role)
    return Reply(answer=_membership(connection, row))


def _put(transaction: Transaction, request: Request) -> Reply:
    sent: RoleSent = request.body
    ids = request.ids
    members.membership(transaction.connection, ids["account_id"], ids["user_id"])
    row = members.set_role(transaction, ids["account_id"], ids["user_id"], sent.role)
    return Reply(answer=_membership(transaction.connection, row))


def _delete(transaction: Transaction, request: Request) -> Reply:
    members.remove(transaction, request.ids["account_id"], request.ids["user_id"])
    return Reply(answer=Nothing())


def _user(row: members.Row) -> UserAnswer:
    return UserAnswer(name=names.user(row["id"]), email=row["email"], display_name=row["name"])


def _membership(connection: Connection, row: members.Row) -> MembershipAnswer:
    return MembershipAnswer(
        name=f"{names.account(row['organisation_id'])}/memberships/{row['user_id']}",
        user=_user(members.user(connection, row["user_id"])),
        role=row["role"],
    )


_MEMBERSHIPS: Final = "/v1/accounts/{account_id}/memberships"

CALLS: Final = (
    Call(
        name="list_users", method="GET", path="/v1/users", kind=Kind.READ, function=_list_users,
        summary="Every user; for keys of the whole deployment", answer=UsersAnswer,
    ),
    Call(
        name="create_user", method="POST", path="/v1/users", kind=Kind.WRITE,
        function=_create_user, summary="Add a user; for keys of the whole deployment",
        body=UserSent, answer=UserAnswer,
    ),
    Call(
        name="list_memberships", method="GET", path=_MEMBERSHIPS, kind=Kind.READ, function=_list,
        summary="Who belongs to an account, and as what", answer=MembershipsAnswer,
    ),
    Call(
        name="create_membership", method="POST", path=_MEMBERSHIPS, kind=Kind.WRITE,
        function=_add, summary="Bring somebody in, by mail address", body=MemberSent,
        answer=MembershipAnswer,
    ),
    Call(
        name="put_membership", method="PUT", path=f"{_MEMBERSHIPS}/{{user_id}}", kind=Kind.WRITE,
        function=_put, summary="Give a member another role", body=RoleSent,
        answer=MembershipAnswer,
    ),
    Call(
        name="delete_membership", method="DELETE", path=f"{_MEMBERSHIPS}/{{user_id}}",
        kind=Kind.WRITE, function=_delete, summary="End a membership",
    ),
)  # fmt: skip
