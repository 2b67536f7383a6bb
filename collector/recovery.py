"""Recovery: closing the spool of a worker that died, as the worker would have closed it.

Every step may be cut short and done again: a block is made by one rename, the segment after it
exists before that, and a spool without an open segment has its closing block.
"""

import logging
import os
from pathlib import Path

from collector.segments import (
    OPEN_SUFFIX,
    Segment,
    block_path,
    framed,
    header,
    open_path,
    read_segment,
    trailer,
)
from stores import failpoints
from tallymark.block_limits import BlockKind

_LOG = logging.getLogger(__name__)


def segment_numbers(spool: Path, suffix: str) -> list[int]:
    """Numbers of a spool's segments with this suffix, ascending."""
    stems = [path.stem for path in spool.iterdir() if path.suffix == suffix]
    return sorted(int(stem) for stem in stems if stem.isdigit())


def recover_spool(spool: Path) -> None:
    """Turn the open segments of a dead worker's spool into blocks and add the closing block.

    The caller holds the spool's lock. A spool that was closed is left as it is.

    Raises:
        OSError: when the disk does not take it; to be called again.
    """
    while numbers := segment_numbers(spool, OPEN_SUFFIX):
        failpoints.reach("shipper.recovering")
        _recover(spool, numbers[0], is_last=len(numbers) == 1)


def _recover(spool: Path, number: int, *, is_last: bool) -> None:
    """Make a block of an open segment; an empty one with nothing after it is the closing block."""
    path = open_path(spool, number)
    segment = read_segment(path.read_bytes())
    frontier = frontier_of(segment, path)
    kind: BlockKind = "requests" if segment.requests else "closing" if is_last else "heartbeat"
    if segment.requests and is_last:
        _append(open_path(spool, number + 1), 0, framed(header(spool.name, number + 1, frontier)))
    if segment.torn_bytes:
        _LOG.warning("%s: cut %d bytes of a torn record", path, segment.torn_bytes)
    is_complete = segment.trailer.get("requests") == len(segment.requests)
    ending = b"" if is_complete else framed(trailer(kind, frontier, len(segment.requests)))
    _append(path, segment.good_bytes, ending)
    failpoints.reach("segment.before-rename")
    path.rename(block_path(spool, number))
    _LOG.info(
        "spool %s: recovered block %d (%d requests)", spool.name, number, len(segment.requests)
    )


def frontier_of(segment: Segment, path: Path) -> int:
    """The frontier (UTC µs) of a segment's block, by the best that can be read of it."""
    if segment.trailer:
        return int(segment.trailer["frontier"])
    last_received_at = segment.last_received_at()
    if last_received_at is not None:
        return last_received_at + 1
    if segment.header:
        return int(segment.header["frontier"])
    return path.stat().st_mtime_ns // 1_000


def _append(path: Path, offset: int, content: bytes) -> None:
    """Let ``content`` follow the first ``offset`` bytes of a file, durably."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.ftruncate(descriptor, offset)
        os.lseek(descriptor, offset, os.SEEK_SET)
        written = os.write(descriptor, content)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    if written != len(content):
        raise OSError(f"{path}: expected to write {len(content)} bytes, wrote {written}")
