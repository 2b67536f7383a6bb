"""The stages of a replay, each of which can be run by itself.

    clean_hits     received hours to clean hits
    sessions       clean hits to sessions and rollup rows, the clients of a range of hashes a time
    rollups        rollup rows to the cells of a lineage

Each leaves its results in the archive, absolute and under a manifest that is written last, so a
run that is killed is simply run again.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines import faults, progress, workers
from beam_pipelines.candidates import CellSettings
from beam_pipelines.cleaning import CleanNote, CleanSettings, hour_done, tasks_of
from beam_pipelines.client_buckets import (
    CountNote,
    CountSettings,
    Inventory,
    InventoryEntry,
    by_file,
    encode_inventory,
)
from beam_pipelines.control import ShardWriter
from beam_pipelines.progress import Report, quiet
from beam_pipelines.replay_request import Replay, ReplayRequest
from beam_pipelines.transforms import CELLS_COUNTER, ProcessHits, RollUp, WriteCells
from stores.archive.clean import CleanHits, CleanManifest
from stores.archive.counted_touches import pin_versions
from stores.archive.counts import Counts, CountsManifest, Sessions
from stores.archive.dead_letters import DeadLetters
from stores.archive.hours import hour_name
from stores.archive.raw_hours import RawHour
from stores.failpoints import reach
from stores.pointers import PointerStore
from tallymark.replays import Span, hour_text

IN_PROCESS: Final = "FnApiRunner"
"""What the DirectRunner is for batch; named outright, else it looks for Prism, a download."""


HOURS_AT_ONCE: Final = 512
"""Manifests that are written at once."""


class MissingStageError(Exception):
    """A stage was asked for whose input another stage has not made yet."""


@dataclass(frozen=True, kw_only=True)
class CountedSessions:
    """What ``compute_sessions`` counted.

    Attributes:
        targets: The hours, UTC µs.
        hits: Hits of the whole window that count.
        sessions: Sessions that start in each target hour (UTC µs).
        passes: How many sets of clients were counted by themselves.
    """

    targets: Span
    hits: int
    sessions: dict[int, int]
    passes: int


@dataclass(frozen=True, kw_only=True)
class RolledUp:
    """What ``roll_up`` wrote: cells and slots of the target hours, under an epoch."""

    targets: Span
    cells: int
    slots: int
    epoch: int


def clean_received_hours(
    request: ReplayRequest | Replay,
    received_hours: Sequence[int] | None = None,
    report: Report = quiet,
) -> list[CleanManifest]:
    """Decode received hours into clean hits of the lineage.

    Args:
        request: What is replayed.
        received_hours: UTC µs; None means all that the replay depends on.
        report: Told how far it is.

    Returns:
        The manifests of these hours, ascending. Hours that the same code has decoded under the
        same rules are not decoded again, unless the request says so.

    Raises:
        IncompleteHoursError: when an hour is not wholly archived.
        UnsealedError: when the hours are to be worked out and the range is not sealed.
        ArchiveDamageError: when a raw file cannot be read.
        OSError: when the archive takes no more.
    """
    job = _job(request)
    hours = job.received_hours if received_hours is None else sorted(received_hours)
    if received_hours is not None:
        job.check_complete(hours)
    settings = _clean_settings(job)
    clean = CleanHits(job.objects)
    wanted = [hour for hour in hours if not _is_clean(job, settings, clean, hour)]
    # Other code or rules may reject less; what they reject again has another name or the same one.
    DeadLetters(job.objects).clear(job.request.lineage, wanted)
    tasks = tasks_of([RawHour(job.objects, hour) for hour in wanted], job.request.requests_a_task)
    with _stage("clean_hits", len(tasks), report), _pipeline(job.request) as pipeline:
        _ = (
            pipeline
            | "Tasks" >> beam.Create(tasks, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Process hits" >> ProcessHits(settings)
            | "By received hour" >> beam.GroupByKey()
            | "Commit hours" >> beam.ParDo(CommitHourFn(settings))
        )
    return clean.manifests(job.request.lineage, hours)


def compute_sessions(request: ReplayRequest | Replay, report: Report = quiet) -> CountedSessions:
    """Count clean hits: sessions, and the rollup rows of the target hours, a set of clients a time.

    Raises:
        MissingStageError: when a received hour has no clean hits yet.
        ArchiveDamageError: when clean hits cannot be read.
        OSError: when the archive takes no more.
    """
    job = _job(request)
    entries, hits = _inventory(job)
    passes = _passes(hits, job.request.hits_a_pass)
    targets = job.plan.targets
    counts = Counts(job.objects, job.request.lineage, targets)
    held = PointerStore(workers.wide_rows(job.request.wide_rows_url)).everyone()
    pinned = {owner: document.pointers for owner, document in held.items()}
    versions = {owner: document.version for owner, document in held.items()}
    pin_versions(job.objects, job.request.lineage, targets, versions)
    settings = CountSettings(
        lineage=job.request.lineage,
        archive_url=job.request.archive_url,
        wide_rows_url=job.request.wide_rows_url,
        targets=targets,
        groups=_groups(targets, passes),
        passes=passes,
        inventory=counts.begin(encode_inventory(Inventory(entries, pinned))),
    )
    with _stage("sessions", passes, report), _pipeline(job.request) as pipeline:
        _ = (
            pipeline
            | "Passes" >> beam.Create(range(passes), reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Roll up" >> RollUp(settings)
            | "Together" >> beam.GroupBy(lambda _: 0)
            | "Commit counts" >> beam.ParDo(CommitCountsFn(settings, job.code_version))
        )
    return _counted(_committed(job))


def roll_up(request: ReplayRequest | Replay, report: Report = quiet) -> RolledUp:
    """Write the cells of the target hours, whole, into the lineage.

    Raises:
        MissingStageError: when nothing, or something else, was counted.
        OSError: when the archive takes no more.
    """
    job = _job(request)
    manifest = _committed(job)
    lineage, targets = job.request.lineage, job.plan.targets
    counts = Counts(job.objects, lineage, targets)
    slots = counts.all_slots(manifest.passes, len(manifest.groups))
    counts.note_slots(slots)
    reach("rollups.slots-before-cells")
    writer = ShardWriter(workers.wide_rows(job.request.wide_rows_url), lineage, 0, reads_from=0)
    writer.take_up()
    settings = CellSettings(
        lineage=lineage,
        archive_url=job.request.archive_url,
        wide_rows_url=job.request.wide_rows_url,
        targets=targets,
        groups=tuple(Span(*group) for group in manifest.groups),
        passes=manifest.passes,
        epoch=writer.epoch,
    )
    groups = len(settings.groups)
    with _stage("rollups", groups, report), _pipeline(job.request) as pipeline:
        _ = (
            pipeline
            | "Groups" >> beam.Create(range(groups), reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "Write cells" >> WriteCells(settings)
        )
    return RolledUp(
        targets=targets, cells=_counter(pipeline.result), slots=slots.height, epoch=settings.epoch
    )


class CommitHourFn(beam.DoFn):
    """Notes of all tasks of a received hour to its manifest, some hours at once."""

    def __init__(self, settings: CleanSettings) -> None:
        self._settings = settings
        self._waiting: list[list[CleanNote]] = []

    def start_bundle(self) -> None:
        self._waiting = []

    def process(self, element: tuple[int, Iterable[CleanNote]]) -> None:
        self._waiting.append(list(element[1]))
        if len(self._waiting) == HOURS_AT_ONCE:
            self.finish_bundle()

    def finish_bundle(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            with faults.noted():
                self._commit(waiting)

    def _commit(self, waiting: list[list[CleanNote]]) -> None:
        url, lineage = self._settings.archive_url, self._settings.lineage
        done = [hour_done(self._settings, notes) for notes in waiting]
        CleanHits(workers.objects(url)).commit(*(manifest for manifest, _ in done))
        for manifest, letters in done:
            if letters.height:
                name = f"{hour_name(manifest.received_hour)}-unreadable-blocks"
                workers.dead_letters(url).write(lineage, name, letters)


class CommitCountsFn(beam.DoFn):
    """Notes of all passes to the manifest of the counts."""

    def __init__(self, settings: CountSettings, code_version: str) -> None:
        self._settings = settings
        self._code_version = code_version

    def process(self, element: tuple[int, Iterable[CountNote]]) -> None:
        with faults.noted():
            self._commit(sorted(element[1], key=lambda note: note.number))

    def _commit(self, notes: list[CountNote]) -> None:
        settings = self._settings
        objects = workers.objects(settings.archive_url)
        parts = [part for note in notes for part in note.sessions]
        Sessions(objects).commit(settings.lineage, settings.targets, parts)
        sessions: dict[int, int] = {}
        for part in parts:
            sessions[part.event_hour] = sessions.get(part.event_hour, 0) + part.sessions
        Counts(objects, settings.lineage, settings.targets).commit(
            CountsManifest(
                lineage=settings.lineage,
                targets=(settings.targets.start_us, settings.targets.end_us),
                code_version=self._code_version,
                passes=settings.passes,
                groups=tuple((group.start_us, group.end_us) for group in settings.groups),
                hits=sum(note.hits for note in notes),
                sessions=tuple(sorted(sessions.items())),
            )
        )


def _job(request: ReplayRequest | Replay) -> Replay:
    return request if isinstance(request, Replay) else Replay(request)


@contextmanager
def _stage(stage: progress.Stage, of: int, report: Report) -> Iterator[None]:
    progress.begin(stage, of, report)
    try:
        yield
    finally:
        progress.end(stage)


def _options(request: ReplayRequest) -> PipelineOptions:
    runner = IN_PROCESS if request.runner == "DirectRunner" else request.runner
    return PipelineOptions([f"--runner={runner}", *request.runner_options])


@contextmanager
def _pipeline(request: ReplayRequest) -> Iterator[Any]:
    """A pipeline that is run at the end; what stopped a worker of this process is raised as it is,
    where Beam would wrap its text."""
    workers.forget()
    try:
        with faults.raised(), beam.Pipeline(options=_options(request)) as pipeline:
            yield pipeline
    finally:
        workers.forget()


def _counter(result: Any) -> int:
    found = result.metrics().query(MetricsFilter().with_name(CELLS_COUNTER))["counters"]
    return sum(counter.committed or counter.attempted or 0 for counter in found)


def _clean_settings(job: Replay) -> CleanSettings:
    request = job.request
    return CleanSettings(
        lineage=request.lineage,
        archive_url=request.archive_url,
        rules_path=request.rules_path,
        rules=request.rules,
        span=job.span,
        measurement_ids=request.measurement_ids,
        not_held=tuple(sorted(job.inputs)) if request.inputs else (),
        code_version=job.code_version,
        late_us=request.late_us,
    )


def _is_clean(job: Replay, settings: CleanSettings, clean: CleanHits, hour: int) -> bool:
    if not job.request.is_clean_kept:
        return False
    found = clean.manifest(job.request.lineage, hour)
    return found is not None and found.is_made_like(settings.manifest(hour))


def _inventory(job: Replay) -> tuple[list[InventoryEntry], int]:
    """The parts to be read, and about how many hits they hold."""
    request, clean = job.request, CleanHits(job.objects)
    found = {one.received_hour for one in clean.manifests(request.lineage, job.received_hours)}
    lacking = [hour for hour in job.received_hours if hour not in found]
    if lacking:
        raise MissingStageError(
            f"expected clean hits of {request.lineage} for {len(job.received_hours)} received "
            f"hours, {len(lacking)} have none, the first {hour_text(lacking[0])}: run the stage "
            "clean_hits first"
        )
    hours_of: dict[str, set[int]] = {request.lineage: set(job.decoded_hours)}
    for hour, lineage in job.inputs.items():
        hours_of.setdefault(lineage, set()).add(hour)
    overridden: dict[int, list[int]] = {}
    for owner, hour, _ in request.overrides:
        overridden.setdefault(hour, []).append(owner)
    entries = [
        InventoryEntry((part,), job.property_ids, tuple(overridden.get(part.event_hour, ())))
        for lineage, hours in sorted(hours_of.items())
        for part in clean.parts(lineage, hours)
    ]
    overriding: dict[tuple[int, str], set[int]] = {}
    for owner, hour, lineage in request.overrides:
        if job.property_ids is None or owner in job.property_ids:
            overriding.setdefault((owner, lineage), set()).add(hour)
    for (owner, lineage), hours in sorted(overriding.items()):
        entries += [InventoryEntry((part,), (owner,), ()) for part in clean.parts(lineage, hours)]
    return by_file(entries), sum(part.counted for entry in entries for part in entry.parts)


def _passes(hits: int, hits_a_pass: int) -> int:
    """A power of two, so that ranges of hashes of different replays lie within each other."""
    passes = 1
    while passes * hits_a_pass < hits:
        passes *= 2
    return passes


def _groups(targets: Span, passes: int) -> tuple[Span, ...]:
    """The more passes there are, the fewer hours are merged at a time."""
    hours = list(targets)
    size = max(1, len(hours) // passes)
    edges = [*hours[::size], targets.end_us]
    return tuple(Span(first, end) for first, end in pairwise(edges))


def _committed(job: Replay) -> CountsManifest:
    targets = job.plan.targets
    manifest = Counts(job.objects, job.request.lineage, targets).manifest()
    if manifest is None or manifest.code_version != job.code_version:
        made = "nothing" if manifest is None else f"what code {manifest.code_version} counted"
        raise MissingStageError(
            f"expected the counts of {job.request.lineage} from {hour_text(targets.start_us)} to "
            f"{hour_text(targets.end_us)} by this code, found {made}: run the stage sessions first"
        )
    return manifest


def _counted(manifest: CountsManifest) -> CountedSessions:
    return CountedSessions(
        targets=Span(*manifest.targets),
        hits=manifest.hits,
        sessions=dict(manifest.sessions),
        passes=manifest.passes,
    )
