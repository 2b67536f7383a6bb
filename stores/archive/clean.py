"""Clean hits: what a lineage decoded of each received hour, by the hour in which it happened.

``clean/LINEAGE/received_hour=…/event_hour=…/PART.parquet`` holds hits (``HIT_SCHEMA``, excluded,
late and too old ones too), ordered by client hash in many row groups, so that the clients of a
range of hashes are read alone. ``manifest.json`` of the received hour names the parts and is
written last: without it there is nothing. A part's name ends in a digest of its content, so a
reader of an earlier manifest never finds another content under a name.
"""

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import BinaryIO, Final

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from stores.archive.damage import ArchiveDamageError, OlderSchemaError
from stores.archive.hours import hour_name, hour_of
from stores.archive.port import Objects
from stores.failpoints import reach
from tallymark.conservation import Conservation
from tallymark.hits import HIT_SCHEMA
from tallymark.replays import Span, late_hours
from tallymark.rules_choice import AS_RECEIVED
from tallymark.slots import HOUR_US, LATE_US

CLEAN: Final = "clean/"
SCHEMA: Final = 1
"""Raise it when ``HIT_SCHEMA`` or the form of the manifests changes."""
ROW_GROUPS: Final = 64
MIN_ROWS_A_GROUP: Final = 2_048
HASHES: Final = 2**64
"""Client hashes lie below it."""
_MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class CleanPart:
    """One file of clean hits.

    Attributes:
        name: Object name.
        event_hour: UTC µs of the hour in which its hits happened.
        hits: How many, and ``counted`` of them count.
        counted: Hits that no filter tagged and that are not too old.
        late: Those of ``counted`` that are late.
        size_bytes: Of the object.
    """

    name: str
    event_hour: int
    hits: int
    counted: int
    late: int
    size_bytes: int


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
        """Store hits of one received and event hour as a part; it exists once a manifest names it.

        Args:
            lineage: Who decoded them.
            received_hour: UTC µs.
            event_hour: UTC µs.
            number: Tells parts of the two hours apart; the same content under the same number is
                the same part.
            hits: ``HIT_SCHEMA``.
            late_us: D.

        Raises:
            OSError: when the store does not take it.
        """
        ordered = hits.select(list(HIT_SCHEMA)).sort("client_hash", "event_at", "hit_id")
        content = io.BytesIO()
        ordered.write_parquet(
            content,
            compression="zstd",
            compression_level=1,
            row_group_size=max(MIN_ROWS_A_GROUP, -(-ordered.height // ROW_GROUPS)),
        )
        data = content.getvalue()
        folder = f"{_folder(lineage, received_hour)}event_hour={hour_name(event_hour)}/"
        name = f"{folder}{number}-{xxhash.xxh3_64_hexdigest(data)}.parquet"
        self._objects.put(name, data)
        counts = pl.col("excluded_by") == ""
        is_late = pl.col("received_at") - pl.col("event_at") > late_us
        counted, late = hits.select(counts.sum(), late=(counts & is_late).sum()).row(0)
        return CleanPart(
            name=name,
            event_hour=event_hour,
            hits=hits.height,
            counted=counted,
            late=late,
            size_bytes=len(data),
        )

    def commit(self, manifest: CleanManifest) -> None:
        """Let the parts of a manifest be the clean hits of its received hour; others are removed.

        Raises:
            OSError: when the store does not take it; what was there stands.
        """
        folder = _folder(manifest.lineage, manifest.received_hour)
        reach("clean.parts-before-manifest")
        self._objects.put(folder + _MANIFEST, manifest.encode())
        kept = {folder + _MANIFEST, *(part.name for part in manifest.parts)}
        for name in self._objects.names(folder):
            if name not in kept:
                self._objects.delete(name)

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
        part: CleanPart,
        columns: Sequence[str] = tuple(HIT_SCHEMA),
        hashes: tuple[int, int] = (0, HASHES),
    ) -> Iterator[pl.DataFrame]:
        """The hits of a part, in frames of a few row groups.

        Args:
            part: As a manifest names it.
            columns: Of ``HIT_SCHEMA``.
            hashes: Only clients whose hash lies in [first, end).

        Raises:
            OlderSchemaError: when the file lacks a column.
            ArchiveDamageError: when it is missing, cut off or unreadable.
        """
        try:
            with self._objects.open(part.name) as content:
                yield from _read_groups(part, content, columns, hashes)
        except FileNotFoundError as error:
            raise _damaged(part.name, "its manifest names it and it is missing") from error
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(part.name, str(error)) from error

    def delete(self, lineage: str) -> None:
        """Remove all clean hits of a lineage, manifests first."""
        names = self._objects.names(f"{CLEAN}{lineage}/")
        for name in sorted(names, key=lambda name: not name.endswith("/" + _MANIFEST)):
            self._objects.delete(name)


def _read_groups(
    part: CleanPart, content: BinaryIO, columns: Sequence[str], hashes: tuple[int, int]
) -> Iterator[pl.DataFrame]:
    size = content.seek(0, 2)
    if size != part.size_bytes:
        raise _damaged(part.name, f"expected {part.size_bytes} bytes, it has {size}")
    parquet = pq.ParquetFile(content)
    names = parquet.schema_arrow.names
    missing = [name for name in columns if name not in names]
    if missing:
        raise OlderSchemaError(_again(part.name, f"it lacks the columns {', '.join(missing)}"))
    first, end = hashes
    at = next(
        index
        for index in range(len(parquet.schema))
        if parquet.schema.column(index).path == "client_hash"
    )
    for group in range(parquet.num_row_groups):
        spread = parquet.metadata.row_group(group).column(at).statistics
        if spread is not None and (spread.max < first or spread.min >= end):
            continue
        frame = pl.from_arrow(parquet.read_row_group(group, list(columns), use_threads=False))
        assert isinstance(frame, pl.DataFrame)
        if hashes != (0, HASHES):
            frame = frame.filter(in_hashes(first, end))
        yield frame.select(columns)


def hash_range(number: int, passes: int) -> tuple[int, int]:
    """The client hashes, [first, end), of one of ``passes`` equal parts of all clients."""
    size = HASHES // passes
    return number * size, HASHES if number == passes - 1 else (number + 1) * size


def in_hashes(first: int, end: int) -> pl.Expr:
    """Whether a ``client_hash`` lies in [first, end)."""
    hashes = pl.col("client_hash")
    above = hashes >= pl.lit(first, pl.UInt64)
    return above if end >= HASHES else above & (hashes < pl.lit(end, pl.UInt64))


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
                parts=tuple(CleanPart(**part) for part in facts.pop("parts")),
                conservation=Conservation(**facts.pop("conservation")),
                **{key: value for key, value in facts.items() if key != "span"},
            )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(name, f"it is no manifest: {error}") from error
    raise OlderSchemaError(_again(name, f"its schema is {schema}, this code reads {SCHEMA}"))


def _damaged(name: str, what: str) -> ArchiveDamageError:
    return ArchiveDamageError(_again(name, what))


def _again(name: str, what: str) -> str:
    _, lineage, received, *_ = [*name.split("/"), "", ""]
    hour = received.partition("=")[2]
    return (
        f"clean hits {name} cannot be read: {what}. Make them again from the raw archive: "
        f"materialise clean_hits of received hour {hour}, or replay the lineage {lineage} again. "
        "Nothing that is served has changed"
    )


def _folder(lineage: str, received_hour: int) -> str:
    return f"{CLEAN}{lineage}/received_hour={hour_name(received_hour)}/"
