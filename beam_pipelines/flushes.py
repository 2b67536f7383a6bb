"""Flushes: when a shard's owed cells are written, and by whom.

A flush is handed to a thread that writes while the shard takes further hits: what it writes is as
of the moment in which it began, and its vector too. One flush of a shard is on its way at most.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial

import polars as pl

from beam_pipelines.control import ShardWriter
from stores.failpoints import reach
from stores.wide_rows.client_touches import touches_for
from stores.wide_rows.port import WideRows, WideRowsUnavailableError
from tallymark.owed import Owed
from tallymark.shards import Shard
from tallymark.slots import first_whole_hour

LOG = logging.getLogger(__name__)
RETRY_SECONDS = 2.0
"""Pause before the next flush when the wide rows did not answer."""
LOOK_SECONDS = 0.25
"""So often it is asked whether a flush has come to its end."""
CLIENTS_A_READ = 20_000
TOUCHES_A_WRITE = 20_000
"""Of many clients together, so that neither memory nor other writers suffer."""
MAX_FLUSH_SHARE = 0.4
"""At most this share of the time goes to flushes: a costly flush puts the next one off."""
PROGRESS_SECONDS = 10.0
"""A shard that owes no cells tells so often which blocks its cells include all the same."""

Written = tuple[int, float]
"""How many cells were written, and when the last one was (seconds of the pacing clock)."""
Submit = Callable[[Callable[[], Written]], "Future[Written]"]
"""Runs a flush, in another thread or at once."""


@dataclass
class FlushCounts:
    """What the flushes of a shard did since the process started; for status and metrics."""

    flushes: int = 0
    cells: int = 0
    flush_seconds: float = 0.0
    failed_flushes: int = 0


@dataclass(frozen=True)
class _Flush:
    """A flush on its way.

    Attributes:
        began: Seconds of the pacing clock, as ``unwritten_since``, when its oldest hit came.
        published: UTC µs of the newest publication that it includes.
    """

    began: float
    unwritten_since: float
    published: int
    result: "Future[Written]"


class Flushes:
    """The flushes of one shard; whoever calls holds the shard's lock.

    Args:
        new_writer: Makes what is fenced by an epoch of its own.
        wide_rows: Store of the cells, asked for touches.
        flush_seconds: How long a hit may wait for others before its flush begins.
        now: Seconds of a clock; only for pacing.
        submit: Runs what may take long.
    """

    def __init__(
        self,
        new_writer: Callable[[], ShardWriter],
        wide_rows: WideRows,
        *,
        flush_seconds: float,
        now: Callable[[], float],
        submit: Submit,
    ) -> None:
        self.counts = FlushCounts()
        self._new_writer = new_writer
        self._wide_rows = wide_rows
        self._flush_seconds = flush_seconds
        self._now = now
        self._submit = submit
        self._writer = new_writer()
        self._flush: _Flush | None = None
        self._unwritten_since: float | None = None
        self._not_before = 0.0
        self._told_at, self._told_through = now(), 0

    @property
    def is_behind(self) -> bool:
        """Whether hits are taken in whose cells are not written."""
        return self._unwritten_since is not None or self._flush is not None

    def note_hits(self) -> None:
        """The shard owes cells from now on."""
        if self._unwritten_since is None:
            self._unwritten_since = self._now()

    def start_anew(self) -> None:
        """The shard's state is replaced: its cells are written under an epoch of their own, after
        all that is still written of the state before."""
        if self._flush is not None:
            wait([self._flush.result])
        self._flush = None
        self._writer = self._new_writer()

    def when_due(self, shard: Shard, *, at_once: bool = False) -> float | None:
        """Begin or end a flush if it is time; ``at_once``: all that is owed is written on return.

        Returns:
            Seconds after which to ask again, or None when nothing is owed.

        Raises:
            ReplacedError: when another job has drawn a newer epoch.
        """
        if self._flush is not None:
            pause = self._ended(shard, at_once=at_once)
            if pause is not None and not at_once:
                return pause
        now = self._now()
        if self._unwritten_since is None:
            is_told = shard.vector.published <= self._told_through
            if is_told or not (at_once or now - self._told_at >= PROGRESS_SECONDS):
                return None
            self._unwritten_since = now - self._flush_seconds
        due = max(self._unwritten_since + self._flush_seconds, self._not_before)
        if now < due and not at_once:
            return due - now
        if not self._is_ready(shard):
            return RETRY_SECONDS
        self._flush = self._begun(shard, now, self._unwritten_since)
        self._unwritten_since = None
        return self._ended(shard, at_once=at_once)

    def _is_ready(self, shard: Shard) -> bool:
        """Whether the shard may write and knows all that its cells need."""
        try:
            if not self._writer.is_taken_up:
                self._writer.take_up()
            if not self._writer.may_write(shard.vector):
                return False
            self._learn_touches(shard)
        except WideRowsUnavailableError as error:
            self._note_failure(error)
            return False
        return True

    def _begun(self, shard: Shard, now: float, unwritten_since: float) -> _Flush:
        """Hand what is owed to who writes it."""
        owed = shard.hand_out()
        if not owed.slots.is_empty():
            reach("stream.before-flush")
        vector = shard.vector.copy()
        write = partial(self._writer.write, vector, partial(_encoded, owed))
        result = self._submit(lambda: (write(), self._now()))
        return _Flush(now, unwritten_since, vector.published, result)

    def _learn_touches(self, shard: Shard) -> None:
        """Ask the store for what it has of clients that the shard has not met before."""
        for clients in shard.strangers().iter_slices(CLIENTS_A_READ):
            touches = touches_for(
                self._writer.lineage, self._wide_rows, clients,
                counts_from=first_whole_hour(shard.reads_whole_from), before_us=shard.known_from,
            )  # fmt: skip
            shard.learn(clients, touches)

    def _ended(self, shard: Shard, *, at_once: bool) -> float | None:
        """Take the result of the flush; seconds after which to ask again where it has none yet or
        has failed."""
        flush = self._flush
        assert flush is not None
        if not (at_once or flush.result.done()):
            return LOOK_SECONDS
        self._flush = None
        try:
            cells, ended = flush.result.result()
        except BaseException as error:
            shard.take_back()
            self._unwritten_since = flush.unwritten_since
            if not isinstance(error, WideRowsUnavailableError):
                raise
            self._note_failure(error)
            return RETRY_SECONDS
        shard.note_written()
        took = ended - flush.began
        self._told_at, self._told_through = ended, flush.published
        self._not_before = ended + took * (1 / MAX_FLUSH_SHARE - 1)
        self.counts.flushes += 1
        self.counts.cells += cells
        self.counts.flush_seconds += took
        return None

    def _note_failure(self, error: WideRowsUnavailableError) -> None:
        self.counts.failed_flushes += 1
        self._not_before = self._now() + RETRY_SECONDS
        LOG.warning("wide rows unavailable, the state is kept: %s", error)


def _encoded(owed: Owed, lineage: str, version: int) -> list[pl.DataFrame]:
    if owed.slots.is_empty():
        return []
    touches = owed.touch_cells(lineage=lineage, version=version)
    rollups = owed.cells(lineage=lineage, version=version)
    # Reports first: touches are read only once their hour has been let go.
    return [rollups, *touches.iter_slices(TOUCHES_A_WRITE)]
