"""Clean hits to rollup rows, the clients of a range of hashes at a time: what ``RollUp`` does in a
replay, without Beam. Everything a cell holds is kept per client, so the rows of all ranges add up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
import polars as pl

from stores.archive.clean import CleanHits, CleanPart
from stores.archive.clean_files import hash_range
from stores.archive.counted_touches import CountedTouches
from stores.archive.counts import Counts, SessionPart, Sessions
from stores.archive.port import Objects
from stores.wide_rows.client_touches import pinned_touches
from stores.wide_rows.port import WideRows
from tallymark import pointer_map
from tallymark.aggregates import Counted, merged_rows, partial_rows
from tallymark.counting import HIT_COLUMNS, Tally, slots_in, touches_in
from tallymark.pointer_map import PointerMap
from tallymark.replays import Span
from tallymark.rollups import ROLLUPS, Rollup
from tallymark.session_rows import session_rows
from tallymark.slots import HOUR_US
from tallymark.touches import TOUCH_SCHEMA

CLIENTS_A_READ: Final = 20_000
"""Clients whose older touches are read at a time."""
HITS_TOGETHER: Final = 50_000
"""Hits that are taken in at a time: small frames are dear, large ones large."""
FRAMES_TOGETHER: Final = 64
"""And of so many row groups at most: what is kept of one may keep the whole of it in memory, and
the more passes there are, the less of each is wanted."""
MERGE_BYTES: Final = 64 * 1024 * 1024
"""Rows that may wait until they are merged."""


@dataclass(frozen=True, kw_only=True)
class CountSettings:
    """How hits are counted; travels with every task.

    Attributes:
        lineage: Whose cells are made.
        archive_url: Where clean hits are and counts go.
        wide_rows_url: Where the clients' older touches are.
        targets: Hours whose cells are made.
        groups: Spans of them whose rows lie together.
        passes: How many ranges of hashes there are.
        inventory: Object that names what is to be read.
    """

    lineage: str
    archive_url: str
    wide_rows_url: str
    targets: Span
    groups: tuple[Span, ...]
    passes: int
    inventory: str


@dataclass(frozen=True)
class InventoryEntry:
    """Parts of one file to be read, and of which properties: ``only`` those, or all but
    ``without``."""

    parts: tuple[CleanPart, ...]
    only: tuple[int, ...] | None
    without: tuple[int, ...]

    def of_properties(self, hits: pl.DataFrame) -> pl.DataFrame:
        """The hits that are wanted of it."""
        if self.only is not None:
            hits = hits.filter(pl.col("property_id").is_in(self.only))
        if self.without:
            hits = hits.filter(~pl.col("property_id").is_in(self.without))
        return hits


def by_file(entries: Sequence[InventoryEntry]) -> list[InventoryEntry]:
    """The same, what is read of a file for the same properties as one."""
    files: dict[tuple[Any, ...], list[CleanPart]] = {}
    for entry in entries:
        key = (entry.parts[0].name, entry.only, entry.without)
        files.setdefault(key, []).extend(entry.parts)
    return [
        InventoryEntry(tuple(parts), only, without) for (_, only, without), parts in files.items()
    ]


@dataclass(frozen=True)
class Inventory:
    """What is read, as it was when counting began.

    Attributes:
        entries: The clean hits.
        pointers: Which older touches count: the map under ``None``, and properties' overrides.
    """

    entries: Sequence[InventoryEntry]
    pointers: Mapping[int | None, PointerMap]


def encode_inventory(inventory: Inventory) -> dict[str, Any]:
    """An inventory as a document; ``decode_inventory`` reads it."""
    return {
        "entries": [asdict(entry) for entry in inventory.entries],
        "pointers": [
            {"property_id": owner, "map": pointers.to_json()}
            for owner, pointers in inventory.pointers.items()
        ],
    }


def decode_inventory(content: bytes) -> Inventory:
    """The inventory in a document of ``encode_inventory``."""
    document = orjson.loads(content)
    entries = [
        InventoryEntry(
            tuple(map(CleanPart.of, entry["parts"])),
            None if entry["only"] is None else tuple(entry["only"]),
            tuple(entry["without"]),
        )
        for entry in document["entries"]
    ]
    pointers = {
        held["property_id"]: pointer_map.decode(orjson.dumps(held["map"]))
        for held in document["pointers"]
    }
    return Inventory(entries, pointers)


@dataclass(frozen=True)
class CountNote:
    """What a pass counted."""

    number: int
    hits: int
    sessions: tuple[SessionPart, ...]


class ClientCounter:
    """Counts passes.

    Args:
        settings: How.
        objects: The archive.
        wide_rows: Where the clients' older touches are.
        inventory: What to read.
    """

    def __init__(
        self,
        settings: CountSettings,
        *,
        objects: Objects,
        wide_rows: WideRows,
        inventory: Inventory,
    ) -> None:
        self._settings = settings
        self._clean = CleanHits(objects)
        self._sessions = Sessions(objects)
        self._counts = Counts(objects, settings.lineage, settings.targets)
        self._touches = CountedTouches(objects, settings.lineage, settings.targets)
        self._wide_rows = wide_rows
        self._inventory = inventory

    def run(self, number: int) -> CountNote:
        """Count the clients of a pass; sessions, touches and rollup rows are written."""
        tally, hits = Tally(), 0
        for frame in self._hits(hash_range(number, self._settings.passes)):
            hits += frame.height
            tally.add(frame)
        known_from = self._settings.targets.start_us
        facts = tally.counted(self._older_touches(tally.clients()), known_from)
        sessions = tuple(self._write_sessions(number, facts))
        for group, hours in enumerate(self._settings.groups):
            slots = slots_in(hours, facts)
            rows = [rows for _, rows in partial_rows(facts, slots)]
            self._counts.write(number, group, slots, rows)
            self._touches.write(number, group, touches_in(hours, facts))
        return CountNote(number, hits, sessions)

    def _hits(self, hashes: tuple[int, int]) -> Iterator[pl.DataFrame]:
        waiting: list[pl.DataFrame] = []
        held = 0
        for entry in self._inventory.entries:
            for frame in self._clean.read(entry.parts, HIT_COLUMNS, hashes):
                wanted = entry.of_properties(frame)
                if wanted.height:
                    waiting.append(wanted)
                    held += wanted.height
                if held >= HITS_TOGETHER or len(waiting) == FRAMES_TOGETHER:
                    yield pl.concat(waiting)
                    waiting, held = [], 0
        if waiting:
            yield pl.concat(waiting)

    def _older_touches(self, clients: pl.DataFrame) -> pl.DataFrame:
        """The touches (``TOUCH_SCHEMA``) of clients in hours before the targets."""
        before_us, pointers = self._settings.targets.start_us, self._inventory.pointers
        return pl.concat(
            [
                TOUCH_SCHEMA.to_frame(),
                *(
                    pinned_touches(self._wide_rows, some, pointers, before_us=before_us)
                    for some in clients.iter_slices(CLIENTS_A_READ)
                ),
            ]
        )

    def _write_sessions(self, number: int, facts: Counted) -> list[SessionPart]:
        rows = session_rows(facts, self._settings.targets)
        hour = pl.col("session_start") // HOUR_US * HOUR_US
        of_hours = rows.with_columns(event_hour=hour).partition_by(
            "event_hour", as_dict=True, maintain_order=True, include_key=False
        )
        by_hour = {int(str(event_hour)): of_hour for (event_hour,), of_hour in of_hours.items()}
        return self._sessions.write_parts(self._settings.lineage, number, by_hour)


def merged_group(counts: Counts, passes: int, group: int) -> Iterator[tuple[Rollup, pl.DataFrame]]:
    """The rows of each rollup in a group of hours, of all clients."""
    waiting: list[list[pl.DataFrame]] = [[] for _ in ROLLUPS]
    for number in range(passes):
        _, rows = counts.read(number, group)
        for rollup, held, more in zip(ROLLUPS, waiting, rows, strict=True):
            if more.height:
                held.append(more)
            if len(held) > 1 and _size(held[1:]) > max(MERGE_BYTES, _size(held[:1])):
                held[:] = [_merged(rollup, held)]
    for rollup, held in zip(ROLLUPS, waiting, strict=True):
        if held:
            yield rollup, _merged(rollup, held)


def _merged(rollup: Rollup, parts: list[pl.DataFrame]) -> pl.DataFrame:
    return parts[0] if len(parts) == 1 else merged_rows(rollup, pl.concat(parts))


def _size(frames: Sequence[pl.DataFrame]) -> float:
    return sum(frame.estimated_size() for frame in frames)
