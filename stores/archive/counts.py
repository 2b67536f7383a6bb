"""What a replay counts on its way from clean hits to cells.

``sessions/LINEAGE/event_hour=…/`` holds the sessions that start in an hour, for analysts.
``counts/LINEAGE/SPAN/`` holds the rollup rows of each set of clients until they are merged, and
``slots/LINEAGE/SPAN.arrow`` which slots the lineage has cells of. A manifest is written last.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
import polars as pl
import xxhash

from stores.archive.damage import ArchiveDamageError
from stores.archive.hours import hour_name, hour_of
from stores.archive.port import Objects
from stores.failpoints import reach
from tallymark.cells import SLOT_COLUMNS
from tallymark.pieces import PIECE_SCHEMA
from tallymark.replays import Span
from tallymark.session_rows import SESSION_SCHEMA
from tallymark.shard_frames import ipc_bytes, ipc_frame, pack, unpack

SLOTS: Final = "slots/"
SESSIONS: Final = "sessions/"
SLOT_SCHEMA: Final = pl.Schema({name: PIECE_SCHEMA[name] for name in SLOT_COLUMNS})
_MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class SessionPart:
    """A file of sessions that start in one hour."""

    name: str
    event_hour: int
    sessions: int


class Sessions:
    """Sessions in an object store."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def write_parts(
        self, lineage: str, number: int, sessions: Mapping[int, pl.DataFrame]
    ) -> list[SessionPart]:
        """Store sessions (``SESSION_SCHEMA``) by the hour (UTC µs) in which they start; they exist
        once they are committed."""
        parts, contents = [], []
        for event_hour, of_hour in sessions.items():
            content = io.BytesIO()
            of_hour.select(list(SESSION_SCHEMA)).write_parquet(content, compression="zstd")
            digest = xxhash.xxh3_64_hexdigest(content.getvalue())
            name = f"{_hour_folder(lineage, event_hour)}{number:05d}-{digest}.parquet"
            contents.append((name, content.getvalue()))
            parts.append(SessionPart(name=name, event_hour=event_hour, sessions=of_hour.height))
        self._objects.put_all(contents)
        return parts

    def commit(self, lineage: str, hours: Span, parts: Sequence[SessionPart]) -> None:
        """Let these parts be the sessions of all the hours; what was there before is removed."""
        by_hour: dict[int, list[SessionPart]] = {}
        for part in sorted(parts, key=lambda part: part.name):
            by_hour.setdefault(part.event_hour, []).append(part)
        kept = {part.name for part in parts}
        manifests = {
            _hour_folder(lineage, hour) + _MANIFEST: orjson.dumps([asdict(part) for part in some])
            for hour, some in by_hour.items()
        }
        self._objects.put_all(manifests.items())
        kept |= manifests.keys()
        prefix = f"{SESSIONS}{lineage}/event_hour="
        for name in self._objects.names(prefix):
            hour = hour_of(name.removeprefix(prefix).partition("/")[0])
            if hour in hours and name not in kept:
                self._objects.delete(name)

    def replace(self, lineage: str, event_hour: int, frames: Sequence[pl.DataFrame]) -> None:
        """Let these be all sessions of an hour, a frame a file; files of before stay."""
        folder = _hour_folder(lineage, event_hour)
        parts = []
        for frame in frames:
            if frame.is_empty():
                continue
            content = io.BytesIO()
            frame.write_parquet(content, compression="zstd")
            name = f"{folder}kept-{xxhash.xxh3_64_hexdigest(content.getvalue())}.parquet"
            self._objects.put(name, content.getvalue())
            parts.append(SessionPart(name=name, event_hour=event_hour, sessions=frame.height))
        if parts:
            self._objects.put(folder + _MANIFEST, orjson.dumps([asdict(part) for part in parts]))
        else:
            self._objects.delete(folder + _MANIFEST)

    def hours(self, lineage: str) -> list[int]:
        """The hours (UTC µs) in which sessions of a lineage start, ascending."""
        prefix, suffix = f"{SESSIONS}{lineage}/event_hour=", f"/{_MANIFEST}"
        names = [name for name in self._objects.names(prefix) if name.endswith(suffix)]
        return [hour_of(name.removeprefix(prefix).removesuffix(suffix)) for name in names]

    def parts(self, lineage: str, event_hour: int) -> list[SessionPart]:
        """The files of an hour; none where no session starts in it."""
        try:
            content = self._objects.get(_hour_folder(lineage, event_hour) + _MANIFEST)
        except FileNotFoundError:
            return []
        return [SessionPart(**part) for part in orjson.loads(content)]

    def read(self, lineage: str, event_hour: int) -> Iterator[pl.DataFrame]:
        """The sessions that start in an hour, a frame of ``SESSION_SCHEMA`` a file."""
        for part in self.parts(lineage, event_hour):
            yield pl.read_parquet(io.BytesIO(self._objects.get(part.name)))


@dataclass(frozen=True, kw_only=True)
class CountsManifest:
    """What was counted, and may be merged.

    Attributes:
        lineage: Whose cells it becomes.
        targets: The hours, [start, end) in UTC µs.
        code_version: Of the code that counted.
        passes: How many sets of clients there are.
        groups: Spans of hours whose rows lie together, [start, end) in UTC µs.
        hits: Hits that were counted.
        sessions: (event hour, sessions that start in it), where there are any.
    """

    lineage: str
    targets: tuple[int, int]
    code_version: str
    passes: int
    groups: tuple[tuple[int, int], ...]
    hits: int
    sessions: tuple[tuple[int, int], ...]


