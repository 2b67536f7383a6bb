"""Kept documents: what versions of rules say, each text once however many versions say it."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import orjson
from sqlalchemy import Connection, insert, select

from config_api.tables import RULES_DOCUMENTS

AT_A_TIME: Final = 500
"""Databases take only so many values in a statement."""

Document = dict[str, Any]


def document_id(document: Document) -> str:
    """The same for documents that say the same."""
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()


def keep(connection: Connection, documents: Iterable[Document]) -> None:
    """Add those that are not there yet, in a transaction that writes alone."""
    wanted = {document_id(document): document for document in documents}
    for some in _portions(list(wanted)):
        column = RULES_DOCUMENTS.c.id
        held = set(connection.execute(select(column).where(column.in_(some))).scalars())
        rows = [{"id": one, "document": wanted[one]} for one in some if one not in held]
        if rows:
            connection.execute(insert(RULES_DOCUMENTS), rows)


def kept(connection: Connection, ids: Collection[str]) -> Iterator[tuple[str, Document]]:
    """The documents of these ids."""
    for some in _portions(list(ids)):
        where = RULES_DOCUMENTS.c.id.in_(some)
        rows = connection.execute(select(RULES_DOCUMENTS).where(where))
        yield from ((one, document) for one, document in rows)


def _portions(ids: list[str]) -> Iterator[list[str]]:
    return (ids[start : start + AT_A_TIME] for start in range(0, len(ids), AT_A_TIME))
