"""What the configuration service answers: the change feed and lookups, checked and decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

import orjson

from stores.rules_cache.problems import InvalidPropertyError


class UnreadableAnswerError(ValueError):
    """An answer that is not of the contract; says what came and what is expected."""


@dataclass(frozen=True)
class Change:
    """A property was changed; the number of the change, and the property's measurement ids."""

    sequence: int
    property_id: int
    measurement_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FeedAnswer:
    """Changes after a position.

    Attributes:
        database_id: Of the database that positions are of.
        changes: Ascending.
        position: Of the last change that the answer includes.
        answered_at: UTC µs of the service before it asked its database.
    """

    database_id: str
    changes: tuple[Change, ...]
    position: int
    answered_at: int


class Owner(Protocol):
    """A property, as far as somebody wants to know it."""

    @property
    def property_id(self) -> int:
        """Its own id."""

    @property
    def measurement_ids(self) -> tuple[str, ...]:
        """Those of its data streams."""


T = TypeVar("T", bound=Owner)
Read = Callable[[bytes], T]
"""Reads a document of one property, see ``stores.rules_cache.documents``; raises
``InvalidPropertyError``."""


@dataclass(frozen=True)
class FoundProperty(Generic[T]):
    """A property and the document that it was read from."""

    owner: T
    document: bytes


@dataclass(frozen=True, kw_only=True)
class LookupAnswer(Generic[T]):
    """Properties as they are at a position; what was asked for and is not in it does not exist.

    Attributes:
        broken: What is wrong with rows that cannot be read. If there are any, it is not known
            what of the things asked for does not exist.
    """

    database_id: str
    properties: tuple[FoundProperty[T], ...]
    position: int
    answered_at: int
    broken: tuple[str, ...] = ()


def decode_feed(content: bytes, after: int) -> FeedAnswer:
    """The answer to "what came after ``after``".

    Raises:
        UnreadableAnswerError: when it is none.
    """
    facts = _facts(content)
    changes = tuple(_change(row) for row in _list(facts, "changes"))
    numbers = [after, *(change.sequence for change in changes)]
    position = _whole(facts, "position")
    if any(one >= other for one, other in pairwise(numbers)):
        raise UnreadableAnswerError(f"changes: expected ascending numbers above {after}")
    if position < numbers[-1]:
        raise UnreadableAnswerError(f"position: expected {numbers[-1]} or more, got {position}")
    return FeedAnswer(
        database_id=_text(facts, "database_id"),
        changes=changes,
        position=position,
        answered_at=_whole(facts, "answered_at"),
    )


def decode_lookup(content: bytes, read: Read[T]) -> LookupAnswer[T]:
    """The answer to a lookup; a row that cannot be read does not spoil the others.

    Raises:
        UnreadableAnswerError: when it is none.
    """
    facts = _facts(content)
    found, broken = [], []
    for row in _list(facts, "properties"):
        # Copied, since what orjson gives out holds on to the 8 KB that it was written into.
        document = bytes(memoryview(orjson.dumps({"properties": [row]})))
        try:
            found.append(FoundProperty(read(document), document))
        except InvalidPropertyError as error:
            broken.append(str(error))
    return LookupAnswer(
        database_id=_text(facts, "database_id"),
        properties=tuple(found),
        position=_whole(facts, "position"),
        answered_at=_whole(facts, "answered_at"),
        broken=tuple(broken),
    )


def _facts(content: bytes) -> dict[str, Any]:
    try:
        facts = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UnreadableAnswerError(f"expected JSON: {error}") from error
    if not isinstance(facts, dict):
        raise UnreadableAnswerError(f"expected an object, got {str(facts)[:100]}")
    return facts


def _change(row: object) -> Change:
    if not isinstance(row, dict):
        raise UnreadableAnswerError(f"changes: expected objects, got {str(row)[:100]}")
    ids = _list(row, "measurement_ids")
    if not all(isinstance(one, str) for one in ids):
        raise UnreadableAnswerError("measurement_ids: expected texts")
    return Change(_whole(row, "sequence"), _whole(row, "property_id"), tuple(ids))


def _field(facts: dict[str, Any], name: str, fits: Callable[[Any], bool], expected: str) -> Any:
    found = facts.get(name)
    if not fits(found):
        raise UnreadableAnswerError(f"{name}: expected {expected}, got {str(found)[:100]}")
    return found


def _list(facts: dict[str, Any], name: str) -> list[Any]:
    found: list[Any] = _field(facts, name, lambda got: isinstance(got, list), "a list")
    return found


def _whole(facts: dict[str, Any], name: str) -> int:
    found: int = _field(
        facts, name, lambda got: type(got) is int and got >= 0, "a whole number from 0"
    )
    return found


def _text(facts: dict[str, Any], name: str) -> str:
    found: str = _field(facts, name, lambda got: isinstance(got, str) and got != "", "a text")
    return found
