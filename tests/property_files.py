"""Files of properties, for tests of those who read them: no service writes them there."""

import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stores.rules_cache.documents import decode_properties, encode_properties
from stores.rules_cache.replacement import replace_file
from tallymark.properties import DataStream, HashedKey, Property, RulesVersion, secret_hash
from tallymark.rule_documents import parse_rules

SECRET_BYTES: Final = 16
_BASE_36: Final = string.digits + string.ascii_uppercase
_FIRST_PROPERTY_ID: Final = 100_000_000
_PROPERTY_IDS: Final = 900_000_000

RandomBytes = Callable[[int], bytes]
"""Gives so many random bytes, as ``secrets.token_bytes`` does."""


@dataclass(frozen=True, kw_only=True)
class CreatedProperty:
    """A new property of one data stream and its secrets, which are stored nowhere."""

    created: Property
    measurement_id: str
    api_secret: str
    read_key: str


def create_property(
    path: Path, *, name: str, random_bytes: RandomBytes, **rules: object
) -> CreatedProperty:
    """Add a property of one data stream to the file at ``path``; ``rules`` are its first."""
    first = RulesVersion(version=1, rules=parse_rules(rules))
    known = decode_properties(path.read_bytes()) if path.exists() else []
    new = _draw(name, first, known, random_bytes)
    replace_file(path, encode_properties([*known, new.created]))
    return new


def _draw(
    name: str, first: RulesVersion, known: list[Property], random_bytes: RandomBytes
) -> CreatedProperty:
    taken: set[object] = {owner.property_id for owner in known}
    taken.update(one for owner in known for one in owner.measurement_ids)
    while (property_id := _FIRST_PROPERTY_ID + _number(random_bytes) % _PROPERTY_IDS) in taken:
        pass
    while (measurement_id := "G-" + _base_36(_number(random_bytes), 10)) in taken:
        pass
    api_secret = random_bytes(SECRET_BYTES).hex()
    read_key = random_bytes(SECRET_BYTES).hex()
    return CreatedProperty(
        measurement_id=measurement_id,
        created=Property(
            property_id=property_id,
            name=name,
            data_streams=(
                DataStream(
                    measurement_id=measurement_id,
                    name=name,
                    api_secrets=(HashedKey(key_hash=secret_hash(api_secret)),),
                ),
            ),
            read_keys=(HashedKey(key_hash=secret_hash(read_key)),),
            versions=(first,),
        ),
        api_secret=api_secret,
        read_key=read_key,
    )


def _number(random_bytes: RandomBytes) -> int:
    return int.from_bytes(random_bytes(8))


def _base_36(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 36)
        text = _BASE_36[digit] + text
    return text
