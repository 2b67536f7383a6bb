"""Segment blocks: the block that a closed segment's file is, as it goes out on the bus."""

import io
import logging
import shutil
from pathlib import Path

import polars as pl

from collector.recovery import frontier_of
from collector.segments import Segment, read_segment
from tallymark.blocks import Block, encode_requests
from tallymark.requests import REQUEST_SCHEMA, empty_requests

_LOG = logging.getLogger(__name__)


def block_of_segment(path: Path, quarantine: Path) -> Block:
    """The block in a closed segment's file.

    A damaged file is copied to ``quarantine`` and what is good of it becomes the block.

    Raises:
        OSError: when the file cannot be read, or not be copied.
    """
    segment = read_segment(path.read_bytes())
    if segment.is_broken or segment.torn_bytes or not segment.trailer:
        _quarantine(path, segment, quarantine)
    return Block(
        spool_id=path.parent.name,
        number=int(path.stem),
        kind=segment.trailer.get("kind", "requests" if segment.requests else "heartbeat"),
        frontier=frontier_of(segment, path),
        requests=len(segment.requests),
        payload=encode_requests(request_frame(segment.requests)),
    )


def request_frame(payloads: list[bytes]) -> pl.DataFrame:
    """The requests of a segment as a frame of ``REQUEST_SCHEMA``, parsed in one pass."""
    if not payloads:
        return empty_requests()
    return pl.read_ndjson(io.BytesIO(b"\n".join(payloads)), schema=REQUEST_SCHEMA)


def _quarantine(path: Path, segment: Segment, quarantine: Path) -> None:
    quarantine.mkdir(parents=True, exist_ok=True)
    copy = quarantine / f"{path.parent.name}-{path.name}"
    shutil.copyfile(path, copy)
    _LOG.error(
        "%s is damaged: %d good requests are shipped, the file is kept as %s",
        path,
        len(segment.requests),
        copy,
    )
