"""Clean hits: what a lineage decoded of each received hour, by the hour in which it happened.

``clean/LINEAGE/received_hour=…/event_hour=…/PART.parquet`` holds hits (``HIT_SCHEMA``, excluded,
late and too old ones too), ordered by client hash in many row groups, so that the clients of a
range of hashes are read alone. Parts of so few hits that one row group holds them lie together in
``clean/LINEAGE/together/``, hour after hour, as a file an hour costs more than its hits: such a
part is some rows of a file. ``manifest.json`` of the received hour names the parts and is written
last: without it there is nothing. A file's name ends in a digest of its content, so a reader of an
earlier manifest never finds another content under a name. A file of hours together goes with its
lineage; rows that no manifest names any more are not read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import orjson
import polars as pl
import pyarrow as pa
import xxhash

from stores.archive.clean_files import (
    HASHES,
    MIN_ROWS_A_GROUP,
    MissingColumnsError,
    Rows,
    encode_hits,
    read_hits,
)
from stores.archive.damage import ArchiveDamageError, OlderSchemaError
from stores.archive.hours import hour_name, hour_of
from stores.archive.port import Objects
from stores.archive.threads import at_once
from stores.failpoints import reach
from tallymark.conservation import Conservation
from tallymark.hits import HIT_SCHEMA
from tallymark.replays import Span, late_hours
from tallymark.rules_choice import AS_RECEIVED
from tallymark.slots import HOUR_US, LATE_US

CLEAN: Final = "clean/"
SCHEMA: Final = 3
"""Raise it when ``HIT_SCHEMA`` or the form of the manifests changes."""
PART_HOURS: Final = ("received_hour", "event_hour")
_ORDER: Final = ("client_hash", "event_at", "hit_id")
_MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class CleanPart:
    """A file of clean hits, or some rows of one.

    Attributes:
        name: Object name of the file.
        event_hour: UTC µs of the hour in which its hits happened.
        hits: How many, and ``counted`` of them count.
        counted: Hits that no filter tagged and that are not too old.
        late: Those of ``counted`` that are late.
        size_bytes: Of the file.
        rows: Those of the file that are its hits; None means all.
    """

    name: str
    event_hour: int
    hits: int
    counted: int
    late: int
    size_bytes: int
    rows: Rows | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "CleanPart":
        """From what ``asdict`` made of it and JSON has carried."""
        rows = facts.get("rows")
        return cls(**{**facts, "rows": None if rows is None else (rows[0], rows[1])})


@dataclass(frozen=True, kw_only=True)
class CleanManifest:
    """What a lineage made of a received hour.

    Attributes:
        lineage: Who decoded it.
        received_hour: UTC µs.
        code_version: Of the code that decided.
        rules: Which rules it put to the hits of ``span``; see ``rules_choice``.
        span: The event hours replayed, [start, end) in UTC µs, to which ``rules`` apply.
        measurement_ids: Those that were asked for; None means all.
        not_held: Event hours (UTC µs) whose hits are left out, as those of another lineage stand
            for them.
        parts: The files.
        conservation: Counts of all hits of the received hour.
        schema: Form of the manifest and the files.
    """

    lineage: str
    received_hour: int
    code_version: str
    rules: str
    span: tuple[int, int]
    measurement_ids: tuple[str, ...] | None
    not_held: tuple[int, ...]
    parts: tuple[CleanPart, ...]
    conservation: Conservation
    schema: int = SCHEMA

    def event_hours(self) -> dict[int, int]:
        """How many hits happened in each hour."""
        hours: dict[int, int] = {}
        for part in self.parts:
            hours[part.event_hour] = hours.get(part.event_hour, 0) + part.hits
        return hours

    def is_made_like(self, other: "CleanManifest") -> bool:
        """Whether both come of the same decisions, whatever they found."""
        return self._decisions() == other._decisions()

    def _decisions(self) -> "CleanManifest":
        # Under the rules as received it makes no difference which hours were asked for.
        span = (0, 0) if self.rules == AS_RECEIVED else self.span
        return replace(self, span=span, parts=(), conservation=Conservation())

    def encode(self) -> bytes:
        """As stored: JSON."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)


