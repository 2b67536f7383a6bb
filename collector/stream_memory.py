"""Data streams in memory: those of the properties used last.

Hits look them up without a lock and leave the time; all that was not used for long goes at once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from collector.known_streams import KnownOwner, KnownStream
from stores.rules_cache.feed_messages import FoundProperty
from stores.rules_cache.ids import Id

Streams = Mapping[str, KnownStream]
_SHARE_DROPPED: Final = 10


class StreamMemory:
    """At most ``max_properties``. Calls are the caller's to serialise, but for reading
    ``streams`` and ``time``.

    Attributes:
        streams: By measurement id.
        time: Ascends with every change.
    """

    def __init__(self, max_properties: int) -> None:
        self._max = max_properties
        self._owners: dict[int, tuple[int, KnownOwner]] = {}
        self.streams: dict[str, KnownStream] = {}
        self.time = 0

    def __len__(self) -> int:
        """How many properties are held."""
        return len(self._owners)

    def __iter__(self) -> Iterator[int]:
        """The ids of the properties that are held."""
        return iter(self._owners)

    def as_of(self, property_id: int) -> int | None:
        """The position at which the property was as it is held; ``None`` if it is not held."""
        held = self._owners.get(property_id)
        return None if held is None else held[0]

    def owner(self, wanted: Id) -> KnownOwner | None:
        """The property of an id, if it is held; by a measurement id all are gone through."""
        if isinstance(wanted, str):
            owners = (owner for _, owner in self._owners.values())
            return next((one for one in owners if wanted in one.measurement_ids), None)
        held = self._owners.get(wanted)
        return None if held is None else held[1]

    def rows(self, measurement_ids: Sequence[str]) -> tuple[Callable[[], Streams], list[str]]:
        """What tells of ids, whenever it is called, and the ids that are not held."""
        held = {one: self.streams[one] for one in measurement_ids if one in self.streams}
        return lambda: held, [one for one in measurement_ids if one not in held]

    def put(self, properties: Sequence[tuple[FoundProperty[KnownOwner], int]]) -> Streams:
        """Hold properties, each as of a position, instead of what is held of them."""
        self.time += 1
        told: dict[str, KnownStream] = {}
        for found, as_of in properties:
            owner = found.owner
            for stream in owner.streams:
                stream.used_at = self.time
            told |= zip(owner.measurement_ids, owner.streams, strict=True)
            self._forget(owner.property_id, keeping=owner.measurement_ids)
            self._owners[owner.property_id] = (as_of, owner)
        self.streams |= told
        if len(self._owners) > self._max:
            self._make_room()
        return told

    def those_asked(self, rows: Streams, asked: Sequence[str]) -> tuple[Streams, set[str]]:
        """Of what was put that of the ids asked for, and these ids."""
        found = {one: rows[one] for one in asked if one in rows}
        return found, set(found)

    def drop(self, property_ids: Iterable[int]) -> None:
        """Hold properties no longer."""
        for property_id in property_ids:
            self._forget(property_id)

    def clear(self) -> None:
        """Hold nothing."""
        self._owners.clear()
        self.streams.clear()

    def _forget(self, property_id: int, keeping: tuple[str, ...] = ()) -> None:
        """Without ``keeping``, ids that are replaced: a hit finds the old stream or the new one."""
        held = self._owners.pop(property_id, None)
        if held is None:
            return
        _, owner = held
        for measurement_id, stream in zip(owner.measurement_ids, owner.streams, strict=True):
            if measurement_id not in keeping and self.streams.get(measurement_id) is stream:
                del self.streams[measurement_id]

    def _make_room(self) -> None:
        surplus = len(self._owners) - self._max + self._max // _SHARE_DROPPED
        by_use = sorted(self._owners, key=self._used_at)
        self.drop(by_use[:surplus])

    def _used_at(self, property_id: int) -> int:
        _, owner = self._owners[property_id]
        return max((stream.used_at for stream in owner.streams), default=0)
