"""A shard in a worker process: state in the runner's hands, the folded form cached, cells written.

The runner's state holds the shard's log and a token. The folded form is kept in the process, valid
only if its token equals the one in the runner's state; else it is folded again from the log, or,
where the runner has no state, from the newest snapshot.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import orjson
import polars as pl

from beam_pipelines.control import ReplacedError, ShardWriter
from beam_pipelines.flushes import Flushes, Submit
from beam_pipelines.holes import HoleWatch
from beam_pipelines.options import ShardSettings
from stores.announcements import Announcements
from stores.archive.snapshots import SnapshotStore
from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.blocks import Block, block_name
from tallymark.shard_frames import ShardFrame
from tallymark.shard_log import Delta, decode_delta, encode_delta
from tallymark.shards import Shard, Taken
from tallymark.vectors import Vector

LOG = logging.getLogger(__name__)
COMPACT_BYTES = 128 * 1024 * 1024
"""A log over this, and over three times the whole state, is replaced by one entry."""
INCREMENTS = 20
"""After so many increments a snapshot starts anew from a base."""


@dataclass
class Counts:
    """What a shard did since the process started; for status and metrics."""

    hits: int = 0
    late_hits: int = 0
    repeated_blocks: int = 0
    repeated_hits: int = 0


@dataclass
class Unsaved:
    """Log entries that no snapshot holds yet; ``is_whole`` when a base has to be saved."""

    entries: list[bytes] = field(default_factory=list)
    is_whole: bool = True


class ShardKeeper:
    """One shard of one lineage in this process.

    Args:
        settings: Where and how to write.
        index: Number of the shard.
        wide_rows: Store of the cells.
        snapshots: Store of the snapshots.
        holes: Finds missing blocks again.
        now: Seconds of a clock; only for pacing.
        submit: Runs a flush, in another thread or at once.
    """

    def __init__(
        self,
        settings: ShardSettings,
        index: int,
        *,
        wide_rows: WideRows,
        snapshots: SnapshotStore,
        holes: HoleWatch,
        now: Callable[[], float],
        submit: Submit,
    ) -> None:
        self.lock = threading.RLock()
        self.counts = Counts()
        self.shard = self._empty(settings)
        self._settings = settings
        self._index = index
        self._announcements = Announcements(wide_rows)
        self._snapshots = snapshots
        self._holes = holes
        self._now = now
        self._name = uuid.uuid4().hex.encode()  # no two processes may give the same token
        self._token = b""
        self._sequence = 0
        self._log_bytes = 0
        self._compact_at = COMPACT_BYTES
        self._unsaved = Unsaved()
        self._saved_at = now()
        self.flushes = Flushes(
            partial(
                ShardWriter,
                wide_rows,
                settings.lineage,
                index,
                reads_from=settings.reads_from,
            ),
            wide_rows,
            flush_seconds=settings.flush_seconds,
            now=now,
            submit=submit,
        )

    @staticmethod
    def _empty(settings: ShardSettings) -> Shard:
        return Shard(reads_whole_from=settings.reads_whole_from, late_us=settings.late_us)

    def resume(self, token: bytes | None, log: Iterable[bytes]) -> list[bytes]:
        """Bring the folded form to what the runner's state says.

        Args:
            token: The token in the runner's state, None where it has no state.
            log: The entries in the runner's state; read only if needed.

        Returns:
            Entries that the runner's state has to be started with, none as a rule.
        """
        if token is not None and token == self._token:
            return []
        if token is None:
            entries = self._snapshots.latest(
                self._settings.lineage, self._index, self._settings.code_version
            )
            self._fold(entries)
            return entries
        self._fold(list(log))
        return []

    def _fold(self, entries: list[bytes]) -> None:
        self.shard = self._empty(self._settings)
        self.shard.restore(map(decode_delta, entries))
        self._log_bytes = sum(map(len, entries))
        self._unsaved = Unsaved()
        self.flushes.start_anew()
        if entries:
            self.shard.mark_all_dirty()
            self.flushes.note_hits()

    def take(self, frame: ShardFrame) -> bytes:
        """Count a shard frame; the entry to be added to the runner's log."""
        taken = self.shard.take(frame)
        self._announce(taken.late)
        self._note(taken)
        if taken.hits:
            self.flushes.note_hits()
        entry = encode_delta(taken.delta)
        self._unsaved.entries.append(entry)
        self._log_bytes += len(entry)
        return entry

    def found_blocks(self) -> list[Block]:
        """Blocks that were missing for so long that they had to be read from the archive."""
        return self._holes.found(self.shard.vector)

    def commit(self) -> bytes:
        """The token under which the runner's state now equals the folded form."""
        self._sequence += 1
        self._token = b"%s-%d" % (self._name, self._sequence)
        return self._token

    def compacted(self) -> bytes | None:
        """An entry that replaces the whole log, when the log has grown long."""
        if self._log_bytes < self._compact_at:
            return None
        whole = encode_delta(self.shard.base())
        self._log_bytes = len(whole)
        self._compact_at = max(COMPACT_BYTES, 3 * len(whole))
        return whole

    def flush_when_due(self, *, at_once: bool = False) -> float | None:
        """Write the owed cells if it is time, or see whether they are written.

        Returns:
            Seconds after which to ask again, or None when nothing is owed.
        """
        self._save_when_due()
        return self.flushes.when_due(self.shard, at_once=at_once)

    def flush_now(self) -> None:
        """Write the owed cells without waiting for their time."""
        self.flush_when_due(at_once=True)

    def _save_when_due(self) -> None:
        pause = self._settings.snapshot_seconds
        if pause and self._now() - self._saved_at >= pause:
            try:
                self.save()
            except OSError as error:
                # The state is whole without it; a restart just reads from further back.
                LOG.warning("no snapshot this time: %s", error)

    def save(self) -> None:
        """Save a snapshot: a base, or the entries since the last one."""
        self._saved_at = self._now()
        if not (self._unsaved.entries or self._unsaved.is_whole):
            return
        names = self._settings.lineage, self._index, self._settings.code_version
        self.shard.prune()
        vector: Vector = self.shard.vector
        if self._unsaved.is_whole or self._snapshots.increments(*names) >= INCREMENTS:
            base: Delta = self.shard.base()
            self._snapshots.save_base(*names, encode_delta(base), published=vector.published)
        else:
            self._snapshots.save_increment(
                *names, self._unsaved.entries, published=vector.published
            )
        self._unsaved = Unsaved(is_whole=False)

    def _announce(self, late: pl.DataFrame) -> None:
        """Tell who replays which hours of which property a late block touches."""
        try:
            self._announcements.announce(
                (owner, hour, block_name(spool, number).encode())
                for owner, hour, spool, number in late.iter_rows()
            )
        except WideRowsUnavailableError as error:
            # The block is in the archive with its received hour: the audit finds it there.
            LOG.warning("late hits could not be announced: %s", error)

    def _note(self, taken: Taken) -> None:
        self.counts.hits += taken.hits
        self.counts.late_hits += taken.late.height
        self.counts.repeated_blocks += taken.repeated_blocks
        self.counts.repeated_hits += taken.repeated_hits

    def status(self) -> bytes:
        """What an operator wants to know, as JSON.

        Waits for the lock: Polars locks a frame while it writes it into a Python buffer, so that
        a thread that only asks the same frame for its height would stop the process for good,
        each of the two waiting for what the other holds.
        """
        with self.lock:
            vector = self.shard.vector
            document = {
                "lineage": self._settings.lineage,
                "shard": self._index,
                "clock": vector.clock,
                "published": vector.published,
                "spools": len(vector.spools),
                "detached": vector.detached(),
                "holes": vector.holes()[:10],
                "pieces": self.shard.tables.pieces.height,
                "unwritten": self.flushes.is_behind,
                **vars(self.counts),
                **vars(self.flushes.counts),
            }
        return orjson.dumps(document)


__all__ = ["Counts", "ReplacedError", "ShardKeeper"]
