"""Rows of the document of properties: what workers are told of a property, hashes included."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import Connection, or_, select

from config_api import kept_documents
from config_api.access import Scope
from config_api.keys import ends_at, served_keys
from config_api.tables import DATA_STREAMS, FEED, PROPERTIES, RULES_VERSIONS
from stores.rules_cache.documents import decode_properties
from tallymark.properties import Property

_AT_A_TIME: Final = 500
"""Properties whose rows are read together: databases take only so many values in a statement."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PropertyRows:
    """Properties as of a position of the feed; see ``stores.rules_cache.documents``."""

    database_id: str
    position: int
    rows: list[dict[str, Any]]


def all_rows(connection: Connection) -> PropertyRows:
    """Every property."""
    ids = connection.execute(select(PROPERTIES.c.id).order_by(PROPERTIES.c.id)).scalars().all()
    return _of(connection, ids)


def owner_of(connection: Connection, property_id: int) -> Property:
    """A property that exists, as workers know it."""
    rows = _of(connection, [property_id]).rows
    return decode_properties(orjson.dumps({"properties": rows}))[0]


def looked_up(
    connection: Connection, *, measurement_ids: Collection[str], property_ids: Collection[int]
) -> PropertyRows:
    """The properties of these ids; ids that nothing has are passed by."""
    named = select(DATA_STREAMS.c.property_id).where(
        DATA_STREAMS.c.measurement_id.in_(measurement_ids)
    )
    wanted = or_(PROPERTIES.c.id.in_(property_ids), PROPERTIES.c.id.in_(named))
    query = select(PROPERTIES.c.id).where(wanted).order_by(PROPERTIES.c.id)
    return _of(connection, connection.execute(query).scalars().all())


def page_of(connection: Connection, *, after: int, limit: int) -> PropertyRows:
    """The first ``limit`` properties of a greater id than ``after``, ascending."""
    query = select(PROPERTIES.c.id).where(PROPERTIES.c.id > after).order_by(PROPERTIES.c.id)
    return _of(connection, connection.execute(query.limit(limit)).scalars().all())


def _of(connection: Connection, ids: Collection[int]) -> PropertyRows:
    feed = connection.execute(select(FEED)).mappings().one()
    ordered = list(ids)
    rows = [
        row
        for start in range(0, len(ordered), _AT_A_TIME)
        for row in _rows(connection, ordered[start : start + _AT_A_TIME])
    ]
    return PropertyRows(database_id=feed["database_id"], position=feed["position"], rows=rows)


def _rows(connection: Connection, ids: list[int]) -> list[dict[str, Any]]:
    streams = _grouped(connection, DATA_STREAMS, ids, DATA_STREAMS.c.created_at, DATA_STREAMS.c.id)
    versions = _grouped(connection, RULES_VERSIONS, ids, RULES_VERSIONS.c.number)
    wholes = {version["whole_id"] for rows in versions.values() for version in rows}
    documents = dict(kept_documents.kept(connection, wholes))
    keys = served_keys(connection, ids)
    owners = select(PROPERTIES).where(PROPERTIES.c.id.in_(ids)).order_by(PROPERTIES.c.id)
    return [
        {
            "property_id": owner["id"],
            "name": owner["name"],
            "data_streams": [
                _stream_row(stream, keys[owner["id"]]) for stream in streams.get(owner["id"], [])
            ],
            "read_keys": _hashed(keys[owner["id"]], Scope.READ),
            "versions": [
                _version_row(version, documents[version["whole_id"]])
                for version in versions[owner["id"]]
            ],
        }
        for owner in connection.execute(owners).mappings()
    ]


def _grouped(
    connection: Connection, table: Any, ids: list[int], *order: Any
) -> dict[int, list[Row]]:
    query = select(table).where(table.c.property_id.in_(ids)).order_by(*order)
    grouped: dict[int, list[Row]] = {}
    for row in connection.execute(query).mappings():
        grouped.setdefault(row["property_id"], []).append(dict(row))
    return grouped


def _stream_row(stream: Row, keys: list[Row]) -> dict[str, Any]:
    own = [key for key in keys if key["data_stream_id"] in (None, stream["id"])]
    return {
        "measurement_id": stream["measurement_id"],
        "name": stream["name"],
        "allowed_hosts": stream["allowed_hosts"],
        "switched_off": [
            name for name, is_on in stream["enhanced_measurement"].items() if not is_on
        ],
        "api_secrets": _hashed(own, Scope.COLLECT),
    }


def _hashed(keys: list[Row], scope: Scope) -> list[dict[str, Any]]:
    return [
        {"hash": key["key_hash"], "expires_at": ends_at(key)}
        for key in keys
        if scope in key["scopes"]
    ]


def _version_row(version: Row, document: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": version["number"],
        "effective_at": version["effective_at"],
        **document,
    }
