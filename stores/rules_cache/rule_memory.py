"""Properties in memory: those used last, as documents and as compiled rows. Calls are the
caller's to serialise."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import polars as pl

from stores.rules_cache.documents import decode_property
from stores.rules_cache.feed_messages import FoundProperty
from stores.rules_cache.ids import Id
from stores.rules_cache.rule_rows import RuleRows
from tallymark.properties import Property, properties_frame

_DECODED: Final = 1_000


class _Entry(NamedTuple):
    as_of: int
    measurement_ids: tuple[str, ...]
    document: bytes


class RuleMemory:
    """At most ``max_properties``: those used least recently go. A property is a document of bytes,
    which is a fifth of what it takes as objects, and rows of a frame."""

    def __init__(self, max_properties: int) -> None:
        self._max = max_properties
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._owners: dict[str, int] = {}
        self._rows = RuleRows()

    def __len__(self) -> int:
        """How many properties are held."""
        return len(self._entries)

    def __iter__(self) -> Iterator[int]:
        """The ids of the properties that are held."""
        return iter(self._entries)

    def as_of(self, property_id: int) -> int | None:
        """The position at which the property was as it is held; ``None`` if it is not held."""
        entry = self._entries.get(property_id)
        return None if entry is None else entry.as_of

    def owner(self, wanted: Id) -> Property | None:
        """The property of an id, if it is held."""
        owner = self._owners.get(wanted) if isinstance(wanted, str) else wanted
        if owner is None or owner not in self._entries:
            return None
        self._entries.move_to_end(owner)
        return _decoded(self._entries[owner].document)

    def rows(self, measurement_ids: Sequence[str]) -> tuple[Callable[[], pl.DataFrame], list[str]]:
        """What gathers the rows of ids, whenever it is called, and the ids that are not held."""
        left = []
        for one in measurement_ids:
            if (owner := self._owners.get(one)) is None:
                left.append(one)
            else:
                self._entries.move_to_end(owner)
        frame, numbers = self._rows.find(measurement_ids)
        return lambda: frame[numbers], left

    def those_asked(
        self, rows: pl.DataFrame, asked: Sequence[str]
    ) -> tuple[pl.DataFrame, set[str]]:
        """Of rows that were put those of the ids asked for, and these ids."""
        wanted = pl.Series(asked, dtype=pl.String).implode()
        rows = rows.filter(pl.col("measurement_id").is_in(wanted))
        return rows, set(rows.get_column("measurement_id"))

    def put(self, properties: Sequence[tuple[FoundProperty[Property], int]]) -> pl.DataFrame:
        """Hold properties, each as of a position, instead of what is held of them; their rows."""
        rows = properties_frame(found.owner for found, _ in properties)
        for found, as_of in properties:
            owner = found.owner
            self.drop([owner.property_id])
            entry = _Entry(as_of, owner.measurement_ids, found.document)
            self._entries[owner.property_id] = entry
            self._owners |= dict.fromkeys(owner.measurement_ids, owner.property_id)
        self._rows.put(rows)
        surplus = len(self._entries) - self._max
        if surplus > 0:
            self.drop([one for one, _ in zip(self._entries, range(surplus), strict=False)])
        return rows

    def drop(self, property_ids: Iterable[int]) -> None:
        """Hold properties no longer."""
        for property_id in property_ids:
            entry = self._entries.pop(property_id, None)
            if entry is None:
                continue
            own = [one for one in entry.measurement_ids if self._owners.get(one) == property_id]
            for one in own:
                del self._owners[one]
            self._rows.remove(own)

    def clear(self) -> None:
        """Hold nothing."""
        self._entries.clear()
        self._owners.clear()
        self._rows.clear()


_decoded: Final = lru_cache(maxsize=_DECODED)(decode_property)