class Counts:
    """Rollup rows of sets of clients, between counting and merging.

    Args:
        objects: The archive.
        lineage: Whose.
        targets: Of which hours.
    """

    def __init__(self, objects: Objects, lineage: str, targets: Span) -> None:
        self._objects = objects
        self._lineage = lineage
        self._targets = targets
        self._folder = counts_folder(lineage, targets)
        self._slots = f"{SLOTS}{lineage}/{span_name(targets)}.arrow"

    def begin(self, inventory: dict[str, Any]) -> str:
        """Note what is to be read; what was counted before does not stand any more.

        Returns:
            The name of the inventory.
        """
        self.clear()
        data = orjson.dumps(inventory)
        name = f"{self._folder}inventory-{xxhash.xxh3_64_hexdigest(data)}.json"
        self._objects.put(name, data)
        return name

    def write(self, number: int, group: int, slots: pl.DataFrame, rows: list[pl.DataFrame]) -> None:
        """Store the rows of each rollup of a set of clients in a group of hours."""
        frames = [ipc_bytes(frame, "lz4") for frame in (slots, *rows)]
        self._objects.put(self._name(number, group), pack(frames))

    def read(self, number: int, group: int) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        """Slots and the rows of each rollup; a rollup without rows is an empty frame."""
        name = self._name(number, group)
        content = self._get(name)
        try:
            slots, *rows = unpack(content)
            return ipc_frame(slots, SLOT_SCHEMA), [ipc_frame(part, pl.Schema()) for part in rows]
        except (pl.exceptions.PolarsError, OSError, ValueError) as error:
            raise damaged_counts(name, f"cannot be read: {error}", self._lineage) from error

    def commit(self, manifest: CountsManifest) -> None:
        """All sets of clients are counted."""
        reach("counts.parts-before-manifest")
        self._objects.put(self._folder + _MANIFEST, orjson.dumps(asdict(manifest)))

    def manifest(self) -> CountsManifest | None:
        """What was counted; None where nothing is, or not all."""
        try:
            facts = orjson.loads(self._objects.get(self._folder + _MANIFEST))
        except FileNotFoundError:
            return None
        return CountsManifest(
            targets=(facts["targets"][0], facts["targets"][1]),
            groups=tuple((first, end) for first, end in facts["groups"]),
            sessions=tuple((hour, count) for hour, count in facts["sessions"]),
            **{
                key: value
                for key, value in facts.items()
                if key not in ("targets", "groups", "sessions")
            },
        )

    def clear(self) -> None:
        """Remove what was counted, the manifest first; cells that were made of it stay."""
        self._objects.delete(self._folder + _MANIFEST)
        for name in self._objects.names(self._folder):
            self._objects.delete(name)

    def all_slots(self, passes: int, groups: int) -> pl.DataFrame:
        """The slots (``SLOT_SCHEMA``) that were counted, and those that have cells from before."""
        counted = [
            self.read(number, group)[0] for number in range(passes) for group in range(groups)
        ]
        before = [
            ipc_frame(self._objects.get(name), SLOT_SCHEMA)
            for name in self._objects.names(f"{SLOTS}{self._lineage}/")
            if _span_of(name).meets(self._targets)
        ]
        slots = pl.concat([SLOT_SCHEMA.to_frame(), *counted, *before])
        return slots.filter(_inside(self._targets)).unique().sort(SLOT_COLUMNS)

    def note_slots(self, slots: pl.DataFrame) -> None:
        """Note, before they are written, which slots the lineage will have cells of."""
        self._objects.put(self._slots, ipc_bytes(slots))

    def noted_slots(self, hours: Span) -> pl.DataFrame:
        """Those of ``note_slots`` that lie in these hours."""
        return ipc_frame(self._get(self._slots), SLOT_SCHEMA).filter(_inside(hours))

    def _name(self, number: int, group: int) -> str:
        return f"{self._folder}group={group:05d}/{number:05d}.arrow"

    def _get(self, name: str) -> bytes:
        try:
            return self._objects.get(name)
        except FileNotFoundError as error:
            raise damaged_counts(name, "are missing", self._lineage) from error


def counts_folder(lineage: str, targets: Span) -> str:
    """Under which lies what was counted of the targets and is not merged yet."""
    return f"counts/{lineage}/{span_name(targets)}/"


def damaged_counts(name: str, what: str, lineage: str) -> ArchiveDamageError:
    """What is wrong with an object of the counts, and what to do."""
    return ArchiveDamageError(
        f"counts {name} {what}. Count again: materialise sessions of the range, or replay the "
        f"lineage {lineage} again. Nothing that is served has changed"
    )


def span_name(hours: Span) -> str:
    """The hours as part of a name."""
    return f"{hour_name(hours.start_us)}--{hour_name(hours.end_us)}"


def lineage_slots(objects: Objects, lineage: str) -> pl.DataFrame:
    """All slots (``SLOT_SCHEMA``) that a lineage may have cells of."""
    names = objects.names(f"{SLOTS}{lineage}/")
    frames = [ipc_frame(objects.get(name), SLOT_SCHEMA) for name in names]
    return pl.concat([SLOT_SCHEMA.to_frame(), *frames]).unique()


def _hour_folder(lineage: str, event_hour: int) -> str:
    return f"{SESSIONS}{lineage}/event_hour={hour_name(event_hour)}/"


def _span_of(slots_name: str) -> Span:
    first, _, end = slots_name.rpartition("/")[2].removesuffix(".arrow").partition("--")
    return Span(hour_of(first), hour_of(end))


def _inside(hours: Span) -> pl.Expr:
    return pl.col("slot_start").is_between(hours.start_us, hours.end_us, closed="left")
