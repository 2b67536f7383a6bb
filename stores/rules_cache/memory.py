"""What a follower of the feed keeps in memory: each role no more of a property than it needs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from stores.rules_cache.feed_messages import FoundProperty, T
from stores.rules_cache.ids import Id

R = TypeVar("R")


class Memory(Protocol[T, R]):
    """Where properties are held; calls are the caller's to serialise. ``R`` is what is told of
    some of them together."""

    def __len__(self) -> int:
        """How many properties are held."""

    def __iter__(self) -> Iterator[int]:
        """The ids of the properties that are held."""

    def as_of(self, property_id: int) -> int | None:
        """The position at which the property was as it is held; ``None`` if it is not held."""

    def owner(self, wanted: Id) -> T | None:
        """The property of an id, if it is held."""

    def rows(self, measurement_ids: Sequence[str]) -> tuple[Callable[[], R], list[str]]:
        """What tells of ids, whenever it is called, and the ids that are not held."""

    def put(self, properties: Sequence[tuple[FoundProperty[T], int]]) -> R:
        """Hold properties, each as of a position, instead of what is held of them."""

    def those_asked(self, rows: R, asked: Sequence[str]) -> tuple[R, set[str]]:
        """Of what was put that of the ids asked for, and these ids."""

    def drop(self, property_ids: Iterable[int]) -> None:
        """Hold properties no longer."""

    def clear(self) -> None:
        """Hold nothing."""
