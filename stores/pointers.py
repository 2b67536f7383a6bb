"""Pointer documents in wide rows: the map, the properties' overrides, and all that went before."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from stores.wide_rows.port import CELL_SCHEMA, WideRows
from tallymark import pointer_map, publication
from tallymark.pointer_map import OVERRIDES_PREFIX, PointerMap, override_key
from tallymark.publication import PointerDocument, RefusedError, history_key
from tallymark.reports.serving import Pointers
from tallymark.row_keys import POINTER_MAP_KEY

_OVERRIDES: Final = (OVERRIDES_PREFIX, OVERRIDES_PREFIX + b"\x7f")
"""Key range of all properties' overrides."""
TAKES: Final = 5
"""How often a reader tries to take map and overrides of one moment."""


@dataclass(frozen=True)
class Held:
    """A document as it lies in the store; ``value`` is what a conditional write expects."""

    document: PointerDocument
    value: bytes | None


class PointerStore:
    """The pointer documents of one store of wide rows.

    Every method raises ``WideRowsUnavailableError`` when the store does not answer.
    """

    def __init__(self, wide_rows: WideRows) -> None:
        self._wide_rows = wide_rows

    def pointers(self, property_id: int) -> Pointers:
        """What serves a property now: to be taken once an answer."""
        everywhere, overrides = PointerMap(), PointerMap()
        for _ in range(TAKES):
            values = self._values([POINTER_MAP_KEY, override_key(property_id)])
            everywhere = pointer_map.decode(values.get(POINTER_MAP_KEY))
            overrides = pointer_map.decode(values.get(override_key(property_id)))
            newest = max((part.published for part in overrides.intervals), default=0)
            if newest <= everywhere.version:  # else the map was read before a publication of it
                break
        return Pointers.of(everywhere, overrides)

    def held(self, property_id: int | None = None) -> Held:
        """The map, or a property's overrides, and the bytes that they are stored as."""
        key = _key(property_id)
        value = self._values([key]).get(key)
        return Held(publication.decode(value), value)

    def everyone(self) -> dict[int | None, PointerDocument]:
        """The map under ``None``, and the overrides of each property that has any."""
        rows = _documents(self._wide_rows.read([_OVERRIDES], ("c",)))
        found: dict[int | None, PointerDocument] = {
            int(key.removeprefix(OVERRIDES_PREFIX)): publication.decode(value)
            for key, value in rows.items()
        }
        return {None: self.held().document} | found

    def earlier(self, version: int, property_id: int | None = None) -> PointerDocument:
        """A document that was replaced.

        Raises:
            RefusedError: when no document of this version is kept.
        """
        key = history_key(property_id, version)
        value = self._values([key]).get(key)
        if value is None:
            raise RefusedError(
                f"version {version} is not kept: tallymark lineages lists those that are"
            )
        return publication.decode(value)

    def history(self, property_id: int | None = None, *, last: int = 50) -> list[PointerDocument]:
        """The newest documents, the one in force first."""
        held = self.held(property_id).document
        first = max(0, held.version - last + 1)
        keys = (history_key(property_id, first), history_key(property_id, held.version))
        rows = _documents(self._wide_rows.read([keys], ("c",)))
        before = [publication.decode(value) for _, value in sorted(rows.items(), reverse=True)]
        return [held, *before] if held.version else before

    def named_since(self, since_us: int) -> set[str]:
        """The lineages that any document names, of all properties or one, or has named since.

        Args:
            since_us: UTC µs.
        """
        named: set[str] = set()
        for property_id, held in self.everyone().items():
            document = held
            named |= document.lineages
            while document.change and document.change.signature.at_us > since_us:
                if document.version <= 1:
                    break
                document = self.earlier(document.version - 1, property_id)
                named |= document.lineages
        return named

    def replace(self, held: Held, wanted: PointerDocument, property_id: int | None = None) -> bool:
        """Put ``wanted`` in the place of ``held``; whether nobody else was quicker.

        What is replaced is kept first, so that whatever was in force can be served again.
        """
        if held.value is not None:
            self._keep(history_key(property_id, held.document.version), held)
        return self._wide_rows.compare_and_set(
            _key(property_id),
            pointer_map.QUALIFIER,
            expected=held.value,
            value=wanted.encode(),
            version=wanted.version,
        )

    def _keep(self, key: bytes, held: Held) -> None:
        cell = (key, "c", pointer_map.QUALIFIER, held.document.version, held.value)
        self._wide_rows.write(pl.DataFrame([cell], schema=CELL_SCHEMA, orient="row"))

    def _values(self, keys: list[bytes]) -> dict[bytes, bytes]:
        return _documents(self._wide_rows.read_rows(keys, ("c",)))


def _key(property_id: int | None) -> bytes:
    return POINTER_MAP_KEY if property_id is None else override_key(property_id)


def _documents(rows: pl.DataFrame) -> dict[bytes, bytes]:
    names = ("row_key", "qualifier", "value")
    columns = [rows.get_column(name).to_list() for name in names]
    return {
        key: value
        for key, qualifier, value in zip(*columns, strict=True)
        if qualifier == pointer_map.QUALIFIER
    }
