"""Raw requests to clean hits, a task at a time: ``ProcessHits`` of a replay, without Beam.

A task is a slice of a large received hour, or several small hours together. Whatever range is
asked for, an hour's parts are the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import orjson
import polars as pl

from beam_pipelines.failing_requests import PropertiesOf, process_what_can_be
from stores.archive.clean import CleanHits, CleanManifest, CleanPart
from stores.archive.damage import ArchiveDamageError
from stores.archive.hours import hour_name
from stores.archive.raw_hours import RawHour, RawSlice
from tallymark.conservation import Conservation
from tallymark.hits import DEAD_LETTER_SCHEMA, HIT_SCHEMA, request_id_of
from tallymark.processing import Processed, process_requests
from tallymark.replays import Span
from tallymark.requests import requests_naming
from tallymark.rules_choice import RulesChoice
from tallymark.slots import HOUR_US

CHUNK_BYTES: Final = 48 * 1024 * 1024
"""Queries and bodies that are decoded at a time: a few requests may hold many hits."""
TOO_OLD: Final = "too_old"
_HOUR: Final = "received_hour"


@dataclass(frozen=True, kw_only=True)
class CleanSettings:
    """How hits are decoded; travels with every task.

    Attributes:
        lineage: Who decodes.
        archive_url: Where raw and clean files are.
        rules_path: The file that ``stores.rules_cache`` reads.
        rules: See ``rules_choice``.
        span: The event hours that ``rules`` are for.
        measurement_ids: Those that are asked for; None means all.
        not_held: Event hours whose hits are left out.
        code_version: Of this code.
        late_us: D.
    """

    lineage: str
    archive_url: str
    rules_path: str
    rules: str
    span: Span
    measurement_ids: tuple[str, ...] | None
    not_held: tuple[int, ...]
    code_version: str
    late_us: int

    def manifest(self, received_hour: int) -> CleanManifest:
        """The manifest of an hour of which nothing is known yet."""
        return CleanManifest(
            lineage=self.lineage,
            received_hour=received_hour,
            code_version=self.code_version,
            rules=self.rules,
            span=(self.span.start_us, self.span.end_us),
            measurement_ids=self.measurement_ids,
            not_held=self.not_held,
            parts=(),
            conservation=Conservation(),
        )


@dataclass(frozen=True)
class CleanTask:
    """Received hours and the slices of them to be decoded together.

    Attributes:
        hours: UTC µs; an hour without requests has no slices.
        slices: Of these hours.
        number: Of the slice in its hour where the hour has several, else 0.
    """

    hours: tuple[int, ...]
    slices: tuple[RawSlice, ...]
    number: int = 0


@dataclass(frozen=True)
class CleanNote:
    """What a task made of one received hour."""

    received_hour: int
    parts: tuple[CleanPart, ...]
    conservation: Conservation


def tasks_of(hours: Sequence[RawHour], requests: int) -> list[CleanTask]:
    """Tasks of about so many requests at most."""
    tasks: list[CleanTask] = []
    small: list[tuple[int, list[RawSlice]]] = []
    for hour in hours:
        slices = hour.slices(requests)
        if _requests(slices) >= requests:
            tasks += [
                CleanTask((hour.hour_us,), (part,), number) for number, part in enumerate(slices)
            ]
            continue
        held = sum(_requests(of_hour) for _, of_hour in small)
        if held + _requests(slices) > requests:
            tasks.append(_together(small))
            small = []
        small.append((hour.hour_us, slices))
    if small:
        tasks.append(_together(small))
    return tasks


def _together(small: list[tuple[int, list[RawSlice]]]) -> CleanTask:
    slices = tuple(part for _, of_hour in small for part in of_hour)
    return CleanTask(tuple(hour for hour, _ in small), slices)


def _requests(slices: Sequence[RawSlice]) -> int:
    return sum(part.requests for part in slices)


class Cleaner:
    """Decodes tasks and writes their parts.

    Args:
        settings: How.
        raw_hour: Gives received hours.
        clean: Where parts go.
        properties_of: Rules of the measurement ids it is given (``PROPERTY_SCHEMA``).
    """

    def __init__(
        self,
        settings: CleanSettings,
        *,
        raw_hour: Callable[[int], RawHour],
        clean: CleanHits,
        properties_of: PropertiesOf,
    ) -> None:
        self._settings = settings
        self._raw_hour = raw_hour
        self._clean = clean
        self._properties_of = properties_of
        choice = RulesChoice(settings.rules)
        self._process = partial(process_requests, rule=partial(choice.apply_in, settings.span))

    def run(self, task: CleanTask) -> tuple[list[CleanNote], list[tuple[str, pl.DataFrame]]]:
        """Decode a task.

        Returns:
            A note for each of its hours, and dead letters (``DEAD_LETTER_SCHEMA``) under the name
            that they are to be kept under.
        """
        notes = {hour: CleanNote(hour, (), Conservation()) for hour in task.hours}
        letters = []
        for chunk, (requests, copies) in enumerate(self._chunks(task)):
            name = f"{task.number:05d}-{chunk:05d}"
            for note, of_hour in self._decode(requests, copies, name):
                before = notes[note.received_hour]
                notes[note.received_hour] = replace(
                    before,
                    parts=(*before.parts, *note.parts),
                    conservation=before.conservation + note.conservation,
                )
                if of_hour.height:
                    letters.append((f"{hour_name(note.received_hour)}-{name}", of_hour))
        return list(notes.values()), letters

    def _chunks(self, task: CleanTask) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Requests and dropped copies, tagged with their received hour, of bounded size."""
        requests, copies = [], []
        for part in task.slices:
            read = self._raw_hour(part.hour_us).read(part)
            hour = pl.lit(part.hour_us, pl.Int64).alias(_HOUR)
            requests.append(read.requests.with_columns(hour))
            copies.append(read.copies.with_columns(hour))
        if not requests:
            return
        everything, dropped = pl.concat(requests), pl.concat(copies)
        for piece in _of_bounded_size(everything):
            yield piece, dropped
            dropped = dropped.clear()

    def _decode(
        self, requests: pl.DataFrame, copies: pl.DataFrame, name: str
    ) -> Iterator[tuple[CleanNote, pl.DataFrame]]:
        owners = requests.select("request_id", _HOUR)
        looked_into = requests_naming(requests, self._settings.measurement_ids)
        processed, _ = process_what_can_be(looked_into, self._properties_of, self._process)
        hits = self._placed(processed.hits, owners)
        counts = _Counts(owners, looked_into, processed, hits, self._settings)
        repeated = self._repeated(copies)
        asked = hits.filter(self._is_asked())
        letters = self._own_letters(processed.dead_letters).join(
            owners.unique("request_id"), on="request_id", how="left"
        )
        for hour in owners.get_column(_HOUR).unique().sort():
            is_own = pl.col(_HOUR) == hour
            again = copies.filter(is_own).height
            hits_again = repeated.get(hour, 0)
            own = counts.of(hour)
            conservation = replace(
                own,
                requests=own.requests + again,
                repeated_requests=again,
                hits_in=own.hits_in + hits_again,
                repeated=hits_again,
            )
            parts = self._write(hour, asked.filter(is_own), name)
            note = CleanNote(hour, tuple(parts), conservation)
            yield note, letters.filter(is_own).select(list(DEAD_LETTER_SCHEMA))

    def _placed(self, hits: pl.DataFrame, owners: pl.DataFrame) -> pl.DataFrame:
        """Hits with the received hour of their request."""
        hours = owners.get_column(_HOUR).unique()
        if len(hours) == 1:
            return hits.with_columns(pl.lit(hours.item(), pl.Int64).alias(_HOUR))
        return (
            hits.with_columns(request_id=request_id_of(pl.col("hit_id")))
            .join(owners.unique("request_id"), on="request_id", how="left", maintain_order="left")
            .drop("request_id")
        )

    def _is_asked(self) -> pl.Expr:
        ids = self._settings.measurement_ids
        return pl.lit(value=True) if ids is None else pl.col("measurement_id").is_in(ids)

    def _own_letters(self, letters: pl.DataFrame) -> pl.DataFrame:
        """Without those of requests that were looked into for caution alone."""
        ids = self._settings.measurement_ids
        if ids is None:
            return letters
        return letters.filter(pl.col("request").str.contains_any(list(ids)))

    def _repeated(self, copies: pl.DataFrame) -> dict[int, int]:
        """How many hits the copies of each received hour hold."""
        looked_into = requests_naming(copies, self._settings.measurement_ids)
        found = {}
        for (hour,), of_hour in looked_into.group_by(_HOUR):
            processed, _ = process_what_can_be(of_hour, self._properties_of, self._process)
            found[int(str(hour))] = len(processed.entered)
        return found

    def _write(self, received_hour: int, hits: pl.DataFrame, name: str) -> Iterator[CleanPart]:
        event_hour = pl.col("event_at") // HOUR_US * HOUR_US
        placed = hits.with_columns(event_hour=event_hour)
        held = placed.filter(~pl.col("event_hour").is_in(self._settings.not_held))
        parts = held.partition_by("event_hour", as_dict=True, include_key=False)
        for (hour,), of_hour in sorted(parts.items()):
            yield self._clean.write_part(
                self._settings.lineage,
                received_hour,
                int(str(hour)),
                name,
                of_hour.select(list(HIT_SCHEMA)),
                late_us=self._settings.late_us,
            )


