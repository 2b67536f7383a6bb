"""Versions of a property's rules: written once, in force from an instant that all keep."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from config_api import checks, kept_documents, names
from config_api.errors import ChangedMeanwhileError, NotFoundError
from config_api.rules_documents import checked_rules, rules_differences
from config_api.tables import ORGANISATIONS, PROPERTIES, RULES_DOCUMENTS, RULES_VERSIONS
from config_api.transaction import Transaction
from tallymark.rule_documents import InvalidRulesError, parse_rules
from tallymark.rule_documents.inheritance import StatedRules, differing_parts

Row = Mapping[str, Any]
"""A version: the columns, and the documents ``said`` and ``document``, which is whole."""

_SAID: Final = RULES_DOCUMENTS.alias("said_documents")
_WHOLE: Final = RULES_DOCUMENTS.alias("whole_documents")


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
        document: The rules document; what it does not say, the organisation's defaults say.
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
    rules, problems = checked_rules(
        document, "", defaults=defaults_of(transaction.connection, property_id)
    )
    checks.refuse_if(problems + checks.comment_problems(comment))
    assert rules is not None
    if rules == _stated_now(newest):
        return newest
    # A clock that was put back must not make a version take effect before the one it follows.
    effective_at = max(transaction.effective_at, (newest["effective_at"] or 0) + 1)
    row = _insert(
        transaction, property_id, newest["number"] + 1, rules, comment, effective_at=effective_at
    )
    transaction.changed(property_id)
    return row


def begin(transaction: Transaction, property_id: int, rules: StatedRules) -> Row:
    """The first version of a new property; it holds since ever."""
    return _insert(transaction, property_id, 1, rules, "", effective_at=None)


def take_over(
    transaction: Transaction,
    property_id: int,
    *,
    number: int,
    effective_at: int | None,
    document: dict[str, Any],
) -> None:
    """Add a version as another store had it, which inherits nothing.

    Args:
        transaction: Writes it.
        property_id: Whose.
        number: Its number.
        effective_at: UTC µs; ``None`` is since ever.
        document: All of it.
    """
    rules = StatedRules(said=document, whole=document)
    _insert(transaction, property_id, number, rules, "taken over", effective_at=effective_at)


def defaults_of(connection: Connection, property_id: int) -> Mapping[str, Any]:
    """What holds where rules of a property say nothing.

    Raises:
        NotFoundError: when there is no such property.
    """
    query = (
        select(ORGANISATIONS.c.default_rules)
        .join(PROPERTIES, PROPERTIES.c.organisation_id == ORGANISATIONS.c.id)
        .where(PROPERTIES.c.id == property_id)
    )
    found: Mapping[str, Any] | None = connection.execute(query).scalar()
    if found is None:
        raise NotFoundError(names.property_name(property_id))
    return found


def get(connection: Connection, property_id: int, number: int | None = None) -> Row:
    """A version; the newest where no number is given.

    Raises:
        NotFoundError: when there is none.
    """
    query = select(RULES_VERSIONS, _SAID.c.document.label("said"), _WHOLE.c.document)
    query = query.join(_SAID, _SAID.c.id == RULES_VERSIONS.c.said_id)
    query = query.join(_WHOLE, _WHOLE.c.id == RULES_VERSIONS.c.whole_id)
    query = query.where(RULES_VERSIONS.c.property_id == property_id)
    if number is not None:
        query = query.where(RULES_VERSIONS.c.number == number)
    query = query.order_by(RULES_VERSIONS.c.number.desc()).limit(1)
    found = connection.execute(query).mappings().first()
    if found is None:
        raise NotFoundError(names.rules_version(property_id, number or 1))
    return dict(found)


def all_of(connection: Connection, property_id: int) -> list[Row]:
    """Every version, the newest first, without the documents."""
    query = select(RULES_VERSIONS).where(RULES_VERSIONS.c.property_id == property_id)
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
    """A new version by which all is as it was by version ``number``; see ``save``.

    What that one inherited stays inherited, unless the defaults are others by now: it is said then.

    Raises:
        ChangedMeanwhileError: when ``expected`` is not the newest.
        NotFoundError: when there is no such version.
    """
    old = get(transaction.connection, property_id, number)
    document = _pinned(old, defaults_of(transaction.connection, property_id))
    why = comment or f"back to version {number}"
    return save(transaction, property_id, document, comment=why, expected=expected)


def _pinned(version: Row, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be said for all to be as it was by a version."""
    try:
        changed = differing_parts({**defaults, **version["said"]}, version["document"])
    except InvalidRulesError:  # what it said does not go with the defaults any more
        return dict(version["document"])
    pinned = {name: version["document"].get(name) for name in changed}
    return {**version["said"], **pinned}


def _stated_now(version: Row) -> StatedRules:
    """What a version states, in the words of the code as it is."""
    whole = parse_rules(version["document"]).document()
    said = {name: whole.get(name) for name in version["said"]}
    return StatedRules(said=said, whole=whole)


def _document_or_nothing(connection: Connection, property_id: int, number: int) -> object:
    try:
        return get(connection, property_id, number)["document"]
    except NotFoundError:
        return {}


def _insert(
    transaction: Transaction,
    property_id: int,
    number: int,
    rules: StatedRules,
    comment: str,
    *,
    effective_at: int | None,
) -> Row:
    kept_documents.keep(transaction.connection, [rules.said, rules.whole])
    row = {
        "property_id": property_id,
        "number": number,
        "saved_at": transaction.now_us,
        "effective_at": effective_at,
        "author": transaction.actor,
        "comment": comment,
        "said_id": kept_documents.document_id(rules.said),
        "whole_id": kept_documents.document_id(rules.whole),
    }
    transaction.connection.execute(insert(RULES_VERSIONS).values(row))
    organisation_id = transaction.connection.execute(
        select(PROPERTIES.c.organisation_id).where(PROPERTIES.c.id == property_id)
    ).scalar_one()
    transaction.note(
        "rules.save", names.rules_version(property_id, number), property_id=property_id,
        organisation_id=organisation_id, details={"comment": comment},
    )  # fmt: skip
    return row | {"said": rules.said, "document": rules.whole}
