"""Taking over the properties of a file into a database that has none."""

from typing import Any, Final

import orjson
from sqlalchemy import insert, select

from config_api import organisations, rules_versions
from config_api.access import Scope
from config_api.data_streams import ALL_ON
from config_api.keys import Holder
from config_api.tables import DATA_STREAMS, KEYS, PROPERTIES
from config_api.transaction import Transaction
from stores.rules_cache.documents import decode_properties
from tallymark.properties import SINCE_EVER, DataStream, HashedKey, Property

TAKEOVER_SECONDS: Final = 600
"""It may take so long: no worker follows a database that has no properties yet."""


def take_over(transaction: Transaction, content: bytes) -> int:
    """Bring the properties of a document into the database, unless it has some already.

    Returns:
        How many were taken over.

    Raises:
        InvalidPropertyError: with all that is wrong in the document; nothing is taken over.
    """
    if transaction.connection.execute(select(PROPERTIES.c.id)).first() is not None:
        return 0
    transaction.commit_seconds = TAKEOVER_SECONDS
    owners = decode_properties(_with_streams(content))
    if owners:
        organisation_id = organisations.ensure_default(transaction)
        for owner in owners:
            _take_over(transaction, organisation_id, owner)
    return len(owners)


def _with_streams(content: bytes) -> bytes:
    """The document as it is now of one in which a property had one stream, one secret, one key."""
    try:
        document = orjson.loads(content)
        rows = document["properties"]
        for row in rows:
            if "measurement_id" in row:
                row["data_streams"] = [_stream_of(row)]
                row["read_keys"] = [{"hash": row["read_key_hash"], "expires_at": None}]
        return orjson.dumps(document)
    except (ValueError, KeyError, TypeError):
        return content  # it is told what is wrong where it is decoded


def _stream_of(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "measurement_id": row["measurement_id"],
        "name": row["name"],
        "allowed_hosts": [],
        "api_secrets": [{"hash": row["api_secret_hash"], "expires_at": None}],
    }


def _take_over(transaction: Transaction, organisation_id: int, owner: Property) -> None:
    times = {"created_at": transaction.now_us, "updated_at": transaction.now_us}
    row = {"id": owner.property_id, "organisation_id": organisation_id, "name": owner.name}
    transaction.connection.execute(insert(PROPERTIES).values(row | times))
    holder = Holder(organisation_id=organisation_id, property_id=owner.property_id)
    for key in owner.read_keys:
        _add_key(transaction, key, vars(holder), Scope.READ)
    for stream in owner.data_streams:
        stream_id = _add_stream(transaction, owner, stream)
        for key in stream.api_secrets:
            fields = vars(holder) | {"data_stream_id": stream_id}
            _add_key(transaction, key, fields, Scope.COLLECT)
    for version in owner.versions:
        since = None if version.effective_at == SINCE_EVER else version.effective_at
        rules_versions.take_over(
            transaction, owner.property_id, number=version.version, effective_at=since,
            document=version.rules.document(),
        )  # fmt: skip
    transaction.changed(owner.property_id)


def _add_stream(transaction: Transaction, owner: Property, stream: DataStream) -> int:
    stream_id = transaction.drawn_id(DATA_STREAMS)
    row = {
        "id": stream_id,
        "property_id": owner.property_id,
        "measurement_id": stream.measurement_id,
        "name": stream.name or owner.name,
        "allowed_hosts": list(stream.allowed_hosts),
        "enhanced_measurement": ALL_ON,
        "created_at": transaction.now_us,
        "updated_at": transaction.now_us,
    }
    transaction.connection.execute(insert(DATA_STREAMS).values(row))
    return stream_id


def _add_key(
    transaction: Transaction, key: HashedKey, fields: dict[str, Any], scope: Scope
) -> None:
    row = fields | {
        "id": transaction.drawn_id(KEYS),
        "key_hash": key.key_hash,
        "name": f"{scope}, taken over",
        "scopes": [scope],
        "created_at": transaction.now_us,
        "expires_at": key.expires_at,
    }
    transaction.connection.execute(insert(KEYS).values(row))
