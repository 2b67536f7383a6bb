"""A property with all that a site needs to begin: a data stream, a secret, a read key."""

from dataclasses import dataclass
from typing import Any

from config_api import data_streams, keys, properties
from config_api.access import Scope
from config_api.transaction import Transaction


@dataclass(frozen=True, kw_only=True)
class NewProperty:
    """A new property of one data stream and its secrets, which are stored nowhere."""

    property_id: int
    measurement_id: str
    api_secret: str
    read_key: str


def create_property(
    transaction: Transaction, organisation_id: int, *, name: str, rules: dict[str, Any]
) -> NewProperty:
    """Add a property, a data stream of the same name, and a key of each kind.

    Raises:
        InvalidConfigurationError: with all that is wrong.
        NotFoundError: when there is no such organisation.
    """
    owner = properties.create(transaction, organisation_id, name=name, rules=rules)
    stream = data_streams.create(transaction, owner["id"], name=name)
    whole = {"organisation_id": organisation_id, "property_id": owner["id"]}
    of_stream = keys.Holder(**whole, data_stream_id=stream["id"])
    secret = keys.create(transaction, of_stream, name="first API secret", scopes=[Scope.COLLECT])
    read_key = keys.create(
        transaction, keys.Holder(**whole), name="first read key", scopes=[Scope.READ]
    )
    return NewProperty(
        property_id=owner["id"],
        measurement_id=stream["measurement_id"],
        api_secret=secret.secret,
        read_key=read_key.secret,
    )
