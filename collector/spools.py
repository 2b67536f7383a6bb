"""Spools: a worker's own row of segments, from its start to its end.

A spool lives in a folder that appears whole, its lock already held, and is held as long as the
worker lives: whoever gets the lock of a spool knows that its worker is dead. The next segment is
created before the one in use is renamed, so the next number is never in doubt.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from collector.request_ids import RequestIds
from collector.segment_files import SegmentFile
from collector.segments import block_path, header, open_path, trailer
from stores import failpoints
from tallymark.block_limits import (
    HOUR_US,
    MAX_AGE_SECONDS,
    MAX_BLOCK_BYTES,
    MAX_REQUESTS,
    BlockKind,
)

HEARTBEAT_SECONDS: Final = 10.0
LOCK_NAME: Final = "lock"
NEW_PREFIX: Final = ".new-"


class SpoolClosedError(Exception):
    """The worker is stopping: the request has to be sent again, to another one."""


def new_spool_id(now: int, random_bits: int) -> str:
    """A name for one start of a worker: ascending with its time (``now``, UTC µs), unique."""
    return f"{now // 1_000:013d}-{random_bits & 0xFFFF_FFFF_FFFF:012x}"


def lock_spool(folder: Path) -> int | None:
    """A descriptor that holds the lock of a spool, ``None`` while its worker lives."""
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


class Spool:
    """The segments of one worker: appended to by its threads, closed by ``tick`` and ``close``.

    Args:
        folder: The folder of all spools.
        spool_id: Name of this one, in lower-case letters, digits and dashes.
        request_ids: Where requests without an id of a balancer get theirs.
        clock: UTC µs; may stand still or go back, ``received_at`` ascends nevertheless.
        stopwatch: Seconds that never go back, for the age of a segment.
        syncs: Whether what is written has to survive the death of the machine; see ``sync``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        spool_id: str,
        request_ids: RequestIds,
        clock: Callable[[], int],
        stopwatch: Callable[[], float] = time.monotonic,
        syncs: bool = False,
    ) -> None:
        self.spool_id = spool_id
        self.path = folder / spool_id
        self._ids = request_ids
        self._clock = clock
        self._stopwatch = stopwatch
        self._syncs = syncs
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._appended = self._synced = 0
        self._least = clock()  # no later request may be received before
        self._closed = False
        self._number = 0
        self._requests = self._hour_end = 0
        self._started = stopwatch()
        self._make_folder(folder / f"{NEW_PREFIX}{spool_id}")

    @property
    def recorded(self) -> int:
        """How many requests have been appended."""
        return self._appended

    @property
    def is_closed(self) -> bool:
        """Whether the worker is stopping and nothing can be appended any more."""
        return self._closed

    def append(self, fields: bytes, request_id: bytes | None = None) -> bytes:
        """Record a request and return its id, of which ours begin with ``received_at``.

        Args:
            fields: Its columns but for ``request_id`` and ``received_at``: the text of a JSON
                object without the opening brace.
            request_id: The balancer's, else the spool draws one.

        Raises:
            SpoolClosedError: when the worker is stopping.
            OSError: when the disk does not take it; nothing is recorded then.
        """
        with self._lock:
            if self._closed:
                raise SpoolClosedError
            received_at = self._clock()
            received_at = max(received_at, self._least)
            if (
                received_at >= self._hour_end
                or self._requests >= MAX_REQUESTS
                or self._segment.size_bytes + len(fields) > MAX_BLOCK_BYTES
            ):
                received_at = self._make_room(received_at)
            request_id = request_id or self._ids.at(received_at)
            self._segment.append(
                b'{"request_id":"%b","received_at":%d,%b' % (request_id, received_at, fields)
            )
            if not self._requests:
                self._started = self._stopwatch()
            self._requests += 1
            self._appended += 1
            self._least = received_at + 1
        return request_id

    def sync(self) -> None:
        """Return once everything appended so far survives the death of the machine.

        Callers that come while one fsync runs share the next.

        Raises:
            SpoolClosedError: when the spool was closed and not synced: its disk has failed.
            OSError: when the disk does not take it.
        """
        wanted = self._appended
        with self._sync_lock:
            if self._synced >= wanted:
                return
            with self._lock:
                if self._synced >= wanted:  # the segment has been closed, and synced with that
                    return
                if self._closed:
                    raise SpoolClosedError
                appended, descriptor = self._appended, self._segment.duplicate()
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            self._synced = appended

    def tick(self) -> None:
        """Close the segment if it is old or its hour is over; beat the heart of an idle spool."""
        with self._lock:
            if self._closed:
                return
            age_seconds = self._stopwatch() - self._started
            if self._requests:
                if age_seconds >= MAX_AGE_SECONDS or self._clock() >= self._hour_end:
                    self._rotate("requests")
            elif age_seconds >= HEARTBEAT_SECONDS:
                self._rotate("heartbeat")

    def close(self) -> None:
        """Close the last segment, add the closing block, and let go of the spool."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._requests:
                self._rotate("requests")
            self._finish("closing", max(self._clock(), self._least))
            os.close(self._lock_descriptor)

    def _make_folder(self, new: Path) -> None:
        """Make the folder under a name that nobody looks at, with lock and opening block."""
        new.mkdir(parents=True)
        descriptor = lock_spool(new)
        assert descriptor is not None, "a folder just made has no other owner"
        self._lock_descriptor = descriptor
        self.path, final = new, self.path
        self._segment, self._number = self._create(1, self._least), 1
        self._rotate("opening")
        new.rename(final)
        self.path = final
        if self._syncs:
            _sync_folder(final.parent)

    def _make_room(self, received_at: int) -> int:
        """Begin a segment for a request that must not go into the last one."""
        if self._requests:
            self._rotate("requests")
        received_at = max(received_at, self._least)
        self._hour_end = (received_at // HOUR_US + 1) * HOUR_US
        return received_at

    def _rotate(self, kind: BlockKind) -> None:
        """Make the segment in use a block, and the next one the segment in use."""
        frontier = max(self._clock(), self._least)
        if self._requests:
            frontier = min(frontier, self._hour_end)
        following = self._create(self._number + 1, frontier)
        try:
            self._finish(kind, frontier)
        except OSError:
            following.close()
            raise
        self._segment, self._number = following, self._number + 1
        self._least = frontier
        self._requests = self._hour_end = 0
        self._started = self._stopwatch()

    def _create(self, number: int, frontier: int) -> SegmentFile:
        segment = SegmentFile(open_path(self.path, number))
        segment.append(header(self.spool_id, number, frontier))
        if self._syncs:
            _sync_folder(self.path)
        return segment

    def _finish(self, kind: BlockKind, frontier: int) -> None:
        self._segment.append(trailer(kind, frontier, self._requests))
        try:
            self._segment.finish()
            if self._syncs:
                self._segment.sync()
                self._synced = self._appended
            failpoints.reach("segment.before-rename")
            open_path(self.path, self._number).rename(block_path(self.path, self._number))
            failpoints.reach("segment.after-rename")
        except OSError:
            # A disk that refuses this cannot be trusted with another request: the shipper closes
            # the spool once this worker is gone.
            self._closed = True
            raise
        finally:
            self._segment.close()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