@dataclass(frozen=True)
class _Counts:
    """Counts the hits of a chunk by received hour, where they enter and where they end."""

    owners: pl.DataFrame
    looked_into: pl.DataFrame
    processed: Processed
    hits: pl.DataFrame
    settings: CleanSettings

    def of(self, hour: int) -> Conservation:
        is_own = pl.col(_HOUR) == hour
        requests = self.owners.filter(is_own).height
        mine = self.hits.filter(is_own)
        ids = self.settings.measurement_ids
        asked = mine if ids is None else mine.filter(pl.col("measurement_id").is_in(ids))
        counted = asked.filter(pl.col("excluded_by") == "")
        too_old = asked.filter(pl.col("excluded_by") == TOO_OLD).height
        late = pl.col("received_at") - pl.col("event_at") > self.settings.late_us
        return Conservation(
            requests=requests,
            skipped_requests=requests - self.looked_into.filter(is_own).height,
            hits_in=self._own(self.processed.entered, hour),
            counted=counted.height,
            excluded=asked.height - counted.height - too_old,
            too_old=too_old,
            dead_lettered=self._own(self.processed.rejected, hour),
            of_others=mine.height - asked.height,
            late=counted.filter(late).height,
        )

    def _own(self, request_ids: pl.Series, hour: int) -> int:
        if self.owners.get_column(_HOUR).n_unique() == 1:
            return len(request_ids)
        ids = request_ids.alias("request_id").to_frame()
        placed = ids.join(self.owners.unique("request_id"), on="request_id", how="left")
        return placed.filter(pl.col(_HOUR) == hour).height