class CleanHits:
    """Clean hits in an object store."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def write_parts(
        self, lineage: str, number: str, hits: pl.DataFrame, *, late_us: int = LATE_US
    ) -> dict[int, list[CleanPart]]:
        """Store hits of received and event hours; the parts exist once manifests name them.

        Args:
            lineage: Who decoded them.
            number: Tells parts of the same hours apart; the same content under the same number is
                the same part.
            hits: ``HIT_SCHEMA`` and ``PART_HOURS`` (UTC µs).
            late_us: D.

        Returns:
            The parts of each received hour.

        Raises:
            OSError: when the store does not take them.
        """
        size = pl.len().over(PART_HOURS)
        few = hits.filter(size < MIN_ROWS_A_GROUP)
        if few.n_unique(PART_HOURS) < 2:
            few = few.clear()
        else:
            hits = hits.filter(size >= MIN_ROWS_A_GROUP)
        of_hours = hits.partition_by(PART_HOURS, as_dict=True, include_key=False)

        def write(item: tuple[tuple[Any, ...], pl.DataFrame]) -> tuple[int, CleanPart]:
            (received_hour, event_hour), of_hour = item
            place = {"received_hour": received_hour, "event_hour": event_hour, "number": number}
            return received_hour, self.write_part(lineage, **place, hits=of_hour, late_us=late_us)

        written = at_once(write, sorted(of_hours.items(), key=lambda item: item[0]))
        parts: dict[int, list[CleanPart]] = {}
        for hour, part in [*written, *self._write_together(lineage, number, few, late_us)]:
            parts.setdefault(hour, []).append(part)
        return parts

    def write_part(
        self,
        lineage: str,
        received_hour: int,
        event_hour: int,
        number: str,
        hits: pl.DataFrame,
        *,
        late_us: int = LATE_US,
    ) -> CleanPart:
        """Store hits of one received and event hour in a file of their own; see ``write_parts``."""
        data = encode_hits(hits.sort(_ORDER))
        folder = f"{_folder(lineage, received_hour)}event_hour={hour_name(event_hour)}/"
        name = f"{folder}{number}-{xxhash.xxh3_64_hexdigest(data)}.parquet"
        self._objects.put(name, data)
        counted, late = hits.select(*ends(late_us)).row(0)
        return CleanPart(
            name=name,
            event_hour=event_hour,
            hits=hits.height,
            counted=counted,
            late=late,
            size_bytes=len(data),
        )

    def _write_together(
        self, lineage: str, number: str, hits: pl.DataFrame, late_us: int
    ) -> Iterator[tuple[int, CleanPart]]:
        """Store hits of several hours in one file; received hours and their parts."""
        if hits.is_empty():
            return
        ordered = hits.sort(*PART_HOURS, *_ORDER)
        data = encode_hits(ordered)
        first = hour_name(ordered.get_column("received_hour").item(0))
        digest = xxhash.xxh3_64_hexdigest(data)
        name = f"{CLEAN}{lineage}/together/{first}-{number}-{digest}.parquet"
        self._objects.put(name, data)
        begins = 0
        sizes = ordered.group_by(PART_HOURS, maintain_order=True).agg(pl.len(), *ends(late_us))
        for received_hour, event_hour, count, counted, late in sizes.iter_rows():
            yield (
                received_hour,
                CleanPart(
                    name=name,
                    event_hour=event_hour,
                    hits=count,
                    counted=counted,
                    late=late,
                    size_bytes=len(data),
                    rows=(begins, begins + count),
                ),
            )
            begins += count

    def commit(self, *manifests: CleanManifest) -> None:
        """Let the parts of each manifest be the clean hits of its received hour; files of before
        are removed.

        Raises:
            OSError: when the store does not take it; what was there stands, hour by hour.
        """
        reach("clean.parts-before-manifest")
        folders = [_folder(one.lineage, one.received_hour) for one in manifests]
        self._objects.put_all(
            (folder + _MANIFEST, one.encode())
            for folder, one in zip(folders, manifests, strict=True)
        )
        for folder, one in zip(folders, manifests, strict=True):
            kept = {folder + _MANIFEST, *(part.name for part in one.parts)}
            for name in self._objects.names(folder):
                if name not in kept:
                    self._objects.delete(name)

    def put_manifest(self, manifest: CleanManifest) -> None:
        """Let the parts of a manifest be the clean hits of its received hour; other files stay."""
        name = _folder(manifest.lineage, manifest.received_hour) + _MANIFEST
        self._objects.put(name, manifest.encode())

    def forget(self, lineage: str, received_hour: int) -> None:
        """Let a lineage have no clean hits of a received hour; files stay."""
        self._objects.delete(_folder(lineage, received_hour) + _MANIFEST)

    def received_hours(self, lineage: str) -> list[int]:
        """The received hours (UTC µs) that a lineage has clean hits of, ascending."""
        prefix = f"{CLEAN}{lineage}/received_hour="
        return [
            hour_of(name.removeprefix(prefix).partition("/")[0])
            for name in self._objects.names(prefix)
            if name.endswith("/" + _MANIFEST)
        ]

    def manifest(self, lineage: str, received_hour: int) -> CleanManifest | None:
        """What a lineage made of a received hour; None where it made nothing of it yet.

        Raises:
            OlderSchemaError: when it was written in a form that is not read any more.
            ArchiveDamageError: when it cannot be read.
        """
        name = _folder(lineage, received_hour) + _MANIFEST
        try:
            content = self._objects.get(name)
        except FileNotFoundError:
            return None
        return _decoded(name, content)

    def manifests(self, lineage: str, received_hours: Iterable[int]) -> list[CleanManifest]:
        """Those of these received hours that exist."""
        found = (self.manifest(lineage, hour) for hour in received_hours)
        return [manifest for manifest in found if manifest is not None]

    def parts(self, lineage: str, event_hours: Collection[int]) -> list[CleanPart]:
        """The parts that hold what a lineage knows to have happened in these hours, late or not."""
        if not event_hours:
            return []
        first, end = min(event_hours), max(event_hours) + HOUR_US
        received = Span(first, late_hours(Span(first, end)).end_us)
        return [
            part
            for manifest in self.manifests(lineage, received)
            for part in manifest.parts
            if part.event_hour in event_hours
        ]

    def read(
        self,
        parts: CleanPart | Sequence[CleanPart],
        columns: Sequence[str] = tuple(HIT_SCHEMA),
        hashes: tuple[int, int] = (0, HASHES),
        property_id: int | None = None,
    ) -> Iterator[pl.DataFrame]:
        """The hits of a part, or of several parts of one file, in frames of a row group.

        Args:
            parts: As manifests name them.
            columns: Of ``HIT_SCHEMA``.
            hashes: Only clients whose hash lies in [first, end).
            property_id: Only this property's hits; None means all.

        Raises:
            OlderSchemaError: when the file lacks a column.
            ArchiveDamageError: when it is missing, cut off or unreadable.
        """
        several = [parts] if isinstance(parts, CleanPart) else parts
        name, size_bytes = several[0].name, several[0].size_bytes
        rows = [part.rows for part in several if part.rows is not None]
        try:
            with self._objects.open(name) as content:
                size = content.seek(0, 2)
                if size != size_bytes:
                    raise _damaged(name, f"expected {size_bytes} bytes, it has {size}")
                asked = sorted(rows) if rows else None
                yield from read_hits(content, columns, hashes, asked, property_id)
        except FileNotFoundError as error:
            raise _damaged(name, "its manifest names it and it is missing") from error
        except MissingColumnsError as error:
            raise OlderSchemaError(_again(name, str(error))) from error
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(name, str(error)) from error

    def delete(self, lineage: str) -> None:
        """Remove all clean hits of a lineage, manifests first."""
        names = self._objects.names(f"{CLEAN}{lineage}/")
        for name in sorted(names, key=lambda name: not name.endswith("/" + _MANIFEST)):
            self._objects.delete(name)


def ends(late_us: int) -> tuple[pl.Expr, pl.Expr]:
    """How many hits count, and how many of those are late."""
    counts = pl.col("excluded_by") == ""
    is_late = pl.col("received_at") - pl.col("event_at") > late_us
    return counts.sum().alias("counted"), (counts & is_late).sum().alias("late")


def _decoded(name: str, content: bytes) -> CleanManifest:
    try:
        facts = orjson.loads(content)
        schema = int(facts["schema"])
        if schema == SCHEMA:
            ids = facts.pop("measurement_ids")
            return CleanManifest(
                span=(facts["span"][0], facts["span"][1]),
                measurement_ids=None if ids is None else tuple(ids),
                not_held=tuple(facts.pop("not_held")),
                parts=tuple(map(CleanPart.of, facts.pop("parts"))),
                conservation=Conservation(**facts.pop("conservation")),
                **{key: value for key, value in facts.items() if key != "span"},
            )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(name, f"it is no manifest: {error}") from error
    raise OlderSchemaError(_again(name, f"its schema is {schema}, this code reads {SCHEMA}"))


def _damaged(name: str, what: str) -> ArchiveDamageError:
    return ArchiveDamageError(_again(name, what))


def _again(name: str, what: str) -> str:
    received = [*name.split("/"), "", ""][2]
    hour = received.partition("=")[2]
    hours = f"received hour {hour}" if hour else "the received hours of the range"
    return (
        f"clean hits {name} cannot be read: {what}. Make them again from the raw archive: "
        f"materialise clean_hits of {hours} in Dagster, or compute the range in a new lineage with "
        "tallymark replay. "
        "Nothing that is served has changed"
    )


def _folder(lineage: str, received_hour: int) -> str:
    return f"{CLEAN}{lineage}/received_hour={hour_name(received_hour)}/"
