"""The two composites that streaming and replay share, and nothing else that imports Beam's core.

``ProcessHits`` turns requests into hits and dead letters, ``RollUp`` hits into cells. What happens
to the frames is in ``tallymark``; the settings say where they come from and go to. In a stream,
blocks become frames for shards, whose state the runner keeps. In a replay, tasks name what is to be
read from the archive, results go back there, and elements stay small whatever an hour holds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
from apache_beam.coders import BytesCoder, Coder, registry
from apache_beam.metrics import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagRuntimeState,
    BagStateSpec,
    ReadModifyWriteRuntimeState,
    ReadModifyWriteStateSpec,
    RuntimeTimer,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_pipelines import faults, progress, workers
from beam_pipelines.candidates import CellSettings, write_group
from beam_pipelines.cleaning import CleanSettings, CleanTask
from beam_pipelines.client_buckets import CountNote, CountSettings
from beam_pipelines.control import ReplacedError
from beam_pipelines.options import ShardSettings
from beam_pipelines.shard_keeper import ShardKeeper
from tallymark.blocks import Block
from tallymark.shard_frames import ShardFrame, decode_frame, encode_frame

DEAD_LETTERS: Final = "dead_letters"
HITS: Final = "hits"
_FAILED_REQUESTS: Final = Metrics.counter("processing", "failed_requests")
_DOUBTS: Final = Metrics.counter("processing", "doubts")
CELLS_COUNTER: Final = "cells"
_CELLS: Final = Metrics.counter("rollups", CELLS_COUNTER)


class ShardFrameCoder(Coder):
    """Shard frames as bytes, where a runner moves them; within a process they go as they are."""

    def encode(self, value: ShardFrame) -> bytes:
        return encode_frame(value)

    def decode(self, encoded: bytes) -> ShardFrame:
        return decode_frame(encoded)

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type[ShardFrame]:
        return ShardFrame


registry.register_coder(ShardFrame, ShardFrameCoder)


@beam.typehints.with_output_types(tuple[int, ShardFrame])
class ProcessBlocksFn(beam.DoFn):
    """Blocks of a bundle, together, to one frame a shard. Splitting them one by one is dear."""

    def __init__(self, settings: ShardSettings) -> None:
        self._settings = settings
        self._blocks: list[Block] = []

    def start_bundle(self) -> None:
        self._blocks = []

    def process(self, element: Block) -> None:
        self._blocks.append(element)

    def finish_bundle(self) -> Iterator[Any]:
        ruled = workers.ruled_blocks(self._settings)
        done = ruled.process(self._blocks, self._settings.shards)
        workers.FAILURES.add(done.requests, done.failed)
        _FAILED_REQUESTS.inc(done.failed)
        _DOUBTS.inc(done.doubts.height)
        for shard, frame in enumerate(done.frames):
            yield _globally((shard, frame))
        for block_name, letters in done.dead_letters:
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, _globally((block_name, letters)))


def _globally(value: Any) -> WindowedValue:
    return WindowedValue(value, GlobalWindow().max_timestamp(), (GlobalWindow(),))


class WriteDeadLettersFn(beam.DoFn):
    """Dead letters to the archive, named by lineage and block, so that a re-read overwrites."""

    def __init__(self, settings: ShardSettings | CleanSettings) -> None:
        self._settings = settings

    def process(self, element: tuple[str, Any]) -> None:
        _write_letters(self._settings, [element])


def _write_letters(
    settings: ShardSettings | CleanSettings, letters: Iterable[tuple[str, Any]]
) -> None:
    store = workers.dead_letters(settings.archive_url)
    for block_name, of_block in letters:
        store.write(settings.lineage, block_name, of_block)


class CleanRequestsFn(beam.DoFn):
    """Tasks to clean hits in the archive; a note for each received hour of a task goes on."""

    def __init__(self, settings: CleanSettings) -> None:
        self._settings = settings

    def process(self, element: CleanTask) -> Iterator[Any]:
        with faults.noted():
            notes, letters = workers.cleaner(self._settings).run(element)
        for note in notes:
            yield note.hour.hour_us, note
        for name, of_hour in letters:
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, (name, of_hour))
        progress.step("clean_hits", sum(note.conservation.counted for note in notes))


@dataclass
class ProcessHits(beam.PTransform):
    """Decode, enrich and apply the rules; what cannot be counted goes to the dead letters.

    With ``ShardSettings``: blocks to (shard, frame). With ``CleanSettings``: tasks to (received
    hour, note of what was written).
    """

    settings: ShardSettings | CleanSettings

    def expand(self, requests: beam.PCollection) -> beam.PCollection:
        work = (
            beam.ParDo(ProcessBlocksFn(self.settings)).with_output_types(
                tuple[int, ShardFrame], dead_letters=tuple[str, Any]
            )
            if isinstance(self.settings, ShardSettings)
            else beam.ParDo(CleanRequestsFn(self.settings)).with_output_types(
                tuple[int, Any], dead_letters=tuple[str, Any]
            )
        )
        processed = requests | "Process requests" >> work.with_outputs(DEAD_LETTERS, main=HITS)
        _ = processed[DEAD_LETTERS] | "Write dead letters" >> beam.ParDo(
            WriteDeadLettersFn(self.settings)
        )
        return processed[HITS]


class CountShardFn(beam.DoFn):
    """The state of a shard in the runner's hands; what it means is the keeper's."""

    LOG = BagStateSpec("log", BytesCoder())
    TOKEN = ReadModifyWriteStateSpec("token", BytesCoder())
    FLUSH = TimerSpec("flush", TimeDomain.REAL_TIME)
    END = TimerSpec("end", TimeDomain.WATERMARK)

    def __init__(self, settings: ShardSettings) -> None:
        self._settings = settings

    def process(
        self,
        element: tuple[int, ShardFrame],
        log: BagRuntimeState = beam.DoFn.StateParam(LOG),
        token: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(TOKEN),
        flush: RuntimeTimer = beam.DoFn.TimerParam(FLUSH),
        end: RuntimeTimer = beam.DoFn.TimerParam(END),
    ) -> None:
        shard, frame = element
        keeper = workers.keeper(self._settings, shard)
        with keeper.lock:
            self._resume(keeper, log, token)
            log.add(keeper.take(frame))
            found = keeper.found_blocks()
            if found:
                ruled = workers.ruled_blocks(self._settings)
                done = ruled.process(found, self._settings.shards)
                _write_letters(self._settings, done.dead_letters)
                log.add(keeper.take(done.frames[shard]))
            compacted = keeper.compacted()
            if compacted is not None:
                log.clear()
                log.add(compacted)
            token.write(keeper.commit())
            self._flush(keeper, flush)
        end.set(GlobalWindow().max_timestamp())

    @on_timer(FLUSH)
    def on_flush(
        self,
        shard: int = beam.DoFn.KeyParam,
        log: BagRuntimeState = beam.DoFn.StateParam(LOG),
        token: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(TOKEN),
        flush: RuntimeTimer = beam.DoFn.TimerParam(FLUSH),
    ) -> None:
        keeper = workers.keeper(self._settings, shard)
        with keeper.lock:
            self._resume(keeper, log, token)
            self._flush(keeper, flush)

    @on_timer(END)
    def on_end(
        self,
        shard: int = beam.DoFn.KeyParam,
        log: BagRuntimeState = beam.DoFn.StateParam(LOG),
        token: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(TOKEN),
    ) -> None:
        """The input has ended (batch): everything is written now."""
        keeper = workers.keeper(self._settings, shard)
        with keeper.lock:
            self._resume(keeper, log, token)
            if keeper.flush_when_due(at_once=True) is not None:
                raise RuntimeError(f"shard {shard}: the input has ended and cells are unwritten")

    @staticmethod
    def _resume(
        keeper: ShardKeeper, log: BagRuntimeState, token: ReadModifyWriteRuntimeState
    ) -> None:
        known: bytes | None = token.read()
        entries: Iterable[bytes] = keeper.resume(known, _LazyLog(log))
        for entry in entries:
            log.add(entry)
        if entries:
            token.write(keeper.commit())

    @staticmethod
    def _flush(keeper: ShardKeeper, flush: RuntimeTimer) -> None:
        try:
            wait_seconds = keeper.flush_when_due()
        except ReplacedError as error:
            workers.stop_replaced(error)
            return
        if wait_seconds is not None:
            flush.set(Timestamp.now() + max(wait_seconds, 0.05))


class _LazyLog:
    """Reads the bag only when it is asked for."""

    def __init__(self, log: BagRuntimeState) -> None:
        self._log = log

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._log.read())


class CountClientsFn(beam.DoFn):
    """The clients of a range of hashes, from clean hits to rollup rows in the archive."""

    def __init__(self, settings: CountSettings) -> None:
        self._settings = settings

    def process(self, element: int) -> Iterator[CountNote]:
        with faults.noted():
            note = workers.client_counter(self._settings).run(element)
        yield note
        progress.step("sessions", note.hits)


@dataclass
class RollUp(beam.PTransform):
    """Pieces, sessions, rollups.

    With ``ShardSettings``: (shard, frame) to written cells, while they flow and when the input
    ends. With ``CountSettings``: numbers of passes to notes of what was counted; ``WriteCells``
    adds the rows of all passes up.
    """

    settings: ShardSettings | CountSettings

    def expand(self, hits: beam.PCollection) -> beam.PCollection:
        if isinstance(self.settings, CountSettings):
            return hits | "Count clients" >> beam.ParDo(CountClientsFn(self.settings))
        return (
            hits
            | "In one window" >> beam.WindowInto(GlobalWindows())
            | "Count" >> beam.ParDo(CountShardFn(self.settings))
        )


class WriteGroupFn(beam.DoFn):
    """The cells of a group of hours."""

    def __init__(self, settings: CellSettings) -> None:
        self._settings = settings

    def process(self, element: int) -> None:
        with faults.noted():
            written = write_group(
                self._settings,
                element,
                objects=workers.objects(self._settings.archive_url),
                wide_rows=workers.wide_rows(self._settings.wide_rows_url),
            )
        _CELLS.inc(written)
        progress.step("rollups", 0)


@dataclass
class WriteCells(beam.PTransform):
    """Numbers of groups of hours to their cells, from what all passes counted."""

    settings: CellSettings

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | "Write groups" >> beam.ParDo(WriteGroupFn(self.settings))
