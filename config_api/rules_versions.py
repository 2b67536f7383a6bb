"""Versions of a property's rules: written once, in force from an instant that all keep."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from config_api import checks, names
from config_api.errors import ChangedMeanwhileError, NotFoundError
from config_api.rules_documents import checked_rules, rules_differences
from config_api.tables import PROPERTIES, RULES_VERSIONS
from config_api.transaction import Transaction

Row = Mapping[str, Any]


def save(
    transaction: Transaction,
    property_id: int,
    document: object,
    *,
    comment: str = "",
    expected: int | None = None,
) -> Row:
    """Add a version; the same rules as the newest version's add none.

    Args:
        transaction: Writes it; says when it takes effect.
        property_id: Whose.
        document: The rules document, whole.
        comment: Why, for those who look later.
        expected: The version that it was made from; ``None`` overwrites whatever there is.

    Raises:
        ChangedMeanwhileError: when ``expected`` is not the newest.
        InvalidConfigurationError: with all that is wrong.
        NotFoundError: when there is no such property.
    """
    newest = get(transaction.connection, property_id)
    if expected is not None and expected != newest["number"]:
        before = _document_or_nothing(transaction.connection, property_id, expected)
        changes = rules_differences(before, newest["document"])
        raise ChangedMeanwhileError(newest["number"], changes)
    rules, problems = checked_rules(document, "")
    checks.refuse_if(problems + checks.comment_problems(comment))
    assert rules is not None
    stored = rules.document()
    if stored == newest["document"]:
        return newest
    # A clock that was put back must not make a version take effect before the one it follows.
    effective_at = max(transaction.effective_at, (newest["effective_at"] or 0) + 1)
    row = _insert(
        transaction, property_id, newest["number"] + 1, stored, comment, effective_at=effective_at
    )
    transaction.changed(property_id)
    return row


def begin(transaction: Transaction, property_id: int, document: dict[str, Any]) -> Row:
    """The first version of a new property; it holds since ever."""
    return _insert(transaction, property_id, 1, document, "", effective_at=None)


def take_over(
    transaction: Transaction,
    property_id: int,
    *,
    number: int,
    effective_at: int | None,
    document: dict[str, Any],
) -> None:
    """Add a version as another store had it; an ``effective_at`` of ``None`` is since ever."""
    _insert(transaction, property_id, number, document, "taken over", effective_at=effective_at)


def get(connection: Connection, property_id: int, number: int | None = None) -> Row:
    """A version; the newest where no number is given.

    Raises:
        NotFoundError: when there is none.
    """
    query = select(RULES_VERSIONS).where(RULES_VERSIONS.c.property_id == property_id)
    if number is not None:
        query = query.where(RULES_VERSIONS.c.number == number)
    query = query.order_by(RULES_VERSIONS.c.number.desc()).limit(1)
    found = connection.execute(query).mappings().first()
    if found is None:
        raise NotFoundError(names.rules_version(property_id, number or 1))
    return dict(found)


def all_of(connection: Connection, property_id: int) -> list[Row]:
    """Every version, the newest first, without the documents."""
    columns = [column for column in RULES_VERSIONS.c if column.name != "document"]
    query = select(*columns).where(RULES_VERSIONS.c.property_id == property_id)
    rows = connection.execute(query.order_by(RULES_VERSIONS.c.number.desc())).mappings()
    return [dict(row) for row in rows]


def differences(
    connection: Connection, property_id: int, before: int, after: int
) -> list[dict[str, object]]:
    """What a version says otherwise than another.

    Raises:
        NotFoundError: when one of them is not there.
    """
    first, second = (get(connection, property_id, number) for number in (before, after))
    return rules_differences(first["document"], second["document"])


def roll_back(
    transaction: Transaction,
    property_id: int,
    number: int,
    *,
    comment: str = "",
    expected: int | None = None,
) -> Row:
    """A new version that says what version ``number`` said; see ``save``.

    Raises:
        ChangedMeanwhileError: when ``expected`` is not the newest.
        NotFoundError: when there is no such version.
    """
    old = get(transaction.connection, property_id, number)
    said = comment or f"back to version {number}"
    return save(transaction, property_id, old["document"], comment=said, expected=expected)


def _document_or_nothing(connection: Connection, property_id: int, number: int) -> object:
    try:
        return get(connection, property_id, number)["document"]
    except NotFoundError:
        return {}


def _insert(
    transaction: Transaction,
    property_id: int,
    number: int,
    document: dict[str, Any],
    comment: str,
    *,
    effective_at: int | None,
) -> Row:
    row = {
        "property_id": property_id,
        "number": number,
        "saved_at": transaction.now_us,
        "effective_at": effective_at,
        "author": transaction.actor,
        "comment": comment,
        "document": document,
    }
    transaction.connection.execute(insert(RULES_VERSIONS).values(row))
    organisation_id = transaction.connection.execute(
        select(PROPERTIES.c.organisation_id).where(PROPERTIES.c.id == property_id)
    ).scalar_one()
    transaction.note(
        "rules.save", names.rules_version(property_id, number), property_id=property_id,
        organisation_id=organisation_id, details={"comment": comment},
    )  # fmt: skip
    return row
