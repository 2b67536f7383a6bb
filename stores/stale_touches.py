"""Publications compare touches: what later hours depend on and has changed is announced."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import orjson
import polars as pl

from stores.announcements import STALE, Announcements
from stores.archive.counted_touches import noted_touches
from stores.archive.port import Objects
from stores.pointers import PointerStore
from stores.wide_rows.pages import pages
from stores.wide_rows.port import CELL_SCHEMA, WideRows
from tallymark.lineages import kind_of
from tallymark.pieces import CLIENT
from tallymark.pointer_map import PointerMap, changed_spans
from tallymark.properties import Property
from tallymark.publication import PointerDocument
from tallymark.row_keys import COMPARED_KEY
from tallymark.stale_touches import STALE_SCHEMA, stale_hours
from tallymark.touch_cells import (
    FAMILY,
    clients_range,
    decode_touches,
    with_client_keys,
)

CLIENTS_A_READ: Final = 20_000
_QUALIFIER: Final = b"versions"
_Documents = Mapping[int | None, PointerDocument]


class StaleTouches:
    """Announces hours whose sessions are attributed by touches that serve no more.

    How far the pointers were compared is noted, so that what a process that ended early has left
    is made up for the next time.

    Args:
        wide_rows: Where touches, pointers and announcements are.
        objects: The archive, which notes what touches lineages have.
        properties: All of them.
    """

    def __init__(
        self, wide_rows: WideRows, objects: Objects, properties: Iterable[Property]
    ) -> None:
        self._wide_rows = wide_rows
        self._objects = objects
        self._lookback_days = {
            owner.property_id: max(
                version.rules.attribution_lookback_days for version in owner.versions
            )
            for owner in properties
        }
        self._pointers = PointerStore(wide_rows)

    def catch_up(self) -> int:
        """Compare the pointers with those of the last time; how many hours were announced.

        Raises:
            WideRowsUnavailableError: when the store does not answer; to be called again.
        """
        after = self._pointers.everyone()
        before = self._compared(after)
        count = 0
        for owners in self._batches(before, after):
            hours = self._stale(owners, _serving(before, owners[0]), _serving(after, owners[0]))
            self._announce(hours, after)
            count += hours.height
        versions = {str(owner or ""): held.version for owner, held in after.items()}
        cell = (COMPARED_KEY, "c", _QUALIFIER, after[None].version, orjson.dumps(versions))
        self._wide_rows.write(pl.DataFrame([cell], schema=CELL_SCHEMA, orient="row"))
        return count

    def _compared(self, now: _Documents) -> dict[int | None, PointerDocument]:
        """The documents that were compared last; the first time those before the last change."""
        found = self._wide_rows.read_rows([COMPARED_KEY], ("c",)).get_column("value").to_list()
        if found:
            versions = orjson.loads(found[0])
        else:
            versions = {
                str(owner or ""): _version_before(owner, held) for owner, held in now.items()
            }
        return {
            owner: self._document(owner, held, versions.get(str(owner or ""), 0))
            for owner, held in now.items()
        }

    def _document(self, owner: int | None, held: PointerDocument, version: int) -> PointerDocument:
        if version == held.version:
            return held
        return self._pointers.earlier(version, owner) if version else PointerDocument()

    def _batches(self, before: _Documents, after: _Documents) -> Iterator[list[int]]:
        """Properties that the same pointers serve, together; those with overrides alone."""
        overridden = {owner for owner in before.keys() | after.keys() if owner is not None}
        special = overridden & self._lookback_days.keys()
        common = sorted(self._lookback_days.keys() - special)
        yield from filter(None, [common, *([owner] for owner in sorted(special))])

    def _stale(self, owners: list[int], old: PointerMap, new: PointerMap) -> pl.DataFrame:
        found = [STALE_SCHEMA.to_frame()]
        for clients in clients_between(self._wide_rows, self._objects, owners, old, new):
            for some in clients.iter_slices(CLIENTS_A_READ):
                keys = with_client_keys(some).get_column("row_key").to_list()
                touches = decode_touches(self._wide_rows.read_rows(keys, (FAMILY,)))
                found.append(stale_hours(touches, old, new, self._lookback_days))
        return pl.concat(found).unique().sort("property_id", "hour")

    def _announce(self, hours: pl.DataFrame, documents: _Documents) -> None:
        Announcements(self._wide_rows, STALE).announce(
            (owner, hour, name_of(documents, owner))
            for hour, owner in hours.select("hour", "property_id").iter_rows()
        )


def clients_between(
    wide_rows: WideRows, objects: Objects, owners: Collection[int], old: PointerMap, new: PointerMap
) -> Iterator[pl.DataFrame]:
    """The clients that may have touches, in the past or now, in hours whose lineage changed."""
    spans = changed_spans(old, new)
    names = {name for span in spans for name in (span.before, span.after) if name}
    inside = pl.any_horizontal(
        pl.lit(value=False),
        *(pl.col("hour").is_between(one.start_us, one.end_us, closed="left") for one in spans),
    )
    for name in sorted(names):
        for noted in noted_touches(objects, name):
            mine = noted.filter(pl.col("property_id").is_in(owners) & inside)
            yield mine.select(CLIENT).unique()
    # A stream notes nothing; sealing counts all that it has counted and hits that were late.
    if any(_needs_all(span.before, span.after) for span in spans):
        ranges = [clients_range(owner) for owner in owners]
        for cells in pages(wide_rows, ranges, (FAMILY,), rows_a_page=CLIENTS_A_READ):
            yield decode_touches(cells).filter(inside).select(CLIENT).unique()


def name_of(documents: _Documents, owner: int) -> bytes:
    """The name of an announcement: the versions of the map and of a property's overrides."""
    own = documents[owner].version if owner in documents else 0
    return f"{documents[None].version:010d}-{own:010d}".encode()


def is_covered(name: bytes, owner: int, versions: Mapping[int | None, int]) -> bool:
    """Whether what was announced under a name is in what was counted by pointers of versions."""
    everywhere, own = map(int, name.decode().split("-"))
    return everywhere <= versions.get(None, 0) and own <= versions.get(owner, 0)


def _version_before(owner: int | None, held: PointerDocument) -> int:
    """The version before the last; the first map serves what nothing served before."""
    least = min(1, held.version) if owner is None else 0
    return max(least, held.version - 1)


def _serving(documents: _Documents, owner: int) -> PointerMap:
    own = documents.get(owner, PointerDocument()).pointers
    return documents[None].pointers.overridden_by(own)


def _needs_all(before: str | None, after: str | None) -> bool:
    """Whether a replay has taken hours over from a stream, or given them back.

    A stream that takes over from another counts what follows itself.
    """
    kinds = [kind_of(name) for name in (before, after) if name]
    return "live" in kinds and "replay" in kinds
