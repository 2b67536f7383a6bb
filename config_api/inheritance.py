"""Inheritance: a change of an organisation's defaults is a version of every property it changes.

However many properties there are, all of it is one transaction and takes effect at one instant. So
what has to be done for each of them is done by the database, and what takes long is prepared before
the transaction begins: what different properties say is made whole, and kept.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    Connection,
    Insert,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    literal,
    select,
)

from config_api import checks, kept_documents, names
from config_api.database import Database
from config_api.rules_documents import checked_rules
from config_api.tables import MADE_WHOLE, ORGANISATIONS, PROPERTIES, RULES_VERSIONS
from config_api.transaction import MANY_COMMIT_SECONDS, Transaction
from tallymark.problems import Problem
from tallymark.rule_documents.inheritance import StatedRules, differing_parts

MAX_TOLD: Final = 20
"""Problems of a property that cannot follow."""
AT_A_TIME: Final = 1_000
"""Different documents that are made whole in a transaction."""
_KEPT_US: Final = 3_600_000_000
"""What was prepared is kept so long; whoever did it uses it at once."""

_FOLLOWED: Final = Table(
    "followed",
    MetaData(),
    Column("property_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("effective_at", BigInteger, nullable=True),
    Column("said_id", String(64), nullable=False),
    Column("whole_id", String(64), nullable=False),
    prefixes=["TEMPORARY"],
)
"""Newest versions after which there is to be another one, found once."""

_Said = dict[str, Any]


def prepare(
    database: Database, actor: str, organisation_id: int, after: Mapping[str, Any]
) -> int | None:
    """Make whole, with defaults to be, what properties say; changes nothing that anybody sees.

    Args:
        database: Other writers may go on meanwhile.
        actor: In whose name.
        organisation_id: One that is there.
        after: The defaults to be.

    Returns:
        What ``follow`` is given; ``None`` where it has little to do or will refuse the defaults.
    """
    with database.reading() as connection:
        where = ORGANISATIONS.c.id == organisation_id
        before = connection.execute(select(ORGANISATIONS.c.default_rules).where(where)).scalar_one()
        if checked_rules(after)[1]:
            return None
        changed = differing_parts(before, after)
        if not changed:
            return None
        ids = _said_ids(connection, _newest(organisation_id), None)
    if len(ids) <= AT_A_TIME:
        return None
    preparation = database.write(actor, _begun)
    for start in range(0, len(ids), AT_A_TIME):
        with database.reading() as connection:
            said = dict(kept_documents.kept(connection, ids[start : start + AT_A_TIME]))
        stated = {
            one: checked_rules(each, defaults=after)[0]
            for one, each in said.items()
            if changed - each.keys()
        }
        whole = {one: each for one, each in stated.items() if each is not None}
        database.write(actor, lambda work, whole=whole: _keep(work, preparation, whole))  # type: ignore[misc]
    return preparation


def follow(
    transaction: Transaction,
    organisation_id: int,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    preparation: int | None = None,
) -> int:
    """Add a version to each property whose rules change with the defaults.

    Args:
        transaction: Writes them.
        organisation_id: Whose properties.
        before: The defaults until now.
        after: Those to be, right by themselves.
        preparation: Of ``prepare`` with the same defaults.

    Returns:
        How many versions there are of it.

    Raises:
        InvalidConfigurationError: when what a property says cannot be together with them.
    """
    changed = differing_parts(before, after)
    if not changed:
        return 0
    transaction.commit_seconds = MANY_COMMIT_SECONDS
    newest = _newest(organisation_id)
    if preparation is None:
        preparation = _begun(transaction)
    left = _said_ids(transaction.connection, newest, preparation)
    stated = {
        said_id: _made_whole(transaction.connection, newest, said_id, said, after)
        for said_id, said in kept_documents.kept(transaction.connection, left)
        if changed - said.keys()
    }
    _keep(transaction, preparation, stated)
    count = _add_versions(transaction, organisation_id, newest, preparation)
    of_it = MADE_WHOLE.c.preparation == preparation
    transaction.connection.execute(delete(MADE_WHOLE).where(of_it))
    return count


def _newest(organisation_id: int) -> CTE:
    """The newest version of each property of an organisation."""
    version = RULES_VERSIONS.alias("numbered")
    number = select(func.max(version.c.number)).where(version.c.property_id == PROPERTIES.c.id)
    numbers = (
        select(PROPERTIES.c.id, number.scalar_subquery().label("number"))
        .where(PROPERTIES.c.organisation_id == organisation_id)
        .cte("numbers")
        .prefix_with("MATERIALIZED")  # each number is looked up once, however they are joined
    )
    at_number = (RULES_VERSIONS.c.property_id == numbers.c.id) & (
        RULES_VERSIONS.c.number == numbers.c.number
    )
    return select(RULES_VERSIONS).join(numbers, at_number).cte("newest")


def _said_ids(connection: Connection, newest: CTE, preparation: int | None) -> list[str]:
    """What is said by properties and is not prepared, each text once."""
    prepared = select(MADE_WHOLE.c.said_id).where(MADE_WHOLE.c.preparation == preparation)
    query = select(newest.c.said_id).distinct().where(newest.c.said_id.not_in(prepared))
    return list(connection.execute(query).scalars())


def _begun(transaction: Transaction) -> int:
    """A preparation that nobody else has; those that nobody has used go."""
    old = MADE_WHOLE.c.preparation < transaction.now_us - _KEPT_US
    transaction.connection.execute(delete(MADE_WHOLE).where(old))
    taken = transaction.connection.execute(select(func.max(MADE_WHOLE.c.preparation))).scalar()
    return max(transaction.now_us, (taken or 0) + 1)


def _keep(transaction: Transaction, preparation: int, stated: Mapping[str, StatedRules]) -> None:
    if not stated:
        return
    kept_documents.keep(transaction.connection, (each.whole for each in stated.values()))
    rows = [
        {
            "preparation": preparation,
            "said_id": said_id,
            "whole_id": kept_documents.document_id(each.whole),
        }
        for said_id, each in stated.items()
    ]
    transaction.connection.execute(insert(MADE_WHOLE), rows)


def _made_whole(
    connection: Connection, newest: CTE, said_id: str, said: _Said, defaults: Mapping[str, Any]
) -> StatedRules:
    rules, problems = checked_rules(said, "", defaults=defaults)
    if rules is None:
        query = select(newest.c.property_id).where(newest.c.said_id == said_id).limit(1)
        owner = names.property_name(connection.execute(query).scalar_one())
        checks.refuse_if([_of(owner, problem) for problem in problems[:MAX_TOLD]])
    assert rules is not None
    return rules


def _of(owner: str, problem: Problem) -> Problem:
    return Problem(
        where=f"default_rules, with what {owner} says: {problem.where}",
        got=problem.got,
        allowed=problem.allowed,
    )


def _add_versions(
    transaction: Transaction, organisation_id: int, newest: CTE, preparation: int
) -> int:
    connection = transaction.connection
    _FOLLOWED.create(connection)
    connection.execute(_insert_followed(newest, preparation))
    count = transaction.all_changed(select(_FOLLOWED.c.property_id))
    latest = connection.execute(select(func.max(_FOLLOWED.c.effective_at))).scalar()
    comment = f"defaults of {names.account(organisation_id)} changed"
    rows: Select[Any] = select(
        _FOLLOWED.c.property_id,
        _FOLLOWED.c.number + literal(1, Integer),
        literal(transaction.now_us, BigInteger),
        # A clock that was put back must not make a version take effect before the one it follows.
        literal(max(transaction.effective_at, (latest or 0) + 1), BigInteger),
        literal(transaction.actor, String),
        literal(comment, Text),
        _FOLLOWED.c.said_id,
        _FOLLOWED.c.whole_id,
    )
    columns = [column.name for column in RULES_VERSIONS.c]
    connection.execute(insert(RULES_VERSIONS).from_select(columns, rows))
    _FOLLOWED.drop(connection)
    transaction.note(
        "rules.inherit", names.account(organisation_id), organisation_id=organisation_id,
        details={"versions": count},
    )  # fmt: skip
    return count


def _insert_followed(newest: CTE, preparation: int) -> Insert:
    is_prepared = (MADE_WHOLE.c.said_id == newest.c.said_id) & (
        MADE_WHOLE.c.preparation == preparation
    )
    followed = select(
        newest.c.property_id,
        newest.c.number,
        newest.c.effective_at,
        newest.c.said_id,
        MADE_WHOLE.c.whole_id,
    ).join(MADE_WHOLE, is_prepared & (MADE_WHOLE.c.whole_id != newest.c.whole_id))
    return insert(_FOLLOWED).from_select([column.name for column in _FOLLOWED.c], followed)
