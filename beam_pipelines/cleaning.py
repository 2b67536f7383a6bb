"""Raw requests to clean hits, a task at a time: ``ProcessHits`` of a replay, without Beam.

A task is a slice of a large received hour, or several small hours together. Whatever range is
asked for, an hour's parts are the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import orjson
import polars as pl

from beam_pipelines.failing_requests import process_what_can_be
from stores.archive.clean import CleanHits, CleanManifest, CleanPart
from stores.archive.damage import ArchiveDamageError
from stores.archive.hours import hour_name
from stores.archive.raw_hours import RawHour, RawSlice
from stores.rules_cache.port import RulesCache, RulesUnavailableError
from tallymark.conservation import Conservation
from tallymark.hits import DEAD_LETTER_SCHEMA, request_id_of
from tallymark.processing import process_requests
from tallymark.replays import Span, hour_text
from tallymark.requests import requests_naming
from tallymark.rules_choice import RulesChoice
from tallymark.slots import HOUR_US

CHUNK_BYTES: Final = 48 * 1024 * 1024
"""Queries and bodies that are decoded at a time: a few requests may hold many hits."""
HOURS_A_TASK: Final = 256
"""Small hours that are decoded together, so that progress shows."""
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
class ArchivedHour:
    """What the manifests of a received hour's raw files say.

    Attributes:
        hour_us: UTC µs.
        requests: How many it holds, each block once.
        unreadable: (UTC µs, description) of each block that is no frame of requests.
    """

    hour_us: int
    requests: int
    unreadable: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, hour: RawHour) -> "ArchivedHour":
        """The same of an hour that is looked up now."""
        blocks = (
            block
            for file in hour.files
            for block in file.blocks.filter(~pl.col("is_readable")).iter_rows(named=True)
        )
        last_us = hour.hour_us + HOUR_US - 1
        unreadable = ((min(one["frontier"], last_us), orjson.dumps(one).decode()) for one in blocks)
        return cls(hour.hour_us, hour.requests, tuple(unreadable))


@dataclass(frozen=True)
class CleanTask:
    """Received hours and the slices of them to be decoded together.

    Attributes:
        hours: An hour without requests has no slices.
        slices: Of these hours.
        number: Of the task in its hour where the hour has several, else 0.
    """

    hours: tuple[ArchivedHour, ...]
    slices: tuple[RawSlice, ...]
    number: int = 0


@dataclass(frozen=True)
class CleanNote:
    """What a task made of one received hour."""

    hour: ArchivedHour
    parts: tuple[CleanPart, ...]
    conservation: Conservation


def tasks_of(hours: Sequence[RawHour], requests: int) -> list[CleanTask]:
    """Tasks of about so many requests at most."""
    tasks: list[CleanTask] = []
    small: list[tuple[ArchivedHour, list[RawSlice]]] = []
    held = 0
    for hour in hours:
        archived, slices = ArchivedHour.of(hour), hour.slices(requests)
        of_hour = sum(part.requests for part in slices)
        if of_hour >= requests:
            tasks += [
                CleanTask((archived,), some, at)
                for at, some in enumerate(_packed(slices, requests))
            ]
            continue
        if held + of_hour > requests or len(small) == HOURS_A_TASK:
            tasks.append(_together(small))
            small, held = [], 0
        small.append((archived, slices))
        held += of_hour
    if small:
        tasks.append(_together(small))
    return tasks


def _packed(slices: Sequence[RawSlice], requests: int) -> Iterator[tuple[RawSlice, ...]]:
    """Slices that follow each other, about so many requests at most: files may be small."""
    some: list[RawSlice] = []
    held = 0
    for part in slices:
        if some and held + part.requests > requests:
            yield tuple(some)
            some, held = [], 0
        some.append(part)
        held += part.requests
    if some:
        yield tuple(some)


def _together(small: list[tuple[ArchivedHour, list[RawSlice]]]) -> CleanTask:
    slices = tuple(part for _, of_hour in small for part in of_hour)
    return CleanTask(tuple(archived for archived, _ in small), slices)


class Cleaner:
    """Decodes tasks and writes their parts.

    Args:
        settings: How.
        raw_hour: Gives received hours.
        clean: Where parts go.
        rules: Whose the requests are, and what is done to their hits.
    """

    def __init__(
        self,
        settings: CleanSettings,
        *,
        raw_hour: Callable[[int], RawHour],
        clean: CleanHits,
        rules: RulesCache,
    ) -> None:
        self._settings = settings
        self._raw_hour = raw_hour
        self._clean = clean
        self._rules = rules
        choice = RulesChoice(settings.rules)
        self._process = partial(process_requests, claim=partial(choice.claimed_in, settings.span))

    def run(self, task: CleanTask) -> tuple[list[CleanNote], list[tuple[str, pl.DataFrame]]]:
        """Decode a task.

        Returns:
            A note for each of its hours, and dead letters (``DEAD_LETTER_SCHEMA``) under the name
            that they are to be kept under.

        Raises:
            RulesUnavailableError: when rules may have changed unknown to it before a request of
                them was received; to be called again, as what is served stays meanwhile.
        """
        notes = {hour.hour_us: CleanNote(hour, (), Conservation()) for hour in task.hours}
        letters = []
        for chunk, (requests, copies) in enumerate(self._chunks(task)):
            name = f"{task.number:05d}-{chunk:05d}"
            done = self._decode(requests, copies, name)
            for hour, conservation in done.conservation.items():
                before = notes[hour]
                notes[hour] = replace(
                    before,
                    parts=(*before.parts, *done.parts.get(hour, ())),
                    conservation=before.conservation + conservation,
                )
            letters += [
                (f"{hour_name(hour)}-{name}", of_hour) for hour, of_hour in done.letters.items()
            ]
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
            for of_hour in _with_ids_once(piece):
                yield of_hour, dropped
                dropped = dropped.clear()

    def _decode(self, requests: pl.DataFrame, copies: pl.DataFrame, name: str) -> "_Decoded":
        ids = self._settings.measurement_ids
        owners = requests.select("request_id", _HOUR)
        looked_into = requests_naming(requests, ids)
        self._check_that_rules_are_known(looked_into)
        processed, _ = process_what_can_be(looked_into, self._rules.frame, self._process)
        hits = _placed(
            processed.hits.with_columns(request_id=request_id_of(pl.col("hit_id"))), owners
        )
        asked = pl.lit(value=True) if ids is None else pl.col("measurement_id").is_in(ids)
        counts = [
            owners.group_by(_HOUR).agg(requests=pl.len(), skipped_requests=pl.len()),
            looked_into.group_by(_HOUR).agg(skipped_requests=-pl.len().cast(pl.Int64)),
            _of_each(_placed(processed.entered.to_frame(), owners), "hits_in"),
            _of_each(_placed(processed.rejected.to_frame(), owners), "dead_lettered"),
            _ends(hits, asked, self._settings.late_us),
            *self._of_copies(copies),
        ]
        letters = _placed(self._own_letters(processed.dead_letters), owners)
        return _Decoded(
            parts=self._write(hits.filter(asked), name),
            conservation=_added(counts),
            letters=_by_hour(letters.select(*DEAD_LETTER_SCHEMA, _HOUR)),
        )

    def _check_that_rules_are_known(self, requests: pl.DataFrame) -> None:
        last: Any = requests.get_column("received_at").max()
        known = self._rules.valid_through()
        if last is not None and last > known:
            raise RulesUnavailableError(
                f"requests were received until {hour_text(last, to_minute=True)}, and the rules "
                f"are known through {hour_text(known, to_minute=True)} alone: they cannot be "
                "followed. Start the configuration service, then this again"
            )

    def _own_letters(self, letters: pl.DataFrame) -> pl.DataFrame:
        """Without those of requests that were looked into for caution alone."""
        ids = self._settings.measurement_ids
        if ids is None:
            return letters
        return letters.filter(pl.col("request").str.contains_any(list(ids)))

    def _of_copies(self, copies: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """What dropped copies add to the counts of their hours."""
        for hour, of_hour in _by_hour(copies).items():
            looked_into = requests_naming(of_hour, self._settings.measurement_ids)
            processed, _ = process_what_can_be(looked_into, self._rules.frame, self._process)
            again, hits = of_hour.height, len(processed.entered)
            facts = {_HOUR: hour, "requests": again, "repeated_requests": again}
            yield pl.DataFrame([facts | {"hits_in": hits, "repeated": hits}])

    def _write(self, hits: pl.DataFrame, name: str) -> dict[int, list[CleanPart]]:
        event_hour = pl.col("event_at") // HOUR_US * HOUR_US
        placed = hits.with_columns(event_hour=event_hour)
        held = placed.filter(~pl.col("event_hour").is_in(self._settings.not_held))
        settings = self._settings
        return self._clean.write_parts(settings.lineage, name, held, late_us=settings.late_us)


@dataclass(frozen=True)
class _Decoded:
    """What requests came to, by received hour."""

    parts: dict[int, list[CleanPart]]
    conservation: dict[int, Conservation]
    letters: dict[int, pl.DataFrame]


def _placed(of_requests: pl.DataFrame, owners: pl.DataFrame) -> pl.DataFrame:
    """Rows that name a request, with its received hour."""
    hours = owners.get_column(_HOUR).unique()
    if len(hours) == 1:
        return of_requests.with_columns(pl.lit(hours.item(), pl.Int64).alias(_HOUR))
    return of_requests.join(owners, on="request_id", how="left", maintain_order="left")


def _of_each(placed: pl.DataFrame, name: str) -> pl.DataFrame:
    return placed.group_by(_HOUR).agg(pl.len().alias(name))


def _ends(hits: pl.DataFrame, asked: pl.Expr, late_us: int) -> pl.DataFrame:
    """Where hits end, counted by received hour."""
    counts, old = pl.col("excluded_by") == "", pl.col("excluded_by") == TOO_OLD
    late = pl.col("received_at") - pl.col("event_at") > late_us
    return hits.group_by(_HOUR).agg(
        counted=(asked & counts).sum(),
        too_old=(asked & old).sum(),
        excluded=(asked & ~counts & ~old).sum(),
        of_others=(~asked).sum(),
        late=(asked & counts & late).sum(),
    )


def _added(counts: Sequence[pl.DataFrame]) -> dict[int, Conservation]:
    """Counts of received hours, added up."""
    together = pl.concat(
        [frame.cast(dict.fromkeys(frame.columns, pl.Int64)) for frame in counts], how="diagonal"
    )
    sums = together.group_by(_HOUR).sum().sort(_HOUR)
    return {row.pop(_HOUR): Conservation(**row) for row in sums.iter_rows(named=True)}


def _by_hour(rows: pl.DataFrame) -> dict[int, pl.DataFrame]:
    parts = rows.partition_by(_HOUR, as_dict=True, include_key=False)
    return {int(str(hour)): of_hour for (hour,), of_hour in parts.items()}


def _with_ids_once(requests: pl.DataFrame) -> list[pl.DataFrame]:
    """Frames in which no two hours have a request of the same id, which would mix them up."""
    ids = requests.select("request_id", _HOUR).unique()
    if ids.get_column("request_id").is_unique().all():
        return [requests]
    return requests.partition_by(_HOUR, maintain_order=True)


def _of_bounded_size(requests: pl.DataFrame) -> Iterator[pl.DataFrame]:
    size = pl.col("query").str.len_bytes() + pl.col("body").str.len_bytes()
    chunk = requests.select(size.cum_sum() // CHUNK_BYTES).to_series()
    if chunk.is_empty() or chunk.item(-1) == 0:
        yield requests
        return
    yield from requests.with_columns(chunk=chunk).partition_by(
        "chunk", maintain_order=True, include_key=False
    )


def hour_done(
    settings: CleanSettings, notes: Sequence[CleanNote]
) -> tuple[CleanManifest, pl.DataFrame]:
    """What makes the parts of all tasks of a received hour its clean hits, once it is committed.

    Args:
        settings: How they were decoded.
        notes: Of all these tasks, at least one.

    Returns:
        The manifest, and the dead letters (``DEAD_LETTER_SCHEMA``) of unreadable blocks.

    Raises:
        ArchiveDamageError: when fewer or more requests were read than the manifests name.
    """
    hour = notes[0].hour
    conservation = sum((note.conservation for note in notes), Conservation())
    if conservation.requests != hour.requests:
        raise ArchiveDamageError(
            f"received hour {hour_name(hour.hour_us)}: expected {hour.requests} requests, as the "
            f"manifests of its raw files say, read {conservation.requests}. Put its files back "
            "from a copy of the archive. Nothing that is served has changed"
        )
    lost = len(hour.unreadable)
    conservation += Conservation(hits_in=lost, dead_lettered=lost)
    parts = sorted(
        (part for note in notes for part in note.parts), key=lambda part: (part.name, part.rows)
    )
    manifest = replace(
        settings.manifest(hour.hour_us), parts=tuple(parts), conservation=conservation
    )
    return manifest, _unreadable(hour)


def _unreadable(hour: ArchivedHour) -> pl.DataFrame:
    """A dead letter for each block that is no frame of requests."""
    rows = [
        {
            "request_id": "",
            "received_at": received_at,
            "step": "block",
            "reason": "unreadable_block",
            "detail": "expected an Arrow stream of requests",
            "request": block,
        }
        for received_at, block in hour.unreadable
    ]
    return pl.DataFrame(rows, schema=DEAD_LETTER_SCHEMA)