def _of_bounded_size(requests: pl.DataFrame) -> Iterator[pl.DataFrame]:
    size = pl.col("query").str.len_bytes() + pl.col("body").str.len_bytes()
    chunk = requests.select(size.cum_sum() // CHUNK_BYTES).to_series()
    if chunk.is_empty() or chunk.item(-1) == 0:
        yield requests
        return
    yield from requests.with_columns(chunk=chunk).partition_by(
        "chunk", maintain_order=True, include_key=False
    )


def commit_hour(
    settings: CleanSettings, hour: RawHour, notes: Sequence[CleanNote], clean: CleanHits
) -> tuple[CleanManifest, pl.DataFrame]:
    """Let the parts of all tasks of a received hour be its clean hits.

    Returns:
        The manifest, and the dead letters (``DEAD_LETTER_SCHEMA``) of unreadable blocks.

    Raises:
        ArchiveDamageError: when fewer or more requests were read than the manifests name.
    """
    conservation = sum((note.conservation for note in notes), Conservation())
    if conservation.requests != hour.requests:
        raise ArchiveDamageError(
            f"received hour {hour.hour_us}: expected {hour.requests} requests, as the manifests of "
            f"its raw files say, read {conservation.requests}. Put its files back from a copy of "
            "the archive. Nothing that is served has changed"
        )
    letters = _unreadable(hour)
    lost = letters.height
    conservation += Conservation(hits_in=lost, dead_lettered=lost)
    parts = sorted((part for note in notes for part in note.parts), key=lambda part: part.name)
    manifest = replace(
        settings.manifest(hour.hour_us), parts=tuple(parts), conservation=conservation
    )
    clean.commit(manifest)
    return manifest, letters


def _unreadable(hour: RawHour) -> pl.DataFrame:
    """A dead letter for each block that is no frame of requests."""
    rows = [
        {
            "request_id": "",
            "received_at": min(block["frontier"], hour.hour_us + HOUR_US - 1),
            "step": "block",
            "reason": "unreadable_block",
            "detail": "expected an Arrow stream of requests",
            "request": orjson.dumps(block).decode(),
        }
        for file in hour.files
        for block in file.blocks.filter(~pl.col("is_readable")).iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=DEAD_LETTER_SCHEMA)
