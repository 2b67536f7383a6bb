"""Endpoints of accounts, which is what Google calls organisations."""

from typing import Final

from sqlalchemy import Connection

from config_api import inheritance, names, organisations
from config_api.calls import About, Call, Kind, Reply, Request
from config_api.database import Database
from config_api.property_models import AccountAnswer, AccountChange, AccountsAnswer, AccountSent
from config_api.transaction import Transaction


def _list(connection: Connection, request: Request) -> Reply:
    if request.caller.property_id is not None:
        return Reply(answer=AccountsAnswer(accounts=[]))
    rows = organisations.all_of(connection, request.caller.organisation_ids)
    return Reply(answer=AccountsAnswer(accounts=[_answer(row) for row in rows]))


def _create(transaction: Transaction, request: Request) -> Reply:
    sent: AccountSent = request.body
    row = organisations.create(
        transaction, name=sent.display_name, default_rules=sent.default_rules
    )
    return Reply(answer=_answer(row))


def _get(connection: Connection, request: Request) -> Reply:
    return Reply(answer=_answer(organisations.get(connection, request.ids["account_id"])))


def _change(transaction: Transaction, request: Request) -> Reply:
    sent: AccountChange = request.body
    row = organisations.change(
        transaction,
        request.ids["account_id"],
        name=sent.display_name,
        default_rules=sent.default_rules,
        preparation=request.preparation,
    )
    return Reply(answer=_answer(row))


def _prepare(database: Database, request: Request) -> int | None:
    sent: AccountChange = request.body
    if sent.default_rules is None:
        return None
    return inheritance.prepare(
        database, request.caller.actor, request.ids["account_id"], sent.default_rules
    )


def _answer(row: organisations.Row) -> AccountAnswer:
    return AccountAnswer(
        name=names.account(row["id"]),
        display_name=row["name"],
        default_rules=row["default_rules"],
        created_at=row["created_at"],
    )


CALLS: Final = (
    Call(
        name="list_accounts", method="GET", path="/v1/accounts", kind=Kind.READ, function=_list,
        summary="The accounts that the key may see", answer=AccountsAnswer, about=About.VISIBLE,
    ),
    Call(
        name="create_account", method="POST", path="/v1/accounts", kind=Kind.WRITE,
        function=_create, summary="Add an account; for keys of the whole deployment",
        body=AccountSent, answer=AccountAnswer,
    ),
    Call(
        name="get_account", method="GET", path="/v1/accounts/{account_id}", kind=Kind.READ,
        function=_get, summary="An account", answer=AccountAnswer,
    ),
    Call(
        name="change_account", method="PATCH", path="/v1/accounts/{account_id}", kind=Kind.WRITE,
        function=_change, prepare=_prepare,
        summary="Change an account; properties follow its default rules in what they do not say",
        body=AccountChange, answer=AccountAnswer,
    ),
)  # fmt: skip
